package history

import (
	"fmt"
	"testing"
	"time"
)

func TestACycleOfAnyLengthIsMadeOfReversals(t *testing.T) {
	for length := 2; length <= 5; length++ {
		t.Run(fmt.Sprintf("of %d values by as many parties", length), func(t *testing.T) {
			o := &Object{}
			for i := range 3 * length {
				s := step{
					rv: uint64(i + 1), at: time.Duration(i) * time.Second,
					sees: fmt.Sprint(i % length), by: fmt.Sprint("party-", i%length), sets: fmt.Sprint((i + 1) % length),
				}
				s.take(o)
				last, _ := o.Field([]byte(replicas)).Last()
				if got, want := last.Is(Reversal), i >= length-1; got != want {
					t.Errorf("write %d, to %s: reversal %v, want %v", i, s.sets, got, want)
				}
				if got, want := last.Is(Cross), i > 0; got != want { // who wrote the very first state is not known
					t.Errorf("write %d: cross %v, want %v", i, got, want)
				}
			}
		})
	}
	t.Run("a value that always is new is none", func(t *testing.T) {
		o := &Object{}
		for i := range 30 {
			step{
				rv: uint64(i + 1), at: time.Duration(i) * time.Second,
				sees: fmt.Sprint(i), by: "minter", sets: fmt.Sprint(i + 1),
			}.take(o)
			if last, _ := o.Field([]byte(replicas)).Last(); last.Is(Reversal) {
				t.Fatalf("write %d is a reversal", i)
			}
		}
	})
}

func TestReversals(t *testing.T) {
	memory := DefaultBounds.Memory
	tell(t, []story{
		{
			name: "the empty string is not absent",
			why:  "removing a field and emptying it are two things",
			steps: []step{
				{rv: 1, sees: absent, by: "a", sets: "x", want: "-/u x@a/p"},
				{rv: 2, sees: "x", by: "b", sets: empty, want: `-/u x@a ""@b/pX`},
				{rv: 3, sees: empty, by: "b", sets: absent, want: `-/u x@a ""@b/X -@b/pR`},
			},
		},
		{
			name: "a value exactly as old as the memory still counts",
			steps: []step{
				{rv: 1, sees: "1", owner: "argo", by: "hpa", sets: "3", want: "1@argo/u 3@hpa/pX"},
				{rv: 2, at: memory, sees: "3", by: "argo", sets: "1", want: "1@argo/u 3@hpa/X 1@argo/pRX"},
			},
		},
		{
			name: "a value older than the memory is as good as new",
			steps: []step{
				{rv: 1, sees: "1", owner: "argo", by: "hpa", sets: "3", want: "1@argo/u 3@hpa/pX"},
				{rv: 2, at: memory + ms, sees: "3", by: "argo", sets: "1", want: "1@argo/u 3@hpa/X 1@argo/pX"},
			},
		},
		{
			name: "a value that was there for nobody knows how long counts",
			why:  "it was there when the first write came",
			steps: []step{
				{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 2, at: memory + time.Hour, sees: "3", by: "argo", sets: "1", want: "1/u 3@hpa 1@argo/pRX"},
			},
		},
		{
			name: "two values of one writer are not another party's",
			steps: []step{
				{rv: 1, sees: "a", by: "app", sets: "b", want: "a/u b@app/p"},
				{rv: 2, sees: "b", by: "app", sets: "a", want: "a/u b@app a@app/pR"},
			},
		},
		{
			name: "a writer of whom nothing is known may be anybody",
			steps: []step{
				{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 2, sees: "3", sets: "1", want: "1/u 3@hpa 1/pR"},
				{rv: 3, sees: "1", by: "argo", sets: "3", want: "1/u 3@hpa 1/R 3@argo/pR"},
			},
		},
		{
			name: "what follows a person's write is marked",
			steps: []step{
				{rv: 1, sees: "1", by: "kubectl", sets: "3", flags: ByPerson, want: "1/u 3@kubectl/p"},
				{rv: 2, sees: "3", by: "argo", sets: "1", want: "1/u 3@kubectl 1@argo/pRXo"},
				{rv: 3, sees: "1", by: "hpa", sets: "3", want: "1/u 3@kubectl 1@argo/RXo 3@hpa/pRX"},
			},
		},
		{
			name: "callers set their flags and no others",
			steps: []step{
				{rv: 1, sees: "1", by: "a", sets: "3", flags: Reversal | Cross | OverPerson | Unseen, want: "1/u 3@a/p"},
			},
		},
	})
}

func TestTheFlagsOfACallerAreKept(t *testing.T) {
	o := &Object{}
	f := o.Settle(t0, []byte(replicas), Stored{Value: 5})
	own := Pending | Unseen | Reversal | Cross | OverPerson
	for flag := Flags(1); flag != 0; flag <<= 1 {
		o.Propose(t0, f, Value(10+flag), writer("a"), flag)
		last, _ := f.Last()
		if got, want := last.flags()&^own, flag&callers; got != want {
			t.Errorf("a caller's flags %b are kept as %b, want %b", flag, got, want)
		}
	}
	if callers&own != 0 || callers&(ByPerson|Owner|OrderOnly|QuantityOnly|Clock) == 0 {
		t.Errorf("flags that callers may set: %b", callers)
	}
	s := newState(5, 0, 3, ByPerson|Owner)
	if !s.Is(ByPerson|Owner) || s.Is(ByPerson|Clock) || !s.Any(ByPerson|Clock) || s.Any(Clock) {
		t.Error("Is is all of the flags, Any is any of them")
	}
}

func TestCountedStates(t *testing.T) {
	o := &Object{}
	f := o.Settle(t0, []byte(replicas), Stored{Value: 5})
	if _, ok := (&Field{}).Last(); ok {
		t.Error("a field without states has a last one")
	}
	for i := range 4 {
		o.Propose(t0.Add(time.Duration(i)*time.Minute), f, Value(10+i), writer("a"), 0)
	}
	now := t0.Add(3 * time.Minute)
	for _, c := range []struct {
		name   string
		memory time.Duration
		want   int
	}{
		{"what was stored at an unknown time never counts", time.Hour, 4},
		{"a state exactly as old as the memory counts", 2 * time.Minute, 3},
		{"a state older than that does not", 2*time.Minute - ms, 2},
		{"the newest always counts", 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := len(f.Counted(now, c.memory)); got != c.want {
				t.Errorf("%d states count, want %d", got, c.want)
			}
		})
	}
	t.Run("a clock that jumped back before all states makes none older", func(t *testing.T) {
		if got := len(f.Counted(t0.Add(-time.Hour), time.Minute)); got != 4 {
			t.Errorf("%d states count, want 4", got)
		}
	})
	t.Run("nothing counts that came before a fight's end", func(t *testing.T) {
		f.Fight = &Fight{Phase: Open}
		f.End(t0.Add(2 * time.Minute))
		if f.Fight != nil {
			t.Error("the fight goes on")
		}
		if got := len(f.Counted(now, time.Hour)); got != 1 {
			t.Errorf("%d states count, want the one after the end", got)
		}
	})
}

func TestTimesAreKeptInMilliseconds(t *testing.T) {
	for _, c := range []struct {
		name     string
		at, want time.Time
	}{
		{"an instant", t0.Add(1234567), t0.Add(ms)},
		{"another zone", t0.In(time.FixedZone("x", 3600)), t0},
		{"the zero time is unknown", time.Time{}, time.Time{}},
		{"before the epoch is unknown", time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}},
		{"after the last instant is the last", time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), instant(maxMillis)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := newState(1, millisOrZero(c.at), 0, 0).At(); !got.Equal(c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	if y := instant(maxMillis).Year(); y != 2054 {
		t.Errorf("the clock ends in %d", y)
	}
}
