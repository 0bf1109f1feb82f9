package report

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/policy"
)

// metrics are the server's, but for those of its policy file and certificate. Their labels are closed sets: no label
// holds the name of an object, a user or a value, but those of the optional metric of the fastest fights.
type metrics struct {
	reviews   *prometheus.CounterVec
	duration  [2]prometheus.Observer
	allowed   [2][len(operations)]prometheus.Counter
	refused   *prometheus.CounterVec
	panics    prometheus.Counter
	verdicts  *prometheus.CounterVec
	changes   *prometheus.CounterVec
	reversals *prometheus.CounterVec
	prevented *prometheus.CounterVec
	turns     *prometheus.CounterVec
	observed  prometheus.Counter
	events    *prometheus.CounterVec
	dropped   drops
}

// drops count what found no room, by where.
type drops struct{ queue, disk prometheus.Counter }

// operations are the values of the label operation; the last one is any other.
var operations = [...]string{"CREATE", "UPDATE", "DELETE", "CONNECT", "other"}

func operationOf(text string) int {
	for i, o := range operations {
		if o == text {
			return i
		}
	}
	return len(operations) - 1
}

// allowedVerdict is the label verdict of a review that found nothing.
const allowedVerdict = "Allowed"

func newMetrics(o Options, r *Recorder) *metrics {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		o.Registry.MustRegister(c)
		return c
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		o.Registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string, of func() float64) {
		o.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, of))
	}
	m := &metrics{
		reviews: counters("truce_reviews_total",
			"Admission reviews answered, by webhook, operation and the gravest verdict of the review; Allowed if it has none.",
			"phase", "operation", "verdict"),
		refused: counters("truce_reviews_refused_total",
			"Requests answered with an HTTP error because they were no reviews.", "phase", "status"),
		panics: counter("truce_panics_total",
			"Reviews that failed with an internal error; failurePolicy decided on them."),
		verdicts: counters("truce_verdicts_total",
			"Verdicts on contested fields, by reason. A review may have several.", "reason"),
		changes: counters("truce_changes_total",
			"Changes of fields that rules watch, by what became of them.", "outcome"),
		reversals: counters("truce_reversals_total",
			"Changes that bring a field back to an earlier value, by rule. Not each one is part of a fight.", "rule"),
		prevented: counters("truce_writes_prevented_total",
			"Changes of contested fields that were not stored, by action and rule.", "action", "rule"),
		turns: counters("truce_fight_turns_total",
			"Turns of fights and loops: Started, Probed, Resumed, Ended, Noticed, Released, Pinned.", "turn", "signal", "rule"),
		observed: counter("truce_observed_writes_total",
			"Writes that admission never sees, learnt from a watch."),
		events: counters("truce_kubernetes_events_total",
			"Kubernetes Events about fights, by result: written, shared (another replica wrote it), failed.", "result"),
	}
	drop := counters("truce_dropped_total",
		"Things to report that found no room and were dropped, by where: queue (all that is reported), disk (the "+
			"journal on disk).", "where")
	m.dropped = drops{drop.WithLabelValues("queue"), drop.WithLabelValues("disk")}
	for _, result := range []string{eventWritten, eventShared, eventFailed} {
		m.events.WithLabelValues(result)
	}
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "truce_review_duration_seconds", Help: "Time from a review's first byte to its verdict.",
		Buckets: []float64{.00005, .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1},
	}, []string{"phase"})
	o.Registry.MustRegister(duration)
	for _, p := range []admission.Phase{admission.Mutating, admission.Validating} {
		m.duration[p] = duration.WithLabelValues(p.String())
		for i, operation := range operations {
			m.allowed[p][i] = m.reviews.WithLabelValues(p.String(), operation, allowedVerdict)
		}
	}
	gauge("truce_queue_length", "Things to report that wait.", func() float64 { return float64(len(r.queue)) })
	gauge("truce_journal_changes", "Changes in the journal's memory.", func() float64 { return float64(r.Journal.Len()) })
	o.Registry.MustRegister(historyCollector{o}, &fightCollector{r.Register, o})
	if o.Disk != nil {
		o.Disk.dropped = m.dropped.disk
	}
	if o.Events != nil {
		o.Events.results = m.events
	}
	return m
}

// reviewed counts a review. Of one that found nothing, which nearly all are, the counters are at hand.
func (m *metrics) reviewed(phase admission.Phase, resp *admission.Response, took time.Duration) {
	m.duration[phase].Observe(took.Seconds())
	operation := operationOf(resp.Operation)
	verdict := policy.ReasonNone
	for i := range resp.Verdicts { // the gravest comes first
		reason := resp.Verdicts[i].Reason
		if verdict = cmp.Or(verdict, reason); reason != policy.ReasonNone {
			m.verdicts.WithLabelValues(string(reason)).Inc()
		}
	}
	if verdict == policy.ReasonNone {
		m.allowed[phase][operation].Inc()
		return
	}
	m.reviews.WithLabelValues(phase.String(), operations[operation], string(verdict)).Inc()
}

func (m *metrics) refuse(phase admission.Phase, status int) {
	m.refused.WithLabelValues(phase.String(), strconv.Itoa(status)).Inc()
}

func (m *metrics) change(it *item) {
	m.changes.WithLabelValues(string(it.outcome)).Inc()
	if it.write.Rule == nil || it.outcome == DryRun {
		return
	}
	rule := it.write.Rule.Name
	if it.write.Reversal {
		m.reversals.WithLabelValues(rule).Inc()
	}
	if action := actionOf(it.write.Reason); action != "" {
		m.prevented.WithLabelValues(string(action), rule).Inc()
	}
}

// actionOf returns the action that a reason tells of, if it stopped something.
func actionOf(r policy.Reason) policy.Action {
	switch r {
	case policy.ReasonThrottled:
		return policy.ActionThrottle
	case policy.ReasonRejected:
		return policy.ActionReject
	case policy.ReasonHeld:
		return policy.ActionHold
	}
	return ""
}

func (m *metrics) turn(u Update) {
	m.turns.WithLabelValues(string(u.Turn), u.Fight.Signal, u.Fight.Rule).Inc()
}

// historyCollector tells how much is remembered.
type historyCollector struct{ Options }

var (
	historyObjects = prometheus.NewDesc("truce_history_objects", "Objects whose history is remembered.", nil, nil)
	historyFields  = prometheus.NewDesc("truce_history_fields", "Fields whose history is remembered.", nil, nil)
	historyBytes   = prometheus.NewDesc("truce_history_bytes",
		"Memory that histories take, about; names, which objects share, not counted.", nil, nil)
	historyEvictions = prometheus.NewDesc("truce_history_evictions_total",
		"Objects forgotten to make room for others.", nil, nil)
	historyForgotten = prometheus.NewDesc("truce_history_forgotten_timestamp_seconds",
		"When the most recently written of the objects forgotten to make room had been written, in seconds since 1970; "+
			"0 if none was.", nil, nil)
)

func (c historyCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{historyObjects, historyFields, historyBytes, historyEvictions, historyForgotten} {
		ch <- d
	}
}

func (c historyCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.Store.Stats()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	gauge(historyObjects, float64(s.Objects))
	gauge(historyFields, float64(s.Fields))
	gauge(historyBytes, float64(s.Bytes))
	ch <- prometheus.MustNewConstMetric(historyEvictions, prometheus.CounterValue, float64(s.Evictions))
	forgotten := 0.0
	if !s.Forgotten.IsZero() {
		forgotten = float64(s.Forgotten.UnixMilli()) / 1000
	}
	gauge(historyForgotten, forgotten)
}

// fightCollector tells of the fights that go on.
type fightCollector struct {
	register *Register
	Options
}

var (
	fightsActive = prometheus.NewDesc("truce_fights",
		"Fights and loops that go on, by kind, state, signal and rule.", []string{"kind", "state", "signal", "rule"}, nil)
	fightsOldest = prometheus.NewDesc("truce_fights_oldest_timestamp_seconds",
		"When the fight that has gone on for longest was found, in seconds since 1970, by kind.", []string{"kind"}, nil)
	fightsRate = prometheus.NewDesc("truce_fights_writes_per_minute",
		"Writes of contested fields, attempts included, lately, by kind.", []string{"kind"}, nil)
	fightsTop = prometheus.NewDesc("truce_fight_writes_per_minute",
		"Writes of the contested field, attempts included, lately, of the fastest fights: as many as --top-fights says.",
		[]string{"fight", "resource", "namespace", "name", "field"}, nil)
)

func (c *fightCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{fightsActive, fightsOldest, fightsRate, fightsTop} {
		ch <- d
	}
}

func (c *fightCollector) Collect(ch chan<- prometheus.Metric) {
	type labels struct{ kind, state, signal, rule string }
	active := map[labels]int{}
	oldest, perMinute := map[string]time.Time{}, map[string]float64{"fight": 0, "loop": 0}
	fights := c.register.Fights(c.Now(), FightQuery{Active: true})
	for _, f := range fights {
		active[labels{f.Kind, string(f.State), f.Signal, f.Rule}]++
		perMinute[f.Kind] += f.RatePerMinute
		if t, ok := oldest[f.Kind]; !ok || f.Detected.Before(t) {
			oldest[f.Kind] = f.Detected
		}
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for l, n := range active {
		gauge(fightsActive, float64(n), l.kind, l.state, l.signal, l.rule)
	}
	for kind, t := range oldest {
		gauge(fightsOldest, float64(t.UnixMilli())/1000, kind)
	}
	for kind, v := range perMinute {
		gauge(fightsRate, v, kind)
	}
	slices.SortFunc(fights, func(a, b Fight) int {
		return cmp.Or(cmp.Compare(b.RatePerMinute, a.RatePerMinute), cmp.Compare(a.ID, b.ID))
	})
	for _, f := range fights[:min(len(fights), c.TopFights)] {
		gauge(fightsTop, f.RatePerMinute, f.ID, f.Object.Resource, f.Object.Namespace, f.Object.Name, f.Field)
	}
}
