package history

import (
	"math"
	"testing"
	"time"
)

func TestARunCountsOnePartysUninterruptedWrites(t *testing.T) {
	gap := DefaultBounds.RunGap
	type write struct {
		after time.Duration
		by    string
		value Value
		flags Flags
	}
	type want struct {
		count uint32
		span  time.Duration
		fresh bool
		all   Flags
	}
	for _, c := range []struct {
		name   string
		why    string
		writes []write
		want   want
	}{
		{
			name:   "one write is a run of one",
			writes: []write{{by: "a", value: 11}},
			want:   want{count: 1, fresh: true, all: Pending},
		},
		{
			name:   "a pause shorter than the gap goes on",
			writes: []write{{by: "a", value: 11}, {after: gap - ms, by: "a", value: 12}},
			want:   want{count: 2, span: gap - ms, fresh: true, all: Pending},
		},
		{
			name:   "a pause of exactly the gap goes on",
			writes: []write{{by: "a", value: 11}, {after: gap, by: "a", value: 12}},
			want:   want{count: 2, span: gap, fresh: true, all: Pending},
		},
		{
			name:   "a longer pause begins another run",
			writes: []write{{by: "a", value: 11}, {after: gap + ms, by: "a", value: 12}},
			want:   want{count: 1, fresh: true, all: Pending},
		},
		{
			name:   "another party begins another run",
			writes: []write{{by: "a", value: 11}, {after: ms, by: "a", value: 12}, {after: ms, by: "b", value: 13}},
			want:   want{count: 1, fresh: true, all: Pending | Cross},
		},
		{
			name:   "a writer of whom nothing is known may be the same",
			writes: []write{{by: "a", value: 11}, {after: ms, value: 12}, {after: ms, by: "a", value: 13}},
			want:   want{count: 3, span: 2 * ms, fresh: true, all: Pending},
		},
		{
			name:   "but cannot join two parties to one run",
			why:    "neither neighbour of the unknown write certainly differs from it",
			writes: []write{{by: "a", value: 11}, {after: ms, value: 12}, {after: ms, by: "b", value: 13}},
			want:   want{count: 1, fresh: true, all: Pending},
		},
		{
			name:   "not even at a run's beginning",
			writes: []write{{value: 11}, {after: ms, by: "a", value: 12}, {after: ms, value: 13}, {after: ms, by: "b", value: 14}},
			want:   want{count: 1, fresh: true, all: Pending},
		},
		{
			name: "one reversal and it is not fresh any more",
			writes: []write{
				{by: "a", value: 11}, {after: ms, by: "a", value: 12}, {after: ms, by: "a", value: 11},
				{after: ms, by: "a", value: 13},
			},
			want: want{count: 4, span: 3 * ms, all: Pending},
		},
		{
			name:   "only flags of all writes are the run's",
			writes: []write{{by: "a", value: 11, flags: OrderOnly | Clock}, {after: ms, by: "a", value: 12, flags: Clock | Owner}},
			want:   want{count: 2, span: ms, fresh: true, all: Pending | Clock},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, now := &Object{}, t0
			f := o.Settle(now, []byte(replicas), Stored{Value: 10})
			for _, w := range c.writes {
				now = now.Add(w.after)
				o.Propose(now, f, w.value, writer(w.by), w.flags)
			}
			got := want{f.Run.Count, f.Run.Span(), f.Run.Fresh, f.Run.All}
			if got != c.want {
				t.Errorf("run %+v, want %+v (%s)", got, c.want, c.why)
			}
		})
	}
}

func TestWhatWasNeverStoredIsTakenOutOfTheRun(t *testing.T) {
	o := &Object{}
	f := o.Settle(t0, []byte(replicas), Stored{Value: 10})
	for i := range 3 {
		o.Propose(t0.Add(time.Duration(i)*time.Second), f, Value(11+i), writer("a"), 0)
	}

	a := o.Propose(t0.Add(5*time.Second), f, 20, writer("a"), 0)
	if f.Run.Count != 4 || f.Run.Span() != 5*time.Second {
		t.Fatalf("run of %d in %v, want 4 in 5s", f.Run.Count, f.Run.Span())
	}
	o.Retract(a)
	if f.Run.Count != 3 || f.Run.Span() != 2*time.Second {
		t.Errorf("after a retraction: run of %d in %v, want 3 in 2s", f.Run.Count, f.Run.Span())
	}

	o.Propose(t0.Add(5*time.Second), f, 20, writer("a"), 0)
	o.Settle(t0.Add(6*time.Second), []byte(replicas), Stored{Value: 13})
	if f.Run.Count != 3 || f.Run.Span() != 2*time.Second {
		t.Errorf("after a drop: run of %d in %v, want 3 in 2s", f.Run.Count, f.Run.Span())
	}

	a = o.Propose(t0.Add(6*time.Second), f, 20, writer("b"), 0)
	if f.Run.Count != 1 {
		t.Fatalf("another party's run of %d, want 1", f.Run.Count)
	}
	o.Retract(a)
	if f.Run.Count != 3 {
		t.Errorf("after the retraction of another party's write: run of %d, want 3 as before", f.Run.Count)
	}

	o.Propose(t0.Add(6*time.Second), f, 20, writer("b"), 0)
	o.Settle(t0.Add(7*time.Second), []byte(replicas), Stored{Value: 13})
	if f.Run != (Run{}) {
		t.Errorf("after the drop of another party's write: run %+v, want none", f.Run)
	}
}

func TestARunsSpanEndsAtItsBound(t *testing.T) {
	r := Run{Count: 1, Fresh: true}
	r.add(math.MaxUint32-1, 0, 0)
	r.add(math.MaxUint32, 0, 0)
	if want := math.MaxUint32 * time.Millisecond; r.Span() != want || r.Count != 3 {
		t.Errorf("%d writes in %v, want 3 in %v", r.Count, r.Span(), want)
	}
	r.drop(math.MaxUint32 * 2)
	if r.Span() != 0 || r.Count != 2 {
		t.Errorf("%d writes in %v, want 2 in 0s", r.Count, r.Span())
	}
}

func TestIdleCountsWritesThatChangeNothing(t *testing.T) {
	gap := DefaultBounds.RunGap
	o := &Object{}
	for i, c := range []struct {
		at    time.Duration
		by    string
		count uint32
		span  time.Duration
		why   string
	}{
		{at: 0, by: "a", count: 1, why: "the first"},
		{at: gap, by: "a", count: 2, span: gap, why: "exactly the gap later"},
		{at: gap + time.Second, count: 3, span: gap + time.Second, why: "a writer of whom nothing is known may be the same"},
		{at: gap + 2*time.Second, by: "b", count: 1, why: "another party"},
		{at: 2*gap + 2*time.Second + ms, by: "b", count: 1, why: "after a longer pause"},
		{at: 2*gap + 3*time.Second, by: "b", count: 2, span: time.Second - ms, why: "and on"},
	} {
		o.Noop(t0.Add(c.at), writer(c.by))
		if o.Idle.Count != c.count || o.Idle.Span() != c.span {
			t.Errorf("write %d, %s: %d in %v, want %d in %v", i, c.why, o.Idle.Count, o.Idle.Span(), c.count, c.span)
		}
	}
}
