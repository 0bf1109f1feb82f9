package history

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func key(name string) Key {
	return Key{Group: "apps", Resource: "deployments", Namespace: "default", Name: name}
}

// touch writes something to an object, so that it is remembered.
func touch(s *Store, k Key) {
	s.Update(k, func(o *Object) { o.Settle(t0, []byte(replicas), Stored{Value: 10}) })
}

func known(s *Store, k Key) bool {
	found := false
	s.View(k, func(o *Object) { found = len(o.Fields()) > 0 })
	return found
}

func TestTheLeastRecentlyWrittenObjectIsForgotten(t *testing.T) {
	b := DefaultBounds
	b.Objects = 3
	s := New(b)
	for _, n := range []string{"a", "b", "c"} {
		touch(s, key(n))
	}
	touch(s, key("a"))
	touch(s, key("d"))
	got := map[string]bool{}
	for _, n := range []string{"a", "b", "c", "d"} {
		got[n] = known(s, key(n))
	}
	if diff := cmp.Diff(map[string]bool{"a": true, "b": false, "c": true, "d": true}, got); diff != "" {
		t.Errorf("remembered (-want +got):\n%s", diff)
	}
	if s.Len() != 3 || s.Evictions() != 1 {
		t.Errorf("%d objects after %d evictions, want 3 after 1", s.Len(), s.Evictions())
	}
	touch(s, key("b"))
	if known(s, key("c")) || !known(s, key("b")) {
		t.Error("an object that was forgotten is new, and the oldest makes room for it")
	}
}

func TestEveryPartOfAKeyCounts(t *testing.T) {
	s := New(DefaultBounds)
	k := Key{"a", "b", "c", "d"}
	touch(s, k)
	others := []Key{{"x", "b", "c", "d"}, {"a", "x", "c", "d"}, {"a", "b", "x", "d"}, {"a", "b", "c", "x"},
		{"ab", "", "c", "d"}, {"a", "bc", "", "d"}, {"a", "b", "cd", ""}, {"a", "b", "", "cd"}, {}}
	for _, other := range others {
		if known(s, other) {
			t.Errorf("%v is taken for %v", other, k)
		}
		touch(s, other)
	}
	for _, k := range append(others, Key{"a", "b", "c", "d"}) {
		if !known(s, k) {
			t.Errorf("%v is not known", k)
		}
	}
}

func TestAnObjectIsNotTakenForAnotherOneAtItsPlace(t *testing.T) {
	s := New(DefaultBounds)
	k := key("a")
	touch(s, k)
	s.Update(k, func(o *Object) { o.check++ }) // as if another key had the same index
	if known(s, k) {
		t.Fatal("the history of another object is shown")
	}
	s.Update(k, func(o *Object) {
		if len(o.Fields()) != 0 {
			t.Error("the history of another object is gone on with")
		}
		o.Settle(t0, []byte(signature), Stored{Value: 10})
	})
	if !known(s, k) || s.Len() != 1 || s.Evictions() != 0 {
		t.Errorf("%d objects after %d evictions, want the new one in the place of the old one", s.Len(), s.Evictions())
	}
}

func TestAnObjectOfWhichNothingIsLearntIsNotKept(t *testing.T) {
	s := New(DefaultBounds)
	s.Update(key("a"), func(o *Object) { o.Begin(Request{Now: t0, ID: "r", UID: "u", Version: 1}) })
	if s.Len() != 0 {
		t.Errorf("%d objects, want none", s.Len())
	}
	s.Update(key("a"), func(o *Object) { o.Noop(t0, writer("a")) })
	if s.Len() != 1 {
		t.Errorf("%d objects, want the one whose write changed nothing", s.Len())
	}
}

func TestAViewLeavesNoTrace(t *testing.T) {
	b := DefaultBounds
	b.Objects = 2
	s := New(b)
	touch(s, key("a"))
	touch(s, key("b"))
	s.Update(key("a"), func(o *Object) {
		o.Fields()[0].Fight = &Fight{Phase: Open, Last: t0, Bucket: bucketWith(1, 3, 2000, t0)}
	})
	touch(s, key("b"))
	before := encoded(t, s, key("a"))

	s.View(key("a"), func(o *Object) {
		o.Begin(Request{Now: t0.Add(time.Hour), ID: "r", UID: "another", Version: 7})
		f := o.Settle(t0.Add(time.Hour), []byte(replicas), Stored{Value: 11})
		o.Propose(t0.Add(time.Hour), f, 12, writer("a"), 0)
		o.Settle(t0.Add(time.Hour), []byte(signature), Stored{Value: 11})
		o.Noop(t0.Add(time.Hour), writer("a"))
	})
	s.View(key("a"), func(o *Object) {
		f := o.Field([]byte(replicas))
		f.Fight.Count++
		f.Fight.Bucket.AllowN(t0, 2)
		f.states[0].Value = 99
		f.End(t0.Add(time.Hour))
	})
	s.View(key("c"), func(o *Object) { o.Settle(t0, []byte(replicas), Stored{Value: 10}) })

	if diff := cmp.Diff(before, encoded(t, s, key("a"))); diff != "" {
		t.Errorf("the object has changed (-before +after):\n%s", diff)
	}
	if known(s, key("c")) || s.Len() != 2 {
		t.Error("an object that was looked at only is remembered")
	}
	touch(s, key("d"))
	if known(s, key("a")) || !known(s, key("b")) {
		t.Error("being looked at has made an object recent")
	}
}

func encoded(t *testing.T, s *Store, k Key) []byte {
	t.Helper()
	var b []byte
	s.View(k, func(o *Object) {
		var err error
		if b, err = o.AppendBinary(nil); err != nil {
			t.Fatal(err)
		}
	})
	return b
}

func TestFewerObjectsForgetTheOldest(t *testing.T) {
	b := DefaultBounds
	b.Objects = 10
	s := New(b)
	for i := range 10 {
		touch(s, key(fmt.Sprint(i)))
	}
	b.Objects = 4
	s.SetBounds(b)
	for i := range 10 {
		if got, want := known(s, key(fmt.Sprint(i))), i >= 6; got != want {
			t.Errorf("object %d is remembered: %v, want %v", i, got, want)
		}
	}
	if s.Len() != 4 || s.Evictions() != 6 {
		t.Errorf("%d objects after %d evictions, want 4 after 6", s.Len(), s.Evictions())
	}
	b.Objects = 5
	s.SetBounds(b)
	touch(s, key("more"))
	if s.Len() != 5 {
		t.Errorf("%d objects, want 5", s.Len())
	}
}

func TestABigStoreIsShardedAndStillBounded(t *testing.T) {
	for _, c := range []struct{ objects, shards int }{
		{1, 1}, {4095, 1}, {4096, 2}, {8191, 2}, {8192, 4}, {200_000, 64}, {10_000_000, 64},
	} {
		b := DefaultBounds
		b.Objects = c.objects
		s := New(b)
		if got := len(s.shards); got != c.shards {
			t.Errorf("%d shards for %d objects, want %d", got, c.objects, c.shards)
		}
		if c.objects > 20_000 {
			continue
		}
		for i := range 2 * c.objects {
			touch(s, key(fmt.Sprint(i)))
		}
		if n := s.Len(); n > c.objects+c.shards || n < c.objects*9/10 {
			t.Errorf("%d objects, want about %d", n, c.objects)
		}
		if got, want := s.Evictions(), uint64(2*c.objects-s.Len()); got != want {
			t.Errorf("%d evictions, want %d", got, want)
		}
	}
}

func TestAStoreOfNoObjectsIsACallersBug(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	New(Bounds{})
}

func TestAPanicUnlocksTheObject(t *testing.T) {
	s := New(DefaultBounds)
	func() {
		defer func() { recover() }()
		s.Update(key("a"), func(*Object) { panic("a bug") })
	}()
	touch(s, key("a"))
	if !known(s, key("a")) {
		t.Error("the object is not known")
	}
}

// Each write adds one to a number that the ledger's newest state holds: if two updates of one object ever ran at once,
// some would be lost.
func TestUpdatesAreAtomic(t *testing.T) {
	const writers, each, objects = 8, 400, 5
	b := DefaultBounds
	b.Objects = 4096
	s := New(b)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			by := writer(fmt.Sprint("w", w))
			for i := range each {
				for _, k := range []Key{key("shared"), key(fmt.Sprint("of-", w%objects))} {
					s.Update(k, func(o *Object) {
						o.Begin(Request{Now: t0, ID: fmt.Sprint(k.Name, w, i), UID: "u", Version: 1})
						f := o.Field([]byte(replicas))
						if f == nil {
							f = o.Settle(t0, []byte(replicas), Stored{Value: 100})
						}
						last, _ := f.Last()
						o.Propose(t0.Add(time.Duration(i)*time.Millisecond), f, last.Value+1, by, 0)
						o.Noop(t0, hidden)
					})
					s.View(k, func(o *Object) { o.Propose(t0, &o.Fields()[0], 5, by, 0) })
				}
				if i%100 == 0 {
					s.SetBounds(b)
					_ = s.Len()
				}
			}
		})
	}
	wg.Wait()
	total, idle := uint64(0), uint32(0)
	for _, k := range []string{"shared", "of-0", "of-1", "of-2", "of-3", "of-4"} {
		s.View(key(k), func(o *Object) {
			last, _ := o.Fields()[0].Last()
			total += uint64(last.Value - 100)
			idle += o.Idle.Count
		})
	}
	if want := uint64(2 * writers * each); total != want || uint64(idle) != want {
		t.Errorf("%d writes and %d that changed nothing, want %d of both", total, idle, want)
	}
}

func TestNothingOfARequestsBodyIsKept(t *testing.T) {
	s := New(DefaultBounds)
	body := []byte("apps/deployments/default/web: spec.replicas by hpa") // reused for the next request
	path := body[30:43]
	if string(path) != replicas {
		t.Fatal(string(path))
	}
	s.Update(key("web"), func(o *Object) { o.Settle(t0, path, Stored{Value: 10}) })
	binary.BigEndian.PutUint64(path, 0)
	s.View(key("web"), func(o *Object) {
		if o.Field([]byte(replicas)) == nil {
			t.Errorf("fields %q", paths(o))
		}
	})
}

func TestStatsCountWhatIsRemembered(t *testing.T) {
	s := New(Bounds{Objects: 2, Fields: 3, States: 4, Writers: 2, Memory: time.Hour, RunGap: time.Second})
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	write := func(name string, now time.Time, path string, values ...Value) {
		s.Update(Key{Name: name}, func(o *Object) {
			o.Settle(now, []byte(path), Stored{Value: 7})
			for _, v := range values {
				o.Propose(now, o.Field([]byte(path)), v, Writer{User: "u"}, 0)
			}
		})
	}
	want := func(objects, fields, states int, evictions uint64, forgotten time.Time) {
		t.Helper()
		got := s.Stats()
		if got.Objects != objects || got.Fields != fields || got.States != states || got.Evictions != evictions ||
			!got.Forgotten.Equal(forgotten) || (got.Bytes > 0) != (objects > 0) {
			t.Errorf("%+v", got)
		}
	}
	want(0, 0, 0, 0, time.Time{})
	write("a", at, "x", 2)
	want(1, 1, 2, 0, time.Time{})
	write("a", at, "y")
	write("b", at.Add(time.Minute), "x", 2, 3, 4, 5) // one state falls out of its bound
	want(2, 3, 7, 0, time.Time{})
	write("c", at, "x", 2)
	want(2, 2, 6, 1, at)
	b := Bounds{Objects: 1, Fields: 3, States: 4, Writers: 2, Memory: time.Hour, RunGap: time.Second}
	s.SetBounds(b)
	want(1, 1, 2, 2, at.Add(time.Minute))
	s.Update(Key{Name: "c"}, func(o *Object) { o.Field([]byte("x")).Restart() })
	want(1, 1, 0, 2, at.Add(time.Minute))
	s.Update(Key{Name: "empty"}, func(*Object) {})
	want(1, 1, 0, 2, at.Add(time.Minute))
}
