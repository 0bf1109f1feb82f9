package admission

import (
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

var handKey = history.Key{Resource: "configmaps", Namespace: "shop", Name: "web"}

const handPath = "metadata.annotations[k]"

func TestAReleasedFightIsOverAndOldReversalsDoNotCount(t *testing.T) {
	h := newHand(t, policyWith("Reject"))
	_, stored := h.fight()
	other := map[string]string{"red": "blue", "blue": "red"}
	if !h.guard.Release(h.now, handKey, handPath) {
		t.Fatal("the fight is not known")
	}
	for i := range 2 { // two more reversals are none too many
		to := other[stored]
		if r := h.by(to, to).after(time.Second).set(stored, to); !r.Allowed || len(r.Verdicts) != 0 {
			t.Fatalf("write %d after the release: %+v", i, r)
		}
		stored = to
	}
	if h.guard.Release(h.now, handKey, handPath) {
		t.Error("it was over before")
	}
	if n := h.guard.store.Len(); n != 1 {
		t.Errorf("%d objects are remembered", n)
	}
}

func TestWhatIsNotFoughtOverCanBeNeitherReleasedNorHeld(t *testing.T) {
	h := newHand(t, policyWith("Reject"))
	h.by("red", "red").set("none", "red")
	for _, k := range []history.Key{handKey, {Resource: "configmaps", Namespace: "shop", Name: "other"}} {
		if h.guard.Release(h.now, k, handPath) || h.guard.Pin(h.now, h.now.Add(time.Hour), k, handPath) {
			t.Errorf("%v", k)
		}
	}
	if n := h.guard.store.Len(); n != 1 {
		t.Errorf("%d objects are remembered, asking made one", n)
	}
}

func TestAPinnedTruceLastsUntilItsTime(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		want  policy.Reason
	}{
		{time.Hour - time.Millisecond, policy.ReasonRejected},
		{time.Hour, policy.ReasonProbe},
	} {
		h := newHand(t, policyWith("Reject"))
		_, stored := h.fight()
		if !h.guard.Pin(h.now, h.now.Add(time.Hour), handKey, handPath) {
			t.Fatal("the fight is not known")
		}
		other := map[string]string{"red": "blue", "blue": "red"}[stored]
		if r := h.by(other, other).after(c.after).set(stored, other); reason(r) != c.want {
			t.Errorf("after %v: %q, want %q", c.after, reason(r), c.want)
		}
	}
}
