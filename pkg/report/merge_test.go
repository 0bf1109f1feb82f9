package report

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/pkg/policy"
)

func TestReplicasAreMerged(t *testing.T) {
	turn := func(s int, what policy.Turn) Turn {
		return Turn{Time: noon.Add(time.Duration(s) * time.Second), Turn: what}
	}
	a := Fight{
		ID: "f-1", State: Open, Writes: 10, Reversals: 9, Prevented: Prevented{1, 2, 3}, RatePerMinute: 5, FirstSeen: noon,
		Detected: noon.Add(3 * time.Second), LastSeen: noon.Add(20 * time.Second), Parties: []Writer{{User: "a"}, {User: "b"}},
		Turns: []Turn{turn(3, policy.Started)},
	}
	b := Fight{
		ID: "f-1", State: Probing, Writes: 5, Reversals: 11, Prevented: Prevented{1, 1, 1}, RatePerMinute: 2,
		FirstSeen: noon.Add(time.Second), Detected: noon.Add(4 * time.Second), LastSeen: noon.Add(30 * time.Second),
		Parties: []Writer{{User: "b"}, {User: "c"}}, Turns: []Turn{turn(4, policy.Started), turn(30, policy.Probed)},
	}
	want := Fight{
		ID: "f-1", State: Probing, Writes: 15, Reversals: 11, Prevented: Prevented{2, 3, 4}, RatePerMinute: 7, FirstSeen: noon,
		Detected: noon.Add(3 * time.Second), LastSeen: noon.Add(30 * time.Second),
		Parties: []Writer{{User: "b"}, {User: "c"}, {User: "a"}}, Turns: []Turn{turn(3, policy.Started), turn(30, policy.Probed)},
	}
	ended := Fight{ID: "f-1", State: Ended, Writes: 99, LastSeen: noon.Add(-time.Hour), Ended: noon.Add(-30 * time.Minute)}
	other := Fight{ID: "f-2", State: Ended, LastSeen: noon.Add(time.Hour)}
	if diff := cmp.Diff([]Fight{want, other}, MergeFights([]Fight{a, other}, []Fight{b}, []Fight{ended})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Fight{}, MergeFights(nil, []Fight{})); diff != "" {
		t.Error(diff)
	}
}

func TestAWriteThatAnotherReplicaSawIsToldOnce(t *testing.T) {
	change := func(s int, to string, outcome Outcome) Change {
		return Change{Time: noon.Add(time.Duration(s) * time.Second), Field: "x", To: to, Outcome: outcome}
	}
	got := MergeChanges(
		Changes{Key: "k", Items: []Change{change(1, "a", Stored), change(2, "b", Unseen), change(90, "b", Unseen)}},
		Changes{Key: "k", Truncated: true, Items: []Change{change(3, "b", Stored)}},
	)
	want := Changes{Key: "k", Truncated: true, Items: []Change{
		change(1, "a", Stored), change(3, "b", Stored), change(90, "b", Unseen),
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := MergeChanges(Changes{Key: "k"}, Changes{Key: "l"}); got.Key != "" || got.Items == nil {
		t.Errorf("%+v", got)
	}
}
