package admission

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/policy"
)

// saw has a watch report that the annotation was changed by a manager.
func (h *hand) saw(by, from, to string) Response {
	h.t.Helper()
	object := func(v, manager string) []byte {
		o := h.annotation(v)
		o["metadata"].(map[string]any)["managedFields"] = []any{map[string]any{
			"manager": manager, "operation": "Update", "apiVersion": "v1", "time": h.now.Format(time.RFC3339), "fieldsType": "FieldsV1",
			"fieldsV1": map[string]any{"f:metadata": map[string]any{"f:annotations": map[string]any{"f:k": map[string]any{}}}},
		}}
		b, err := json.Marshal(o)
		if err != nil {
			h.t.Fatal(err)
		}
		return b
	}
	old := object(from, "before-"+by)
	h.version++
	r, err := h.guard.Observe(h.now, Sight{
		Operation: "UPDATE", Version: "v1", Resource: h.resource, Kind: h.kind, Namespace: h.namespace, Name: h.name,
		Old: old, New: object(to, by),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func TestAFightThatOnlyAWatchSeesIsFoundAndNothingIsStopped(t *testing.T) {
	h := newTelling(t, policyWith("Reject"))
	stored := "none"
	for i := range 8 {
		by := []string{"cainjector", "gitops"}[i%2]
		h.after(time.Second)
		r := h.saw(by, stored, by)
		stored = by
		if want := map[bool]policy.Reason{true: policy.ReasonObserved}[i >= 4]; reason(r) != want || !r.Allowed {
			t.Errorf("write %d: %q, want %q; %+v", i+1, reason(r), want, r)
		}
		if len(r.Writes) != 1 || r.Writes[0].Writer.Manager != by || r.Writes[0].Writer.User != "" {
			t.Errorf("write %d: %+v", i+1, r.Writes)
		}
		if i == 4 && (r.Verdicts[0].Mode != policy.Audit || fmt.Sprint(len(r.Verdicts[0].Parties)) != "2") {
			t.Errorf("%+v", r.Verdicts[0])
		}
	}
}

func TestAWatchThatTellsTwiceIsHeardOnce(t *testing.T) {
	h := newTelling(t, policyWith("Reject"))
	first := h.saw("a", "none", "a")
	h.version--
	if again := h.saw("a", "none", "a"); len(first.Writes) != 1 || len(again.Writes) != 0 || !again.Again {
		t.Errorf("%+v\n%+v", first, again)
	}
}

func TestAWatchTellsNothingThatIsNoObject(t *testing.T) {
	h := newTelling(t, policyWith("Reject"))
	if _, err := h.guard.Observe(h.now, Sight{Operation: "UPDATE", Resource: "x", Old: []byte("{}"), New: []byte(`{"metadata":3`)}); err == nil {
		t.Error("no error")
	}
}
