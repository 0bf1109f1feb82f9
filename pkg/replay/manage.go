package replay

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// setupManager owns the fields of objects that are there before a story starts.
const setupManager = "setup"

// entries is an object's metadata.managedFields.
type entries = []metav1.ManagedFieldsEntry

// managed is an object as the field manager sees it, with its managedFields kept outside of the content: turning
// them into maps and back at every write would cost more than working them out.
type managed struct {
	*unstructured.Unstructured
	fields entries
}

func (m *managed) GetManagedFields() entries       { return m.fields }
func (m *managed) SetManagedFields(fields entries) { m.fields = fields }

// DeepCopyObject shares the content, which nobody changes in place.
func (m *managed) DeepCopyObject() runtime.Object {
	return &managed{&unstructured.Unstructured{Object: copied(m.Object)}, slices.Clone(m.fields)}
}

// converter lets a type converter read managed objects.
type converter struct{ managedfields.TypeConverter }

func (c converter) ObjectToTyped(o runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	if m, ok := o.(*managed); ok {
		o = m.Unstructured
	}
	return c.TypeConverter.ObjectToTyped(o, opts...)
}

func (c converter) TypedToObject(v *typed.TypedValue) (runtime.Object, error) {
	o, err := c.TypeConverter.TypedToObject(v)
	if u, ok := o.(*unstructured.Unstructured); ok {
		o = &managed{Unstructured: u}
	}
	return o, err
}

// oneVersion stands in for what converts, defaults and creates objects in the API server. A story's objects have one
// version and say all they need to.
type oneVersion struct{}

func (oneVersion) Convert(_, _, _ any) error { return nil }
func (oneVersion) ConvertToVersion(o runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	return o, nil
}
func (oneVersion) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}
func (oneVersion) Default(runtime.Object) {}
func (oneVersion) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(gvk)
	return &managed{Unstructured: u}, nil
}

// builtInTypes knows the schemas of the built-in kinds: which lists are sets or maps, what is atomic. Reading them
// takes some 50 ms, once.
var builtInTypes = sync.OnceValue(func() managedfields.TypeConverter {
	return converter{applyconfigurations.NewTypeConverter(scheme.Scheme)}
})

// A trackerKey says which field manager is meant. Those of objects whose content does not fit the schema of their
// kind go without it, as those of custom resources do.
type trackerKey struct {
	gvk     schema.GroupVersionKind
	sub     string
	deduced bool
}

// trackers holds the field managers by trackerKey; they keep no state and are shared by all stories.
var trackers sync.Map

func trackerFor(key trackerKey) (*managedfields.FieldManager, error) {
	if t, ok := trackers.Load(key); ok {
		return t.(*managedfields.FieldManager), nil
	}
	types := managedfields.TypeConverter(converter{managedfields.NewDeducedTypeConverter()})
	if !key.deduced {
		types = builtInTypes()
	}
	t, err := managedfields.NewDefaultCRDFieldManager(types, oneVersion{}, oneVersion{}, oneVersion{}, key.gvk,
		key.gvk.GroupVersion(), key.sub, nil)
	if err != nil {
		return nil, fmt.Errorf("making a field manager for %s: %w", key.gvk.Kind, err)
	}
	trackers.Store(key, t)
	return t, nil
}

// A change is a write as far as managedFields are concerned.
type change struct {
	now     time.Time
	gvk     schema.GroupVersionKind
	sub     string
	manager string
	deduced bool // the schema of the kind, if it has one, does not fit the object
	live    map[string]any
	fields  entries // of live; none: the object is not tracked
	next    map[string]any
}

func (c *change) objects() (live, next *managed) {
	return &managed{&unstructured.Unstructured{Object: c.live}, c.fields},
		&managed{&unstructured.Unstructured{Object: c.next}, nil}
}

// updated returns the managedFields after an update, or after a create if live is empty. An object that is not
// tracked stays so.
func (c *change) updated() (entries, error) {
	tracker, err := trackerFor(trackerKey{c.gvk, c.sub, c.deduced})
	if err != nil {
		return nil, err
	}
	live, next := c.objects()
	if _, err := tracker.Update(live, next, c.manager); err != nil {
		return nil, fmt.Errorf("tracking an update: %w", err)
	}
	return c.stamped(next.fields), nil
}

// applied returns the managedFields after a server-side apply of config, and after an update of what config alone
// cannot bring about: a merge patch removes fields whose owner is another.
func (c *change) applied(config map[string]any) (entries, error) {
	tracker, err := trackerFor(trackerKey{c.gvk, c.sub, c.deduced})
	if err != nil {
		return nil, err
	}
	live, _ := c.objects()
	patch := &managed{Unstructured: &unstructured.Unstructured{Object: config}}
	o, err := tracker.Apply(live, patch, c.manager, true)
	if err != nil {
		return nil, fmt.Errorf("tracking an apply: %w", err)
	}
	out := o.(*managed)
	fields := c.stamped(out.fields)
	if equal(out.Object, c.next) {
		return fields, nil
	}
	rest := *c
	rest.live, rest.fields = out.Object, fields
	return rest.updated()
}

var scaleKind = schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}

// scaled returns the managedFields of an object after an update of its Scale from live to next.
func (c *change) scaled() (entries, error) {
	gv := c.gvk.GroupVersion()
	handler := managedfields.NewScaleHandler(c.fields, gv, managedfields.ResourcePathMappings{
		gv.String(): fieldpath.MakePathOrDie("spec", "replicas"),
	})
	fields, err := handler.ToSubresource()
	if err != nil {
		return nil, fmt.Errorf("tracking a scale: %w", err)
	}
	scale := *c
	scale.fields = fields
	tracker, err := trackerFor(trackerKey{scaleKind, SubScale, true}) // the schemas at hand leave Scale out
	if err != nil {
		return nil, err
	}
	live, next := scale.objects()
	if _, err := tracker.Update(live, next, c.manager); err != nil {
		return nil, fmt.Errorf("tracking a scale: %w", err)
	}
	if fields, err = handler.ToParent(next.fields); err != nil {
		return nil, fmt.Errorf("tracking a scale: %w", err)
	}
	return c.stamped(fields), nil
}

// stamped puts virtual time in place of the wall clock that apimachinery reads: every time that was not there before
// is now. It restores the order that depends on it.
func (c *change) stamped(fields entries) entries {
	now := metav1.NewTime(c.now.UTC().Truncate(time.Second))
	for i := range fields {
		t := fields[i].Time
		if t != nil && !slices.ContainsFunc(c.fields, func(e metav1.ManagedFieldsEntry) bool { return e.Time.Equal(t) }) {
			fields[i].Time = &now
		}
	}
	slices.SortStableFunc(fields, func(a, b metav1.ManagedFieldsEntry) int {
		byTime := 0
		if a.Time != nil && b.Time != nil {
			byTime = a.Time.Time.Compare(b.Time.Time)
		}
		return cmp.Or(cmp.Compare(a.Operation, b.Operation), byTime, cmp.Compare(a.Manager, b.Manager),
			cmp.Compare(a.Subresource, b.Subresource))
	})
	return fields
}

// setup returns the managedFields of an object that is there before a story starts: one manager made it, its status
// through the subresource.
func (c *change) setup() (entries, error) {
	status, hasStatus := c.next["status"]
	made := *c
	made.live = map[string]any{"apiVersion": c.next["apiVersion"], "kind": c.next["kind"]}
	made.fields, made.manager = nil, setupManager
	if hasStatus {
		made.next = with(c.next, nil, "status")
	}
	fields, err := made.updated()
	if err != nil || !hasStatus || len(fields) == 0 {
		return fields, err
	}
	made.live, made.next, made.fields, made.sub = made.next, with(made.next, status, "status"), fields, SubStatus
	return made.updated()
}

// sameOwners reports whether two managedFields differ in their times at most.
func sameOwners(a, b entries) bool {
	return slices.EqualFunc(a, b, func(x, y metav1.ManagedFieldsEntry) bool {
		return x.Manager == y.Manager && x.Operation == y.Operation && x.APIVersion == y.APIVersion &&
			x.Subresource == y.Subresource && bytes.Equal(rawFields(x), rawFields(y))
	})
}

func rawFields(e metav1.ManagedFieldsEntry) []byte {
	if e.FieldsV1 == nil {
		return nil
	}
	return e.FieldsV1.GetRawBytes()
}

func sameTime(a, b metav1.ManagedFieldsEntry) bool { return a.Time.Equal(b.Time) }
