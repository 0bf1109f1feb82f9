package policy

import (
	"strings"
	"testing"
)

func load(t testing.TB, file string) *Policy {
	t.Helper()
	p, err := Load([]byte(head+file), "f")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheFirstRuleThatFitsDecides(t *testing.T) {
	p := load(t, `
rules:
  - name: signature
    match: {resources: [serviceaccounts], fields: ["metadata.annotations[apps.example.com/signature]"]}
  - name: web-in-production
    match:
      resources: [deployments.apps, statefulsets.apps]
      excludeResources: [statefulsets.apps/scale]
      namespaces: [prod-*]
      excludeNamespaces: [prod-test]
      selector: app=web
      fields: [spec.**]
      excludeFields: [spec.replicas]
  - name: scale
    match: {resources: ["*/scale"], fields: [spec.replicas]}
  - name: spec
    match: {excludeResources: [events], excludeNamespaces: [sandbox], fields: [spec.**]}
`)
	for _, c := range []struct {
		name      string
		target    string
		namespace string
		labels    string
		path      string
		want      string
	}{
		{"the field that is named", "serviceaccounts", "a", "", "metadata.annotations[apps.example.com/signature]", "signature"},
		{"another field", "serviceaccounts", "a", "", "metadata.annotations[example.com/other]", ""},
		{"another resource", "configmaps", "a", "", "metadata.annotations[apps.example.com/signature]", ""},
		{"all that is asked for", "deployments.apps", "prod-1", "app=web", "spec.paused", "web-in-production"},
		{"the other resource", "statefulsets.apps", "prod-1", "app=web", "spec.paused", "web-in-production"},
		{"its status", "statefulsets.apps/status", "prod-1", "app=web", "spec.paused", "web-in-production"},
		{"an excluded subresource", "statefulsets.apps/scale", "prod-1", "app=web", "spec.replicas", "scale"},
		{"another namespace", "deployments.apps", "dev", "app=web", "spec.paused", "spec"},
		{"an excluded namespace", "deployments.apps", "prod-test", "app=web", "spec.paused", "spec"},
		{"another label", "deployments.apps", "prod-1", "app=shop", "spec.paused", "spec"},
		{"no labels", "deployments.apps", "prod-1", "", "spec.paused", "spec"},
		{"an excluded field goes to a later rule", "deployments.apps", "prod-1", "app=web", "spec.replicas", "spec"},
		{"status is watched by none", "deployments.apps", "prod-1", "app=web", "status.replicas", ""},
		{"an excluded resource", "events", "a", "", "spec.a", ""},
		{"cluster-scoped objects fit `*`", "nodes", "", "", "spec.unschedulable", "spec"},
		{"an excluded namespace of the last rule", "pods", "sandbox", "", "spec.nodeName", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := target(c.target)
			target.Namespace = c.namespace
			if c.labels != "" {
				target.Label = labels(c.labels)
			}
			got := ""
			if r := p.Match(target).Rule([]byte(c.path)); r != nil {
				got = r.Name
				if p.Rules()[r.Index].Name != r.Name {
					t.Errorf("%s has the index %d", r.Name, r.Index)
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestNothingWatchesAnObject(t *testing.T) {
	p := load(t, `rules: [{name: a, match: {resources: [pods], namespaces: [shop], selector: app}}]`)
	for _, c := range []struct {
		target, namespace, labels string
		empty                     bool
	}{
		{"pods", "shop", "app=web", false},
		{"pods/status", "shop", "app=web", false},
		{"pods/exec", "shop", "app=web", true},
		{"services", "shop", "app=web", true},
		{"pods.metrics.k8s.io", "shop", "app=web", true},
		{"pods", "other", "app=web", true},
		{"pods", "", "app=web", true},
		{"pods", "shop", "tier=web", true},
	} {
		target := target(c.target)
		target.Namespace, target.Label = c.namespace, labels(c.labels)
		m := p.Match(target)
		if m.Empty() != c.empty {
			t.Errorf("%+v: Empty() is %v", c, m.Empty())
		}
		if c.empty && (m.Rule([]byte("spec.a")) != nil || m.Silence([]byte("status.phase"), "system:node:a", "", nil) != "") {
			t.Errorf("%+v: it is empty, but has something to say", c)
		}
	}
	var none Matched
	if !none.Empty() || none.Rule([]byte("spec")) != nil || none.Silence([]byte("spec"), "", "", nil) != "" {
		t.Error("the zero Matched has something to say")
	}
}

func TestRulesBeyondTheFirst64(t *testing.T) {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range maxRules {
		b.WriteString("- {name: r" + number(int64(i)) + ", match: {fields: [spec.f" + number(int64(i)) + "]}}\n")
	}
	p := load(t, b.String())
	m := p.Match(target("pods"))
	for _, i := range []int{0, 63, 64, 127, 128, 255} {
		if r := m.Rule([]byte("spec.f" + number(int64(i)))); r == nil || r.Index != i {
			t.Errorf("rule %d: got %v", i, r)
		}
	}
}

func TestSilence(t *testing.T) {
	p := load(t, `
rules: [{name: all}]
presets: []
lookAlikes:
  - {name: one, resources: [pods], fields: [status.**], silent: OneWriter}
  - {name: always, resources: [pods], fields: [status.phase], writers: {users: ["node:*"], groups: [nodes], managers: [kubelet]}}
  - {name: both, fields: ["metadata.annotations[a/*]"], silent: OneWriter}
`)
	for _, c := range []struct {
		name, target, path, user, manager string
		groups                            []string
		want                              Silence
	}{
		{"the stronger of two", "pods", "status.phase", "node:1", "", nil, Always},
		{"by group", "pods", "status.phase", "x", "", []string{"y", "nodes"}, Always},
		{"by manager", "pods", "status.phase", "x", "kubelet", nil, Always},
		{"another writer", "pods", "status.phase", "x", "y", []string{"z"}, OneWriter},
		{"another field", "pods", "status.reason", "node:1", "", nil, OneWriter},
		{"another resource", "services", "status.phase", "node:1", "", nil, ""},
		{"any resource", "services", "metadata.annotations[a/b]", "x", "", nil, OneWriter},
		{"no field that is known", "pods", "spec.nodeName", "node:1", "", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := p.Match(target(c.target))
			if got := m.Silence([]byte(c.path), c.user, c.manager, c.groups); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestExemptPersonAndPreferred(t *testing.T) {
	p := load(t, `
exempt: {users: ["system:serviceaccount:velero:*"], groups: [admins], managers: [break-glass], namespaces: [sandbox-*]}
people: {users: ["*@example.com"], groups: [sso], managers: [kubectl*]}
rules: [{name: all, prefer: {users: [argo], groups: [owners], managers: [argocd]}}]
`)
	exempt := []struct {
		user, manager, namespace string
		groups                   []string
		want                     ExemptReason
	}{
		{"system:serviceaccount:velero:server", "", "shop", nil, ExemptUser},
		{"x", "", "shop", []string{"a", "admins"}, ExemptGroup},
		{"x", "break-glass", "shop", nil, ExemptManager},
		{"x", "", "sandbox-1", nil, ExemptNamespace},
		{"system:serviceaccount:velero:server", "break-glass", "sandbox-1", []string{"admins"}, ExemptUser},
		{"x", "y", "shop", []string{"z"}, NotExempt},
		{"", "", "", nil, NotExempt},
	}
	for _, c := range exempt {
		if got := p.Exempt(c.user, c.manager, c.namespace, c.groups); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
	for _, c := range []struct {
		user, manager string
		groups        []string
		hand          Hand
		preferred     bool
	}{
		{"jane@example.com", "", nil, Person, false},
		{"jane@example.org", "", nil, Machine, false},
		{"jane@example.org", "kubectl-patch", nil, Person, false},
		{"system:serviceaccount:ci:ci", "kubectl-patch", nil, Script, false},
		{"system:serviceaccount:ci:ci", "kubectl-patch", []string{"sso"}, Person, false},
		{"system:serviceaccount:ci:ci", "deployer", nil, Machine, false},
		{"x", "", []string{"sso"}, Person, false},
		{"argo", "", nil, Machine, true},
		{"x", "argocd", nil, Machine, true},
		{"x", "", []string{"owners"}, Machine, true},
		{"x", "y", []string{"z"}, Machine, false},
		{"", "", nil, Machine, false},
	} {
		if got := p.Hand(c.user, c.manager, c.groups); got != c.hand {
			t.Errorf("%+v: Hand is %v", c, got)
		}
		if got := p.Rules()[0].Preferred(c.user, c.manager, c.groups); got != c.preferred {
			t.Errorf("%+v: Preferred is %v", c, got)
		}
	}
}

func TestNeedsLabels(t *testing.T) {
	if load(t, `rules: [{name: a}]`).NeedsLabels() {
		t.Error("no rule has a selector, but labels are needed")
	}
	if !load(t, `rules: [{name: b, match: {selector: app}}, {name: a}]`).NeedsLabels() {
		t.Error("a rule has a selector, but no labels are needed")
	}
}

func TestMatchingAllocatesNothing(t *testing.T) {
	p := Default()
	at := &Target{Group: "apps", Resource: "deployments", Namespace: "shop"}
	path, groups := []byte("status.conditions[type=Available].status"), []string{"system:serviceaccounts", "system:authenticated"}
	if n := testing.AllocsPerRun(100, func() {
		m := p.Match(at)
		if m.Empty() || m.Rule(path) == nil || m.Silence(path, "system:kube-controller-manager", "", groups) != OneWriter {
			t.Error("it does not match")
		}
		if p.Hand("x", "y", groups) != Machine || p.Exempt("x", "y", "z", groups) != NotExempt {
			t.Error("a person, or exempt")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
