package registration

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/test/golden"
)

func load(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Load([]byte("apiVersion: truce.dev/v1alpha1\nkind: Policy\n"+text), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var inCluster = Endpoint{Name: "truce", Service: &admissionv1.ServiceReference{Namespace: "truce-system", Name: "truce"}}

func printed(t *testing.T, configurations ...any) string {
	t.Helper()
	var b strings.Builder
	for _, c := range configurations {
		text, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "---\n%s", text)
	}
	return b.String()
}

// Each policy in testdata says what it is about; its configurations are beside it.
func TestConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d policies in testdata: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			p, err := policy.LoadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			validating, mutating := Configurations(p, inCluster)
			all := []any{validating}
			if mutating != nil {
				all = append(all, mutating)
			}
			golden.Check(t, strings.TrimSuffix(file, ".yaml")+".golden", printed(t, all...))
			for _, w := range webhooks(validating, mutating) {
				wellFormed(t, w)
			}
		})
	}
	t.Run("the default policy", func(t *testing.T) {
		validating, mutating := Configurations(policy.Default(), inCluster)
		if mutating != nil {
			t.Error("nothing is held, and yet there is a mutating webhook")
		}
		golden.Check(t, "testdata/default.golden", printed(t, validating))
	})
}

// webhook is what the two kinds of webhook have in common.
type webhook struct {
	rules      []admissionv1.RuleWithOperations
	conditions []admissionv1.MatchCondition
}

func webhooks(v *admissionv1.ValidatingWebhookConfiguration, m *admissionv1.MutatingWebhookConfiguration) []webhook {
	all := []webhook{{v.Webhooks[0].Rules, v.Webhooks[0].MatchConditions}}
	if m != nil {
		all = append(all, webhook{m.Webhooks[0].Rules, m.Webhooks[0].MatchConditions})
	}
	return all
}

// wellFormed checks what the API server asks of a webhook's rules and conditions.
func wellFormed(t *testing.T, w webhook) {
	t.Helper()
	if len(w.rules) == 0 {
		t.Error("a webhook without rules")
	}
	for _, r := range w.rules {
		if len(r.Operations) == 0 || len(r.Resources) == 0 {
			t.Errorf("a rule without operations or resources: %v", r)
		}
		for i, a := range r.Resources {
			resource, sub, hasSub := strings.Cut(a, "/")
			for j, b := range r.Resources {
				of, name, isSub := strings.Cut(b, "/")
				switch {
				case i == j:
				case a == "*/*", a == "*" && !isSub, hasSub && isSub && (resource == "*" && sub == name || sub == "*" && resource == of):
					t.Errorf("%s may not be named beside %s", b, a)
				}
			}
		}
	}
	names := map[string]bool{}
	for _, c := range w.conditions {
		if names[c.Name] || strings.TrimSpace(c.Expression) == "" {
			t.Errorf("condition %q is there twice, or is empty: %q", c.Name, c.Expression)
		}
		names[c.Name] = true
	}
	if len(w.conditions) > 64 {
		t.Errorf("%d conditions, the API server takes 64", len(w.conditions))
	}
}

func TestAnEndpointOutsideTheCluster(t *testing.T) {
	p := load(t, "rules: [{name: a, action: Hold}]")
	for _, address := range []string{"https://truce.example.com:8443", "https://truce.example.com:8443/"} {
		validating, mutating := Configurations(p, Endpoint{Name: "edge", URL: address, CABundle: []byte("a certificate")})
		if validating.Name != "edge" || mutating.Name != "edge" {
			t.Errorf("they are named %q and %q", validating.Name, mutating.Name)
		}
		for path, c := range map[string]admissionv1.WebhookClientConfig{
			"/validate": validating.Webhooks[0].ClientConfig, "/mutate": mutating.Webhooks[0].ClientConfig,
		} {
			if c.URL == nil || *c.URL != "https://truce.example.com:8443"+path || c.Service != nil {
				t.Errorf("%s: the endpoint is %v", path, c)
			}
			if !bytes.Equal(c.CABundle, []byte("a certificate")) {
				t.Errorf("%s: the CA is %q", path, c.CABundle)
			}
		}
	}
}

func TestTheEndpointIsNotChanged(t *testing.T) {
	service := *inCluster.Service
	validating, mutating := Configurations(load(t, "rules: [{name: a, action: Hold}]"), inCluster)
	if diff := cmp.Diff(service, *inCluster.Service); diff != "" {
		t.Errorf("the Service was changed:\n%s", diff)
	}
	v, m := validating.Webhooks[0].ClientConfig.Service.Path, mutating.Webhooks[0].ClientConfig.Service.Path
	if *v != "/validate" || *m != "/mutate" {
		t.Errorf("the paths are %s and %s", *v, *m)
	}
}

// However long the lists of a policy are, each makes one condition: the API server takes 64.
func TestManyExemptions(t *testing.T) {
	var b strings.Builder
	b.WriteString("exempt:\n")
	for _, key := range []string{"users", "groups", "namespaces"} {
		fmt.Fprintf(&b, "  %s:\n", key)
		for i := range 200 {
			fmt.Fprintf(&b, "    - some-%d-*\n", i)
		}
	}
	b.WriteString("rules:\n")
	for i := range 100 {
		fmt.Fprintf(&b, "  - {name: r-%d, match: {resources: [configmaps], excludeResources: [events, configmaps/scale], fields: [\"data[k%d]\"]}}\n", i, i)
	}
	validating, _ := Configurations(load(t, b.String()), inCluster)
	w := webhooks(validating, nil)[0]
	wellFormed(t, w)
	var names []string
	for _, c := range w.conditions {
		names = append(names, c.Name)
	}
	want := []string{
		"not-excluded-resources", "not-exempt-users", "not-exempt-groups", "not-exempt-namespaces", "changes-something-watched",
	}
	if !slices.Equal(names, want) {
		t.Errorf("conditions are %v, want %v", names, want)
	}
	if n := strings.Count(w.conditions[1].Expression, "matches("); n != 200 {
		t.Errorf("%d users are exempt, want 200", n)
	}
	if c := w.conditions[4].Expression; strings.Count(c, "object.?data") != 1 {
		t.Errorf("one member is compared more than once: %s", c)
	}
}

// What is sent does not depend on the mode, which may change without a new registration.
func TestTheModeChangesNothing(t *testing.T) {
	p := load(t, "rules: [{name: a, action: Hold}]")
	want := ""
	for _, m := range []policy.Mode{policy.Audit, policy.Warn, policy.Enforce} {
		p, err := p.WithMode(m)
		if err != nil {
			t.Fatal(err)
		}
		validating, mutating := Configurations(p, inCluster)
		got := printed(t, validating, mutating)
		if want != "" && got != want {
			t.Errorf("mode %s registers something else:\n%s", m, cmp.Diff(want, got))
		}
		want = got
	}
}
