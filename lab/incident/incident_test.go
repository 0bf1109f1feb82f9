package incident

import (
	"testing"
	"time"

	"github.com/truce-dev/truce/lab/measure"
	"github.com/truce-dev/truce/lab/stage"
)

// length of each run. The worst Pods of a fight without Truce wait for nearly as long.
const length = 14 * time.Second

// noise is what a busy machine adds to a latency: the time that goroutines and processes wait for a core. A Pod in a calm
// run takes some milliseconds; on two cores with four other test runs beside, now and then a third of a second. Half of
// what the least patient Pods wait for their route harms nobody.
const noise = jobPatient / 2

// TestIncident plays the incident on a real control plane and checks what the project promises.
func TestIncident(t *testing.T) {
	st, err := stage.Start(t.Context(), stage.Options{Dir: t.TempDir()})
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	runs := map[stage.Action]measure.Run{}
	for _, a := range []stage.Action{stage.Calm, stage.Without, stage.Throttle, stage.Hold} {
		run, err := Play(t.Context(), st, a, length, stage.Log(t.Log))
		if err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		for _, v := range run.Values {
			t.Logf("%-9s %-24s %9.3f %s", run.Title, v.Name, v.Number, v.Unit)
		}
		for _, n := range run.Notes {
			t.Error(n)
		}
		runs[a] = run
	}
	value := func(a stage.Action, name string) float64 {
		v, ok := runs[a].Value(name)
		if !ok {
			t.Errorf("%s: there is no %q", a, name)
		}
		return v
	}

	calm, without := value(stage.Calm, LatencyP99), value(stage.Without, LatencyP99)
	// No Pod can wait for longer than the run lasts. Where a busy machine makes even calm Pods wait so long that 20 times that
	// is out of reach, half of the run is asked for.
	if want := min(20*calm, length.Seconds()/2); without < want {
		t.Errorf("without Truce 99 %% of new Pods can be reached within %.3f s, when it is calm within %.3f s: want 20 times as long, at least %.3f s",
			without, calm, want)
	}
	for _, a := range []stage.Action{stage.Throttle, stage.Hold} {
		if with, most := value(a, LatencyP99), max(2*calm, noise.Seconds()); with > most {
			t.Errorf("%s: 99 %% of new Pods can be reached within %.3f s, want at most %.3f s", a, with, most)
		}
		// On a busy machine the outset costs some, before the fights are known.
		if dead := value(a, Dead); dead > 0.1*value(a, Pods) {
			t.Errorf("%s: %v Pods died", a, dead)
		}
		// 8 returns and the values they return to, or 12 states, whatever their order, and what comes before the fight is in the
		// log.
		if n := value(a, StoredFirst); n > services*16 {
			t.Errorf("%s: %v writes were stored until all fights were known, want at most 16 for each", a, n)
		}
	}
	if dead := value(stage.Without, Dead); dead < 0.25*value(stage.Without, Pods) {
		t.Errorf("without Truce only %v of %v Pods died", dead, value(stage.Without, Pods))
	}

	// What is stored before a fight is known is a number, not a share: it is checked above.
	later := value(stage.Hold, StoredLater) / (runs[stage.Hold].Seconds - value(stage.Hold, Found))
	if most := value(stage.Without, Stored) / 100; later > most {
		t.Errorf("with Hold %.2f writes per second are stored once the fights are known, want at most %.2f, a hundredth of those without Truce",
			later, most)
	}
	// One per fight at once, one more per minute, and what was on its way when the last fight was found.
	if n := value(stage.Throttle, StoredLater); n > services*2 {
		t.Errorf("with Throttle %v writes were stored once the fights were known: that is more than the buckets have", n)
	}
}

func TestRecovered(t *testing.T) {
	depth := measure.Series{Step: 0.25, Points: measure.Points{0, 500, 900, 400, 19, 0}}
	if got, ok := recovered(depth, 0.75); !ok || got != 0.5 {
		t.Errorf("empty %v s after, %v; want 0.5 s", got, ok)
	}
	if _, ok := recovered(depth, 1.5); ok {
		t.Error("there is nothing after the end")
	}
}
