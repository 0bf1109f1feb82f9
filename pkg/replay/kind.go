package replay

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// identity is what no two live objects of a cluster share.
type identity struct {
	gvk             schema.GroupVersionKind
	namespace, name string
}

// identityOf reads the identity of an object as a story writes it.
func identityOf(object map[string]any) (identity, error) {
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	metadata, _ := object["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	if apiVersion == "" || kind == "" || name == "" {
		return identity{}, errors.New("needs apiVersion, kind and metadata.name, each a string")
	}
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return identity{}, fmt.Errorf("apiVersion %q is not group/version", apiVersion)
	}
	namespace, ok := metadata["namespace"].(string)
	if !ok && metadata["namespace"] != nil {
		return identity{}, errors.New("metadata.namespace must be a string")
	}
	return identity{gvk: gv.WithKind(kind), namespace: namespace, name: name}, nil
}

func (id identity) String() string {
	name := id.name
	if id.namespace != "" {
		name = id.namespace + "/" + id.name
	}
	return id.gvk.Kind + " " + name
}

// resourceOf returns the plural under which the API server serves a kind.
func resourceOf(kind string) string {
	s := strings.ToLower(kind)
	switch {
	case s == "endpoints":
		return s
	case strings.HasSuffix(s, "y") && len(s) > 1 && !strings.ContainsRune("aeiou", rune(s[len(s)-2])):
		return s[:len(s)-1] + "ies"
	case strings.HasSuffix(s, "s"), strings.HasSuffix(s, "x"), strings.HasSuffix(s, "z"),
		strings.HasSuffix(s, "ch"), strings.HasSuffix(s, "sh"):
		return s + "es"
	}
	return s + "s"
}

// isBuiltIn reports whether the kind is one of the API server's own, whose schema is known. CustomResourceDefinitions
// and what they define are not.
func isBuiltIn(gvk schema.GroupVersionKind) bool { return scheme.Scheme.Recognizes(gvk) }

// hasGeneration reports whether the API server counts the changes of an object's desired state in metadata.generation.
// It does for custom resources and for most built-in kinds.
func hasGeneration(gvk schema.GroupVersionKind) bool {
	if !isBuiltIn(gvk) {
		return true
	}
	switch gvk.Group {
	case "":
		return gvk.Kind == "Pod" || gvk.Kind == "ReplicationController"
	case "autoscaling", "coordination.k8s.io", "events.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io":
		return false
	}
	return true
}
