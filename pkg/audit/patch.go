package audit

import (
	"bytes"
	"errors"
	"fmt"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/truce-dev/truce/pkg/admission"
)

var errUnknownPatch = errors.New("it is no patch")

// patched returns what a patch makes of an object. An audit event does not say of what type a patch is: a list is a JSON
// patch; for the API server's own kinds an object is taken for a strategic merge patch, which differs from a merge patch
// in lists of objects only; for all others for a merge patch. What is applied counts as a patch of the same kinds.
func patched(object, patch []byte) ([]byte, error) {
	if len(patch) == 0 {
		return nil, errUnknownPatch
	}
	if patch[0] == '[' {
		operations, err := jsonpatch.DecodePatch(patch)
		if err != nil {
			return nil, fmt.Errorf("reading a JSON patch: %w", err)
		}
		return operations.Apply(object)
	}
	if bytes.Contains(patch, []byte(`[{`)) || bytes.Contains(patch, []byte(`"$`)) {
		if typed := builtIn(object); typed != nil {
			return strategicpatch.StrategicMergePatch(object, patch, typed)
		}
	}
	return jsonpatch.MergePatch(object, patch)
}

// builtIn returns a value of the object's type, nil if it is none of the API server's own.
func builtIn(object []byte) any {
	kind := string(admission.Text(firstMember(object, "kind")))
	gv, err := schema.ParseGroupVersion(string(admission.Text(firstMember(object, "apiVersion"))))
	if err != nil {
		return nil
	}
	typed, err := scheme.Scheme.New(gv.WithKind(kind))
	if err != nil {
		return nil
	}
	return typed
}
