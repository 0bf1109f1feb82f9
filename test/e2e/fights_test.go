package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"
)

// side is one write by one party of a fight. also, if not empty, is the value of a label that the same write sets
// besides: a change that nobody contests.
type side func(p *party, also string) error

// alsoLabel is the label that a party sets besides what it fights for.
func alsoLabel(p *party) string { return "also-" + p.name }

// fightCase is a fight between red and blue over an object.
type fightCase struct {
	name string
	// make creates the object and whatever else is needed.
	make func(s *scene)
	gvr  schema.GroupVersionResource
	// object is its name.
	object string
	// fields are the paths that are fought over. OWNER stands for the uid of the owner that make created.
	fields []string
	// managers of red and blue, if their field managers are set; samePerson: one user with two managers.
	managers [2]string
	oneUser  bool
	red      side
	blue     side
	// value is what is stored in the contested field.
	value func(*unstructured.Unstructured) string
	// alone: what is fought over is all that a party can write this way.
	alone bool
}

// begin makes what is fought over, and returns the fields, the parties, and what makes a write: red's are the even ones.
func (tt *fightCase) begin(s *scene) (fields map[string]bool, red, blue *party, write func(i int)) {
	tt.make(s)
	tt.settled(s)
	fields = map[string]bool{}
	for _, f := range tt.fields {
		fields[strings.ReplaceAll(f, "OWNER", s.ownerUID)] = true
	}
	red, blue = s.party("red"), s.party("blue")
	if tt.oneUser {
		red, blue = s.partyAs("red", red.user, ""), s.partyAs("blue", red.user, "")
	}
	red.manager, blue.manager = tt.managers[0], tt.managers[1]
	return fields, red, blue, func(i int) {
		p, attempt := red, tt.red
		if i%2 == 1 {
			p, attempt = blue, tt.blue
		}
		p.must(attempt(p, ""))
	}
}

// settled waits until the Deployment's controller, if the fight is over a Deployment, has answered the last change of the
// spec with a write of its own. Where those are counted, it should not come late; and a party's first write should not lose
// its race against it again and again, in the second in which the object was made: it would seem to be undone by whoever
// made it.
func (tt *fightCase) settled(s *scene) {
	if tt.gvr != deployments {
		return
	}
	s.t.Helper()
	eventually(s.t, "the Deployment's controller has seen the last change", func() bool {
		o := s.get(tt.gvr, tt.object)
		seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
		return seen == o.GetGeneration()
	})
}

func TestFightsAreFoundAndHeld(t *testing.T) {
	t.Parallel()
	for _, tt := range slices.Concat(annotationFights, fightsOfEveryKind) {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, rule("action: Hold"))
			fields, red, blue, write := tt.begin(s)
			w := s.watch(tt.gvr, tt.object)
			var starts []turn
			writes := until(t, patience, 100*time.Millisecond, func(i int) bool {
				write(i)
				starts = s.hook.starts(len(tt.fields))
				return len(starts) >= len(tt.fields)
			})
			found := map[string]bool{}
			for _, tn := range starts {
				found[tn.Field] = true
				if !contains(tn.Parties, red.user) || !contains(tn.Parties, blue.user) || len(tn.Parties) != 2 && !s.hook.guessed() {
					t.Errorf("the parties over %s are %q, want red and blue", tn.Field, tn.Parties)
				}
				if !contains(tn.Parties, tt.managers[0]) || !contains(tn.Parties, tt.managers[1]) {
					t.Errorf("the parties over %s are %q, want their managers %q", tn.Field, tn.Parties, tt.managers)
				}
			}
			if diff := cmp.Diff(fields, found); diff != "" {
				t.Fatalf("fights after %d writes (-want +got):\n%s", writes, diff)
			}

			// Not the writes: of those that the API server has reviewed upon an old object, some are held and not yet told.
			tt.settled(s)
			held, stored := w.changes(tt.value), w.writes()
			if held > 5 {
				t.Errorf("found after %d stored changes, want at most 5", held)
			}
			laps(t, 40, 30*time.Millisecond, write)
			if n := w.changes(tt.value) - held; n > s.hook.unheld() {
				t.Errorf("20 attempts by each side changed the field %d times, want 0", n)
			}
			// The ownership of a held field may move once.
			if n := w.writes() - stored; n > 1+s.hook.unheld() {
				t.Errorf("20 attempts by each side made %d writes to etcd, want at most 1\n%s", n, w.explain())
			}
			if tt.alone {
				return
			}
			for _, also := range []struct {
				p *party
				side
			}{{red, tt.red}, {blue, tt.blue}} {
				also.p.must(also.side(also.p, "yes"))
				o := s.get(tt.gvr, tt.object)
				if got := o.GetLabels()[alsoLabel(also.p)]; got != "yes" {
					t.Errorf("%s's other change in the same write did not go through: labels are %v", also.p.name, o.GetLabels())
				}
			}
			if n := w.changes(tt.value) - held; n > s.hook.unheld() {
				t.Errorf("writes with other changes changed the contested field %d times as well, want 0", n)
			}
			if got := len(s.hook.turns("Started")); got != len(tt.fields) {
				t.Errorf("%d fights in the end, want %d: %v", got, len(tt.fields), s.hook.turns("Started"))
			}
		})
	}
}

// updates returns writes of the whole object, as it is read and changed by a controller.
func updates(gvr schema.GroupVersionResource, name string, change func(*unstructured.Unstructured)) side {
	return func(p *party, also string) error {
		return p.update(gvr, name, func(o *unstructured.Unstructured) {
			change(o)
			if also != "" {
				labels := o.GetLabels()
				if labels == nil {
					labels = map[string]string{}
				}
				labels[alsoLabel(p)] = also
				o.SetLabels(labels)
			}
		})
	}
}

// patches returns patches made by body; also is a label, or empty.
func patches(gvr schema.GroupVersionResource, name string, kind types.PatchType, body func(label, also string) any) side {
	return func(p *party, also string) error {
		b, err := json.Marshal(body(alsoLabel(p), also))
		if err != nil {
			return err
		}
		return p.patch(gvr, name, kind, string(b))
	}
}

// metadataPatch is a merge patch of an annotation, and of a label if also is not empty.
func metadataPatch(value string) func(label, also string) any {
	return func(label, also string) any {
		m := map[string]any{"annotations": map[string]any{signature: value}}
		if also != "" {
			m["labels"] = map[string]any{label: also}
		}
		return map[string]any{"metadata": m}
	}
}

func jsonPatch(value string) func(label, also string) any {
	return func(label, also string) any {
		at := strings.ReplaceAll(signature, "/", "~1")
		ops := []any{map[string]any{"op": "add", "path": "/metadata/annotations/" + at, "value": value}}
		if also != "" {
			ops = append(ops, map[string]any{"op": "add", "path": "/metadata/labels", "value": map[string]any{label: also}})
		}
		return ops
	}
}

// applies returns server-side applies with force.
func applies(gvr schema.GroupVersionResource, apiVersion, kind, name, value string) side {
	return func(p *party, also string) error {
		o := &unstructured.Unstructured{Object: object(apiVersion, kind, name)}
		sign(value)(o)
		if also != "" {
			o.SetLabels(map[string]string{alsoLabel(p): also})
		}
		_, err := p.of(gvr).Apply(p.t.Context(), name, o, metav1.ApplyOptions{FieldManager: p.manager, Force: true})
		return err
	}
}

// tracked creates a ConfigMap with managedFields.
func tracked(s *scene) {
	o := object("v1", "ConfigMap", "settings")
	o["data"] = map[string]any{"colour": "grey"}
	(&unstructured.Unstructured{Object: o}).SetAnnotations(map[string]string{"apps.example.com/team": "shop"})
	if made := s.create(configMaps, o); len(made.GetManagedFields()) == 0 {
		s.t.Fatal("the ConfigMap does not track its fields")
	}
}

// annotationFights are those of two managers over an annotation of a tracked object, by every way to write it.
var annotationFights = []fightCase{
	{
		name: "an annotation, by Update", make: tracked, gvr: configMaps, object: "settings",
		fields: []string{signatureField}, value: signatureOf,
		red: updates(configMaps, "settings", sign("red")), blue: updates(configMaps, "settings", sign("blue")),
	},
	{
		name: "an annotation, by Update with field managers", make: tracked, gvr: configMaps, object: "settings",
		fields: []string{signatureField}, value: signatureOf, managers: [2]string{"red-manager", "blue-manager"},
		red: updates(configMaps, "settings", sign("red")), blue: updates(configMaps, "settings", sign("blue")),
	},
	{
		name: "an annotation, by Update of one user with two field managers", make: tracked, gvr: configMaps,
		object: "settings", fields: []string{signatureField}, value: signatureOf, oneUser: true,
		managers: [2]string{"red-manager", "blue-manager"},
		red:      updates(configMaps, "settings", sign("red")), blue: updates(configMaps, "settings", sign("blue")),
	},
	{
		name: "an annotation, by merge patch", make: tracked, gvr: configMaps, object: "settings",
		fields: []string{signatureField}, value: signatureOf, managers: [2]string{"red-manager", ""},
		red:  patches(configMaps, "settings", types.MergePatchType, metadataPatch("red")),
		blue: patches(configMaps, "settings", types.MergePatchType, metadataPatch("blue")),
	},
	{
		name: "an annotation, by JSON patch", make: tracked, gvr: configMaps, object: "settings",
		fields: []string{signatureField}, value: signatureOf,
		red:  patches(configMaps, "settings", types.JSONPatchType, jsonPatch("red")),
		blue: patches(configMaps, "settings", types.JSONPatchType, jsonPatch("blue")),
	},
	{
		name: "an annotation, by strategic merge patch", make: tracked, gvr: configMaps, object: "settings",
		fields: []string{signatureField}, value: signatureOf,
		red:  patches(configMaps, "settings", types.StrategicMergePatchType, metadataPatch("red")),
		blue: patches(configMaps, "settings", types.StrategicMergePatchType, metadataPatch("blue")),
	},
	{
		name: "an annotation, by server-side apply with force", make: tracked, gvr: configMaps, object: "settings",
		fields: []string{signatureField}, value: signatureOf, managers: [2]string{"red-manager", "blue-manager"},
		red:  applies(configMaps, "v1", "ConfigMap", "settings", "red"),
		blue: applies(configMaps, "v1", "ConfigMap", "settings", "blue"),
	},
	{
		name: "an annotation, by server-side apply on one side and Update on the other", make: tracked, gvr: configMaps,
		object: "settings", fields: []string{signatureField}, value: signatureOf, managers: [2]string{"red-manager", ""},
		red:  applies(configMaps, "v1", "ConfigMap", "settings", "red"),
		blue: updates(configMaps, "settings", sign("blue")),
	},
}

// fightsOfEveryKind are those over every kind of field.
var fightsOfEveryKind = []fightCase{
	{
		name: "a key, added and removed as the whole map is replaced", make: tracked, gvr: configMaps, object: "settings",
		fields: []string{"data[feature]"}, value: field("data", "feature"),
		red: updates(configMaps, "settings", func(o *unstructured.Unstructured) {
			o.Object["data"] = map[string]any{"colour": "grey", "feature": "on"}
		}),
		blue: updates(configMaps, "settings", func(o *unstructured.Unstructured) {
			o.Object["data"] = map[string]any{"colour": "grey"}
		}),
	},
	{
		name: "all keys, added and removed as the only ones", gvr: configMaps, object: "settings",
		make:   func(s *scene) { s.create(configMaps, object("v1", "ConfigMap", "settings")) },
		fields: []string{"data[feature]"}, value: field("data"),
		red: updates(configMaps, "settings", func(o *unstructured.Unstructured) {
			o.Object["data"] = map[string]any{"feature": "on"}
		}),
		blue: updates(configMaps, "settings", func(o *unstructured.Unstructured) { delete(o.Object, "data") }),
	},
	{
		name: "a finalizer", make: tracked, gvr: configMaps, object: "settings",
		fields: []string{"metadata.finalizers[*]"}, value: field("metadata", "finalizers"),
		red: updates(configMaps, "settings", func(o *unstructured.Unstructured) {
			o.SetFinalizers([]string{"apps.example.com/red"})
		}),
		blue: updates(configMaps, "settings", func(o *unstructured.Unstructured) { o.SetFinalizers(nil) }),
	},
	{
		name: "an owner reference", gvr: configMaps, object: "settings",
		make: func(s *scene) {
			tracked(s)
			s.ownerUID = string(s.create(serviceAccounts, object("v1", "ServiceAccount", "owner")).GetUID())
		},
		fields: []string{"metadata.ownerReferences[uid=OWNER]"}, value: field("metadata", "ownerReferences"),
		red:  owned(true),
		blue: owned(false),
	},
	{
		name: "replicas, through scale and through the Deployment", gvr: deployments, object: "web", alone: true,
		make:   func(s *scene) { s.create(deployments, deployment("web")) },
		fields: []string{"spec.replicas"}, value: field("spec", "replicas"),
		red: scales("web", 5),
		blue: updates(deployments, "web", func(o *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(o.Object, int64(1), "spec", "replicas")
		}),
	},
	{
		name: "a status condition", gvr: pizzaOrders, object: "margherita", alone: true,
		make: func(s *scene) { s.create(pizzaOrders, object("ops.tips/v1", "PizzaOrder", "margherita")) },
		fields: []string{
			"status.conditions[type=Ready].status", "status.conditions[type=Ready].reason",
		},
		value: element("type", "Ready", "status", "status", "conditions"),
		red:   reports(metav1.ConditionTrue, "InTheBox"),
		blue:  reports(metav1.ConditionFalse, "StillInTheOven"),
	},
	{
		name: "the image of a container", gvr: deployments, object: "web",
		make:   func(s *scene) { s.create(deployments, deployment("web")) },
		fields: []string{"spec.template.spec.containers[name=sidecar].image"},
		value:  element("name", "sidecar", "image", "spec", "template", "spec", "containers"),
		red:    updates(deployments, "web", container("sidecar", "image", "sidecar:1.1.0")),
		blue:   updates(deployments, "web", container("sidecar", "image", "sidecar:1.2.0")),
	},
	{
		name: "an environment variable", gvr: deployments, object: "web",
		make:   func(s *scene) { s.create(deployments, deployment("web")) },
		fields: []string{"spec.template.spec.containers[name=podinfo].env[name=LEVEL].value"},
		value:  element("name", "podinfo", "env", "spec", "template", "spec", "containers"),
		red:    updates(deployments, "web", container("podinfo", "env", env("LEVEL", "debug"))),
		blue:   updates(deployments, "web", container("podinfo", "env", env("LEVEL", "warn"))),
	},
	{
		name: "a container, injected and removed", gvr: deployments, object: "web",
		make:   func(s *scene) { s.create(deployments, deployment("web")) },
		fields: []string{"spec.template.spec.containers[name=proxy]"},
		value:  field("spec", "template", "spec", "containers"),
		red: updates(deployments, "web", func(o *unstructured.Unstructured) {
			setContainers(o, append(containersOf(o, "podinfo", "sidecar"),
				map[string]any{"name": "proxy", "image": "proxy:1.0.0"}))
		}),
		blue: updates(deployments, "web", func(o *unstructured.Unstructured) {
			setContainers(o, containersOf(o, "podinfo", "sidecar"))
		}),
	},
	{
		name: "the port of a Service", gvr: services, object: "web",
		make: func(s *scene) {
			o := object("v1", "Service", "web")
			o["spec"] = map[string]any{
				"selector": map[string]any{"app": "web"},
				"ports": []any{
					map[string]any{"name": "http", "port": int64(80), "targetPort": int64(8080)},
					map[string]any{"name": "metrics", "port": int64(9090), "targetPort": int64(9090)},
				},
			}
			s.create(services, o)
		},
		fields: []string{"spec.ports[name=http].targetPort"},
		value:  element("port", "80", "targetPort", "spec", "ports"),
		red:    updates(services, "web", target(80, 8081)),
		blue:   updates(services, "web", target(80, 8082)),
	},
	{
		name: "a custom resource's spec", gvr: pizzaOrders, object: "margherita",
		make: func(s *scene) {
			o := object("ops.tips/v1", "PizzaOrder", "margherita")
			o["spec"] = map[string]any{"size": "small", "toppings": []any{"basil"}}
			s.create(pizzaOrders, o)
		},
		fields: []string{"spec.size"}, value: field("spec", "size"),
		red: updates(pizzaOrders, "margherita", func(o *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(o.Object, "large", "spec", "size")
		}),
		blue: updates(pizzaOrders, "margherita", func(o *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(o.Object, "small", "spec", "size")
		}),
	},
	{
		name: "a custom resource's list of scalars", gvr: pizzaOrders, object: "margherita",
		make: func(s *scene) {
			o := object("ops.tips/v1", "PizzaOrder", "margherita")
			o["spec"] = map[string]any{"size": "small", "toppings": []any{"basil"}}
			s.create(pizzaOrders, o)
		},
		fields: []string{"spec.toppings[*]"}, value: field("spec", "toppings"),
		red: updates(pizzaOrders, "margherita", func(o *unstructured.Unstructured) {
			_ = unstructured.SetNestedStringSlice(o.Object, []string{"basil", "pineapple"}, "spec", "toppings")
		}),
		blue: updates(pizzaOrders, "margherita", func(o *unstructured.Unstructured) {
			_ = unstructured.SetNestedStringSlice(o.Object, []string{"basil"}, "spec", "toppings")
		}),
	},
}

// owned returns writes that set or remove the object's owner reference.
func owned(by bool) side {
	return func(p *party, also string) error {
		var refs []metav1.OwnerReference
		if by {
			owner, err := p.kube.CoreV1().ServiceAccounts(p.ns).Get(p.t.Context(), "owner", metav1.GetOptions{})
			if err != nil {
				return err
			}
			refs = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ServiceAccount", Name: owner.Name, UID: owner.UID}}
		}
		return updates(configMaps, "settings", func(o *unstructured.Unstructured) { o.SetOwnerReferences(refs) })(p, also)
	}
}

// scales returns writes of the replica count as an autoscaler makes them.
func scales(name string, replicas int32) side {
	return func(p *party, _ string) error {
		api := p.kube.AppsV1().Deployments(p.ns)
		for {
			scale, err := api.GetScale(p.t.Context(), name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			scale = &autoscalingv1.Scale{ObjectMeta: scale.ObjectMeta, Spec: autoscalingv1.ScaleSpec{Replicas: replicas}}
			_, err = api.UpdateScale(p.t.Context(), name, scale, metav1.UpdateOptions{FieldManager: p.manager})
			if !apierrors.IsConflict(err) {
				return err
			}
		}
	}
}

// reports returns writes of a condition as operators make them: with controller-runtime's client, through the status
// subresource, the time of transition moving only if the status seems to change.
func reports(status metav1.ConditionStatus, reason string) side {
	return func(p *party, _ string) error {
		c, err := ctrlclient.New(p.config, ctrlclient.Options{})
		if err != nil {
			return err
		}
		for {
			o := &unstructured.Unstructured{}
			o.SetGroupVersionKind(schema.GroupVersionKind{Group: "ops.tips", Version: "v1", Kind: "PizzaOrder"})
			if err := c.Get(p.t.Context(), types.NamespacedName{Namespace: p.ns, Name: "margherita"}, o); err != nil {
				return err
			}
			if err := setCondition(o, metav1.Condition{Type: "Ready", Status: status, Reason: reason}); err != nil {
				return err
			}
			if err = c.Status().Update(p.t.Context(), o); !apierrors.IsConflict(err) {
				return err
			}
		}
	}
}

func setCondition(o *unstructured.Unstructured, condition metav1.Condition) error {
	var status struct {
		Conditions []metav1.Condition `json:"conditions"`
	}
	raw, _, err := unstructured.NestedMap(o.Object, "status")
	if err != nil {
		return err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &status); err != nil {
		return err
	}
	meta.SetStatusCondition(&status.Conditions, condition)
	if o.Object["status"], err = runtime.DefaultUnstructuredConverter.ToUnstructured(&status); err != nil {
		return fmt.Errorf("writing the condition into the object: %w", err)
	}
	return nil
}

func containersOf(o *unstructured.Unstructured, names ...string) []any {
	list, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	return slices.DeleteFunc(list, func(c any) bool {
		return !slices.Contains(names, c.(map[string]any)["name"].(string))
	})
}

func setContainers(o *unstructured.Unstructured, list []any) {
	_ = unstructured.SetNestedSlice(o.Object, list, "spec", "template", "spec", "containers")
}

// container sets a field of one container.
func container(name, key string, value any) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) {
		list := containersOf(o, "podinfo", "sidecar")
		for _, c := range list {
			if c := c.(map[string]any); c["name"] == name {
				c[key] = value
			}
		}
		setContainers(o, list)
	}
}

func env(name, value string) []any { return []any{map[string]any{"name": name, "value": value}} }

func target(port, to int64) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) {
		list, _, _ := unstructured.NestedSlice(o.Object, "spec", "ports")
		for _, e := range list {
			if e := e.(map[string]any); e["port"] == port {
				e["targetPort"] = to
			}
		}
		_ = unstructured.SetNestedSlice(o.Object, list, "spec", "ports")
	}
}
