package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// party is a controller that writes to the API server as a service account.
type party struct {
	t    *testing.T
	ns   string
	name string
	user string
	// manager is the field manager, set explicitly if it is not empty; else the API server makes one of the user agent,
	// which is the party's name.
	manager string
	config  *rest.Config
	kube    kubernetes.Interface
	dyn     dynamic.Interface
	heard   *warnings
}

// party returns a service account of the scene's namespace as a client. pod, if not empty, is the pod it runs in.
func (s *scene) party(name string) *party { return s.partyInPod(name, "") }

// partyIn returns a service account that is in further groups.
func (s *scene) partyIn(name string, groups ...string) *party {
	s.t.Helper()
	return s.newParty(name, "system:serviceaccount:"+s.ns+":"+name, "", groups...)
}

func (s *scene) partyInPod(name, pod string) *party {
	s.t.Helper()
	return s.partyAs(name, "system:serviceaccount:"+s.ns+":"+name, pod)
}

// partyAs returns another user as a client.
func (s *scene) partyAs(name, user, pod string) *party {
	s.t.Helper()
	return s.newParty(name, user, pod)
}

func (s *scene) newParty(name, user, pod string, groups ...string) *party {
	s.t.Helper()
	p := &party{t: s.t, ns: s.ns, name: name, user: user, heard: &warnings{}}
	p.config = as(user, append(groups, "system:serviceaccounts", "system:authenticated")...)
	if pod != "" {
		p.config.Impersonate.Extra = map[string][]string{"authentication.kubernetes.io/pod-name": {pod}}
	}
	p.config.UserAgent = name + "/v1.0"
	p.config.WarningHandler = p.heard
	var err error
	if p.kube, err = kubernetes.NewForConfig(p.config); err != nil {
		s.t.Fatal(err)
	}
	if p.dyn, err = dynamic.NewForConfig(p.config); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (p *party) of(gvr schema.GroupVersionResource) dynamic.ResourceInterface {
	return p.dyn.Resource(gvr).Namespace(p.ns)
}

// update does what a controller does: reads the object, changes it, writes it, and begins again if somebody else was
// faster. The error is that of the last write.
func (p *party) update(gvr schema.GroupVersionResource, name string, change func(o *unstructured.Unstructured),
	subresources ...string,
) error {
	p.t.Helper()
	return p.updateWith(metav1.UpdateOptions{FieldManager: p.manager}, gvr, name, change, subresources...)
}

func (p *party) updateWith(opts metav1.UpdateOptions, gvr schema.GroupVersionResource, name string,
	change func(o *unstructured.Unstructured), subresources ...string,
) error {
	p.t.Helper()
	for {
		o, err := p.of(gvr).Get(p.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			p.t.Fatalf("%s reads %s: %v", p.name, name, err)
		}
		change(o)
		_, err = p.of(gvr).Update(p.t.Context(), o, opts, subresources...)
		if !apierrors.IsConflict(err) {
			return err
		}
	}
}

// patch writes a patch.
func (p *party) patch(gvr schema.GroupVersionResource, name string, kind types.PatchType, body string,
	subresources ...string,
) error {
	p.t.Helper()
	_, err := p.of(gvr).Patch(p.t.Context(), name, kind, []byte(body), metav1.PatchOptions{FieldManager: p.manager},
		subresources...)
	return err
}

// dryRun writes a patch that is not to be stored. It returns the object as it would be.
func (p *party) dryRun(gvr schema.GroupVersionResource, name string, kind types.PatchType, body string) (
	*unstructured.Unstructured, error,
) {
	p.t.Helper()
	return p.of(gvr).Patch(p.t.Context(), name, kind, []byte(body), metav1.PatchOptions{
		FieldManager: p.manager, DryRun: []string{metav1.DryRunAll},
	})
}

// must fails the test if err is one.
func (p *party) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// warnings are those that a client was told. It is safe for concurrent use.
type warnings struct {
	mu  sync.Mutex
	all []string
}

var _ rest.WarningHandler = (*warnings)(nil)

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(code int, agent, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

// truce returns those by Truce.
func (w *warnings) truce() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []string
	for _, text := range w.all {
		if strings.HasPrefix(text, "truce: ") {
			found = append(found, text)
		}
	}
	return found
}

// get reads an object as the cluster's administrator.
func (s *scene) get(gvr schema.GroupVersionResource, name string) *unstructured.Unstructured {
	s.t.Helper()
	o, err := s.dyn.Resource(gvr).Namespace(s.ns).Get(s.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

// create makes an object as the cluster's administrator, before anybody fights over it.
func (s *scene) create(gvr schema.GroupVersionResource, object map[string]any) *unstructured.Unstructured {
	s.t.Helper()
	o := &unstructured.Unstructured{Object: object}
	o, err := s.dyn.Resource(gvr).Namespace(s.ns).Create(context.Background(), o,
		metav1.CreateOptions{FieldManager: "installer"})
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

// object returns the beginning of an object.
func object(apiVersion, kind, name string) map[string]any {
	return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name}}
}

// field returns the text of a field that consists of map keys only, "<absent>" if it is not there.
func field(path ...string) func(*unstructured.Unstructured) string {
	return func(o *unstructured.Unstructured) string {
		v, found, err := unstructured.NestedFieldNoCopy(o.Object, path...)
		if err != nil || !found {
			return "<absent>"
		}
		return fmt.Sprint(v)
	}
}

// element returns the text of a field of the element of a list of objects that has the value under the key.
func element(key, value, field string, path ...string) func(*unstructured.Unstructured) string {
	return func(o *unstructured.Unstructured) string {
		list, _, err := unstructured.NestedSlice(o.Object, path...)
		if err != nil {
			return "<" + err.Error() + ">"
		}
		for _, e := range list {
			if m, ok := e.(map[string]any); ok && fmt.Sprint(m[key]) == value {
				return fmt.Sprint(m[field])
			}
		}
		return "<absent>"
	}
}

func contains(list []string, part string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, part) })
}
