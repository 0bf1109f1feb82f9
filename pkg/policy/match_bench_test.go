package policy

import (
	"fmt"
	"testing"
)

// BenchmarkMatch measures the once-per-request part with the default policy, all presets included.
func BenchmarkMatch(b *testing.B) {
	p := Default()
	for _, t := range []Target{
		{Group: "", Resource: "serviceaccounts", Namespace: "shop"},
		{Group: "apps", Resource: "deployments", Namespace: "shop"},
		{Group: "", Resource: "nodes"},
		{Group: "kustomize.toolkit.fluxcd.io", Resource: "kustomizations", Namespace: "flux-system"},
	} {
		b.Run(t.Resource, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p.Match(&t).Empty() {
					b.Fatal("nothing watches it")
				}
			}
		})
	}
}

// BenchmarkField measures what every changed field costs with the default policy, all presets included.
func BenchmarkField(b *testing.B) {
	groups := make([]string, 200)
	for i := range groups {
		groups[i] = fmt.Sprintf("cn=team-%d,ou=groups,dc=example,dc=com", i)
	}
	for _, c := range []struct {
		name            string
		group, resource string
		path            string
		user            string
		want            Silence
	}{
		{"annotation of a ServiceAccount", "", "serviceaccounts", "metadata.annotations[apps.example.com/signature]",
			"system:serviceaccount:app-platform:application-controller", ""},
		{"image of a Deployment", "apps", "deployments", "spec.template.spec.containers[name=podinfo].image",
			"system:serviceaccount:flux-system:kustomize-controller", ""},
		{"condition of a Deployment", "apps", "deployments", "status.conditions[type=Available].status",
			"system:serviceaccount:kube-system:deployment-controller", OneWriter},
		{"condition of a Node", "", "nodes", "status.conditions[type=Ready].status",
			"system:node:worker-1", Always},
		{"taint of a Node", "", "nodes", "spec.taints[key=DeletionCandidateOfClusterAutoscaler]",
			"system:serviceaccount:kube-system:cluster-autoscaler", OneWriter},
		{"annotation of a Pod", "", "pods", "metadata.annotations[example.com/checksum]",
			"system:serviceaccount:app-platform:application-controller", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := Default().Match(&Target{Group: c.group, Resource: c.resource, Namespace: "shop"})
			path := []byte(c.path)
			b.ReportAllocs()
			for b.Loop() {
				if m.Rule(path) == nil {
					b.Fatal("no rule watches it")
				}
				if got := m.Silence(path, c.user, "", groups); got != c.want {
					b.Fatalf("silence %q", got)
				}
			}
		})
	}
}

// BenchmarkFieldPattern measures one pattern on one path.
func BenchmarkFieldPattern(b *testing.B) {
	for _, c := range []struct{ pattern, path string }{
		{"**", "spec.template.spec.containers[name=podinfo].image"},
		{"spec.**", "spec.template.spec.containers[name=podinfo].image"},
		{"metadata.annotations[apps.example.com/signature]", "metadata.annotations[apps.example.com/signature]"},
		{"metadata.annotations[*]", "metadata.annotations[apps.example.com/signature]"},
		{"metadata.annotations[apps.example.com/*]", "metadata.annotations[apps.example.com/signature]"},
		{"spec.template.spec.containers[*].image", "spec.template.spec.containers[name=podinfo].image"},
		{"**.image", "spec.template.spec.containers[name=podinfo].image"},
	} {
		b.Run(c.pattern, func(b *testing.B) {
			p, err := parseField(c.pattern)
			if err != nil {
				b.Fatal(err)
			}
			path := []byte(c.path)
			b.ReportAllocs()
			for b.Loop() {
				if !p.fits(path) {
					b.Fatal("it does not fit")
				}
			}
		})
	}
}

// BenchmarkExempt measures a user in many groups against policies that exempt more and more of them.
func BenchmarkExempt(b *testing.B) {
	groups := make([]string, 200)
	for i := range groups {
		groups[i] = fmt.Sprintf("team-%d", i)
	}
	for _, n := range []int{0, 1, 10, 100} {
		b.Run(fmt.Sprintf("%d exempt groups", n), func(b *testing.B) {
			f := defaultFile()
			f.Rules, f.LookAlikes = nil, nil
			for i := range n {
				f.Exempt.Groups = append(f.Exempt.Groups, fmt.Sprintf("admins-%d", i))
			}
			p := compile(&f)
			b.ReportAllocs()
			for b.Loop() {
				if p.Exempt("jane", "kubectl", "shop", groups) != NotExempt {
					b.Fatal("jane is exempt")
				}
			}
		})
	}
}
