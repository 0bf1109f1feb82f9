package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// creates makes an object.
func (p *party) creates(gvr schema.GroupVersionResource, object map[string]any, dryRun ...string) error {
	p.t.Helper()
	_, err := p.of(gvr).Create(p.t.Context(), &unstructured.Unstructured{Object: object},
		metav1.CreateOptions{FieldManager: p.manager, DryRun: dryRun})
	return err
}

// deletes removes an object in the background.
func (p *party) deletes(gvr schema.GroupVersionResource, name string, dryRun ...string) error {
	p.t.Helper()
	policy := metav1.DeletePropagationBackground
	return p.of(gvr).Delete(p.t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &policy, DryRun: dryRun})
}

func TestDeleteAndRecreateIsAFight(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, policy string
		generated    bool
	}{
		{name: "Reject", policy: rule("action: Reject")},
		{name: "Throttle", policy: rule("action: Throttle", "throttle: {every: 1h, burst: 1}")},
		{name: "Hold, which cannot hold an existence, throttles", policy: rule("action: Hold", "throttle: {every: 1h, burst: 1}")},
		{name: "generated names", policy: rule("action: Reject"), generated: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, tt.policy)
			red, blue := s.party("red"), s.party("blue")
			name := ""
			// One lap is a creation by red and a deletion by blue.
			creation := func() error {
				o := &unstructured.Unstructured{Object: object("v1", "ConfigMap", "settings")}
				if tt.generated {
					o.SetName("")
					o.SetGenerateName("settings-")
				}
				made, err := red.of(configMaps).Create(t.Context(), o, metav1.CreateOptions{})
				if err == nil {
					name = made.GetName()
				}
				return err
			}
			deletion := func() error { return blue.deletes(configMaps, name) }

			writes, refused := 0, 0
			laps(t, 40, 50*time.Millisecond, func(i int) {
				exists := false
				if name != "" {
					_, err := s.dyn.Resource(configMaps).Namespace(s.ns).Get(t.Context(), name, metav1.GetOptions{})
					exists = err == nil
				}
				var err error
				if exists {
					err = deletion()
				} else {
					err = creation()
				}
				if stopped(t, err) {
					refused++
				} else {
					writes++
				}
			})
			tn, ok := s.hook.started("$exists")
			if !ok {
				t.Fatalf("20 laps of creation and deletion are no fight:\n%s", s.hook.log.String())
			}
			t.Logf("%d writes were stored, %d refused", writes, refused)
			if writes > 8 {
				t.Errorf("%d of 40 writes went through, want at most 8: 3 laps, and what the action lets through", writes)
			}
			if writes+refused != 40 || refused < 30 {
				t.Errorf("%d writes were refused, want those after the third lap", refused)
			}
			if !contains(tn.Parties, red.user) || !contains(tn.Parties, blue.user) {
				t.Errorf("the parties are %q, want red and blue", tn.Parties)
			}
		})
	}
}

// doomed is a namespace full of fights, in which everything that can be denied is.
type doomed struct {
	*scene
	red, blue *party
}

// contest makes red and blue fight over the existence of a ConfigMap until they are stopped. It exists in the end. Its name
// is returned: if the API server had a deletion reviewed once more, with an old object first, the fight is found with a
// creation, nothing is left to delete, and it begins anew with another one.
func (d *doomed) contest(o map[string]any) (name string) {
	d.t.Helper()
	contested := &unstructured.Unstructured{Object: o}
	first := contested.GetName()
	for i := range 3 {
		name = fmt.Sprintf("%s-%d", first, i+1)
		contested.SetName(name)
		d.red.must(d.red.creates(configMaps, o))
		exists := false
		until(d.t, patience, 20*time.Millisecond, func(int) bool {
			if exists = stopped(d.t, d.blue.deletes(configMaps, name)); exists {
				return true
			}
			return stopped(d.t, d.red.creates(configMaps, o))
		})
		if exists {
			return name
		}
		d.t.Logf("the fight over %s was found with a creation", name)
	}
	d.t.Fatal("no deletion was stopped")
	return ""
}

func newDoomed(t *testing.T) *doomed {
	t.Helper()
	s := newScene(t, rule("action: Reject"))
	inside := *s
	inside.ns = s.namespace(s.ns + "-doomed")
	return &doomed{scene: &inside, red: inside.party("red"), blue: inside.party("blue")}
}

// deniedTo returns the users whose writes were denied in the namespace, with what they were denied.
func (d *doomed) deniedTo() map[string]string {
	d.t.Helper()
	users := map[string]string{}
	for _, e := range auditTrail.of(d.t, d.ns) {
		if v := e.truce("verdict"); v == "Rejected" || v == "Throttled" || v == "Held" {
			users[e.who()] = e.Verb + " " + e.ObjectRef.Resource + "/" + e.ObjectRef.Name
		}
	}
	return users
}

func TestGarbageCollectionIsNeverHeldUp(t *testing.T) {
	t.Parallel()
	for _, propagation := range []metav1.DeletionPropagation{
		metav1.DeletePropagationBackground, metav1.DeletePropagationForeground,
	} {
		t.Run(string(propagation), func(t *testing.T) {
			t.Parallel()
			d := newDoomed(t)
			owner := d.create(configMaps, object("v1", "ConfigMap", "owner"))
			yes := true
			dependent := &unstructured.Unstructured{Object: object("v1", "ConfigMap", "dependent")}
			dependent.SetOwnerReferences([]metav1.OwnerReference{{
				APIVersion: "v1", Kind: "ConfigMap", Name: "owner", UID: owner.GetUID(), BlockOwnerDeletion: &yes,
			}})
			name := d.contest(dependent.Object)
			// So far, nobody may delete it.
			if err := d.blue.deletes(configMaps, name); !apierrors.IsForbidden(err) {
				t.Fatalf("blue deletes the dependent: got %v, want Forbidden", err)
			}
			err := d.dyn.Resource(configMaps).Namespace(d.ns).Delete(t.Context(), "owner",
				metav1.DeleteOptions{PropagationPolicy: &propagation})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{name, "owner"} {
				eventually(t, name+" is gone", func() bool {
					_, err := d.dyn.Resource(configMaps).Namespace(d.ns).Get(t.Context(), name, metav1.GetOptions{})
					return apierrors.IsNotFound(err)
				})
			}
			for user, what := range d.deniedTo() {
				if user != d.blue.user && user != d.red.user {
					t.Errorf("%s was denied: %s", user, what)
				}
			}
		})
	}
}

func TestNamespaceDeletionIsNeverHeldUp(t *testing.T) {
	t.Parallel()
	d := newDoomed(t)
	for _, name := range []string{"first", "second", "third"} {
		d.contest(object("v1", "ConfigMap", name))
	}
	// One whose finalizer its controller removes when it sees that the object is to go, having fought over it before.
	protected := &unstructured.Unstructured{Object: object("v1", "ConfigMap", "protected")}
	d.create(configMaps, protected.Object)
	finalizers := func(p *party, list ...string) error {
		return p.update(configMaps, "protected", func(o *unstructured.Unstructured) { o.SetFinalizers(list) })
	}
	until(t, patience, 20*time.Millisecond, func(int) bool {
		d.red.must(finalizers(d.red, "apps.example.com/red"))
		return stopped(t, finalizers(d.blue))
	})
	if err := finalizers(d.blue); !apierrors.IsForbidden(err) {
		t.Fatalf("blue removes the finalizer: got %v, want Forbidden", err)
	}
	d.create(deployments, func() map[string]any {
		o := deployment("web")
		_ = unstructured.SetNestedField(o, false, "spec", "paused")
		return o
	}())

	deletions := func() float64 {
		return d.hook.metric("truce_reviews_total", "operation", "DELETE", "verdict", "Allowed")
	}
	before := deletions()
	if err := d.kube.CoreV1().Namespaces().Delete(t.Context(), d.ns, metav1.DeleteOptions{}); err != nil {
		t.Fatalf("deleting the namespace: %v", err)
	}
	eventually(t, "all but the object with a finalizer is gone", func() bool {
		list, err := d.dyn.Resource(configMaps).Namespace(d.ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Items) == 1 && list.Items[0].GetName() == "protected" && list.Items[0].GetDeletionTimestamp() != nil
	})
	d.blue.must(finalizers(d.blue))
	eventually(t, "the namespace is gone", func() bool {
		_, err := d.kube.CoreV1().Namespaces().Get(t.Context(), d.ns, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	for user, what := range d.deniedTo() {
		if user != d.blue.user && user != d.red.user {
			t.Errorf("%s was denied: %s", user, what)
		}
	}
	if n := deletions() - before; n < 4 {
		t.Errorf("%v deletions passed the webhook, want at least those of the 4 contested objects", n)
	}
}

// Whoever creates a namespace again and again may be stopped; whoever deletes it may not.
func TestANamespaceThatIsDeletedAndRecreated(t *testing.T) {
	t.Parallel()
	d := newDoomed(t)
	name := d.ns + "-2"
	denied := ""
	// The namespace controller takes its time for each deletion.
	until(t, 5*time.Minute, 100*time.Millisecond, func(int) bool {
		o := object("v1", "Namespace", name)
		(&unstructured.Unstructured{Object: o}).SetLabels(map[string]string{sceneLabel: d.id})
		_, err := d.red.dyn.Resource(namespaces).Create(t.Context(), &unstructured.Unstructured{Object: o}, metav1.CreateOptions{})
		switch {
		case apierrors.IsAlreadyExists(err):
		case stopped(t, err):
			denied = err.Error()
			return true
		}
		err = d.blue.dyn.Resource(namespaces).Delete(t.Context(), name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			t.Fatalf("deleting a namespace: %v", err)
		}
		return false
	})
	if !strings.Contains(denied, "$exists of namespaces/"+name) {
		t.Errorf("creating it again was not denied; last error: %q", denied)
	}
}
