package history

import (
	"testing"
	"time"
)

func TestARestartedFieldIsAsIfItHadNeverChanged(t *testing.T) {
	o := &Object{}
	f := o.Settle(t0, []byte(Exists), Stored{Value: Absent})
	o.Propose(t0, f, Present, writer("a"), 0)
	f.Fight = &Fight{Phase: Open}
	f.Restart()
	if _, ok := f.Last(); ok || f.Run != (Run{}) {
		t.Errorf("states %v and run %+v are left", f.States(), f.Run)
	}
	if f.Fight == nil {
		t.Error("the fight does not go on")
	}
	f = o.Settle(t0.Add(time.Hour), []byte(Exists), Stored{Value: Absent})
	o.Propose(t0.Add(time.Hour), f, Present, writer("b"), 0)
	if got, want := ledger(o, f), "-/u here@b/p"; got != want {
		t.Errorf("ledger %s, want %s: no reversal of what is forgotten", got, want)
	}
}

func TestATouchedStateIsTheNewWriters(t *testing.T) {
	o := &Object{}
	f := o.Settle(t0, []byte(Exists), Stored{Value: Absent})
	o.Propose(t0, f, Present, writer("a"), Owner)
	o.Touch(t0.Add(time.Minute), f, writer("b"))
	if got, want := ledger(o, f), "-/u here@b/p"; got != want {
		t.Errorf("ledger %s, want %s", got, want)
	}
	last, _ := f.Last()
	if !last.At().Equal(t0.Add(time.Minute)) || !last.Is(Owner) {
		t.Errorf("written at %v with flags %b", last.At(), last.flags())
	}
	o.Touch(t0, f, writer("c"))
	if last, _ = f.Last(); !last.At().Equal(t0.Add(time.Minute)) || o.WriterOf(last) != writer("c") {
		t.Errorf("after the clock has jumped back: written at %v by %v", last.At(), o.WriterOf(last))
	}
}

func TestTheSameWriterWroteTwoStates(t *testing.T) {
	o := &Object{}
	f := o.Settle(t0, []byte(replicas), Stored{Value: 10})
	for i, by := range []string{"a", "b", "b", "", ""} {
		o.Propose(t0, f, Value(11+i), writer(by), 0)
	}
	s := f.States()
	for _, c := range []struct {
		name string
		a, b int
		want bool
	}{
		{"one wrote both", 2, 3, true},
		{"two did", 1, 2, false},
		{"one is not known", 3, 4, false},
		{"neither is known", 4, 5, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := SameWriter(s[c.a], s[c.b]); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
