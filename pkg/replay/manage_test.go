package replay

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAnUpdateMovesOwnership(t *testing.T) {
	s := serve(t, shop)
	s.write("argo", OpUpdate, "", "conf", `{"data":{"k":"w"}}`)
	s.wantOwners("conf", "setup Update before", "argocd-controller Update 1s")
	if got := s.owned("conf", "argocd-controller"); got != `{"f:data":{"f:k":{}}}` {
		t.Errorf("the writer owns %s", got)
	}
	if got := s.owned("conf", "setup"); strings.Contains(got, "f:k") {
		t.Errorf("the owner before still owns %s", got)
	}
	fields := string(s.reviewer.reviews[0].Request.Object.Raw)
	if !strings.Contains(fields, `"manager":"argocd-controller"`) || !strings.Contains(fields, `"time":"2025-01-01T00:00:01Z"`) {
		t.Errorf("the webhook saw %s, want the managedFields of this very write", fields)
	}
	if strings.Contains(string(s.reviewer.reviews[0].Request.OldObject.Raw), "argocd-controller") {
		t.Error("oldObject has the managedFields of this write")
	}

	// A removed key has no owner.
	s.write("hpa", OpUpdate, "", "conf", `{"data":{"k":null}}`)
	s.wantOwners("conf", "setup Update before")
}

func TestTheManagerIsTheClientsOrFromItsUserAgent(t *testing.T) {
	for user, want := range map[string]string{
		"system:serviceaccount:kube-system:deployment-controller": "deployment-controller",
		"system:node:worker-3":  "kubelet",
		"system:kube-scheduler": "kube-scheduler",
		"jane@example.com":      "kubectl",
		"k3s-cloud-controller":  "k3s-cloud-controller",
	} {
		if got := (&Writer{User: user}).manager(); got != want {
			t.Errorf("%s writes as %q, want %q", user, got, want)
		}
	}
	if got := (&Writer{User: "jane@example.com", Manager: "m"}).manager(); got != "m" {
		t.Errorf("a writer with a field manager of its own writes as %q", got)
	}
}

func TestWhatIsNotTrackedStaysSo(t *testing.T) {
	s := serve(t, strings.Replace(shop, "expect:", "tracked: false\nexpect:", 1))
	for _, sub := range []string{"", SubStatus, SubScale} {
		s.write("argo", OpUpdate, sub, "deploy", `{"spec":{"replicas":4},"status":{"replicas":4}}`)
		s.write("argo", OpUpdate, sub, "deploy", `{"spec":{"replicas":2},"status":{"replicas":2}}`)
	}
	if got := at(s.object("deploy"), "metadata", "managedFields"); got != nil {
		t.Errorf("managedFields are %v, want none", got)
	}
	s.write("argo", OpDelete, "", "conf", "")
	s.write("argo", OpCreate, "", "conf", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"web","name":"conf"},"data":{"k":"v"}}`)
	s.wantOwners("conf", "argocd-controller Update 8s")
}

func TestAnApplyStartsTracking(t *testing.T) {
	s := serve(t, strings.Replace(shop, "expect:", "tracked: false\nexpect:", 1))
	s.write("argo", OpApply, "", "conf", `{"data":{"n":"1"}}`)
	s.wantOwners("conf", "argocd-controller Apply 1s", "before-first-apply Update 1s")

	// An apply cannot do without a field manager, even if the story knows of none.
	s.write("hpa", OpApply, "", "conf", `{"data":{"m":"1"}}`)
	if options := string(s.reviewer.reviews[2].Request.Options.Raw); !strings.Contains(options, `"fieldManager":"hpa"`) {
		t.Errorf("the options of an apply are %s", options)
	}
}

func TestTimesAloneAreNotWorthAWrite(t *testing.T) {
	s := serve(t, shop)
	s.write("argo", OpApply, "", "conf", `{"data":{"k":"w"}}`)
	version := s.version("conf")
	out := s.write("argo", OpApply, "", "conf", `{"data":{"k":"w"}}`)
	if out.Stored || s.version("conf") != version {
		t.Errorf("outcome %+v, want nothing stored", out)
	}
	s.wantOwners("conf", "argocd-controller Apply 1s", "setup Update before")
	if validating := s.reviewer.reviews[3].Request; string(validating.Object.Raw) != string(validating.OldObject.Raw) {
		t.Errorf("the validating webhook saw a change:\n%s\n%s", validating.OldObject.Raw, validating.Object.Raw)
	}
}

func TestApplyRecordsWhatIsApplied(t *testing.T) {
	s := serve(t, shop)
	s.write("argo", OpApply, "", "conf", `{"data":{"a":"1"}}`)
	if got := s.owned("conf", "argocd-controller"); got != `{"f:data":{"f:a":{}}}` {
		t.Errorf("the applier owns %s", got)
	}

	// Owning a field with another whose value is the same is a change worth storing.
	if out := s.write("argo", OpApply, "", "conf", `{"data":{"k":"v"}}`); !out.Stored {
		t.Errorf("outcome %+v, want it stored", out)
	}
	// What was applied before still counts: a story says what is new, an apply says everything.
	if got := s.owned("conf", "argocd-controller"); got != `{"f:data":{"f:a":{},"f:k":{}}}` {
		t.Errorf("after another apply it owns %s", got)
	}

	// What somebody else has changed since is not taken back by an apply of something else.
	s.write("jane", OpUpdate, "", "conf", `{"data":{"a":"2"}}`)
	s.write("argo", OpApply, "", "conf", `{"data":{"b":"1"}}`)
	if data := s.object("conf")["data"].(map[string]any); data["a"] != "2" || data["b"] != "1" {
		t.Errorf("data are %v, want a: 2 to stand", data)
	}
	if got := s.owned("conf", "kubectl"); got != `{"f:data":{"f:a":{}}}` {
		t.Errorf("who changed it owns %s", got)
	}

	// A key that is taken out of what is applied goes; one that another owns goes too, as the merge patch says.
	s.write("argo", OpApply, "", "conf", `{"data":{"b":null,"a":null}}`)
	if data := s.object("conf")["data"].(map[string]any); len(data) != 1 {
		t.Errorf("data are %v, want k alone", data)
	}
	if got := s.owned("conf", "argocd-controller"); got != `{"f:data":{"f:k":{}}}` {
		t.Errorf("in the end it owns %s", got)
	}
	if got := s.owned("conf", "kubectl"); got != "" {
		t.Errorf("the owner of a key that is gone owns %s", got)
	}
	options := string(s.reviewer.reviews[0].Request.Options.Raw)
	if options != `{"kind":"PatchOptions","apiVersion":"meta.k8s.io/v1","force":true,"fieldManager":"argocd-controller"}` {
		t.Errorf("the options of an apply are %s", options)
	}
}

func TestApplyMergesListsOfBuiltInKindsByKey(t *testing.T) {
	s := serve(t, shop)
	s.write("argo", OpApply, "", "deploy",
		`{"spec":{"template":{"spec":{"containers":[{"name":"shop","image":"shop:2"}]}}}}`)
	want := `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"shop\"}":{".":{},"f:image":{},"f:name":{}}}}}}}`
	if got := s.owned("deploy", "argocd-controller"); got != want {
		t.Errorf("the applier owns %s, want %s", got, want)
	}
}

func TestApplyCreatesWhatIsNotThere(t *testing.T) {
	s := serve(t, shop)
	out := s.write("argo", OpApply, "", "none",
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"web","name":"new","generateName":"n"},"data":{"k":"v"}}`)
	if out.Code != 201 || !out.Stored {
		t.Fatalf("outcome %+v, want 201", out)
	}
	s.wantOwners("none", "argocd-controller Apply 1s")
	r := s.reviewer.reviews[0].Request
	if r.Operation != "CREATE" || r.Name != "new" || !strings.Contains(string(r.Options.Raw), "CreateOptions") {
		t.Errorf("the webhook saw a %s of %q with %s", r.Operation, r.Name, r.Options.Raw)
	}
	if s.object("none")["data"].(map[string]any)["k"] != "v" {
		t.Errorf("stored: %v", s.object("none"))
	}
}

func TestAScaleOwnsTheReplicas(t *testing.T) {
	s := serve(t, shop)
	s.write("hpa", OpUpdate, SubScale, "deploy", `{"spec":{"replicas":5}}`)
	if got := s.owned("deploy", "hpa"); got != `{"f:spec":{"f:replicas":{}}}` {
		t.Errorf("the scaler owns %s", got)
	}
	// As in the API server, the entry is in the version of the object, and nobody notes its time.
	s.wantOwners("deploy", "hpa Update some time /scale", "setup Update before", "setup Update before /status")
	s.write("argo", OpUpdate, "", "deploy", `{"spec":{"replicas":1}}`)
	if got := s.owned("deploy", "hpa"); got != "" {
		t.Errorf("overruled, the scaler still owns %s", got)
	}
	// A custom resource scales as well.
	s.write("hpa", OpUpdate, SubScale, "pizza", `{"spec":{"replicas":5}}`)
	s.write("argo", OpUpdate, SubScale, "pizza", `{"spec":{"replicas":6}}`)
	if got := at(s.object("pizza"), "spec", "replicas"); got != 6.0 {
		t.Errorf("replicas are %v", got)
	}
}

func TestAnObjectThatDoesNotFitItsSchemaIsTrackedWithoutIt(t *testing.T) {
	s := serve(t, strings.Replace(shop, "replicas: 2\n", "replicas: two\n", 1))
	s.write("argo", OpUpdate, "", "deploy", `{"spec":{"replicas":"three"}}`)
	if got := s.owned("deploy", "argocd-controller"); got != `{"f:spec":{"f:replicas":{}}}` {
		t.Errorf("the writer owns %s", got)
	}
	if !s.objects["deploy"].deduced {
		t.Error("the schema is still in use")
	}

	s = serve(t, shop)
	s.write("argo", OpUpdate, "", "deploy", `{"spec":{"replicas":"three"}}`)
	s.write("hpa", OpUpdate, "", "deploy", `{"spec":{"template":{"spec":{"containers":[]}}}}`)
	if !s.objects["deploy"].deduced || !strings.Contains(s.owned("deploy", "hpa"), "f:containers") {
		t.Errorf("deduced is %v, the second writer owns %s", s.objects["deploy"].deduced, s.owned("deploy", "hpa"))
	}
}

func TestSameOwnersIgnoresTimesOnly(t *testing.T) {
	entry := func(spoil func(*metav1.ManagedFieldsEntry)) entries {
		now := metav1.NewTime(time.Unix(1, 0))
		e := metav1.ManagedFieldsEntry{Manager: "m", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1",
			Time: &now, FieldsType: "FieldsV1"}
		if spoil != nil {
			spoil(&e)
		}
		return entries{e}
	}
	later := metav1.NewTime(time.Unix(2, 0))
	for _, c := range []struct {
		what  string
		spoil func(*metav1.ManagedFieldsEntry)
		same  bool
	}{
		{"nothing", nil, true},
		{"the time", func(e *metav1.ManagedFieldsEntry) { e.Time = &later }, true},
		{"the manager", func(e *metav1.ManagedFieldsEntry) { e.Manager = "n" }, false},
		{"the operation", func(e *metav1.ManagedFieldsEntry) { e.Operation = metav1.ManagedFieldsOperationApply }, false},
		{"the version", func(e *metav1.ManagedFieldsEntry) { e.APIVersion = "v2" }, false},
		{"the subresource", func(e *metav1.ManagedFieldsEntry) { e.Subresource = "status" }, false},
		{"the fields", func(e *metav1.ManagedFieldsEntry) { e.FieldsV1 = metav1.NewFieldsV1(`{"f:a":{}}`) }, false},
	} {
		if got := sameOwners(entry(nil), entry(c.spoil)); got != c.same {
			t.Errorf("%s differs: same is %v, want %v", c.what, got, c.same)
		}
	}
	if sameOwners(entry(nil), nil) {
		t.Error("one entry and none are the same")
	}
}
