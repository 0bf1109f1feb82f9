package report

import (
	"slices"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/policy"
)

// metric returns the sum of the series of a metric that have these labels.
func (s *scene) metric(name string, labels ...string) (sum float64) {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			has := map[string]string{}
			for _, l := range m.GetLabel() {
				has[l.GetName()] = l.GetValue()
			}
			fits := true
			for pair := range slices.Chunk(labels, 2) {
				fits = fits && has[pair[0]] == pair[1]
			}
			if fits {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func TestMetricsTellOfAFight(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{TopFights: 1})
	s.fight(4)
	s.write(time.Second, "red", "red")
	s.write(time.Second, "red", "red")
	s.recorder.Refused(0, 415)
	s.recorder.Panicked(0, "broken", nil)
	for _, c := range []struct {
		want   float64
		name   string
		labels []string
	}{
		{6, "truce_reviews_total", []string{"phase", "validating"}},
		{6, "truce_reviews_total", []string{"phase", "mutating", "verdict", "Allowed", "operation", "UPDATE"}},
		{4, "truce_reviews_total", []string{"phase", "validating", "verdict", "Allowed"}},
		{2, "truce_reviews_total", []string{"phase", "validating", "verdict", "Rejected", "operation", "UPDATE"}},
		{12, "truce_review_duration_seconds", nil},
		{2, "truce_verdicts_total", []string{"reason", "Rejected"}},
		{4, "truce_changes_total", []string{"outcome", "Stored"}},
		{2, "truce_changes_total", []string{"outcome", "Rejected"}},
		{4, "truce_reversals_total", []string{"rule", "all"}},
		{2, "truce_writes_prevented_total", []string{"action", "Reject", "rule", "all"}},
		{1, "truce_fight_turns_total", []string{"turn", "Started", "signal", "Reversal", "rule", "all"}},
		{1, "truce_fights", []string{"kind", "fight", "state", "Open", "signal", "Reversal", "rule", "all"}},
		{1, "truce_reviews_refused_total", []string{"phase", "mutating", "status", "415"}},
		{1, "truce_panics_total", nil},
		{1, "truce_history_objects", nil},
		{1, "truce_history_fields", nil},
		{0, "truce_history_evictions_total", nil},
		{6, "truce_journal_changes", nil},
		{float64(noon.Add(5 * time.Second).Unix()), "truce_fights_oldest_timestamp_seconds", []string{"kind", "fight"}},
	} {
		if got := s.metric(c.name, c.labels...); got != c.want {
			t.Errorf("%s%v is %v, not %v", c.name, c.labels, got, c.want)
		}
	}
	if s.metric("truce_history_bytes") < 100 || s.metric("truce_fights_writes_per_minute", "kind", "fight") <= 0 ||
		s.metric("truce_fight_writes_per_minute", "name", "web") <= 0 {
		t.Error("there are bytes and rates")
	}
}

func TestNoMetricNamesAnObjectUnlessAsked(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	s.fight(5)
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if slices.Contains([]string{"web", "shop", "red", "blue", field}, l.GetValue()) {
					t.Errorf("%s has %s=%s", f.GetName(), l.GetName(), l.GetValue())
				}
			}
		}
	}
}
