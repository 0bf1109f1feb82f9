package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// signature is the annotation that all writes change. It is the one of the incident that Truce was made for.
const signature = "ops.tips/signature"

// What differs from one review to the next: the zeros are overwritten. Only digits are, so no length changes.
const (
	namePrefix = "object-"
	nameDigits = 7
	uidDigits  = 12
	requestUID = "f1c2d3e4-0000-4000-8000-"
	objectUID  = "0a1b2c3d-0000-4000-8000-"
	userPrefix = "system:serviceaccount:archetype:controller-"
	rvDigits   = 9
	valDigits  = 16
)

func zeros(n int) string { return strings.Repeat("0", n) }

// kinds are the objects that are written, as an API server stores them. An AdmissionReview of an update holds two.
var kinds = []kind{
	{"ServiceAccount", "serviceaccounts", "", "v1", serviceAccount},
	{"Deployment", "deployments", "apps", "v1", deployment},
	{"CustomResourceDefinition", "customresourcedefinitions", "apiextensions.k8s.io", "v1", crd},
	{"ConfigMap", "configmaps", "", "v1", configMap},
}

type kind struct {
	name, resource, group, version string
	object                         func() []byte
}

// review returns the AdmissionReview of an update of one annotation, all zeros.
func (k *kind) review() []byte {
	gvk := metav1.GroupVersionKind{Group: k.group, Version: k.version, Kind: k.name}
	gvr := metav1.GroupVersionResource{Group: k.group, Version: k.version, Resource: k.resource}
	no := false
	object := runtime.RawExtension{Raw: k.object()}
	return encode(&admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{Kind: "AdmissionReview", APIVersion: "admission.k8s.io/v1"},
		Request: &admissionv1.AdmissionRequest{
			UID: requestUID + "000000000000", Kind: gvk, Resource: gvr, RequestKind: &gvk, RequestResource: &gvr,
			Name: namePrefix + zeros(nameDigits), Namespace: "payments", Operation: admissionv1.Update,
			UserInfo: authenticationv1.UserInfo{
				Username: userPrefix + "0",
				Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:archetype", "system:authenticated"},
				Extra: map[string]authenticationv1.ExtraValue{
					"authentication.kubernetes.io/pod-name": {"controller-7d9c5b8f6d-x2v4k"},
				},
			},
			Object: object, OldObject: object, DryRun: &no,
			Options: runtime.RawExtension{Raw: []byte(`{"kind":"UpdateOptions","apiVersion":"meta.k8s.io/v1"}`)},
		},
	})
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only what is written here is encoded
	}
	return b
}

func objectMeta() metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: namePrefix + zeros(nameDigits), Namespace: "payments", UID: objectUID + "000000000000",
		ResourceVersion: zeros(rvDigits), CreationTimestamp: metav1.Unix(1_666_603_800, 0),
		Annotations: map[string]string{signature: zeros(valDigits)},
	}
}

// serviceAccount is one as a chart would install it. It has no managedFields, as most have none.
func serviceAccount() []byte {
	return encode(&corev1.ServiceAccount{
		TypeMeta: metav1.TypeMeta{Kind: "ServiceAccount", APIVersion: "v1"}, ObjectMeta: objectMeta(),
	})
}

// deploymentJSON is what a kube-apiserver stored of a service with seven environment variables and two probes, after
// Helm, the deployment controller and a controller of signatures wrote it.
//
//go:embed testdata/deployment.json
var deploymentJSON []byte

func deployment() []byte {
	var stored struct{ Metadata metav1.ObjectMeta }
	if err := json.Unmarshal(deploymentJSON, &stored); err != nil {
		panic(err)
	}
	m := stored.Metadata
	return []byte(strings.NewReplacer(
		`"metadata":{"name":"`+m.Name, `"metadata":{"name":"`+namePrefix+zeros(nameDigits),
		string(m.UID), objectUID+"000000000000",
		`"resourceVersion":"`+m.ResourceVersion, `"resourceVersion":"`+zeros(rvDigits),
	).Replace(strings.TrimSpace(string(deploymentJSON))))
}

// crd is as dense as objects get: a schema, hardly any text.
func crd() []byte {
	var schema func(depth, width int) map[string]any
	schema = func(depth, width int) map[string]any {
		if depth == 0 {
			return map[string]any{"type": "string", "maxLength": 253, "description": "Name of the thing in the namespace of the order, as other things know it."}
		}
		properties := map[string]any{}
		for i := range width {
			properties[fmt.Sprintf("%cOption%d", 'a'+i, depth)] = schema(depth-1, width)
		}
		return map[string]any{
			"type": "object", "description": "Settings of one part.", "properties": properties,
			"required": []string{fmt.Sprintf("aOption%d", depth)},
		}
	}
	return encode(map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": objectMeta(),
		"spec": map[string]any{
			"group": "ops.tips", "scope": "Namespaced", "names": map[string]any{"kind": "PizzaOrder", "plural": "pizzaorders"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": schema(3, 7)},
			}},
		},
	})
}

// configMap is mostly text, half of it with many escapes: alerting rules, and a dashboard, which is JSON itself.
func configMap() []byte {
	var rules, dashboard strings.Builder
	for i := range 260 {
		fmt.Fprintf(&rules, "- alert: Rule%03d\n  expr: rate(http_requests_total{code=~\"5..\"}[5m]) > 0.%03d\n  for: 10m\n", i, i)
		fmt.Fprintf(&dashboard, `{"id":%d,"title":"Panel %d","targets":[{"expr":"up{job=\"backend\"}","refId":"A"}]},`, i, i)
	}
	return encode(&corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{Kind: "ConfigMap", APIVersion: "v1"}, ObjectMeta: objectMeta(),
		Data: map[string]string{"rules.yaml": rules.String(), "dashboard.json": "[" + dashboard.String() + "null]"},
	})
}

// traffic is the reviews that one server gets of one kind of object, each about another object than the one before. It
// is safe for concurrent use.
type traffic struct {
	template []byte
	objects  int
	// contested: two writers want each object to be different. Otherwise one writer writes, nearly always new values.
	contested bool
	sent      atomic.Int64

	name, request, uid, version, user, from, to []int // where they are in the template
}

func newTraffic(k *kind, objects int, contested bool) (*traffic, error) {
	b := k.review()
	t := &traffic{
		template: b, objects: objects, contested: contested,
		name: after(b, `"name":"`+namePrefix), request: after(b, requestUID), uid: after(b, objectUID),
		version: after(b, `"resourceVersion":"`), user: after(b, userPrefix),
	}
	values := after(b, `"`+signature+`":"`)
	if len(t.name) != 3 || len(t.request) != 1 || len(t.uid) != 2 || len(t.version) != 2 || len(t.user) != 1 || len(values) != 2 {
		return nil, fmt.Errorf("the review of a %s is not as expected: %s", k.name, b[:min(2000, len(b))])
	}
	t.to, t.from = values[:1], values[1:] // object comes before oldObject
	return t, nil
}

// next makes b, a copy of the template, the next review.
func (t *traffic) next(b []byte) {
	n := int(t.sent.Add(1) - 1)
	object, lap := n%t.objects, n/t.objects
	put(b, t.name, object, nameDigits)
	put(b, t.request, n, uidDigits)
	put(b, t.uid, object, uidDigits)
	put(b, t.version, 100_000_000+n, rvDigits)
	put(b, t.from, t.value(lap), valDigits)
	put(b, t.to, t.value(lap+1), valDigits)
	if t.contested {
		put(b, t.user, lap%2, 1)
	}
}

// value is what an object's annotation is after so many writes.
func (t *traffic) value(writes int) int {
	switch {
	case t.contested:
		return writes % 2
	case writes%10 == 9:
		return writes - 2 // every tenth write goes back, as a rollback does
	}
	return writes
}

// put overwrites what is at the offsets with n, in so many digits.
func put(b []byte, at []int, n, digits int) {
	for _, i := range at {
		for d, rest := digits-1, n; d >= 0; d, rest = d-1, rest/10 {
			b[i+d] = '0' + byte(rest%10)
		}
	}
}

// after returns the offsets that follow text in b.
func after(b []byte, text string) (all []int) {
	for i := 0; ; {
		n := bytes.Index(b[i:], []byte(text))
		if n < 0 {
			return all
		}
		i += n + len(text)
		all = append(all, i)
	}
}
