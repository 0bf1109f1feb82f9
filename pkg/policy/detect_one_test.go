package policy

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/history"
)

const signature = "metadata.annotations[apps.example.com/signature]"

func TestAWriterWhoFightsItself(t *testing.T) {
	const s, m = time.Second, time.Minute
	flip := []string{"app=1", "app=2"}
	// Gaps that scatter: the mean difference between gaps of the same phase, as a part of the mean gap, over so many returns.
	scatters := func(steady, early, late time.Duration) []time.Duration {
		return []time.Duration{steady, early, steady, late}
	}
	judge(t, []finding{
		{
			name: "steady, five returns", path: signature, writes: turns(7, 5*s, flip...),
			why: "the first two writes bring nothing back",
		},
		{
			name: "steady, six returns", path: signature, writes: turns(8, 5*s, flip...), found: 8, want: history.OneWriter, count: 6,
			parties: []string{"app"}, why: "clockwork takes three quarters of the count",
		},
		{
			name: "steady, seven returns", path: signature, writes: turns(9, 5*s, flip...), found: 8, want: history.OneWriter, count: 6,
			last: 7, why: "every further one counts",
		},
		{
			name: "as steady as six returns have to be", path: signature, why: "scatter 0.25, inclusive",
			writes: gaps(8, scatters(5850*ms, 4100*ms, 7600*ms), flip...), found: 8, want: history.OneWriter, count: 6,
		},
		{
			name: "a little less steady than that", path: signature, why: "then it takes eight returns, until which it is steady enough again",
			writes: gaps(10, scatters(5850*ms, 4099*ms, 7601*ms), flip...), found: 10, want: history.OneWriter, count: 8,
		},
		{
			name: "as steady as eight returns have to be", path: signature, why: "scatter 0.4, inclusive",
			writes: gaps(10, scatters(30*s, 16*s, 44*s), flip...), found: 10, want: history.OneWriter, count: 8,
		},
		{
			name: "a little less steady than that as well", path: signature, why: "a flapping probe is no machine's fight",
			writes: gaps(10, scatters(30*s, 15999*ms, 44001*ms), flip...),
		},
		{
			name: "eight returns are one too few of nine", path: signature, why: "the count is inclusive",
			detect: "selfReversals: {count: 9}", writes: gaps(10, scatters(30*s, 16*s, 44*s), flip...),
		},
		{
			name: "gaps as long as allowed", path: signature, writes: turns(8, m, flip...), found: 8, want: history.OneWriter, count: 6,
			why: "the time is inclusive",
		},
		{name: "gaps a moment longer", path: signature, writes: turns(40, m+ms, flip...), why: "it may be reporting something"},
		{
			name: "one gap that is longer", path: signature, writes: then(turns(7, 5*s, flip...), m+ms, turns(12, 5*s, "app=2", "app=1")),
			why: "it takes a whole ledger of steady returns then", found: 19, want: history.OneWriter, count: 10,
		},
		{
			name: "switched off", path: signature, writes: turns(60, 5*s, flip...), detect: "selfReversals: {count: 0}",
			why: "and nothing else finds it",
		},
		{
			name: "a look-alike of one writer", path: signature, writes: turns(60, 5*s, flip...), context: Context{OneWriterSilent: true},
			why: "that is what it is for",
		},
		{
			name: "a person", path: signature, writes: turns(60, 5*s, "jane@example.com=1", "jane@example.com=2"),
			why: "a person at work, however steadily",
		},
		{
			name: "a writer of whom nothing is known", path: signature, writes: turns(8, 5*s, "=1", "=2"),
			found: 8, want: history.OneWriter, count: 6, parties: nil, why: "whoever it is",
		},
		{
			name: "somebody else in between", path: signature, found: 16, want: history.OneWriter, count: 6, parties: []string{"app"},
			writes: then(turns(7, 5*s, flip...), 5*s, then(turns(1, 0, "sync=9"), 5*s, turns(8, 5*s, flip...))),
			why:    "what it did before that does not count",
		},
		{
			name: "a person and a machine, fast", path: signature, writes: turns(40, s, "jane@example.com=1", "argo=0"),
			detect: "peopleReversals: {count: 0}", why: "they are two: the machine does not fight itself",
		},
		{
			name: "a value that wanders", path: replicas, writes: turns(60, 15*s, "hpa=3", "hpa=4", "hpa=5", "hpa=4", "hpa=6", "hpa=5"),
			why: "an autoscaler follows the load: it returns to earlier values, but in no cycle of five or less",
		},
		{
			name: "a value that wandered before it went back and forth", path: signature, found: 15, want: history.OneWriter, count: 10,
			writes: then(turns(3, 5*s, "app=7", "app=8", "app=9"), 5*s, turns(12, 5*s, flip...)), why: "it takes a whole ledger of it then",
		},
		{
			name: "a value that wandered before it went back and forth, one return less", path: signature,
			writes: then(turns(3, 5*s, "app=7", "app=8", "app=9"), 5*s, turns(11, 5*s, flip...)), why: "it may wander on",
		},
		{
			name: "objects of generated names, created and deleted steadily", path: history.Exists, context: Context{Numerous: true},
			writes: turns(60, 5*s, flip...), why: "one job after another",
		},
		{
			name: "objects of generated names, each deleted before it is ready", path: history.Exists, context: Context{Numerous: true},
			writes: flagged(history.Vain, turns(10, 20*s, "app=+", "app=-")), found: 10, want: history.ChurnLoop, count: 8, parties: []string{"app"},
			why: "nobody's job: but it may be the same in the end, so nothing is done about it",
		},
		{
			name: "objects of generated names, each deleted before it is ready, one less", path: history.Exists, context: Context{Numerous: true},
			writes: flagged(history.Vain, turns(9, 20*s, "app=+", "app=-")), why: "seven returns may be a bad day",
		},
		{
			name: "objects of generated names, each deleted before it is ready, within half a minute", path: history.Exists, context: Context{Numerous: true},
			writes: flagged(history.Vain, turns(20, s, "app=+", "app=-")), found: 14, want: history.OneWriter, count: 12,
			why: "so hot that it fights itself, and not a loop before that",
		},
		{
			name: "objects of generated names, one of them was ready", path: history.Exists, context: Context{Numerous: true},
			writes: then(flagged(history.Vain, turns(6, 20*s, "app=+", "app=-")), 20*s, then(turns(2, 20*s, "app=+", "app=-"), 20*s,
				flagged(history.Vain, turns(6, 20*s, "app=+", "app=-")))), why: "whoever scales up and down takes what comes",
		},
		{
			name: "an object that is deleted and made anew", path: history.Exists, writes: turns(60, 5*s, "app=+", "app=-"),
			found: 8, want: history.OneWriter, count: 6, why: "it was of use still",
		},
		{
			name: "an object that is replaced in every round", path: history.Exists, starts: "+",
			writes: gaps(40, []time.Duration{5 * s, 2 * m}, "app=-", "app=+"), found: 10, want: history.ChurnLoop, count: 8,
			why: "nobody asked for that",
		},
		{
			name: "an object that is replaced every ten minutes", path: history.Exists, starts: "+",
			writes: gaps(40, []time.Duration{5 * s, 10 * m}, "app=-", "app=+"), found: 10, want: history.ChurnLoop, count: 8, why: "inclusive",
		},
		{
			name: "an object that is replaced every ten minutes and more", path: history.Exists, starts: "+",
			writes: gaps(40, []time.Duration{5 * s, 10*m + s}, "app=-", "app=+"), why: "that may be a timetable",
		},
		{
			name: "an object that is deleted, and made anew a while later", path: history.Exists, starts: "+",
			writes: gaps(40, []time.Duration{5*s + ms, 2 * m}, "app=-", "app=+"), why: "it may be wanted anew: a check that is run at times",
		},
		{
			name: "an object that is done, replaced in every round", path: history.Exists, starts: "+",
			writes: flagged(history.Spent, gaps(40, []time.Duration{5 * s, 2 * m}, "app=-", "app=+")), why: "one job after another",
		},
		{
			name: "an object that is replaced now and then", path: history.Exists, starts: "+",
			writes: gaps(40, []time.Duration{s, 9 * m, s, m, s, 5 * m}, "app=-", "app=+"), why: "there is a reason each time",
		},
		{
			name: "an object that is deleted once it is done, and made anew", path: history.Exists,
			writes: flagged(history.Spent, turns(60, 5*s, "app=+", "app=-")), why: "one job after another",
		},
		{
			name: "objects of generated names, created and deleted all the time", path: history.Exists, context: Context{Numerous: true},
			writes: turns(60, s, flip...), found: 14, want: history.OneWriter, count: 12, why: "no job is that short",
		},
		{
			name: "in status", path: "status.phase", writes: turns(15, 5*s, "app=1", "app=2"), why: "reporting is a status's job: see loops",
		},
	})
}

func TestCyclesOfOneWriter(t *testing.T) {
	words := []string{"app=1", "app=2", "app=3", "app=4", "app=5", "app=6"}
	for period := 2; period <= 5; period++ {
		judge(t, []finding{
			{
				name: fmt.Sprint(period, " values"), path: signature, writes: turns(period+6, 5*time.Second, words[:period]...),
				found: period + 6, want: history.OneWriter, count: 6, parties: []string{"app"}, why: "six returns after one lap",
			},
			{
				name: fmt.Sprint(period, " values, one return too few"), path: signature,
				writes: turns(period+5, 5*time.Second, words[:period]...), why: "five returns",
			},
		})
	}
	judge(t, []finding{
		{
			name: "6 values", path: signature, writes: turns(60, 5*time.Second, words...), why: "nothing that is known to fight itself goes round so far",
		},
		{
			name: "5 values, not quite steady", path: signature, found: 12, want: history.OneWriter, count: 7, parties: []string{"app"},
			why: "a ledger of 12 has no room for eight returns of five values: all of it has to be the cycle",
			writes: gaps(12, []time.Duration{
				20 * time.Second, 20 * time.Second, 20 * time.Second, 20 * time.Second, 20 * time.Second,
				26 * time.Second, 26 * time.Second, 26 * time.Second, 26 * time.Second, 26 * time.Second,
			}, words[:5]...),
		},
		{
			name: "5 values, unsteady", path: signature, why: "a full ledger is no proof without some steadiness",
			writes: gaps(60, []time.Duration{
				20 * time.Second, 20 * time.Second, 20 * time.Second, 20 * time.Second, 20 * time.Second,
				40 * time.Second, 40 * time.Second, 40 * time.Second, 40 * time.Second, 40 * time.Second,
			}, words[:5]...),
		},
	})
}

// How many of many stories with times of their own are found, and how soon.
func TestScatter(t *testing.T) {
	const stories = 200
	rule := ruleOf(t, "")
	for _, c := range []struct {
		name  string
		why   string
		gap   func(*rand.Rand) float64 // of a mean of 5 s
		least int
		most  int
	}{
		{
			"jittered by a fifth", "a controller's own jitter is about that", func(r *rand.Rand) float64 { return 0.8 + 0.4*r.Float64() },
			stories, stories,
		},
		{
			"jittered by half", "a third of scatter on average", func(r *rand.Rand) float64 { return 0.5 + r.Float64() },
			stories * 7 / 10, stories,
		},
		{"at random", "a flapping readiness probe: 1 on average", (*rand.Rand).ExpFloat64, 0, stories * 2 / 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := 0
			for seed := range uint64(stories) {
				r := rand.New(rand.NewPCG(seed, 1))
				at := make([]time.Duration, 12)
				for i := 1; i < len(at); i++ {
					at[i] = at[i-1] + time.Duration(c.gap(r)*float64(5*time.Second)) + ms
				}
				s := sceneUnder(t, signature, rule)
				for _, w := range paced(at, "app=1", "app=2") {
					if s.watch(w).Found() {
						found++
						break
					}
				}
			}
			if found < c.least || found > c.most {
				t.Errorf("%d of %d found within 12 writes, want %d to %d (%s)", found, stories, c.least, c.most, c.why)
			}
		})
	}
}

func TestSeveralWorkersOfOneController(t *testing.T) {
	// Three workers write in no order and at no pace, but each of them over and over.
	random := []string{
		"app=1", "app=2", "app=1", "app=3", "app=2", "app=3", "app=1", "app=2", "app=3", "app=2", "app=1", "app=3", "app=1", "app=2",
		"app=3", "app=1", "app=3", "app=2",
	}
	// The value 3 is new with the fourth write, so the first ledger full of reversals is that of the writes 5 to 16.
	span := func(last time.Duration) []time.Duration {
		times := make([]time.Duration, 16)
		for i := range times {
			times[i] = time.Duration(i*i*10) * ms
		}
		times[15] = times[4] + last
		return times
	}
	judge(t, []finding{
		{
			name: "a whole ledger in half a minute", path: signature, why: "the time is inclusive",
			writes: paced(span(30*time.Second), random...), found: 16, want: history.OneWriter, count: 12, parties: []string{"app"},
		},
		{
			name: "a moment less", path: signature, why: "within half a minute",
			writes: paced(span(30*time.Second-ms), random...), found: 16, want: history.OneWriter, count: 12,
		},
		{
			name: "a moment more", path: signature, writes: paced(span(30*time.Second+ms), random...),
			why: "facts may change as often as that",
		},
		{
			name: "in the midst of new values", path: signature, writes: turns(60, 100*ms, "app=1", "app=2", "app=#", "app=2"),
			why: "the set is not closed: it reports something",
		},
		{
			name: "switched off", path: signature, writes: turns(18, time.Second, random...), detect: "selfReversals: {count: 0}",
			why: "it is the same signal",
		},
	})
}

func TestOwnersThatFlip(t *testing.T) {
	const h = time.Hour
	flip := []string{"app=1", "app=2"}
	owned := func(all []write) []write { return flagged(history.Owner, all) }
	judge(t, []finding{
		{name: "two reversals", path: signature, writes: owned(turns(4, h, flip...)), why: "it may have changed hands"},
		{
			name: "three reversals", path: signature, writes: owned(turns(5, h, flip...)), found: 5, want: history.OneWriterOwners, count: 3,
			parties: []string{"app"}, why: "at any pace: it works for two owners",
		},
		{
			name: "four reversals", path: signature, writes: owned(turns(6, h, flip...)), found: 5, want: history.OneWriterOwners, count: 3,
			last: 4, why: "every further one counts",
		},
		{
			name: "within the memory", path: signature, writes: owned(paced(at(0, h, 2*h, 3*h, 50*h), flip...)), found: 5,
			want: history.OneWriterOwners, count: 3, why: "inclusive: the first reversal is the third write",
		},
		{
			name: "a moment more", path: signature, writes: owned(paced(at(0, h, 2*h, 3*h, 50*h+ms), flip...)), why: "forgotten",
		},
		{name: "the same without owners", path: signature, writes: turns(5, h, flip...), why: "one writer that returns to a value is nothing"},
		{
			name: "owners that flipped before", path: signature, writes: then(owned(turns(4, h, flip...)), h, turns(20, h, flip...)),
			why: "the newest write has to name another owner too",
		},
		{
			name: "in company two reversals", path: signature, writes: owned(turns(4, h, flip...)), context: Context{Company: true},
			found: 4, want: history.OneWriterOwners, count: 2, why: "one less is enough",
		},
		{name: "switched off", path: signature, writes: owned(turns(20, h, flip...)), detect: "ownerReversals: {count: 0}", why: "off is off"},
		{
			name: "in status", path: "status.owner", writes: owned(turns(5, h, flip...)), found: 5, want: history.OneWriterOwners, count: 3,
			why: "a status that is reported for two owners is one as well",
		},
		{
			name: "a person moves it about", path: signature, writes: owned(turns(20, h, "jane@example.com=1", "jane@example.com=2")),
			why: "a person at work",
		},
		{
			name: "a machine undoes a person", path: signature, writes: owned(turns(20, h, "jane@example.com=1", "app=0")),
			why: "it is not one writer, and takes the patience that people need",
		},
		{
			name: "two machines", path: signature, writes: owned(turns(5, h, "one=1", "two=0")), found: 5, want: history.SlowTwoWriters, count: 4,
			why: "nor is this one writer: it takes four",
		},
		{
			name: "a look-alike of one writer", path: signature, writes: owned(turns(20, h, flip...)), context: Context{OneWriterSilent: true},
			why: "that is what it is for",
		},
	})
}

func TestOwnersThatStoppedFlipping(t *testing.T) {
	s := newScene(t, signature, "")
	for _, w := range flagged(history.Owner, turns(5, time.Hour, "app=1", "app=2")) {
		s.watch(w)
	}
	if !s.detected.Found() {
		t.Fatal("not found while they flip")
	}
	if got := s.watch(paced(at(5*time.Hour), "app=2")[0]); got.Found() {
		t.Errorf("found %v in a write that names no other owner", got.Signal)
	}
}
