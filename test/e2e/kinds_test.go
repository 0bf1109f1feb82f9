package e2e

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// The resources that parties fight over.
var (
	configMaps      = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	serviceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	services        = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	namespaces      = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	deployments     = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	pizzaOrders     = schema.GroupVersionResource{Group: "ops.tips", Version: "v1", Resource: "pizzaorders"}

	crds = schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	}
)

// createPizzaOrders defines the custom resource PizzaOrder, with a status subresource, and waits until it is served.
func createPizzaOrders(ctx context.Context, config *rest.Config) error {
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	open := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	crd := object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "pizzaorders.ops.tips")
	crd["spec"] = map[string]any{
		"group": "ops.tips",
		"scope": "Namespaced",
		"names": map[string]any{
			"kind": "PizzaOrder", "listKind": "PizzaOrderList", "plural": "pizzaorders", "singular": "pizzaorder",
		},
		"versions": []any{map[string]any{
			"name": "v1", "served": true, "storage": true,
			"subresources": map[string]any{"status": map[string]any{}},
			"schema": map[string]any{"openAPIV3Schema": map[string]any{
				"type": "object", "properties": map[string]any{"spec": open, "status": open},
			}},
		}},
	}
	if _, err := dyn.Resource(crds).Create(ctx, &unstructured.Unstructured{Object: crd}, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("defining PizzaOrder: %w", err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := dyn.Resource(pizzaOrders).Namespace("default").List(ctx, metav1.ListOptions{})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until PizzaOrders are served: %w", err)
		case <-tick.C:
		}
	}
}

// deployment returns a Deployment with one container that rolls nothing out, so that its fight is the only thing going
// on.
func deployment(name string) map[string]any {
	o := object("apps/v1", "Deployment", name)
	labels := map[string]any{"app": name}
	o["spec"] = map[string]any{
		"replicas": int64(1), "paused": true,
		"selector": map[string]any{"matchLabels": labels},
		"template": map[string]any{
			"metadata": map[string]any{"labels": labels},
			"spec": map[string]any{"containers": []any{
				map[string]any{
					"name": "podinfo", "image": "podinfo:6.0.0",
					"env": []any{map[string]any{"name": "LEVEL", "value": "info"}},
				},
				map[string]any{"name": "sidecar", "image": "sidecar:1.0.0"},
			}},
		},
	}
	return o
}
