package history

import (
	"fmt"
	"testing"
	"time"
)

// "A ledger update: no allocation once the field is known."
func TestAnUpdateOfAKnownFieldAllocatesNothing(t *testing.T) {
	s := storeOf(1000)
	l := newLap(newFleet(), 4)
	l.fill(s, 1000, DefaultBounds.States+1)
	for name, update := range map[string]func(){
		"the value settled and another proposed": func() {
			s.Update(l.fleet.key(l.object), l.fn)
			l.step++
		},
		"and the proposal taken back": func() {
			s.Update(l.fleet.key(l.object), func(o *Object) {
				f := o.Settle(l.now, l.fleet.paths[l.object%100], Stored{Value: 77})
				o.Retract(o.Propose(l.now, f, 78, l.fleet.writers[0], 0))
			})
		},
		"a write that changes nothing": func() {
			s.Update(l.fleet.key(l.object), func(o *Object) { o.Noop(l.now, l.fleet.writers[0]) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			update() // may still meet a writer for the first time
			if n := testing.AllocsPerRun(1000, func() {
				l.now = l.now.Add(time.Millisecond)
				update()
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// What passes by is forgotten, the names of fields and writers included, though they are held in one place for all.
func TestMemoryIsBoundedHoweverManyObjectsPassBy(t *testing.T) {
	const objects, capacity, limit = 2_000_000, 10_000, 1024
	passing := objects
	if testing.Short() || raceEnabled {
		passing /= 10
	}
	b := DefaultBounds
	b.Objects = capacity
	s := New(b)
	names := newFleet()
	var name, path []byte
	var by Writer
	pass := func(o *Object) {
		o.Begin(Request{Now: t0, UID: by.User, Version: 1})
		f := o.Settle(t0, path, Stored{Value: 10})
		o.Propose(t0, f, 11, by, 0)
	}
	before := heap()
	for i := range passing {
		name = fmt.Appendf(name[:0], "payments-api-worker-%09d", i)
		path, by = names.paths[i%len(names.paths)], names.writers[i%len(names.writers)]
		if i%10 == 0 { // a field and a writer that no other object has
			path = fmt.Appendf(nil, "metadata.ownerReferences[uid=%09d]", i)
			by.Pod = string(name)
		}
		s.Update(Key{Resource: "serviceaccounts", Namespace: "team-001", Name: string(name)}, pass)
	}
	grown := heap() - before
	if n := s.Len(); n > capacity+len(s.shards) || n < capacity*9/10 {
		t.Errorf("%d objects remembered, want about %d", n, capacity)
	}
	if got, want := s.Evictions(), uint64(passing-s.Len()); got != want {
		t.Errorf("%d objects forgotten, want %d", got, want)
	}
	if grown > capacity*limit {
		t.Errorf("%d bytes of heap after %d objects have passed, want at most %d for each of %d",
			grown, passing, limit, capacity)
	}
}
