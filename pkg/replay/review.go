package replay

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A call is what the API server says about a write when it calls a webhook.
type call struct {
	uid       string
	id        identity
	sub       string
	operation admissionv1.Operation
	writer    *Writer
	applies   bool   // server-side apply
	name      string // "" while a name is still to be generated
	dryRun    bool
}

// gap is where object and oldObject go in a review marshalled without them. Text cannot look like it, since the
// quotes in it are escaped.
var gap = []byte(`,"object":null,"oldObject":null,`)

// review returns the AdmissionReview for c. object and old are JSON, or nil.
func (c call) review(object, old []byte) ([]byte, error) {
	gvk := c.id.gvk
	resource := schema.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: resourceOf(gvk.Kind)}
	if c.sub == SubScale {
		gvk = scaleKind
	}
	namespace := c.id.namespace
	if gvk.Group == "" && gvk.Kind == "Namespace" { // a namespace counts as being in itself
		namespace = c.id.name
	}
	options, err := json.Marshal(c.options())
	if err != nil {
		return nil, fmt.Errorf("encoding the options of a review: %w", err)
	}
	kind, res := metav1.GroupVersionKind(gvk), metav1.GroupVersionResource(resource)
	frame, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID:  types.UID(c.uid),
			Kind: kind, Resource: res, SubResource: c.sub,
			RequestKind: &kind, RequestResource: &res, RequestSubResource: c.sub,
			Name: c.name, Namespace: namespace,
			Operation: c.operation,
			UserInfo:  c.writer.userInfo(),
			DryRun:    &c.dryRun,
			Options:   runtime.RawExtension{Raw: options},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding a review: %w", err)
	}
	before, after, _ := bytes.Cut(frame, gap)
	body := make([]byte, 0, len(frame)+len(object)+len(old))
	body = append(body, before...)
	body = appendMember(body, `,"object":`, object)
	body = appendMember(body, `,"oldObject":`, old)
	return append(append(body, ','), after...), nil
}

func appendMember(to []byte, name string, value []byte) []byte {
	to = append(to, name...)
	if value == nil {
		return append(to, "null"...)
	}
	return append(to, value...)
}

// options returns the request's options as the API server fills them in. A delete has no field manager, and neither
// has a client that set none; but an apply cannot do without.
func (c call) options() any {
	meta := func(kind string) metav1.TypeMeta { return metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: kind} }
	var dryRun []string
	if c.dryRun {
		dryRun = []string{metav1.DryRunAll}
	}
	manager := c.writer.Manager
	if c.applies {
		manager = c.writer.manager()
	}
	switch {
	case c.operation == admissionv1.Delete:
		return metav1.DeleteOptions{TypeMeta: meta("DeleteOptions"), DryRun: dryRun}
	case c.operation == admissionv1.Create:
		return metav1.CreateOptions{TypeMeta: meta("CreateOptions"), DryRun: dryRun, FieldManager: manager}
	case c.applies:
		force := true
		return metav1.PatchOptions{TypeMeta: meta("PatchOptions"), DryRun: dryRun, FieldManager: manager, Force: &force}
	}
	return metav1.UpdateOptions{TypeMeta: meta("UpdateOptions"), DryRun: dryRun, FieldManager: manager}
}

const (
	serviceAccountPrefix = "system:serviceaccount:"
	nodePrefix           = "system:node:"
)

// userInfo returns what an authenticator would say of w.
func (w *Writer) userInfo() authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: w.User}
	if account, ok := strings.CutPrefix(w.User, serviceAccountPrefix); ok {
		namespace, _, _ := strings.Cut(account, ":")
		info.UID = uuid("account", w.User)
		info.Groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace}
	} else if strings.HasPrefix(w.User, nodePrefix) {
		info.Groups = []string{"system:nodes"}
	}
	info.Groups = append(info.Groups, "system:authenticated")
	if len(w.Extra) > 0 {
		info.Extra = make(map[string]authenticationv1.ExtraValue, len(w.Extra))
		for key, values := range w.Extra {
			info.Extra[key] = values
		}
	}
	return info
}

// manager is the field manager the API server records for w: the one it sent, else the start of its user agent, for
// which a name that fits the user stands in.
func (w *Writer) manager() string {
	switch {
	case w.Manager != "":
		return w.Manager
	case strings.HasPrefix(w.User, nodePrefix):
		return "kubelet"
	case strings.Contains(w.User, "@"):
		return "kubectl"
	}
	return w.User[strings.LastIndexByte(w.User, ':')+1:]
}

// pod is the pod of w's token, or "".
func (w *Writer) pod() string {
	if pods := w.Extra["authentication.kubernetes.io/pod-name"]; len(pods) > 0 {
		return pods[0]
	}
	return ""
}

// encoded returns an object as JSON with its managedFields in place.
func encoded(content map[string]any, fields entries) ([]byte, error) {
	if len(fields) > 0 {
		raw, err := json.Marshal(fields)
		if err != nil {
			return nil, fmt.Errorf("encoding managedFields: %w", err)
		}
		content = with(content, jsontext.Value(raw), "metadata", "managedFields")
	}
	raw, err := jsonv2.Marshal(content, jsonv2.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encoding an object: %w", err)
	}
	return raw, nil
}

// uuid returns the same UUID for the same parts.
func uuid(parts ...any) string {
	sum := sha256.Sum256(fmt.Append(nil, parts...))
	sum[6], sum[8] = sum[6]&0x0f|0x40, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
