package incident

import (
	"testing"
	"time"

	"github.com/truce-dev/truce/lab/measure"
	"github.com/truce-dev/truce/lab/stage"
)

// length of each run. The worst Pods of a fight without Truce wait for nearly as long.
const length = 14 * time.Second

// harmless is a latency that harms nobody: half of what the least patient Pods wait for their route. It is also what a
// machine that is a little busy adds, now and then. What a very busy one adds comes on top, see watchMachine.
const harmless = jobPatient / 2

// turns is how often, about, a new Pod waits for a core on its way to its route: in the client, the API server, etcd, the
// API server, the watch, the informer, the fan-out, the agent, and Truce between them.
const turns = 10

// watchMachine measures how long the machine lets processes wait for a core until stop is called, which returns what 99 %
// of all moments since a time do not exceed: nearly nothing, unless the machine is busy.
func watchMachine() (stop func(since time.Time) time.Duration) {
	const every = 10 * time.Millisecond
	stopped, ended := make(chan struct{}), make(chan struct{})
	type moment struct {
		due  time.Time
		late time.Duration
	}
	var moments []moment
	go func() {
		defer close(ended)
		for due := time.Now().Add(every); ; {
			select {
			case <-stopped:
				return
			case <-time.After(time.Until(due)):
			}
			for now := time.Now(); !due.After(now); due = due.Add(every) { // all the moments that it was late for
				moments = append(moments, moment{due, now.Sub(due)})
			}
		}
	}()
	return func(since time.Time) time.Duration {
		close(stopped)
		<-ended
		var late []float64
		for _, m := range moments {
			if !m.due.Before(since) {
				late = append(late, m.late.Seconds())
			}
		}
		return time.Duration(measure.Quantile(late, 0.99) * float64(time.Second))
	}
}

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
	runs, late := map[stage.Action]measure.Run{}, map[stage.Action]time.Duration{}
	for _, a := range []stage.Action{stage.Calm, stage.Without, stage.Throttle, stage.Hold} {
		stop := watchMachine()
		run, err := Play(t.Context(), st, a, length, stage.Log(t.Log))
		outset, _ := run.Value(Outset)
		late[a] = stop(run.Began.Add(time.Duration(outset * float64(time.Second))))
		if err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		for _, v := range run.Values {
			t.Logf("%-9s %-30s %9.3f %s", run.Title, v.Name, v.Number, v.Unit)
		}
		t.Logf("%-9s a core comes %s late after the outset", run.Title, late[a].Round(100*time.Microsecond))
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
		if _, over := runs[a].Value(Outset); !over {
			t.Errorf("%s: the queue was not worked off although the fights were found", a)
		}
		if with, most := value(a, LatencyP99), max(2*calm, (harmless+turns*late[a]).Seconds()); with > most {
			t.Errorf("%s: 99 %% of new Pods can be reached within %.3f s, want at most %.3f s", a, with, most)
		}
		// On a slow machine the outset costs some, before the fights are known.
		if dead := value(a, DeadLater); dead > 0.1*value(a, PodsLater) {
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

func TestEndOfOutset(t *testing.T) {
	points := func(at map[int]float64) measure.Series {
		s := measure.Series{Step: 0.25, Points: make(measure.Points, 40)}
		for i := range s.Points {
			s.Points[i] = at[i]
		}
		return s
	}
	slow := map[int]float64{}
	for i := range 30 { // until 7.5 s
		slow[i] = asGoodAsEmpty
	}
	for _, c := range []struct {
		name  string
		depth measure.Series
		found time.Duration
		want  time.Duration // 0: it is not over
	}{
		{"a quick machine", points(map[int]float64{0: 33, 1: 40}), time.Second / 4, shortestOutset},
		{"a slow machine has not worked it off", points(slow), time.Second, 7750 * time.Millisecond},
		{"a slow machine finds the fights late", points(nil), 5 * time.Second, 5 * time.Second},
		{"a machine for which it is too much", points(slow), 11 * time.Second, 0},
	} {
		got, over := endOfOutset(c.depth, c.found)
		if over != (c.want != 0) || over && got != c.want {
			t.Errorf("%s: it is over after %v (%t), want %v", c.name, got, over, c.want)
		}
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
