package policy

import (
	"strings"
	"testing"
)

// target reads `deployments.apps/scale`.
func target(s string) *Target {
	name, sub, _ := strings.Cut(s, "/")
	resource, group, _ := strings.Cut(name, ".")
	return &Target{Group: group, Resource: resource, Subresource: sub}
}

func TestResourcePatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		fits    []string
		not     []string
	}{
		{"*", []string{"pods", "deployments.apps", "pods/status", "deployments.apps/scale"}, []string{"pods/exec", "pods/eviction"}},
		{"*.*", []string{"pods", "deployments.apps", "pods/status"}, []string{"pods/exec"}},
		{"serviceaccounts", []string{"serviceaccounts", "serviceaccounts/status"}, []string{"serviceaccounts/token", "serviceaccounts.example.com", "pods"}},
		{"deployments.apps", []string{"deployments.apps", "deployments.apps/status", "deployments.apps/scale"},
			[]string{"deployments", "deployments.extensions", "statefulsets.apps", "deployments.apps/rollback"}},
		{"deployments.apps/scale", []string{"deployments.apps/scale"}, []string{"deployments.apps", "deployments.apps/status"}},
		{"pods/*", []string{"pods/status", "pods/exec"}, []string{"pods", "services/status"}},
		{"*/scale", []string{"deployments.apps/scale", "x.example.com/scale"}, []string{"deployments.apps"}},
		{"*.cert-manager.io", []string{"certificates.cert-manager.io", "issuers.cert-manager.io/status"},
			[]string{"orders.acme.cert-manager.io", "certificates", "certificates.cert-manager.io.example.com"}},
		{"*.*.toolkit.fluxcd.io", []string{"kustomizations.kustomize.toolkit.fluxcd.io"}, []string{"x.toolkit.fluxcd.io"}},
		{"deployments.*", []string{"deployments.apps", "deployments.extensions"}, []string{"statefulsets.apps"}},
		{"service.example.com", []string{"service.example.com"}, []string{"services.example.com"}},
	} {
		p, err := parseResource(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		var index resourceIndex
		index.add([]resourcePattern{p}, 77)
		for _, s := range c.fits {
			if found := index.find(target(s)); !p.fits(target(s)) || found.empty() {
				t.Errorf("%s does not fit %s", c.pattern, s)
			}
		}
		for _, s := range c.not {
			if found := index.find(target(s)); p.fits(target(s)) || !found.empty() {
				t.Errorf("%s fits %s", c.pattern, s)
			}
		}
	}
}

func TestResourcePatternsCoverAndAreDisjoint(t *testing.T) {
	for _, c := range []struct {
		a, b             string
		covers, disjoint bool
	}{
		{"*", "deployments.apps", true, false},
		{"*", "deployments.apps/scale", true, false},
		{"*", "pods/exec", false, false},
		{"*", "*", true, false},
		{"*.apps", "deployments.apps", true, false},
		{"*.apps", "*", false, false},
		{"*.apps", "pods", false, true},
		{"pods", "pods/status", true, false},
		{"pods/*", "pods/status", true, false},
		{"pods/*", "pods", false, false},
		{"pods/exec", "pods/status", false, true},
		{"pods", "services", false, true},
		{"deployments.apps", "deployments.*", false, false},
		{"deployments.*", "deployments.apps", true, false},
	} {
		a, errA := parseResource(c.a)
		b, errB := parseResource(c.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if got := a.covers(&b); got != c.covers {
			t.Errorf("%s covers %s: %v", c.a, c.b, got)
		}
		if got := a.disjoint(&b); got != c.disjoint || b.disjoint(&a) != got {
			t.Errorf("%s and %s are disjoint: %v", c.a, c.b, got)
		}
	}
}
