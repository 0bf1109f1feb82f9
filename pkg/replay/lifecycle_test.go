package replay

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/truce-dev/truce/pkg/admission"
)

func TestDeleteAndCreateGivesANewUID(t *testing.T) {
	s := serve(t, shop)
	before := at(s.object("pizza"), "metadata", "uid")
	if out := s.write("argo", OpDelete, "", "pizza", ""); !out.Stored || s.object("pizza") != nil {
		t.Fatalf("outcome %+v, want it gone", out)
	}
	out := s.write("argo", OpCreate, "", "pizza", `{"apiVersion":"ops.tips/v1","kind":"PizzaOrder",
		"metadata":{"name":"pizza","uid":"mine","resourceVersion":"1","generation":7},"spec":{"n":null,"m":1}}`)
	if out.Code != http.StatusCreated || !out.Stored {
		t.Fatalf("outcome %+v, want 201", out)
	}
	pizza := s.object("pizza")
	metadata := pizza["metadata"].(map[string]any)
	if metadata["uid"] == before || metadata["uid"] == "mine" || metadata["creationTimestamp"] != "2025-01-01T00:00:02Z" ||
		metadata["generation"] != 1.0 {
		t.Errorf("metadata are %v, want a new uid, the time of the create and generation 1", metadata)
	}
	if _, has := pizza["spec"].(map[string]any)["n"]; has {
		t.Error("a null was stored")
	}
	s.wantOwners("pizza", "argocd-controller Update 2s")

	s.write("argo", OpDelete, "", "pizza", "")
	s.write("argo", OpCreate, "", "pizza", `{"apiVersion":"ops.tips/v1","kind":"PizzaOrder","metadata":{"name":"pizza"}}`)
	if again := at(s.object("pizza"), "metadata", "uid"); again == metadata["uid"] {
		t.Error("created twice, it has the same uid")
	}
}

func TestAGeneratedNameIsThereAfterTheMutatingWebhooks(t *testing.T) {
	s := serve(t, shop)
	s.write("argo", OpCreate, "", "none",
		`{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"web","name":"p-x7k","generateName":"p-"},"spec":{}}`)
	mutating, validating := s.reviewer.reviews[0].Request, s.reviewer.reviews[1].Request
	if name := at(decoded(t, mutating.Object.Raw), "metadata", "name"); mutating.Name != "" || name != nil {
		t.Errorf("the mutating webhook saw the name %q, %v", mutating.Name, name)
	}
	if uid := at(decoded(t, mutating.Object.Raw), "metadata", "uid"); uid != nil {
		t.Errorf("the mutating webhook saw the uid %v", uid)
	}
	metadata := decoded(t, validating.Object.Raw)["metadata"].(map[string]any)
	if validating.Name != "p-x7k" || metadata["name"] != "p-x7k" || metadata["uid"] == nil {
		t.Errorf("the validating webhook saw the name %q and metadata %v", validating.Name, metadata)
	}
	if diff := cmp.Diff(metadata["uid"], at(s.object("none"), "metadata", "uid")); diff != "" {
		t.Error("another uid was stored than the webhook saw")
	}

	s = serve(t, shop)
	s.write("argo", OpCreate, "", "none",
		`{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"web","name":"other","generateName":"p-"},"spec":{}}`)
	if name := s.reviewer.reviews[0].Request.Name; name != "other" {
		t.Errorf("a name that does not begin with generateName is %q to the mutating webhook, want it given", name)
	}
}

func TestDryRunsLeaveNoTrace(t *testing.T) {
	s := serve(t, shop)
	before := s.object("conf")
	for _, c := range []struct{ op, key, merge string }{
		{OpUpdate, "conf", `{"data":{"k":"w"}}`},
		{OpApply, "conf", `{"data":{"k":"w"}}`},
		{OpDelete, "conf", ""},
		{OpCreate, "none", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"web","name":"n"}}`},
	} {
		out, err := s.try("argo", c.op, "", c.key, c.merge, true)
		if err != nil || out.Stored || !out.Reviewed || out.Denied() {
			t.Errorf("%s: %+v, %v; want it reviewed and not stored", c.op, out, err)
		}
		for _, r := range s.reviewer.reviews[len(s.reviewer.reviews)-2:] {
			if r.Request.DryRun == nil || !*r.Request.DryRun || !strings.Contains(string(r.Request.Options.Raw), `"dryRun":["All"]`) {
				t.Errorf("%s: the webhook was told dryRun %v, options %s", c.op, r.Request.DryRun, r.Request.Options.Raw)
			}
		}
	}
	if diff := cmp.Diff(before, s.object("conf")); diff != "" || s.object("none") != nil {
		t.Errorf("something was stored (-before +after):\n%s", diff)
	}
}

func TestADenialStoresNothing(t *testing.T) {
	for _, c := range []struct {
		name  string
		phase admission.Phase
		code  int32
		calls int
		want  int
	}{
		{"by the mutating webhook", admission.Mutating, 429, 1, 429},
		{"by the validating webhook", admission.Validating, 403, 2, 403},
		{"without a code", admission.Validating, 0, 2, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, shop)
			s.reviewer.answer = func(_ time.Time, phase admission.Phase, _ *admissionv1.AdmissionRequest) admission.Response {
				if phase == c.phase {
					return deny(c.code)
				}
				return admission.Response{Allowed: true, Warnings: []string{"w"}}
			}
			before := s.object("conf")
			out := s.write("argo", OpUpdate, "", "conf", `{"data":{"k":"w"}}`)
			if out.Code != c.want || !out.Denied() || out.Stored || out.Message != "no" || len(s.reviewer.reviews) != c.calls {
				t.Errorf("outcome %+v after %d calls, want %d after %d", out, len(s.reviewer.reviews), c.want, c.calls)
			}
			if diff := cmp.Diff(before, s.object("conf")); diff != "" {
				t.Errorf("the object changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestWhatTheAPIServerNeverSendsIsOnlyWatched(t *testing.T) {
	s := serve(t, strings.Replace(shop, "expect:", "visible: watch\nexpect:", 1))
	s.reviewer.answer = func(time.Time, admission.Phase, *admissionv1.AdmissionRequest) admission.Response {
		r := deny(403)
		r.Warnings, r.Verdicts = []string{"w"}, []admission.Verdict{finding(VerdictFight, "data[k]")}
		return r
	}
	out := s.write("argo", OpUpdate, "", "conf", `{"data":{"k":"w"}}`)
	if !out.Stored || out.Denied() || len(out.Warnings) > 0 || len(out.Findings) != 1 {
		t.Errorf("outcome %+v, want it stored, not denied, not warned, with the finding", out)
	}
	if len(s.reviewer.reviews) != 1 || s.reviewer.reviews[0].Phase != admission.Validating {
		t.Errorf("%d reviews, want a validating one alone", len(s.reviewer.reviews))
	}
}
