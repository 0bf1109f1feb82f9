package admission

import (
	"strings"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

func newTelling(t *testing.T, yaml string) *hand {
	h := newHand(t, yaml)
	h.guard.Journal = true
	return h
}

func TestAResponseTellsOfEveryTrackedWrite(t *testing.T) {
	h := newTelling(t, policyWith("Reject"))
	var told []Write
	stored := "none"
	for i := range 5 {
		to := []string{"red", "blue"}[i%2]
		r := h.by(to, to).after(time.Second).set(stored, to)
		told = append(told, r.Writes...)
		if r.Allowed {
			stored = to
		}
	}
	if len(told) != 5 {
		t.Fatalf("%d writes were told: %+v", len(told), told)
	}
	for i, w := range told {
		to := []string{"red", "blue"}[i%2]
		if w.Path != handPath || w.Writer.Manager != to || w.Unseen || w.FromText != "" || w.ToText != "" || w.Rule.Name != "all" {
			t.Errorf("write %d: %+v", i, w)
		}
		if want := i >= 2; w.Reversal != want {
			t.Errorf("write %d: reversal %v", i, w.Reversal)
		}
		if i > 0 && w.From != told[i-1].To {
			t.Errorf("write %d is from %x, the one before it was to %x", i, w.From, told[i-1].To)
		}
	}
	if told[3].Reason != policy.ReasonNone || told[4].Reason != policy.ReasonRejected {
		t.Errorf("reasons %q and %q: the 5th write is rejected", told[3].Reason, told[4].Reason)
	}
}

func TestNobodyIsToldUnlessAsked(t *testing.T) {
	h := newHand(t, policyWith("Reject"))
	if r := h.by("red", "red").set("none", "red"); r.Writes != nil {
		t.Errorf("%+v", r.Writes)
	}
}

func TestARequestSeenTwiceIsToldOnce(t *testing.T) {
	h := newTelling(t, policyWith("Reject"))
	h.by("red", "red")
	body := h.body(h.annotation("none"), h.annotation("red"))
	for i, want := range []int{1, 0} {
		r, err := h.guard.Review(h.now, Validating, body)
		if err != nil || len(r.Writes) != want || r.Again != (want == 0) {
			t.Errorf("time %d: %d writes, again %v, error %v", i+1, len(r.Writes), r.Again, err)
		}
	}
}

func TestADryRunSaysThatItIsOne(t *testing.T) {
	h := newTelling(t, policyWith("Reject"))
	h.dryRun = true
	if r := h.by("red", "red").set("none", "red"); !r.DryRun || len(r.Writes) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestAWriteThatPassedUnseenIsTold(t *testing.T) {
	h := newTelling(t, policyWith("Reject"))
	h.by("red", "red").set("none", "red")
	h.version++ // somebody stored blue past us
	r := h.by("red", "red").after(10*time.Second).set("blue", "red")
	if len(r.Writes) != 2 {
		t.Fatalf("%+v", r.Writes)
	}
	unseen, seen := r.Writes[0], r.Writes[1]
	if !unseen.Unseen || unseen.Writer.Known() || unseen.To != seen.From || !unseen.At.Equal(h.now.Add(-5*time.Second)) {
		t.Errorf("unseen %+v", unseen)
	}
	if seen.Unseen || !seen.Reversal {
		t.Errorf("seen %+v", seen)
	}
}

func TestOnlyAHeldWriteIsToldByTheMutatingWebhook(t *testing.T) {
	h := newTelling(t, policyWith("Hold"))
	_, stored := h.fight()
	other := map[string]string{"red": "blue", "blue": "red"}[stored]
	h.by(other, other).after(time.Second)
	r := h.review(Mutating, h.annotation(stored), h.annotation(other))
	if len(r.Writes) != 1 || r.Writes[0].Reason != policy.ReasonHeld {
		t.Errorf("%+v", r.Writes)
	}
	calm := newTelling(t, policyWith("Hold"))
	if r := calm.by("red", "red").review(Mutating, calm.annotation("none"), calm.annotation("red")); len(r.Writes) != 0 {
		t.Errorf("%+v", r.Writes)
	}
}

func TestValuesAreToldIfTheRuleAsksForThem(t *testing.T) {
	long := strings.Repeat("x", MaxValue+1)
	for _, c := range []struct {
		name, resource, group, to, want string
	}{
		{"a short value", "configmaps", "", "red", `"red"`},
		{"one that just fits", "configmaps", "", long[:MaxValue-2], `"` + long[:MaxValue-2] + `"`},
		{"one that is cut", "configmaps", "", long, `"` + long[:MaxValue-1] + "…"},
		{"never one of a Secret", "secrets", "", "red", ""},
		{"a resource that is only named alike", "secrets", "example.com", "red", `"red"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTelling(t, policyWith("Reject\n  values: Shown"))
			h.resource, h.group = c.resource, c.group
			r := h.by("red", "red").set("", c.to)
			if len(r.Writes) != 1 || r.Writes[0].ToText != c.want || r.Writes[0].FromText != "" {
				t.Errorf("%+v", r.Writes)
			}
			if r.Writes[0].From != history.Absent {
				t.Errorf("from %x", r.Writes[0].From)
			}
		})
	}
}

func TestAFightThatStartsSaysSinceWhen(t *testing.T) {
	h := newHand(t, policyWith("Reject"))
	r, _ := h.fight()
	v := r.Verdicts[0]
	if want := h.now.Add(-3 * time.Second); !v.Since.Equal(want) || v.Length != 5*time.Minute {
		t.Errorf("since %v, want %v; length %v", v.Since, want, v.Length)
	}
}
