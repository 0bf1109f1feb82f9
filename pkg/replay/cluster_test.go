package replay

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestObjectsThereBeforeTheStory(t *testing.T) {
	s := serve(t, shop)
	metadata := s.object("deploy")["metadata"].(map[string]any)
	if metadata["uid"] == "" || metadata["creationTimestamp"] != "2024-12-25T00:00:00Z" || metadata["generation"] != 1.0 {
		t.Errorf("metadata is %v, want a uid, a creation a week ago and generation 1", metadata)
	}
	if _, has := s.object("conf")["metadata"].(map[string]any)["generation"]; has {
		t.Error("a ConfigMap has a generation")
	}
	s.wantOwners("deploy", "setup Update before", "setup Update before /status")
	s.wantOwners("conf", "setup Update before")
	if got := s.owned("conf", "setup"); got != `{"f:data":{".":{},"f:k":{}},"f:metadata":{"f:annotations":{".":{},"f:a":{}}}}` {
		t.Errorf("setup owns %s", got)
	}
	if s.object("none") != nil {
		t.Error("an object that is null is there")
	}
}

func TestWhatAStorySaysOfMetadataIsKept(t *testing.T) {
	s := serve(t, `
expect: {verdict: none}
objects:
  a:
    apiVersion: x.io/v1
    kind: A
    metadata: {name: a, uid: 00-11, generation: 41, creationTimestamp: 2020-01-01T00:00:00Z, resourceVersion: "7"}
writers: {w: {user: w}}
steps: [{at: 0s, by: w, object: a, merge: {}}]
`)
	want := map[string]any{
		"name": "a", "uid": "00-11", "generation": 41.0, "creationTimestamp": "2020-01-01T00:00:00Z", "resourceVersion": "7",
	}
	if diff := cmp.Diff(want, s.object("a")["metadata"]); diff != "" {
		t.Errorf("metadata differ (-want +got):\n%s", diff)
	}
}

func TestAWriteThatChangesNothingIsReviewedAndNotStored(t *testing.T) {
	for _, c := range []struct{ name, op, sub, merge string }{
		{"an empty update", OpUpdate, "", `{}`},
		{"an update to the same value", OpUpdate, "", `{"spec":{"replicas":2}}`},
		{"a removal of what is not there", OpUpdate, "", `{"metadata":{"annotations":{"x":null}}}`},
		{"a scale to the same number", OpUpdate, SubScale, `{"spec":{"replicas":2}}`},
		{"a status that stays", OpUpdate, SubStatus, `{"status":{"replicas":2}}`},
		{"an empty apply", OpApply, "", `{}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, shop)
			before := s.object("deploy")
			out := s.write("argo", c.op, c.sub, "deploy", c.merge)
			if !out.Reviewed || out.Stored || out.Code != http.StatusOK {
				t.Errorf("outcome %+v, want it reviewed, not stored, 200", out)
			}
			if len(s.reviewer.reviews) != 2 {
				t.Errorf("%d reviews, want a mutating and a validating one", len(s.reviewer.reviews))
			}
			if diff := cmp.Diff(before, s.object("deploy")); diff != "" {
				t.Errorf("the object changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestResourceVersionsAreGivenOutByTheCluster(t *testing.T) {
	s := serve(t, shop)
	s.write("argo", OpUpdate, "", "conf", `{"data":{"k":"w"}}`)
	conf := s.version("conf")
	s.write("argo", OpUpdate, "", "deploy", `{"spec":{"replicas":3}}`)
	if deploy := s.version("deploy"); deploy <= conf {
		t.Errorf("resourceVersion %s after %s, want it to grow across objects", deploy, conf)
	}
	if s.version("conf") != conf {
		t.Error("a write of one object gave another a new resourceVersion")
	}
}

func TestGenerationCountsChangesOfTheDesiredState(t *testing.T) {
	for _, c := range []struct {
		name, sub, key, merge string
		want                  float64
	}{
		{"spec", "", "deploy", `{"spec":{"replicas":3}}`, 2},
		{"scale", SubScale, "deploy", `{"spec":{"replicas":3}}`, 2},
		{"metadata", "", "deploy", `{"metadata":{"annotations":{"x":"y"}}}`, 1},
		{"status through its subresource", SubStatus, "deploy", `{"status":{"replicas":3}}`, 1},
		{"status of a built-in kind", "", "deploy", `{"status":{"replicas":3}}`, 1},
		{"spec of a custom resource", "", "pizza", `{"spec":{"toppings":[]}}`, 2},
		{"status of a custom resource without the subresource", "", "pizza", `{"status":{"phase":"baked"}}`, 2},
		{"status of a custom resource", SubStatus, "pizza", `{"status":{"phase":"baked"}}`, 1},
		{"removing spec", "", "pizza", `{"spec":null}`, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, shop)
			if out := s.write("argo", OpUpdate, c.sub, c.key, c.merge); !out.Stored {
				t.Fatalf("outcome %+v, want it stored", out)
			}
			if got := at(s.object(c.key), "metadata", "generation"); got != c.want {
				t.Errorf("generation %v, want %v", got, c.want)
			}
			mutating, validating := s.reviewer.reviews[0].Request, s.reviewer.reviews[1].Request
			if c.sub == SubScale {
				return // a Scale has no generation
			}
			if got := at(decoded(t, mutating.Object.Raw), "metadata", "generation"); got != 1.0 {
				t.Errorf("the mutating webhook saw generation %v, want that before the write", got)
			}
			if got := at(decoded(t, validating.Object.Raw), "metadata", "generation"); got != c.want {
				t.Errorf("the validating webhook saw generation %v, want %v", got, c.want)
			}
		})
	}
}

func TestSubresourcesTakeTheirPartOnly(t *testing.T) {
	s := serve(t, shop)
	patch := `{"spec":{"replicas":5,"paused":true},"status":{"replicas":9},"metadata":{"annotations":{"x":"y"}}}`
	s.write("hpa", OpUpdate, SubScale, "deploy", patch)
	deploy := s.object("deploy")
	if at(deploy, "spec", "replicas") != 5.0 || at(deploy, "spec", "paused") != nil || at(deploy, "status", "replicas") != 2.0 {
		t.Errorf("after a scale: %v", deploy)
	}
	s.write("hpa", OpUpdate, SubStatus, "deploy", patch)
	deploy = s.object("deploy")
	if at(deploy, "status", "replicas") != 9.0 || at(deploy, "spec", "paused") != nil {
		t.Errorf("after a status update: %v", deploy)
	}
	if at(deploy, "metadata", "annotations", "x") != "y" {
		t.Error("a built-in kind's status took no annotation along")
	}
	s.write("hpa", OpUpdate, SubStatus, "pizza", patch)
	if pizza := s.object("pizza"); at(pizza, "metadata", "annotations") != nil || at(pizza, "status", "replicas") != 9.0 {
		t.Errorf("after a custom resource's status update: %v", pizza)
	}
	if out := s.write("hpa", OpUpdate, SubScale, "deploy", `{"status":{"replicas":1}}`); out.Stored {
		t.Error("a scale without replicas was stored")
	}
}

func TestMetadataOfTheSystemCannotBeWritten(t *testing.T) {
	s := serve(t, shop)
	before := at(s.object("deploy"), "metadata").(map[string]any)
	out := s.write("argo", OpUpdate, "", "deploy",
		`{"metadata":{"uid":"x","resourceVersion":"x","generation":99,"creationTimestamp":null,"managedFields":[]}}`)
	if out.Stored {
		t.Errorf("outcome %+v, want nothing stored", out)
	}
	if diff := cmp.Diff(before, at(s.object("deploy"), "metadata")); diff != "" {
		t.Errorf("metadata changed (-before +after):\n%s", diff)
	}
	if _, err := s.try("argo", OpUpdate, "", "deploy", `{"metadata":{"name":"other"}}`, false); err == nil ||
		!strings.Contains(err.Error(), "cannot be changed; delete and create") {
		t.Errorf("renaming: error %v", err)
	}
}

func TestImpossibleWritesNeverReachTheWebhooks(t *testing.T) {
	pizza := `{"apiVersion":"ops.tips/v1","kind":"PizzaOrder","metadata":{"name":"pizza"}}`
	for _, c := range []struct {
		name, op, key, merge string
		code                 int
	}{
		{"an update of nothing", OpUpdate, "none", `{"a":1}`, http.StatusNotFound},
		{"a delete of nothing", OpDelete, "none", "", http.StatusNotFound},
		{"an apply that cannot create", OpApply, "none", `{"spec":{}}`, http.StatusNotFound},
		{"a create of what is there", OpCreate, "pizza", pizza, http.StatusConflict},
		{"a create of what is there under another key", OpCreate, "none", pizza, http.StatusConflict},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, shop)
			out := s.write("argo", c.op, "", c.key, c.merge)
			if out.Code != c.code || out.Reviewed || out.Stored || out.Denied() || out.Message == "" {
				t.Errorf("outcome %+v, want %d with a message, not reviewed", out, c.code)
			}
			if len(s.reviewer.reviews) > 0 {
				t.Error("a webhook was called")
			}
		})
	}
	s := serve(t, shop)
	if _, err := s.try("nobody", OpUpdate, "", "conf", `{}`, false); err == nil {
		t.Error("a write without a writer: no error")
	}
	if _, err := s.try("argo", OpCreate, "", "none", `{"kind":"X"}`, false); err == nil {
		t.Error("a create without a name: no error")
	}
}
