package policy

import (
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/history"
)

func TestChurningStatus(t *testing.T) {
	const s, m = time.Second, time.Minute
	const phase = "status.phase"
	flip := []string{"app=1", "app=2"}
	judge(t, []finding{
		{
			name: "slow, a little less than a minute", path: phase, writes: turns(20, 3*s, flip...), why: "19 gaps of 3 s are 57 s: it may be starting",
		},
		{
			name: "slow, a minute", path: phase, writes: turns(21, 3*s, flip...), found: 21, want: history.ChurnLoop, count: 21,
			parties: []string{"app"}, why: "sustained, inclusive; and nobody is undone",
		},
		{
			name: "slow, 19 writes", path: phase, writes: turns(19, 5*s, flip...), why: "the count is not reached",
		},
		{
			name: "slow, 20 writes", path: phase, writes: turns(20, 5*s, flip...), found: 20, want: history.ChurnLoop, count: 20, why: "inclusive",
		},
		{
			name: "slow, 21 writes", path: phase, writes: turns(21, 5*s, flip...), found: 20, want: history.ChurnLoop, count: 20, last: 21,
			why: "every further one counts",
		},
		{
			name: "as slow as a loop may be", path: phase, writes: turns(20, 10*s, flip...), found: 20, want: history.ChurnLoop, count: 20,
			why: "the gap is inclusive",
		},
		{name: "slower", path: phase, writes: turns(60, 10*s+ms, flip...), why: "a report now and then"},
		{
			name: "hot, a moment less than a quarter of a minute", path: phase, writes: turns(30, 517*ms, flip...),
			why: "29 gaps of 517 ms are 14.993 s",
		},
		{
			name: "hot, a quarter of a minute", path: phase, writes: turns(31, 500*ms, flip...), found: 31, want: history.OneWriter, count: 31,
			parties: []string{"app"}, why: "it can only be answering itself",
		},
		{
			name: "hot, longer", path: phase, writes: turns(40, 500*ms, flip...), found: 31, want: history.OneWriter, count: 31, last: 40,
			why: "every further one counts",
		},
		{
			name: "just hot", path: phase, writes: turns(20, 999*ms, flip...), found: 20, want: history.OneWriter, count: 20,
			why: "faster than once per second",
		},
		{
			name: "just not hot", path: phase, writes: turns(61, s, flip...), found: 61, want: history.ChurnLoop, count: 61,
			why: "once per second is a loop at most, and sustained after a minute",
		},
		{
			name: "hot, and known to be one process", path: phase, writes: turns(121, 500*ms, "app/app/pod=1", "app/app/pod=2"),
			found: 121, want: history.ChurnLoop, count: 121, why: "two controllers under one name cannot be one pod",
		},
		{
			name: "unsteady", path: phase, writes: gaps(60, []time.Duration{s, 9 * s, 2 * s, s}, flip...), why: "facts change like that",
		},
		{
			name: "a value in between", path: phase, writes: turns(121, s, "app=1", "app=2", "app=1", "app=2", "app=1", "app=2", "app=1", "app=2", "app=1", "app=2", "app=#"),
			why: "not all that is remembered is the cycle",
		},
		{name: "loops switched off", path: phase, writes: turns(200, 500*ms, flip...), detect: "loops: {count: 0}", why: "off is off"},
		{
			name: "self-reversals switched off", path: phase, writes: turns(200, 500*ms, flip...), detect: "selfReversals: {count: 0}",
			why: "alternating is that",
		},
	})
}

func TestMinting(t *testing.T) {
	const s = time.Second
	const note = "metadata.annotations[example.com/note]"
	mint := []string{"app=#"}
	back := turns(40, 4*s, mint...)
	back[10].to = back[5].to
	unlike := flagged(history.Clock, turns(40, 4*s, mint...))
	unlike[3].flags = 0
	judge(t, []finding{
		{name: "19 values in spec", path: "spec.hash", writes: turns(19, 4*s, mint...), why: "the count is not reached"},
		{
			name: "20 values in spec", path: "spec.hash", writes: turns(20, 4*s, mint...), found: 20, want: history.MintingLoop, count: 20,
			parties: []string{"app"}, why: "a desired state that never settles",
		},
		{
			name: "21 values in spec", path: "spec.hash", writes: turns(21, 4*s, mint...), found: 20, want: history.MintingLoop, count: 20, last: 21,
			why: "every further one counts",
		},
		{name: "a moment less than a minute", path: "spec.hash", writes: turns(20, 3157*ms, mint...), why: "19 gaps of 3157 ms are 59.983 s"},
		{
			name: "a minute", path: "spec.hash", writes: turns(21, 3*s, mint...), found: 21, want: history.MintingLoop, count: 21, why: "inclusive",
		},
		{
			name: "a moment more", path: "spec.hash", writes: turns(20, 3158*ms, mint...), found: 20, want: history.MintingLoop, count: 20,
			why: "19 gaps of 3158 ms are 60.002 s",
		},
		{name: "a burst", path: "spec.hash", writes: turns(100, 600*ms, mint...), why: "an object's initialisation, however fast: 59.4 s"},
		{
			name: "as slow as a loop may be", path: "spec.hash", writes: turns(20, 10*s, mint...), found: 20, want: history.MintingLoop, count: 20,
			why: "the gap is inclusive",
		},
		{name: "slower", path: "spec.hash", writes: turns(60, 10*s+ms, mint...), why: "each is a row of its own"},
		{
			name: "as slow as this rule's loops may be", path: "spec.hash", detect: "loops: {count: 20, within: 5s}", writes: turns(20, 5*s, mint...),
			found: 20, want: history.MintingLoop, count: 20, why: "inclusive",
		},
		{
			name: "slower than this rule's loops", path: "spec.hash", detect: "loops: {count: 20, within: 5s}", writes: turns(60, 5*s+ms, mint...),
			why: "another rule may allow longer gaps, so that the run goes on",
		},
		{name: "one value comes back", path: "spec.hash", writes: back, why: "not every value is new: somebody looks at something"},
		{name: "switched off", path: "spec.hash", writes: turns(60, 4*s, mint...), detect: "loops: {count: 0}", why: "off is off"},
		{
			name: "points in time in spec", path: "spec.hash", writes: flagged(history.Clock, turns(20, 4*s, mint...)), found: 20,
			want: history.MintingLoop, count: 20, why: "a desired state has no heartbeat",
		},
		{
			name: "fast in metadata", path: note, writes: turns(20, 4*s, mint...), found: 20, want: history.MintingLoop, count: 20,
			why: "four seconds, inclusive: bookkeeping that runs away",
		},
		{name: "a moment slower in metadata", path: note, writes: turns(60, 4*s+ms, mint...), why: "a controller's notes"},
		{
			name: "slower, but growing", path: note, writes: flagged(history.Growing, turns(20, 10*s, mint...)), found: 20,
			want: history.MintingLoop, count: 20, why: "what grows with every write never ends",
		},
		{
			name: "points in time in metadata", path: note, writes: flagged(history.Clock, turns(60, 4*s, mint...)), why: "a heartbeat",
		},
		{
			name: "not only points in time in metadata", path: note, writes: unlike, found: 20, want: history.MintingLoop, count: 20,
			why: "one of them was something else",
		},
		{
			name: "a condition that says that it changed, and did not", path: "status.conditions[type=Ready].lastTransitionTime",
			writes: flagged(history.Clock|history.Retimed, turns(20, 4*s, mint...)), found: 20, want: history.MintingLoop, count: 20,
			why: "that is no heartbeat",
		},
		{
			name: "a condition that changed once among that", path: "status.conditions[type=Ready].lastTransitionTime",
			writes: append(flagged(history.Clock|history.Retimed, turns(19, 4*s, mint...)), flagged(history.Clock, then(turns(1, 0, "app=0"), 75*s, turns(1, 0, "app=x")))[1:]...),
			why:    "it had a reason",
		},
		{name: "in status", path: "status.count", writes: turns(200, s, mint...), why: "reporting is a status's job"},
		{
			name: "collisions in status", path: "status.collisionCount", writes: turns(20, 4*s, mint...), found: 20, want: history.MintingLoop,
			count: 20, why: "hardly ever happens unless somebody changes what a controller creates",
		},
		{
			name: "collisions that are points in time", path: "status.collisionCount", writes: flagged(history.Clock, turns(60, 4*s, mint...)),
			why: "would be something else",
		},
		{name: "a person", path: "spec.hash", writes: turns(60, 4*s, "jane@example.com=#"), why: "works"},
		{
			name: "a look-alike of one writer", path: "spec.hash", writes: turns(60, 4*s, mint...), context: Context{OneWriterSilent: true},
			why: "that is what it is for",
		},
		{
			name: "by turns", path: "spec.hash", writes: turns(60, 4*s, "one=#", "one=#", "two=#"), why: "each row is two writes long",
		},
		{
			name: "with one who is not known", path: "spec.hash", writes: turns(20, 4*s, "app=#", "=#"), found: 20, want: history.MintingLoop, count: 20,
			why: "who may be the same",
		},
	})
}

func TestReordering(t *testing.T) {
	const s = time.Second
	mint := []string{"app=#"}
	one := flagged(history.OrderOnly, turns(20, 4*s, mint...))
	one[7].flags = 0
	judge(t, []finding{
		{
			name: "a list in new orders", path: "spec.hosts[*]", writes: flagged(history.OrderOnly, turns(20, 4*s, mint...)),
			found: 20, want: history.ChurnLoop, count: 20, why: "nobody is undone",
		},
		{
			name: "19 of them", path: "spec.hosts[*]", writes: flagged(history.OrderOnly, turns(19, 4*s, mint...)), why: "the count is not reached",
		},
		{
			name: "a list in status", path: "status.parents[*]", writes: flagged(history.OrderOnly, turns(20, 4*s, mint...)),
			found: 20, want: history.ChurnLoop, count: 20, why: "reporting needs no new order",
		},
		{
			name: "a quantity in another notation", path: "spec.cpu", writes: flagged(history.QuantityOnly, turns(20, 4*s, mint...)),
			found: 20, want: history.ChurnLoop, count: 20, why: "the same",
		},
		{
			name: "a list that changes once", path: "spec.hosts[*]", writes: one, found: 20, want: history.MintingLoop, count: 20,
			why: "not only the order changes",
		},
		{
			name: "a list between two orders", path: "spec.hosts[*]", writes: flagged(history.OrderOnly, turns(8, 4*s, "app=1", "app=2")),
			found: 8, want: history.OneWriter, count: 6, why: "is a fight with itself like any other",
		},
		{
			name: "two writers' orders", path: "spec.hosts[*]", writes: flagged(history.OrderOnly, turns(4, 4*s, "one=1", "two=0")),
			found: 4, want: history.TwoWriters, count: 3, why: "and so is one of two",
		},
	})
}

func TestWritesThatChangeNothing(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name, why string
		loops     string
		n         int
		gap       time.Duration
		by        []string
		found     int
	}{
		{name: "19", n: 19, gap: 4 * s, by: []string{"app"}, why: "the count is not reached"},
		{name: "20", n: 20, gap: 4 * s, by: []string{"app"}, found: 20, why: "inclusive"},
		{name: "21", n: 21, gap: 4 * s, by: []string{"app"}, found: 20, why: "and it goes on"},
		{name: "a moment less than a minute", n: 20, gap: 3157 * ms, by: []string{"app"}, why: "59.983 s"},
		{name: "a minute", n: 21, gap: 3 * s, by: []string{"app"}, found: 21, why: "inclusive"},
		{name: "as slow as a loop may be", n: 20, gap: 10 * s, by: []string{"app"}, found: 20, why: "inclusive"},
		{name: "slower", n: 60, gap: 10*s + ms, by: []string{"app"}, why: "a resync is none"},
		{name: "slower than this rule's", loops: "{within: 5s}", n: 60, gap: 5*s + ms, by: []string{"app"}, why: "each rule has its own"},
		{name: "two by turns", n: 60, gap: s, by: []string{"one", "two"}, why: "each breaks the other's row"},
		{name: "with one who is not known", n: 20, gap: 4 * s, by: []string{"app", ""}, found: 20, why: "who may be the same"},
		{name: "switched off", loops: "{count: 0}", n: 60, gap: 4 * s, by: []string{"app"}, why: "off is off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.loops == "" {
				c.loops = "{}"
			}
			rule := ruleOf(t, "detect: {loops: "+c.loops+"}")
			store, found := history.New(history.DefaultBounds), 0
			for i := range c.n {
				store.Update(sceneKey, func(o *history.Object) {
					o.Noop(t0.Add(time.Duration(i)*c.gap), writerOf(c.by[i%len(c.by)]))
					got := rule.Idle(o.Idle)
					if !got.Found() {
						return
					}
					if found == 0 {
						found = i + 1
					}
					if got.Signal != history.IneffectiveLoop || got.Count != i+1 {
						t.Errorf("write %d: found %v of %d", i+1, got.Signal, got.Count)
					}
				})
			}
			if found != c.found {
				t.Errorf("found with write %d, want %d (%s)", found, c.found, c.why)
			}
		})
	}
}
