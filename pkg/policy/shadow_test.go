package policy

import (
	"strings"
	"testing"
)

// Each pair of rules is tried both as it stands and with one thing changed.
func TestShadowedRules(t *testing.T) {
	for _, c := range []struct {
		name, earlier, later string
		shadowed             bool
	}{
		{"the same", "{}", "{}", true},
		{"everything hides something", "{}", "{resources: [pods], namespaces: [a], selector: app, fields: [spec.a]}", true},
		{"something does not hide everything", "{fields: [spec.**]}", "{}", false},

		{"a resource of a group", `{resources: ["*.apps"]}`, "{resources: [deployments.apps]}", true},
		{"a resource of another group", `{resources: ["*.apps"]}`, "{resources: [jobs.batch]}", false},
		{"two resources, both hidden", `{resources: [pods, "*.apps"]}`, "{resources: [deployments.apps, pods]}", true},
		{"two resources, one hidden", `{resources: [pods, "*.apps"]}`, "{resources: [deployments.apps, services]}", false},
		{"a subresource", "{resources: [deployments.apps]}", "{resources: [deployments.apps/scale]}", true},
		{"another subresource", "{resources: [deployments.apps]}", "{resources: [deployments.apps/x]}", false},
		{"more than a subresource", "{resources: [deployments.apps/scale]}", "{resources: [deployments.apps]}", false},

		{"a namespace", "{namespaces: [kube-*]}", "{namespaces: [kube-system]}", true},
		{"another namespace", "{namespaces: [kube-*]}", "{namespaces: [team-a]}", false},

		{"the same selector", "{selector: app=web}", "{selector: app=web}", true},
		{"a stricter selector", "{selector: app=web}", "{selector: 'tier=front,app=web'}", true},
		{"a wider selector", "{selector: 'tier=front,app=web'}", "{selector: app=web}", false},
		{"another selector", "{selector: app=web}", "{selector: app=shop}", false},

		{"a field below", "{fields: [spec.**]}", "{fields: [spec.replicas]}", true},
		{"a field beside", "{fields: [spec.**]}", "{fields: [status.replicas]}", false},
		{"a key", `{fields: ["metadata.annotations[*]"]}`, `{fields: ["metadata.annotations[a/*]"]}`, true},

		{"an exclusion elsewhere", "{excludeFields: [status.**]}", "{fields: [spec.**]}", true},
		{"an exclusion that both make", "{excludeFields: [spec.a]}", "{fields: [spec.**], excludeFields: [spec.a]}", true},
		{"an exclusion that the later one widens", "{excludeFields: [spec.a]}", `{fields: [spec.**], excludeFields: ["spec.*"]}`, true},
		{"an exclusion that leaves a hole", "{excludeFields: [spec.a]}", "{fields: [spec.**]}", false},
		{"an exclusion that the later one narrows", `{excludeFields: ["spec.*"]}`, "{fields: [spec.**], excludeFields: [spec.a]}", false},
		{"an excluded namespace elsewhere", "{excludeNamespaces: [kube-*]}", "{namespaces: [team-a]}", true},
		{"an excluded namespace", "{excludeNamespaces: [kube-*]}", "{namespaces: [kube-system]}", false},
		{"an excluded resource elsewhere", "{excludeResources: [pods]}", "{resources: [services]}", true},
		{"an excluded resource", "{excludeResources: [pods]}", "{resources: [pods, services]}", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := problemsOf(t, head+"rules:\n- {name: earlier, match: "+c.earlier+"}\n- {name: later, match: "+c.later+"}\n")
			if c.shadowed != (len(got) == 1) {
				t.Fatalf("got %q", got)
			}
			const want = "5:3: rules[1]: can never be reached: rules[0] (earlier) decides about everything that it fits"
			if c.shadowed && got[0] != want {
				t.Errorf("got %q, want %q", got[0], want)
			}
		})
	}
}

func TestRulesThatExcludeAllTheyInclude(t *testing.T) {
	for _, c := range []struct{ match, part string }{
		{"{resources: [pods], excludeResources: [pods]}", "Resources"},
		{"{resources: [pods], excludeResources: [pods/status]}", ""},
		{"{resources: [pods, deployments.apps], excludeResources: ['*']}", "Resources"},
		{"{namespaces: [a, b], excludeNamespaces: ['*']}", "Namespaces"},
		{"{namespaces: [a, b], excludeNamespaces: [a]}", ""},
		{"{excludeFields: ['**']}", "Fields"},
		{"{fields: [spec.**], excludeFields: [status.**]}", ""},
	} {
		got := problemsOf(t, head+"rules: [{name: a, match: "+c.match+"}]")
		if c.part == "" && got != nil {
			t.Errorf("%s: got %q", c.match, got)
		}
		want := "can never be reached: match.exclude" + c.part + " excludes everything that it includes"
		if c.part != "" && (len(got) != 1 || !strings.HasSuffix(got[0], want)) {
			t.Errorf("%s: got %q, want %q", c.match, got, want)
		}
	}
}

// When there is too much to compare, no rule is blamed.
func TestShadowingGivesUpOnHugePolicies(t *testing.T) {
	hollow := shapeOf(Rule{Match: Match{ExcludeFields: []string{"**"}}}, 0)
	earlier := shapeOf(Rule{}, 0)
	later := shapeOf(Rule{Match: Match{Resources: []string{"pods"}, Namespaces: []string{"a"}, Fields: []string{"spec.a"}}}, 1)
	for left, want := range map[int]bool{maxComparisons: true, 1: false, 0: false} {
		s := &shadowing{left: left}
		if got := s.hollow(&hollow) != ""; got != want {
			t.Errorf("with %d comparisons left, a rule that excludes everything: %v", left, got)
		}
		s.left = left
		if got := s.hides(&earlier, &later); got != want {
			t.Errorf("with %d comparisons left, a hidden rule: %v", left, got)
		}
	}
}
