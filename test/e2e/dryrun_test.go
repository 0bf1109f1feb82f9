package e2e

import (
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/truce-dev/truce/pkg/policy"
)

// signsDry is signs as a dry run. It returns the signature as it would be.
func (p *party) signsDry(name string) (string, error) {
	p.t.Helper()
	o, err := p.dryRun(configMaps, name, types.MergePatchType,
		fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, signature, p.name))
	if err != nil {
		return "", err
	}
	return signatureOf(o), nil
}

func TestDryRunsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	s := newScene(t, rule("action: Reject"))
	tracked(s)
	w := s.watch(configMaps, "settings")
	red, blue := s.party("red"), s.party("blue")
	both := []*party{red, blue}

	before, _ := s.hook.reached()
	objects := s.hook.metric("truce_history_objects")
	laps(t, 20, 20*time.Millisecond, func(i int) {
		got, err := both[i%2].signsDry("settings")
		if err != nil || got != both[i%2].name {
			t.Errorf("dry run %d would store %q, %v", i, got, err)
		}
	})
	if after, _ := s.hook.reached(); after-before < 20 {
		t.Fatalf("%d of 20 dry runs were sent to the webhook: this test proves nothing", after-before)
	}
	if n := s.hook.metric("truce_history_objects") - objects; n != 0 {
		t.Errorf("dry runs made the webhook remember %v objects", n)
	}

	// Real writes with dry runs between them: only the real ones count, of which the fifth is the third reversal.
	for i := range 5 {
		found := i == 4
		for range 2 {
			for d, p := range both {
				_, err := p.signsDry("settings")
				// A dry run of the write that comes next is answered as that will be.
				if next := d == i%2; apierrors.IsForbidden(err) != (found && next) {
					t.Errorf("a dry run by %s before write %d got %v", p.name, i+1, err)
				}
			}
		}
		if err := both[i%2].signs("settings"); apierrors.IsForbidden(err) != found {
			t.Fatalf("write %d got %v; only the fifth should be forbidden", i+1, err)
		}
	}
	if n := w.writes(); n != 4 {
		t.Errorf("%d writes stored, want the 4 before the fight was found", n)
	}
	if n := len(s.hook.awaitTurns(1, "Started")); n != 1 {
		t.Errorf("%d fights found, want 1", n)
	}
}

func TestADryRunIsAnsweredAsTheWriteWouldBe(t *testing.T) {
	t.Parallel()
	t.Run("rejected, without counting", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, rule("action: Reject"))
		red, _ := quarrel(t, s, "settings")
		var counts []string
		for range 3 {
			_, err := red.signsDry("settings")
			if !apierrors.IsForbidden(err) {
				t.Fatalf("a dry run got %v, want Forbidden", err)
			}
			counts = append(counts, reversals.FindString(err.Error()))
		}
		err := red.signs("settings")
		if !apierrors.IsForbidden(err) {
			t.Fatalf("the write got %v, want Forbidden", err)
		}
		for _, c := range counts {
			if real := reversals.FindString(err.Error()); c != real {
				t.Errorf("a dry run said %q, the write itself says %q: dry runs were counted", c, real)
			}
		}
	})
	t.Run("held", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, rule("action: Hold"))
		red, blue := quarrel(t, s, "settings")
		got, err := red.signsDry("settings")
		if err != nil || got != blue.name {
			t.Errorf("a dry run would store %q, %v; the write itself would be held, so want %s", got, err, blue.name)
		}
	})
	t.Run("throttled, without taking a token", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, rule("action: Throttle", "throttle: {every: 1h, burst: 2}"))
		red, blue := quarrel(t, s, "settings") // red's write took one token of two
		for range 3 {
			if _, err := blue.signsDry("settings"); err != nil {
				t.Fatalf("a dry run got %v; there is a token left", err)
			}
		}
		if err := blue.signs("settings"); err != nil {
			t.Fatalf("the write got %v: dry runs took its token", err)
		}
		if _, err := red.signsDry("settings"); !apierrors.IsTooManyRequests(err) {
			t.Errorf("a dry run without a token got %v, want TooManyRequests", err)
		}
	})
	t.Run("once the truce is over, without being the probe", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, rule("action: Reject", "truce: {length: 5s, max: 1h}"))
		red, _ := quarrel(t, s, "settings")
		eventually(t, "a dry run is let through", func() bool {
			_, err := red.signsDry("settings")
			return !stopped(t, err)
		})
		if turns := s.hook.turns("Probed"); len(turns) != 0 {
			t.Errorf("a dry run took the probe's place: %v", turns)
		}
		w := s.watch(configMaps, "settings")
		at := time.Now().Truncate(time.Millisecond) // as the webhook's API tells times
		red.must(red.signs("settings"))
		if n := w.writes(); n != 1 {
			t.Errorf("%d writes stored, want the probe", n)
		}
		if turns := s.hook.awaitTurns(1, "Probed"); len(turns) != 1 {
			t.Errorf("the write after it is no probe: %v", kinds(s.hook.turns()))
		}
		if probed := s.hook.fight(s.ns).Turns[1]; probed.Turn != policy.Probed || probed.Time.Before(at) {
			t.Errorf("the write of %s is not the probe, but what came before: %v", at.UTC(), probed)
		}
	})
}

func TestDryRunsOfCreationAndDeletionLeaveNoTrace(t *testing.T) {
	t.Parallel()
	s := newScene(t, rule("action: Reject"))
	red, blue := s.party("red"), s.party("blue")
	dry := []string{metav1.DryRunAll}
	laps(t, 10, 20*time.Millisecond, func(int) {
		red.must(red.creates(configMaps, object("v1", "ConfigMap", "settings"), dry...))
	})
	tracked(s)
	laps(t, 10, 20*time.Millisecond, func(int) {
		blue.must(blue.deletes(configMaps, "settings", dry...))
	})
	if turns := s.hook.turns(); len(turns) != 0 {
		t.Errorf("dry runs made a fight: %v", turns)
	}
	s.get(configMaps, "settings")
}
