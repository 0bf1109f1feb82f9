package e2e

import (
	"bytes"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/truce-dev/truce/test/cluster"
)

// arrivals returns how many reviews of a scene's webhook one write causes.
func (s *scene) arrivals(write func() error) int {
	s.t.Helper()
	v, m := s.hook.reached()
	if err := write(); err != nil {
		s.t.Fatal(err)
	}
	v2, m2 := s.hook.reached()
	return v2 - v + m2 - m
}

// The default is to see everything. A policy about annotations only has the rest filtered by the API server.
func TestMatchConditionsKeepAwayWhatCannotMatter(t *testing.T) {
	t.Parallel()
	type write struct {
		name string
		do   func(s *scene, p *party) error
		want int
	}
	merge := func(gvr schema.GroupVersionResource, name, body string, sub ...string) func(*scene, *party) error {
		return func(_ *scene, p *party) error { return p.patch(gvr, name, types.MergePatchType, body, sub...) }
	}
	for _, tt := range []struct {
		name, policy string
		writes       []write
	}{
		{
			name:   "annotations only",
			policy: rule("match: {fields: ['metadata.annotations[*]']}"),
			writes: []write{
				{"data", merge(configMaps, "settings", `{"data":{"colour":"green"}}`), 0},
				{"a label", merge(configMaps, "settings", `{"metadata":{"labels":{"a":"b"}}}`), 0},
				{"scale", merge(deployments, "web", `{"spec":{"replicas":3}}`, "scale"), 0},
				{"spec", merge(deployments, "web", `{"spec":{"minReadySeconds":3}}`), 0},
				{"status", merge(pizzaOrders, "margherita", `{"status":{"phase":"Baking"}}`, "status"), 0},
				{"nothing", merge(configMaps, "settings", `{"data":{"colour":"green"}}`), 0},
				{"an annotation, the first", merge(pizzaOrders, "margherita", `{"metadata":{"annotations":{"a":"b"}}}`), 1},
				{"an annotation, another", merge(configMaps, "settings", `{"metadata":{"annotations":{"a":"b"}}}`), 1},
				{"an annotation, removed", merge(configMaps, "settings", `{"metadata":{"annotations":{"a":null}}}`), 1},
				{"an annotation along with data", merge(configMaps, "settings", `{"data":{"colour":"blue"},"metadata":{"annotations":{"a":"c"}}}`), 1},
				{"a creation", creation("other"), 0},
				{"a deletion", deletion("other"), 0},
			},
		},
		{
			name:   "annotations, held",
			policy: rule("match: {fields: ['metadata.annotations[*]']}", "action: Hold"),
			writes: []write{
				{"data", merge(configMaps, "settings", `{"data":{"colour":"green"}}`), 0},
				{"an annotation", merge(configMaps, "settings", `{"metadata":{"annotations":{"a":"b"}}}`), 2},
			},
		},
		{
			name:   "existence only",
			policy: rule("match: {fields: ['$exists']}"),
			writes: []write{
				{"a creation", creation("other"), 1},
				{"a deletion", deletion("other"), 1},
				{"data", merge(configMaps, "settings", `{"data":{"colour":"green"}}`), 0},
			},
		},
		{
			name:   "replicas of Deployments",
			policy: rule("match: {resources: [deployments.apps], fields: [spec.replicas]}"),
			writes: []write{
				{"scale", merge(deployments, "web", `{"spec":{"replicas":3}}`, "scale"), 1},
				{"spec.replicas", merge(deployments, "web", `{"spec":{"replicas":4}}`), 1},
				{"an annotation", merge(deployments, "web", `{"metadata":{"annotations":{"a":"b"}}}`), 0},
				{"another resource", merge(configMaps, "settings", `{"data":{"colour":"green"}}`), 0},
			},
		},
		{
			name:   "spec and status of one API group, by wildcard",
			policy: rule("match: {resources: ['*.ops.tips'], fields: ['spec.**', 'status.**']}"),
			writes: []write{
				{"spec", merge(pizzaOrders, "margherita", `{"spec":{"size":"large"}}`), 1},
				{"status", merge(pizzaOrders, "margherita", `{"status":{"phase":"Baking"}}`, "status"), 1},
				{"a label", merge(pizzaOrders, "margherita", `{"metadata":{"labels":{"a":"b"}}}`), 0},
				{"another group", merge(deployments, "web", `{"spec":{"minReadySeconds":3}}`), 0},
			},
		},
		{
			name:   "keys whose names are no identifiers",
			policy: rule("match: {fields: ['data[*]', 'metadata.finalizers[*]', 'metadata.ownerReferences[*]']}"),
			writes: []write{
				{"data", merge(configMaps, "settings", `{"data":{"tls.crt":"green"}}`), 1},
				{"a finalizer", merge(configMaps, "settings", `{"metadata":{"finalizers":["apps.example.com/a"]}}`), 1},
				{"and away", merge(configMaps, "settings", `{"metadata":{"finalizers":null}}`), 1},
				{"a label", merge(configMaps, "settings", `{"metadata":{"labels":{"a":"b"}}}`), 0},
			},
		},
		{
			name:   "everything, but not some resources",
			policy: rule("match: {excludeResources: [configmaps, 'deployments.apps/scale', '*.ops.tips']}"),
			writes: []write{
				{"an excluded resource", merge(configMaps, "settings", `{"data":{"colour":"green"}}`), 0},
				{"an excluded subresource", merge(deployments, "web", `{"spec":{"replicas":3}}`, "scale"), 0},
				{"an excluded group", merge(pizzaOrders, "margherita", `{"spec":{"size":"large"}}`), 0},
				{"another one", merge(deployments, "web", `{"spec":{"replicas":4}}`), 1},
			},
		},
		{
			name:   "everything",
			policy: rule("action: Reject"),
			writes: []write{
				{"data", merge(configMaps, "settings", `{"data":{"colour":"green"}}`), 1},
				{"nothing", merge(configMaps, "settings", `{"data":{"colour":"green"}}`), 1},
				{"scale", merge(deployments, "web", `{"spec":{"replicas":3}}`, "scale"), 1},
				{"status", merge(pizzaOrders, "margherita", `{"status":{"phase":"Baking"}}`, "status"), 1},
				{"a creation", creation("other"), 1},
				{"a deletion", deletion("other"), 1},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// Only red's writes are to be counted: the cluster's own controllers write to Deployments as well.
			s := newScene(t, exempt(`users: ["system:kube-controller-manager", "system:serviceaccount:kube-system:*"]`, tt.policy))
			tracked(s)
			s.create(deployments, deployment("web"))
			s.create(pizzaOrders, object("ops.tips/v1", "PizzaOrder", "margherita"))
			red := s.party("red")
			for _, w := range tt.writes {
				// One that lost a race against the cluster's own controllers is reviewed again.
				if n := s.arrivals(func() error { return w.do(s, red) }); n < w.want || (n > 0) != (w.want > 0) {
					t.Errorf("%s: %d reviews, want %d", w.name, n, w.want)
				}
			}
		})
	}
}

func creation(name string) func(*scene, *party) error {
	return func(_ *scene, p *party) error { return p.creates(configMaps, object("v1", "ConfigMap", name)) }
}

func deletion(name string) func(*scene, *party) error {
	return func(_ *scene, p *party) error { return p.deletes(configMaps, name) }
}

// What `truce policy webhooks` prints is taken by the API server as it is.
func TestThePrintedWebhookConfigurationsApply(t *testing.T) {
	t.Parallel()
	s := newStage(t, rule("action: Hold", "match: {namespaces: [NAMESPACE, 'team-*'], excludeResources: [events]}"))
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"of the default policy", nil, []string{"ValidatingWebhookConfiguration"}},
		{"of a policy that holds", []string{s.file}, []string{"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", append([]string{
				"run", "-buildvcs=false", "./cmd/truce", "policy", "webhooks", "--name=" + s.id,
			}, tt.args...)...)
			cmd.Dir = cluster.Root()
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, stderr.String())
			}
			kinds := map[string]int{}
			docs := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(out), 4096)
			for {
				o := &unstructured.Unstructured{}
				if err := docs.Decode(o); err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				kinds[o.GetKind()]++
				gvr := schema.GroupVersionResource{
					Group: "admissionregistration.k8s.io", Version: "v1", Resource: strings.ToLower(o.GetKind()) + "s",
				}
				// As a dry run: the API server validates and compiles all of it, and the cluster of other tests stays as it is.
				_, err := s.dyn.Resource(gvr).Create(t.Context(), o, metav1.CreateOptions{
					DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict,
				})
				if err != nil {
					t.Errorf("%s: %v\n%s", o.GetKind(), err, out)
				}
			}
			for _, kind := range tt.want {
				if kinds[kind] != 1 {
					t.Errorf("%d times %s, want once:\n%s", kinds[kind], kind, out)
				}
			}
			if len(kinds) != len(tt.want) {
				t.Errorf("printed %v, want %v", kinds, tt.want)
			}
		})
	}
}

// kubectl shows an operator what Truce says.
func TestKubectlShowsTheWarning(t *testing.T) {
	t.Parallel()
	kubectl := findKubectl(t)
	if kubectl == "" {
		return // it is on hand nearly everywhere, but nothing here needs it
	}
	s := newScene(t, rule("action: Hold"))
	red, blue := quarrel(t, s, "settings")
	cmd := exec.CommandContext(t.Context(), kubectl, "--kubeconfig="+shared.Kubeconfig, "--as="+red.user,
		"--as-group="+writersGroup, "-n", s.ns, "annotate", "--overwrite", "configmap/settings", signature+"="+red.name)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Warning: truce: "+signatureField+" of configmaps/settings") {
		t.Errorf("kubectl annotate: %v\n%s", err, out)
	}
	if got := signatureOf(s.get(configMaps, "settings")); got != blue.name {
		t.Errorf("the signature is %s: kubectl's change is to be held as well", got)
	}
}

func findKubectl(t *testing.T) string {
	t.Helper()
	assets, err := cluster.Assets(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if path, err := exec.LookPath(filepath.Join(assets, "kubectl")); err == nil {
		return path
	}
	path, err := exec.LookPath("kubectl")
	if err != nil {
		t.Log("there is no kubectl")
		return ""
	}
	return path
}

// A policy file that changes takes effect without a restart; one with problems does not.
func TestThePolicyIsReloaded(t *testing.T) {
	t.Parallel()
	s := newScene(t, rule("action: Reject"))
	red, _ := quarrel(t, s, "settings")
	if !stopped(t, red.signs("settings")) {
		t.Fatal("red's write was let through during a truce")
	}
	s.rewrite(modeRule("Enfroce", "action: Reject"))
	eventually(t, "the bad policy is refused", func() bool {
		return strings.Contains(s.hook.log.String(), "Enfroce")
	})
	if !stopped(t, red.signs("settings")) {
		t.Error("the old policy is not in force any more")
	}
	s.rewrite(modeRule("Warn", "action: Reject"))
	eventually(t, "red's write is let through in mode Warn", func() bool { return !stopped(t, red.signs("settings")) })
}
