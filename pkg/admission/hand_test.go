package admission

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// hand writes objects through a Guard as an API server would, in virtual time.
type hand struct {
	t     *testing.T
	guard *Guard
	now   time.Time
	n     int // reviews so far

	// What the next review is about.
	resource, group, subresource, kind string
	namespace, name, uid               string
	operation                          string
	user, manager, pod                 string
	groups                             []string
	dryRun                             bool
	version                            int
}

var start = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

func newHand(t *testing.T, yaml string) *hand {
	t.Helper()
	p, err := policy.Load([]byte(yaml), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return &hand{
		t: t, now: start, guard: NewGuard(p, history.New(Bounds(p)), history.NewHasher()),
		resource: "configmaps", kind: "ConfigMap", namespace: "shop", name: "web", uid: "uid-1", operation: "UPDATE",
		version: 1,
	}
}

const enforcing = "apiVersion: truce.dev/v1alpha1\nkind: Policy\nmode: Enforce\npresets: []\nrules:\n- name: all\n  action: "

func policyWith(action string) string { return enforcing + action + "\n" }

func (h *hand) by(user, manager string) *hand {
	h.user, h.manager = "system:serviceaccount:shop:"+user, manager
	return h
}

func (h *hand) after(d time.Duration) *hand {
	h.now = h.now.Add(d)
	return h
}

// object returns an object with these annotations and data, on top of its metadata.
func (h *hand) object(members map[string]any) map[string]any {
	meta := map[string]any{
		"name": h.name, "uid": h.uid, "resourceVersion": fmt.Sprint(h.version), "creationTimestamp": "2025-03-01T11:00:00Z",
	}
	if h.namespace != "" {
		meta["namespace"] = h.namespace
	}
	o := map[string]any{"apiVersion": "v1", "kind": h.kind, "metadata": meta}
	for k, v := range members {
		if k == "metadata" {
			for mk, mv := range v.(map[string]any) {
				meta[mk] = mv
			}
			continue
		}
		o[k] = v
	}
	return o
}

// body returns a review of a write from old to new; nil is no object.
func (h *hand) body(old, updated map[string]any) []byte {
	h.n++
	extra := map[string]any{}
	if h.pod != "" {
		extra["authentication.kubernetes.io/pod-name"] = []string{h.pod}
	}
	request := map[string]any{
		"uid": fmt.Sprintf("review-%d", h.n), "operation": h.operation, "name": h.name, "namespace": h.namespace,
		"kind":     map[string]any{"group": h.group, "version": "v1", "kind": h.kind},
		"resource": map[string]any{"group": h.group, "version": "v1", "resource": h.resource},
		"userInfo": map[string]any{"username": h.user, "groups": append([]string{"system:authenticated"}, h.groups...), "extra": extra},
		"object":   updated, "oldObject": old, "dryRun": h.dryRun,
		"options": map[string]any{"fieldManager": h.manager},
	}
	if h.subresource != "" {
		request["subResource"] = h.subresource
	}
	b, err := json.Marshal(map[string]any{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

func (h *hand) review(phase Phase, old, updated map[string]any) Response {
	h.t.Helper()
	r, err := h.guard.Review(h.now, phase, h.body(old, updated))
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// annotation returns an object whose annotation "k" is v; absent if v is empty.
func (h *hand) annotation(v string) map[string]any {
	annotations := map[string]any{"other": "x"}
	if v != "" {
		annotations["k"] = v
	}
	return h.object(map[string]any{"metadata": map[string]any{"annotations": annotations}})
}

// set writes the annotation from one value to another through the validating webhook, and says what came of it.
func (h *hand) set(from, to string) Response {
	h.t.Helper()
	old, updated := h.annotation(from), h.annotation(to)
	r := h.review(Validating, old, updated)
	if r.Allowed && !h.dryRun {
		h.version++
	}
	return r
}

// fight makes red and blue fight over the annotation until their fight is found; the stored value is the returned one.
func (h *hand) fight() (Response, string) {
	h.t.Helper()
	values := map[bool]string{true: "red", false: "blue"}
	stored := "none"
	for i := 0; i < 8; i++ {
		to := values[i%2 == 0]
		r := h.by(to, to).after(time.Second).set(stored, to)
		if len(r.Verdicts) > 0 {
			if r.Allowed {
				stored = to
			}
			return r, stored
		}
		stored = to
	}
	h.t.Fatal("no fight was found within 8 writes")
	return Response{}, ""
}

func reason(r Response) policy.Reason {
	if len(r.Verdicts) == 0 {
		return policy.ReasonNone
	}
	return r.Verdicts[0].Reason
}
