package history

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func bounded(change func(*Bounds)) *Object {
	b := DefaultBounds
	change(&b)
	return &Object{bounds: &b}
}

func paths(o *Object) []string {
	var all []string
	for _, f := range o.Fields() {
		all = append(all, f.Path())
	}
	return all
}

// change makes a field change by one proposal and returns its ledger.
func change(o *Object, at time.Duration, path string, v Value, by string) *Field {
	f := o.Settle(t0.Add(at), []byte(path), Stored{Value: 2})
	o.Propose(t0.Add(at), f, v, writer(by), 0)
	return f
}

func TestTheFieldThatChangedTheLongestAgoMakesRoom(t *testing.T) {
	for _, c := range []struct {
		name   string
		fights []string
		want   []string
	}{
		{"of fields without fights, the oldest", nil, []string{"c", "a", "new"}},
		{"a field that is fought over stays", []string{"b"}, []string{"b", "a", "new"}},
		{"two of them stay", []string{"b", "c"}, []string{"b", "c", "new"}},
		{"if all are fought over, the oldest goes", []string{"a", "b", "c"}, []string{"c", "a", "new"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := bounded(func(b *Bounds) { b.Fields = 3 })
			change(o, 1*time.Second, "b", 11, "x")
			change(o, 2*time.Second, "c", 11, "x")
			change(o, 3*time.Second, "a", 11, "x")
			for _, path := range c.fights {
				o.Field([]byte(path)).Fight = &Fight{Phase: Open}
			}
			change(o, 4*time.Second, "new", 11, "x")
			if diff := cmp.Diff(c.want, paths(o)); diff != "" {
				t.Errorf("fields left (-want +got):\n%s", diff)
			}
			if got := ledger(o, o.Field([]byte("new"))); got == "" {
				t.Error("the new field has no ledger")
			}
		})
	}
	t.Run("a write of more fields than are remembered leaves the ones before it alone but for one", func(t *testing.T) {
		o := bounded(func(b *Bounds) { b.Fields = 4 })
		for i := range 4 {
			change(o, time.Duration(i)*time.Second, fmt.Sprint("old", i), 11, "x")
		}
		for i := range 100 {
			o.Settle(t0.Add(time.Minute), fmt.Append(nil, "many", i), Stored{Value: 2})
		}
		if diff := cmp.Diff([]string{"old1", "old2", "old3", "many99"}, paths(o)); diff != "" {
			t.Errorf("fields left (-want +got):\n%s", diff)
		}
	})
}

func TestTheOldestStateMakesRoomAndComesBack(t *testing.T) {
	o := bounded(func(b *Bounds) { b.States = 4 })
	f := o.Settle(t0, []byte(replicas), Stored{Value: value("0")})
	for i := range 3 {
		o.Propose(t0.Add(time.Duration(i)*time.Second), f, value(fmt.Sprint(i+1)), writer("a"), 0)
	}
	full := slices.Clone(f.States())
	a := o.Propose(t0.Add(time.Minute), f, value("4"), writer("a"), 0)
	want := append(slices.Clone(full[1:]), f.States()[3])
	if diff := cmp.Diff(want, f.States(), cmp.AllowUnexported(State{})); diff != "" {
		t.Errorf("with a fifth state (-want +got):\n%s", diff)
	}
	if len(f.States()) != 4 {
		t.Errorf("%d states, want 4", len(f.States()))
	}
	o.Retract(a)
	if diff := cmp.Diff(full, f.States(), cmp.AllowUnexported(State{})); diff != "" {
		t.Errorf("after the retraction (-want +got):\n%s", diff)
	}
	a = o.Propose(t0.Add(time.Minute), f, value("0"), writer("b"), 0)
	if last, _ := f.Last(); !last.Is(Reversal) {
		t.Error("a return to the state that makes room is a reversal")
	}
	o.Retract(a)
	if diff := cmp.Diff(full, f.States(), cmp.AllowUnexported(State{})); diff != "" {
		t.Errorf("after the second retraction (-want +got):\n%s", diff)
	}
	for bound := 4; bound <= 20; bound++ {
		o := bounded(func(b *Bounds) { b.States = bound })
		f := o.Settle(t0, []byte(replicas), Stored{Value: 10})
		for i := range 40 {
			o.Propose(t0, f, Value(11+i), writer("a"), 0)
		}
		if n, c := len(f.states), cap(f.states); n != bound || c != bound {
			t.Errorf("%d states and room for %d, want the bound, %d", n, c, bound)
		}
	}
}

func TestProposalsOfOneRequestAreTakenBackTogether(t *testing.T) {
	o := bounded(func(b *Bounds) { b.States = 4 })
	var before []string
	for i := range 5 {
		f := change(o, 0, fmt.Sprint("f", i), Value(10+i), "a")
		for j := range i {
			o.Propose(t0, f, Value(20+j), writer("b"), 0)
		}
	}
	for i := range o.Fields() {
		before = append(before, ledger(o, &o.Fields()[i]))
	}
	var attempts []Attempt
	for i := range o.Fields() {
		attempts = append(attempts, o.Propose(t0.Add(time.Second), &o.Fields()[i], 99, writer("c"), 0))
	}
	for _, a := range slices.Backward(attempts) {
		o.Retract(a)
	}
	for i := range o.Fields() {
		if got := ledger(o, &o.Fields()[i]); got != before[i] {
			t.Errorf("field %d: %s, want %s", i, got, before[i])
		}
	}
}

func TestWritersBeyondTheBoundAreNotToldApart(t *testing.T) {
	o := bounded(func(b *Bounds) { b.Writers, b.States = 3, 8 })
	f := o.Settle(t0, []byte(replicas), Stored{Value: 10})
	for i, by := range []string{"a", "b", "c", "d"} {
		o.Propose(t0, f, Value(11+i), writer(by), 0)
	}
	last, _ := f.Last()
	if o.WriterOf(last).Known() || last.Is(Cross) {
		t.Errorf("the fourth of three writers is %v", o.WriterOf(last))
	}
	o.Propose(t0, f, 20, writer("b"), 0)
	if last, _ = f.Last(); o.WriterOf(last) != writer("b") {
		t.Errorf("a writer who is known already is %v", o.WriterOf(last))
	}
	if last.Is(Cross) {
		t.Error("b certainly differs from the writer who was not told apart")
	}
}

func TestAWriterWhoIsReferredToNoLongerMakesRoom(t *testing.T) {
	o := bounded(func(b *Bounds) { b.Writers, b.States = 2, 4 })
	f := o.Settle(t0, []byte(replicas), Stored{Value: 10})
	for i, by := range []string{"gone", "a", "a", "a"} {
		o.Propose(t0, f, Value(11+i), writer(by), 0)
	}
	o.Propose(t0, f, 15, writer("a"), 0)
	o.Propose(t0, f, 16, writer("new"), 0)
	want := `@a @a @a @new`
	got := ""
	for i, s := range f.States() {
		if i > 0 {
			got += " "
		}
		got += "@" + o.WriterOf(s).Manager
	}
	if got != want {
		t.Errorf("written by %s, want %s", got, want)
	}
}

func TestWhoIsStillReferredToStays(t *testing.T) {
	for _, c := range []struct {
		name string
		by   func(o *Object)
	}{
		{"by a fight as a party", func(o *Object) {
			f := &o.Fields()[0]
			f.Fight = &Fight{Phase: Open}
			o.AddParty(f.Fight, writer("kept"))
		}},
		{"by a fight's probe", func(o *Object) {
			f := &o.Fields()[0]
			f.Fight = &Fight{Phase: Probing}
			o.SetProbe(f.Fight, 11, writer("kept"))
		}},
		{"by writes that changed nothing", func(o *Object) { o.Noop(t0, writer("kept")) }},
		{"by a run", func(o *Object) { o.Fields()[0].Run = Run{Count: 9, writer: o.Writer(writer("kept"))} }},
		{"by a write that may have been lost", func(o *Object) {
			o.Propose(t0, &o.Fields()[0], 12, writer("kept"), 0)
			o.Settle(t0, []byte(replicas), Stored{Value: 10})
		}},
		{"by a state", func(o *Object) { o.Propose(t0, &o.Fields()[0], 12, writer("kept"), 0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := bounded(func(b *Bounds) { b.Writers = 2 })
			o.Settle(t0, []byte(replicas), Stored{Value: 10})
			o.Settle(t0, []byte(signature), Stored{Value: 10})
			c.by(o)
			o.Writer(writer("second"))
			second := o.Writer(writer("third")) // in the place of the second, to whom nothing refers
			if o.writer(second) != writer("third") || o.Writer(writer("kept")) == second {
				t.Errorf("writers %v and %v", o.writer(0), o.writer(1))
			}
			o.Propose(t0, &o.Fields()[1], 13, writer("third"), 0)
			if i := o.Writer(writer("fourth")); i != unknownWriter {
				t.Errorf("a third writer has index %d though both others are referred to", i)
			}
		})
	}
	t.Run("an empty run refers to nobody", func(t *testing.T) {
		o := bounded(func(b *Bounds) { b.Writers = 2 })
		o.Settle(t0, []byte(replicas), Stored{Value: 10})
		o.Fields()[0].Run = Run{}
		o.Writer(writer("a"))
		o.Writer(writer("b"))
		if i := o.Writer(writer("c")); i != 0 {
			t.Errorf("index %d, want that of the first, to whom nothing refers", i)
		}
	})
}

func TestALedgerShrinksToNewBounds(t *testing.T) {
	s := New(DefaultBounds)
	k := Key{Resource: "configmaps", Name: "a"}
	s.Update(k, func(o *Object) {
		o.Begin(Request{Now: t0, UID: "u", Version: 1})
		for i := range 10 {
			f := change(o, time.Duration(i)*time.Second, fmt.Sprint("f", i), 10, "a")
			for j := range 10 {
				o.Propose(t0.Add(time.Duration(i)*time.Second), f, Value(11+j), writer("a"), 0)
			}
		}
	})
	b := DefaultBounds
	b.Fields, b.States = 3, 4
	s.SetBounds(b)
	s.Update(k, func(o *Object) {
		o.Begin(Request{Now: t0.Add(time.Minute), UID: "u", Version: 2})
		if diff := cmp.Diff([]string{"f7", "f8", "f9"}, paths(o)); diff != "" {
			t.Errorf("fields left (-want +got):\n%s", diff)
		}
		f := o.Field([]byte("f8"))
		if n := len(f.States()); n != 12 {
			t.Errorf("%d states before the next write, want the 12 there were", n)
		}
		a := o.Propose(t0.Add(time.Minute), f, 50, writer("a"), 0)
		if n := len(f.States()); n != 4 {
			t.Errorf("%d states, want 4", n)
		}
		o.Retract(a)
		if last, _ := f.Last(); len(f.States()) != 4 || last.Value != 20 {
			t.Errorf("%d states after the retraction, the last %d; want 4 and the one before", len(f.States()), last.Value)
		}
		f = change(o, time.Minute, "new", 10, "a")
		if diff := cmp.Diff([]string{"f8", "f9", "new"}, paths(o)); diff != "" {
			t.Errorf("fields left (-want +got):\n%s", diff)
		}
		for i := range 9 {
			o.Propose(t0.Add(time.Minute), f, Value(30+i), writer("a"), 0)
		}
		if n, c := len(f.States()), cap(f.states); n != 4 || c != 4 {
			t.Errorf("%d states with room for %d, want 4", n, c)
		}
	})
}

func TestWhatMovedOnHoldsOnToNothing(t *testing.T) {
	o := &Object{}
	change(o, 0, "one", 10, "a")
	if o.first[0].states == nil {
		t.Fatal("the first field is not kept in the object itself")
	}
	if c := o.Clone(); c.first[0].states != nil {
		t.Error("a clone holds on to the ledger that it was made from")
	}
	change(o, 0, "two", 10, "a")
	if o.first[0].states != nil {
		t.Error("the ledger is held by where it was before")
	}
}

func TestAnObjectOfNoStoreHasTheDefaultBounds(t *testing.T) {
	var o Object
	f := o.Settle(t0, []byte(replicas), Stored{Value: 10})
	for i := range 100 {
		o.Propose(t0, f, Value(11+i), writer("a"), 0)
	}
	if n := len(f.States()); n != DefaultBounds.States {
		t.Errorf("%d states, want %d", n, DefaultBounds.States)
	}
}
