package chart

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/registration"
	"github.com/truce-dev/truce/test/cluster"
)

// Helm's templates cannot call pkg/registration, so they say the same in their own language. This holds the two
// together: for every policy in the tree, and for many that chance makes, the chart registers what the command prints
// for the policy that the chart puts into the ConfigMap.
func TestChartAndCommandRegisterTheSame(t *testing.T) {
	policies := policiesOfTheTree(t)
	random := rand.New(rand.NewPCG(20221026, 1))
	for i := 0; len(policies) < 200; i++ {
		text := randomPolicy(random)
		if _, err := policy.Load([]byte(text), "policy.yaml"); err == nil {
			policies[fmt.Sprintf("random %d", i)] = text
		} else if i > 5000 {
			t.Fatalf("chance makes no good policies any more, such as\n%s%v", text, err)
		}
	}
	names := sortedKeys(policies)
	all := renderTogether(t, names, policies)
	mutating := 0
	for i, name := range names {
		release := fmt.Sprintf("p%d", i)
		stored := find(all, "ConfigMap", release+"-policy")
		if stored == nil {
			t.Fatalf("%s: no ConfigMap", name)
		}
		text, _, _ := unstructured.NestedString(stored.Object, "data", "policy.yaml")
		p, err := policy.Load([]byte(text), "policy.yaml")
		if err != nil {
			t.Errorf("%s: the ConfigMap's policy is refused: %v\n%s", name, err, text)
			continue
		}
		samePolicy(t, name, policies[name], p)
		port := int32(443)
		v, m := registration.Configurations(p, registration.Endpoint{
			Name: release, Service: &admissionv1.ServiceReference{Namespace: namespace, Name: release, Port: &port},
		})
		if diff := cmp.Diff(v.Webhooks, webhooksOf[admissionv1.ValidatingWebhookConfiguration](t, find(all, "ValidatingWebhookConfiguration", release)).Webhooks); diff != "" {
			t.Errorf("%s: the validating webhook differs (-command +chart):\n%s\nfor\n%s", name, diff, text)
		}
		rendered := find(all, "MutatingWebhookConfiguration", release)
		if (m != nil) != (rendered != nil) {
			t.Errorf("%s: the command prints a mutating webhook: %t, the chart: %t", name, m != nil, rendered != nil)
			continue
		}
		if m == nil {
			continue
		}
		mutating++
		if diff := cmp.Diff(m.Webhooks, webhooksOf[admissionv1.MutatingWebhookConfiguration](t, rendered).Webhooks); diff != "" {
			t.Errorf("%s: the mutating webhook differs (-command +chart):\n%s\nfor\n%s", name, diff, text)
		}
	}
	if mutating < 20 || mutating > len(names)-20 {
		t.Errorf("%d of %d policies hold: chance should make both", mutating, len(names))
	}
}

func webhooksOf[T any](t *testing.T, o *unstructured.Unstructured) T {
	t.Helper()
	var into T
	if o == nil {
		t.Error("it is not rendered")
		return into
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, &into, true); err != nil {
		t.Error(err)
	}
	return into
}

// samePolicy checks that the chart adds the mode and the excluded namespaces to a policy, each once, and changes nothing
// else.
func samePolicy(t *testing.T, name, text string, got *policy.Policy) {
	t.Helper()
	p, err := policy.Load([]byte(text), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := p.File
	exempt := want.Exempt.Namespaces
	want.Exempt.Namespaces = nil
	for _, n := range append(slices.Clone(exempt), "kube-system", namespace) {
		if !slices.Contains(want.Exempt.Namespaces, n) {
			want.Exempt.Namespaces = append(want.Exempt.Namespaces, n)
		}
	}
	if diff := cmp.Diff(want, got.File); diff != "" {
		t.Errorf("%s: the chart changes the policy (-want +got):\n%s", name, diff)
	}
}

// The chart's own policy is the built-in one.
func TestTheDefaultPolicyIsTheBuiltInOne(t *testing.T) {
	stored := find(render(t, ""), "ConfigMap", release+"-policy")
	text, _, _ := unstructured.NestedString(stored.Object, "data", "policy.yaml")
	got, err := policy.Load([]byte(text), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, got1 := policy.Default().File, got.File
	want.Exempt.Namespaces = []string{"kube-system", namespace}
	// The built-in policy defines its look-alikes, this one names them: all of them, since it does not say which.
	want.Presets, want.LookAlikes, got1.Presets, got1.LookAlikes = nil, nil, nil, nil
	if diff := cmp.Diff(want, got1); diff != "" {
		t.Errorf("values.yaml's policy is not the built-in one (-built-in +values):\n%s", diff)
	}
}

// policiesOfTheTree returns every policy file in testdata, by name.
func policiesOfTheTree(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"the built-in policy": string(policy.DefaultYAML())}
	for _, pattern := range []string{"pkg/registration/testdata/*.yaml", "pkg/policy/testdata/working_*.yaml"} {
		files, err := filepath.Glob(filepath.Join(cluster.Root(), filepath.FromSlash(pattern)))
		if err != nil || len(files) < 5 {
			t.Fatalf("%d files fit %s: %v", len(files), pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.Base(file)] = string(text)
		}
	}
	return all
}

// renderTogether renders the chart once for each policy, all in one run of Helm: as a chart that depends on Truce's many
// times, by other names. Half of them get the policy as a text, half as values.
func renderTogether(t *testing.T, names []string, policies map[string]string) []*unstructured.Unstructured {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "charts", "truce"), os.DirFS(chartDir())); err != nil {
		t.Fatal(err)
	}
	var dependencies []map[string]any
	values := map[string]any{}
	for i, name := range names {
		alias := fmt.Sprintf("p%d", i)
		dependencies = append(dependencies, map[string]any{"name": "truce", "version": ">=0.0.0-0", "alias": alias})
		var file map[string]any
		if err := yaml.Unmarshal([]byte(policies[name]), &file); err != nil {
			t.Fatal(err)
		}
		mode := "Warn"
		if m, ok := file["mode"].(string); ok {
			mode = m
		}
		of := map[string]any{"mode": mode, "fullnameOverride": alias, "policy": file}
		if i%2 == 0 {
			of["policy"] = policies[name]
		}
		values[alias] = of
	}
	for file, content := range map[string]any{
		"Chart.yaml":  map[string]any{"apiVersion": "v2", "name": "many", "version": "0.1.0", "dependencies": dependencies},
		"values.yaml": values,
	} {
		text, err := yaml.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := helm(t, "template", "many", dir, "--namespace", namespace)
	if err != nil {
		t.Fatal(err)
	}
	return objects(t, out)
}

// randomPolicy makes a policy of patterns that are near one another, so that they cover, repeat and contradict each
// other. Not each is a good one.
func randomPolicy(r *rand.Rand) string {
	some := func(most int, from ...string) []string {
		if most == 0 || r.IntN(3) == 0 {
			return nil
		}
		var out []string
		for range 1 + r.IntN(most) {
			out = append(out, from[r.IntN(len(from))])
		}
		return out
	}
	names := []string{"shop", "prod-*", "*", "*-dev", "kube-system", "a.b*", "team-\\d", "x+y"}
	file := map[string]any{"apiVersion": policy.APIVersion, "kind": policy.Kind}
	exempt := map[string]any{}
	add := func(into map[string]any, key string, list []string) {
		if list != nil {
			into[key] = list
		}
	}
	add(exempt, "users", some(3, append(names, "system:serviceaccount:velero:*", `o"brien`, "jo.e@example.com", "*.*@*")...))
	add(exempt, "groups", some(2, append(names, "system:masters", "oidc:*")...))
	add(exempt, "namespaces", some(3, "shop", "prod-*", "*-dev", "sandbox", "kube-*", "kube-system"))
	add(exempt, "managers", some(1, "argocd*"))
	if len(exempt) > 0 {
		file["exempt"] = exempt
	}
	resources := []string{
		"*", "pods", "pods/status", "pods/*", "*/status", "*/*", "*/scale", "deployments.apps", "deployments.apps/scale", "*.apps",
		"*.apps/status", "*.cert-manager.io", "widgets.*.example.com", "*.*.example.com", "jobs.batch", "jobs.batch/*", "configmaps",
		"serviceaccounts", "*.*",
	}
	fields := []string{
		"**", "$exists", "spec.**", "spec.replicas", "data[*]", "metadata.**", "metadata.labels[app]", "metadata.annotations[*]",
		"metadata[labels]", "metadata.finalizers[*]", "status.conditions[type=Ready].**", "*.name", "a*.b", "roleRef.name", "metadata.own*",
		"binaryData[*]", "metadata",
	}
	var rules []map[string]any
	for i := range 1 + r.IntN(4) {
		match := map[string]any{}
		add(match, "resources", some(4, resources...))
		add(match, "excludeResources", some(4, resources[1:]...))
		add(match, "namespaces", some(3, "shop", "prod-*", "*", "team-a", "team-b"))
		add(match, "excludeNamespaces", some(2, "shop"))
		add(match, "fields", some(4, fields...))
		rule := map[string]any{"name": fmt.Sprintf("r%d", i), "match": match}
		if a := some(1, "Warn", "Throttle", "Reject", "Hold", "Hold"); a != nil {
			rule["action"] = a[0]
		}
		rules = append(rules, rule)
	}
	file["rules"] = rules
	text, _ := json.Marshal(file) // maps and texts only
	return string(text)
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}
