package replay

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
)

// patching answers the mutating webhook with a JSON patch.
func patching(patch string) func(time.Time, admission.Phase, *admissionv1.AdmissionRequest) admission.Response {
	return func(_ time.Time, phase admission.Phase, _ *admissionv1.AdmissionRequest) admission.Response {
		r := admission.Response{Allowed: true}
		if phase == admission.Mutating {
			r.Patch = []byte(patch)
		}
		return r
	}
}

func TestAPatchOfTheMutatingWebhookIsApplied(t *testing.T) {
	s := serve(t, shop)
	s.reviewer.answer = patching(`[{"op":"replace","path":"/data/k","value":"patched"},{"op":"add","path":"/data/n","value":"12"}]`)
	out := s.write("argo", OpUpdate, "", "conf", `{"data":{"k":"mine","other":"x"}}`)
	if !out.Held || !out.Stored {
		t.Errorf("outcome %+v, want it held and stored", out)
	}
	want := map[string]any{"k": "patched", "n": "12", "other": "x"}
	if diff := cmp.Diff(any(want), s.object("conf")["data"]); diff != "" {
		t.Errorf("stored data differ (-want +got):\n%s", diff)
	}
	validating := decoded(t, s.reviewer.reviews[1].Request.Object.Raw)
	if diff := cmp.Diff(any(want), validating["data"]); diff != "" {
		t.Errorf("the validating webhook saw other data (-want +got):\n%s", diff)
	}
}

// As measured on a real API server: alternating writers of which one writes the held value cost one write in all, that
// which moves the ownership to the other.
func TestAFieldThatIsHeldCostsOneWriteOnATrackedObject(t *testing.T) {
	s := serve(t, shop)
	s.reviewer.answer = func(now time.Time, phase admission.Phase, r *admissionv1.AdmissionRequest) admission.Response {
		if at(decoded(t, r.Object.Raw), "data", "k") == "v" {
			return admission.Response{Allowed: true}
		}
		return patching(`[{"op":"replace","path":"/data/k","value":"v"}]`)(now, phase, r)
	}
	stored, held := 0, 0
	for range 30 {
		for _, c := range []struct{ by, merge string }{{"argo", `{"data":{"k":"v"}}`}, {"hpa", `{"data":{"k":"w"}}`}} {
			out := s.write(c.by, OpUpdate, "", "conf", c.merge)
			stored += count(out.Stored)
			held += count(out.Held)
		}
	}
	if stored != 1 || held != 30 {
		t.Errorf("%d stored and %d held of 60 writes, want 1 and 30", stored, held)
	}
	if got := s.owned("conf", "hpa"); got != `{"f:data":{"f:k":{}}}` {
		t.Errorf("the writer that was held owns %s, want the field", got)
	}
}

func TestAFieldThatIsHeldCostsNoWriteOnAnUntrackedObject(t *testing.T) {
	s := serve(t, strings.Replace(shop, "expect:", "tracked: false\nexpect:", 1))
	s.reviewer.answer = patching(`[{"op":"replace","path":"/data/k","value":"v"}]`)
	for range 10 {
		if out := s.write("argo", OpUpdate, "", "conf", `{"data":{"k":"w"}}`); out.Stored || !out.Held {
			t.Fatalf("outcome %+v, want it held and not stored", out)
		}
	}
}

func TestAPatchOfAScaleIsAPatchOfItsObject(t *testing.T) {
	s := serve(t, shop)
	s.reviewer.answer = patching(`[{"op":"replace","path":"/spec/replicas","value":7}]`)
	if out := s.write("hpa", OpUpdate, SubScale, "deploy", `{"spec":{"replicas":5}}`); !out.Stored {
		t.Fatalf("outcome %+v, want it stored", out)
	}
	deploy := s.object("deploy")
	if at(deploy, "spec", "replicas") != 7.0 || at(deploy, "spec", "template") == nil {
		t.Errorf("stored spec is %v, want 7 replicas and the rest of it", deploy["spec"])
	}
}

func TestAPatchCannotTouchMetadataOfTheSystem(t *testing.T) {
	s := serve(t, shop)
	before := at(s.object("conf"), "metadata", "uid")
	s.reviewer.answer = patching(`[{"op":"replace","path":"/metadata/uid","value":"x"},{"op":"remove","path":"/metadata/generation"}]`)
	if _, err := s.try("argo", OpUpdate, "", "conf", `{"data":{"k":"w"}}`, false); err == nil {
		t.Error("a ConfigMap has a generation to remove")
	}
	s.reviewer.answer = patching(`[{"op":"replace","path":"/metadata/uid","value":"x"}]`)
	s.write("argo", OpUpdate, "", "conf", `{"data":{"k":"w"}}`)
	if got := at(s.object("conf"), "metadata", "uid"); got != before {
		t.Errorf("the uid is %v now", got)
	}
}

func TestAPatchOfManagedFields(t *testing.T) {
	const field = `{"op":"replace","path":"/data/k","value":"v"}`
	t.Run("puts back the owner too, so that nothing is stored", func(t *testing.T) {
		s := serve(t, shop)
		s.reviewer.answer = func(now time.Time, phase admission.Phase, r *admissionv1.AdmissionRequest) admission.Response {
			owners := at(decoded(t, r.OldObject.Raw), "metadata", "managedFields")
			raw, err := json.Marshal(owners)
			if err != nil {
				t.Error(err)
			}
			return patching(`[`+field+`,{"op":"add","path":"/metadata/managedFields","value":`+string(raw)+`}]`)(now, phase, r)
		}
		for range 3 {
			if out := s.write("argo", OpUpdate, "", "conf", `{"data":{"k":"w"}}`); out.Stored || !out.Held {
				t.Errorf("outcome %+v, want it held and nothing stored", out)
			}
		}
		s.wantOwners("conf", "setup Update before")
	})
	t.Run("removes them", func(t *testing.T) {
		s := serve(t, shop)
		s.reviewer.answer = patching(`[` + field + `,{"op":"add","path":"/metadata/managedFields","value":null}]`)
		s.write("argo", OpUpdate, "", "conf", `{"data":{"k":"w"}}`)
		s.wantOwners("conf")
	})
	t.Run("is undone if it makes no sense", func(t *testing.T) {
		s := serve(t, shop)
		s.reviewer.answer = patching(`[` + field + `,{"op":"add","path":"/metadata/managedFields","value":[{"manager":"m"}]}]`)
		s.write("argo", OpUpdate, "", "conf", `{"data":{"k":"w"}}`)
		s.wantOwners("conf", "setup Update before", "argocd-controller Update 1s")
	})
	t.Run("is an error if it is no list", func(t *testing.T) {
		s := serve(t, shop)
		s.reviewer.answer = patching(`[{"op":"add","path":"/metadata/managedFields","value":"x"}]`)
		if _, err := s.try("argo", OpUpdate, "", "conf", `{"data":{"k":"w"}}`, false); err == nil ||
			!strings.Contains(err.Error(), "reading the managedFields of ConfigMap web/conf") {
			t.Errorf("error %v", err)
		}
	})
}

func TestAReviewerThatMisbehavesStopsTheStory(t *testing.T) {
	for _, c := range []struct{ name, op, merge, patch, want string }{
		{"a patch that is no patch", OpUpdate, `{}`, `{`, "reading a webhook's patch"},
		{"a patch that does not fit", OpUpdate, `{}`, `[{"op":"remove","path":"/nowhere"}]`, "applying a webhook's patch"},
		{"a patch that leaves no object", OpUpdate, `{}`, `[{"op":"replace","path":"","value":[]}]`, "after a webhook's patch"},
		{"a patch of a delete", OpDelete, "", `[{"op":"add","path":"/a","value":1}]`, "patched the delete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, shop)
			s.reviewer.answer = patching(c.patch)
			_, err := s.try("argo", c.op, "", "conf", c.merge, false)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	t.Run("a patch by the validating webhook", func(t *testing.T) {
		s := serve(t, shop)
		s.reviewer.answer = func(time.Time, admission.Phase, *admissionv1.AdmissionRequest) admission.Response {
			return admission.Response{Allowed: true, Patch: []byte(`[]`)}
		}
		_, err := s.try("argo", OpUpdate, "", "conf", `{"data":{"k":"w"}}`, false)
		if err == nil || !strings.Contains(err.Error(), "a validating webhook may not change the object") {
			t.Errorf("error %v", err)
		}
	})
}

// A guard takes its verdicts from a pool.
func TestAReviewerMayUseItsMemoryAgain(t *testing.T) {
	s := serve(t, shop)
	parties := []history.Writer{{}}
	s.reviewer.answer = func(_ time.Time, phase admission.Phase, _ *admissionv1.AdmissionRequest) admission.Response {
		parties[0].User = "mutating"
		if phase == admission.Validating {
			parties[0].User = "validating"
		}
		return admission.Response{Allowed: true, Verdicts: []admission.Verdict{finding(VerdictFight, "data[k]", parties...)}}
	}
	out := s.write("argo", OpUpdate, "", "conf", `{"data":{"k":"w"}}`)
	want := []Finding{
		{Kind: VerdictFight, Path: "data[k]", Parties: []history.Writer{{User: "mutating"}}},
		{Kind: VerdictFight, Path: "data[k]", Parties: []history.Writer{{User: "validating"}}},
	}
	if diff := cmp.Diff(want, out.Findings); diff != "" {
		t.Errorf("findings differ (-want +got):\n%s", diff)
	}
}
