package report

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/pkg/policy"
)

func TestTheJournalTellsOfEachWrite(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{Key: "k"})
	s.fight(5)
	got := s.recorder.Journal.Changes(ChangeQuery{})
	if got.Key != "k" || got.Truncated || len(got.Items) != 5 {
		t.Fatalf("%+v", got)
	}
	first, last := got.Items[0], got.Items[4]
	if len(first.From) != 16 || len(first.To) != 16 || first.From == first.To {
		t.Errorf("values are hashes: %q, %q", first.From, first.To)
	}
	want := Change{
		Time: noon.Add(5 * time.Second), Object: Object{Resource: "serviceaccounts", Namespace: "shop", Name: "web"}, Field: field,
		Writer: writer("red"), Verb: "UPDATE", From: got.Items[1].To, To: first.To, Reversal: true, Outcome: Rejected,
		Fight: s.only().ID,
	}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Error(diff)
	}
	if first.Outcome != Stored || first.Reversal || first.Fight != "" {
		t.Errorf("%+v", first)
	}
}

// filled returns a journal of n changes, a second apart, of objects a, b and c in turns, by two managers.
func filled(size, n int) *Journal {
	j := newJournal(size, "", nil)
	for i := range n {
		c := Change{
			Time: noon.Add(time.Duration(i) * time.Second), Field: fmt.Sprintf("spec.f%d", i%2),
			Object: Object{Group: "apps", Resource: "deployments", Namespace: "shop", Name: string(rune('a' + i%3))},
			Writer: Writer{Manager: fmt.Sprint("m", i%2), User: "u", Pod: "p"},
		}
		if i%4 == 0 {
			c.Fight, c.Object.Namespace, c.Object.Group = "f-1", "other", ""
		}
		j.add(c)
	}
	return j
}

func seconds(changes []Change) (all []int) {
	for _, c := range changes {
		all = append(all, int(c.Time.Sub(noon)/time.Second))
	}
	return all
}

func TestChangesThatFit(t *testing.T) {
	j := filled(100, 12)
	for _, c := range []struct {
		name string
		q    ChangeQuery
		want []int
	}{
		{"all, oldest first", ChangeQuery{}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"an object", ChangeQuery{Object: "deployments.apps/b"}, []int{1, 7, 10}},
		{"an object with its namespace", ChangeQuery{Object: "deployments.apps/shop/b"}, []int{1, 7, 10}},
		{"not in another namespace", ChangeQuery{Object: "deployments.apps/other/b"}, nil},
		{"what names nothing", ChangeQuery{Object: "deployments.apps/shop/b/c"}, nil},
		{"a resource", ChangeQuery{Object: "deployments"}, []int{0, 4, 8}},
		{"a namespace", ChangeQuery{Namespace: "other"}, []int{0, 4, 8}},
		{"a fight", ChangeQuery{Fight: "f-1"}, []int{0, 4, 8}},
		{"a field", ChangeQuery{Field: "spec.f1"}, []int{1, 3, 5, 7, 9, 11}},
		{"a field's beginning", ChangeQuery{Field: "spec.*"}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"a list of scalars is no beginning", ChangeQuery{Field: "spec[*]"}, nil},
		{"a manager", ChangeQuery{Manager: "m1"}, []int{1, 3, 5, 7, 9, 11}},
		{"a user", ChangeQuery{Manager: "u", Limit: 1}, []int{11}},
		{"a pod", ChangeQuery{Manager: "p", Limit: 1}, []int{11}},
		{"since a time, inclusive", ChangeQuery{Since: noon.Add(9 * time.Second)}, []int{9, 10, 11}},
		{"until a time, inclusive", ChangeQuery{Until: noon.Add(2 * time.Second)}, []int{0, 1, 2}},
		{"the newest of those", ChangeQuery{Until: noon.Add(5 * time.Second), Limit: 2}, []int{4, 5}},
	} {
		got := j.Changes(c.q)
		if diff := cmp.Diff(c.want, seconds(got.Items)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if got.Truncated != (c.q.Limit > 0) {
			t.Errorf("%s: truncated %v", c.name, got.Truncated)
		}
	}
	if got := j.Changes(ChangeQuery{Limit: 12}); got.Truncated || len(got.Items) != 12 {
		t.Errorf("a limit that just fits: %+v", got)
	}
}

func TestTheJournalIsBounded(t *testing.T) {
	j := filled(4, 10)
	if diff := cmp.Diff([]int{6, 7, 8, 9}, seconds(j.Changes(ChangeQuery{}).Items)); diff != "" {
		t.Error(diff)
	}
	if j.Len() != 4 {
		t.Errorf("%d changes", j.Len())
	}
}

func TestChangesSinceACount(t *testing.T) {
	j := filled(4, 10)
	for _, c := range []struct {
		n    uint64
		want []int
	}{{0, []int{6, 7, 8, 9}}, {6, []int{6, 7, 8, 9}}, {7, []int{7, 8, 9}}, {10, nil}} {
		got, now := j.Since(c.n, ChangeQuery{})
		if diff := cmp.Diff(c.want, seconds(got)); diff != "" || now != 10 {
			t.Errorf("since %d, now %d: %s", c.n, now, diff)
		}
	}
}
