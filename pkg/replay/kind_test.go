package replay

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestResourceOf(t *testing.T) {
	for kind, want := range map[string]string{
		"Ingress": "ingresses", "NetworkPolicy": "networkpolicies", "Endpoints": "endpoints", "Deployment": "deployments",
		"Gateway": "gateways", "Lease": "leases", "Prometheus": "prometheuses", "HTTPRoute": "httproutes",
		"StorageClass": "storageclasses", "Canary": "canaries", "AWSCluster": "awsclusters", "Mailbox": "mailboxes",
		"Branch": "branches", "EndpointSlice": "endpointslices", "Y": "ys",
	} {
		if got := resourceOf(kind); got != want {
			t.Errorf("%s is served as %s, want %s", kind, got, want)
		}
	}
}

func TestHasGeneration(t *testing.T) {
	for _, c := range []struct {
		group, version, kind string
		want                 bool
	}{
		{"apps", "v1", "Deployment", true},
		{"networking.k8s.io", "v1", "Ingress", true},
		{"", "v1", "Pod", true},
		{"", "v1", "ConfigMap", false},
		{"", "v1", "ServiceAccount", false},
		{"coordination.k8s.io", "v1", "Lease", false},
		{"rbac.authorization.k8s.io", "v1", "ClusterRole", false},
		{"autoscaling", "v2", "HorizontalPodAutoscaler", false},
		{"ops.tips", "v1", "PizzaOrder", true},
		{"apiextensions.k8s.io", "v1", "CustomResourceDefinition", true},
	} {
		if got := hasGeneration(schema.GroupVersionKind{Group: c.group, Version: c.version, Kind: c.kind}); got != c.want {
			t.Errorf("%s: %v, want %v", c.kind, got, c.want)
		}
	}
}
