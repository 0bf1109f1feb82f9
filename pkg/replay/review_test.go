package replay

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/test/golden"
)

// The reviews of one write of every kind are kept in testdata/reviews.json, to be read and compared with real ones.
func TestReviews(t *testing.T) {
	s := serve(t, `
expect: {verdict: none}
objects:
  deploy:
    apiVersion: apps/v1
    kind: Deployment
    metadata: {namespace: web, name: shop}
    spec: {replicas: 2, selector: {matchLabels: {tier: front, app: shop}}}
    status: {replicas: 1}
  ns: {apiVersion: v1, kind: Namespace, metadata: {name: web}}
  pod: null
writers:
  hpa:
    user: "system:serviceaccount:kube-system:hpa"
    extra: {authentication.kubernetes.io/pod-name: [kcm-0]}
  argo: {user: "system:serviceaccount:argocd:argo", manager: argocd-controller}
  kubelet: {user: "system:node:worker-3"}
  jane: {user: "jane@example.com", manager: kubectl-edit}
steps: [{at: 0s, by: hpa, object: deploy, merge: {}}]
`)
	s.write("hpa", OpUpdate, SubScale, "deploy", `{"spec":{"replicas":3}}`)
	s.write("argo", OpApply, "", "deploy", `{"metadata":{"labels":{"a":"<b>"}}}`)
	s.write("jane", OpUpdate, "", "ns", `{"metadata":{"labels":{"a":"b"}}}`)
	s.write("jane", OpCreate, "", "pod", `{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"web","name":"p-1","generateName":"p-"},
		"spec":{"nodeName":"worker-3"}}`)
	s.write("kubelet", OpUpdate, SubStatus, "pod", `{"status":{"phase":"Running"}}`)
	s.write("argo", OpDelete, "", "pod", "")
	var out bytes.Buffer
	for _, r := range s.reviewer.reviews {
		if err := json.Indent(&out, r.Body, "", " "); err != nil {
			t.Fatal(err)
		}
		out.WriteByte('\n')
	}
	golden.Check(t, "testdata/reviews.json", out.String())
}

func TestEveryReviewHasItsOwnUID(t *testing.T) {
	s := serve(t, shop)
	for range 10 {
		s.write("argo", OpUpdate, "", "conf", `{}`)
	}
	seen := make(map[string]bool)
	for _, r := range s.reviewer.reviews {
		seen[string(r.Request.UID)] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d uids in 20 reviews", len(seen))
	}
}

func TestAReviewOfAFieldThatLooksLikeItsFrame(t *testing.T) {
	s := serve(t, strings.Replace(shop, "jane@example.com",
		`"jane\",\"object\":null,\"oldObject\":null,"`, 1))
	s.write("jane", OpUpdate, "", "conf", `{"data":{"k":"w"}}`)
	r := s.reviewer.reviews[0].Request
	if want := `jane","object":null,"oldObject":null,`; r.UserInfo.Username != want {
		t.Errorf("the user is %q, want %q", r.UserInfo.Username, want)
	}
	if at(decoded(t, r.Object.Raw), "data", "k") != "w" {
		t.Errorf("the object is %s", r.Object.Raw)
	}
}

func TestBothWebhooksAreCalledAtTheTimeOfTheWrite(t *testing.T) {
	s := serve(t, shop)
	var times []time.Time
	s.reviewer.answer = func(now time.Time, _ admission.Phase, _ *admissionv1.AdmissionRequest) admission.Response {
		times = append(times, now)
		return admission.Response{Allowed: true}
	}
	s.write("argo", OpUpdate, "", "conf", `{}`)
	if diff := cmp.Diff([]time.Time{Epoch.Add(time.Second), Epoch.Add(time.Second)}, times); diff != "" {
		t.Errorf("times differ (-want +got):\n%s", diff)
	}
}

func TestTheScaleOfAnObjectWithoutNumbers(t *testing.T) {
	got := scaleOf(ints(t, `{"metadata":{"name":"rc","labels":{"a":"b"}},"spec":{"selector":{"b":"2","a":"1","n":3}}}`).(map[string]any))
	want := decoded(t, []byte(`{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"rc"},
		"spec":{"replicas":0},"status":{"replicas":0,"selector":"a=1,b=2"}}`))
	if diff := cmp.Diff(want, through(t, got)); diff != "" {
		t.Errorf("scale differs (-want +got):\n%s", diff)
	}
}
