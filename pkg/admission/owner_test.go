package admission

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/managedfields/managedfieldstest"
)

// entryOf is an entry of managedFields that was last written at a second of sampleTime's minute.
func entryOf(manager, subresource string, second int, fields string) string {
	return fmt.Sprintf(`{"manager":%q,"operation":"Update","apiVersion":"v1","time":"2022-10-24T09:30:%02dZ",`+
		`"fieldsType":"FieldsV1","fieldsV1":%s,"subresource":%q}`, manager, second, fields, subresource)
}

func TestManagerOf(t *testing.T) {
	managedFields := []byte("[" + strings.Join([]string{
		entryOf("helm", "", 1, `{"f:metadata":{"f:annotations":{".":{},"f:a.b/c":{}},"f:finalizers":{".":{},"v:\"x\"":{}},
			"f:labels":{"f:q\"uote":{}}},"f:data":{"f:a=b":{},"f:x]y":{}},"f:spec":{"f:selector":{},"f:template":{"f:spec":{"f:containers":{
			"k:{\"name\":\"web\"}":{".":{},"f:name":{},"f:image":{},"f:env":{".":{},"k:{\"name\":\"A\"}":{".":{},"f:value":{}}},
			"f:ports":{".":{},"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}}}}}}`),
		entryOf("ports", "", 2, `{"f:spec":{"f:ports":{".":{},"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:nodePort":{}},
			"k:{\"port\":53,\"protocol\":\"UDP\"}":{".":{},"f:targetPort":{}}},"f:taints":{}}}`),
		entryOf("kubelet", "status", 3, `{"f:status":{"f:conditions":{".":{},"k:{\"type\":\"Ready\"}":{".":{},"f:status":{},"f:type":{}}},
			"f:restarting":{}}}`),
		entryOf("first", "", 5, `{"f:spec":{"f:replicas":{},"f:tie":{}}}`),
		entryOf("hpa", "scale", 9, `{"f:spec":{"f:replicas":{}}}`),
		entryOf("last", "", 5, `{"f:spec":{"f:replicas":{},"f:tie":{}}}`),
		entryOf("escaped", "scale", 5, `{"f:spec":{"f:ti\u0065":{}}}`),
		entryOf("empty", "", 59, `{}`),
		`{"manager":"no set","time":"2022-10-24T09:31:00Z"}`,
		`{"manager":"a set that is none","fieldsV1":[]}`,
		`"no entry"`,
	}, ",") + "]")
	for _, c := range []struct {
		path, subresource, want string
		second                  int
	}{
		{"metadata.annotations[a.b/c]", "", "helm", 1},
		{"metadata.annotations[d]", "", "", 0}, // that the map is there is no ownership of what is in it
		{"metadata.annotations", "", "helm", 1},
		{`metadata.labels[q"uote]`, "", "helm", 1},
		{"data[a=b]", "", "helm", 1},
		{`data[x\]y]`, "", "helm", 1},
		{"metadata.finalizers[*]", "", "helm", 1},
		{"metadata.ownerReferences[uid=1]", "", "", 0},
		{"spec.selector.matchLabels.app", "", "helm", 1}, // an atomic map
		{"spec.template.spec.containers[name=web].image", "", "helm", 1},
		{"spec.template.spec.containers[name=web].args[*]", "", "", 0},
		{"spec.template.spec.containers[name=db].image", "", "", 0},
		{"spec.template.spec.containers[name=web]", "", "helm", 1},
		{"spec.template.spec.containers", "", "helm", 1},
		{"spec.template.spec.containers[name=web].env[name=A].value", "", "helm", 1},
		{"spec.template.spec.containers[name=web].ports[containerPort=80].containerPort", "", "helm", 1},
		{"spec.template.spec.containers[name=web].ports[containerPort=80][protocol=TCP].containerPort", "", "helm", 1},
		{"spec.template.spec.containers[name=web].ports[containerPort=80][protocol=UDP].containerPort", "", "", 0},
		{"spec.ports[port=80].nodePort", "", "ports", 2},
		{"spec.ports[port=53].nodePort", "", "", 0},
		{"spec.ports[name=http].nodePort", "", "ports", 2}, // known by other keys: any that has it
		{"spec.ports[name=http].appProtocol", "", "", 0},
		{"spec.taints[key=a][effect=NoExecute]", "", "ports", 2}, // an atomic list
		{"status.conditions[type=Ready].status", "", "kubelet", 3},
		{"status.conditions[type=Ready].message", "", "", 0},
		{"status.restarting[x.y]", "", "kubelet", 3},
		{"spec.replicas", "", "hpa", 9},
		{"spec.tie", "", "last", 5},
		{"spec.tie", "scale", "escaped", 5},
		{"nowhere", "", "", 0},
		{"", "", "", 0},
	} {
		manager, at := managerOf(managedFields, []byte(c.path), c.subresource)
		if manager != c.want {
			t.Errorf("%s is owned by %q, want %q", c.path, manager, c.want)
		}
		if c.want != "" && !at.Equal(sampleTime.Add(time.Duration(c.second)*time.Second)) {
			t.Errorf("%s was written at %v, want second %d", c.path, at, c.second)
		}
	}
}

func TestManagerOfWhatIsNotAsItShouldBe(t *testing.T) {
	for _, managedFields := range []string{
		"", "null", "{}", "[", "[]", "[{]", `[{"manager"}]`, `[{"manager":"a" "b":1}]`, `[{"manager":"a"} {}]`,
		`[{"manager":"a","fieldsV1":{"f:spec":5}}]`, `[{"manager":"a","fieldsV1":{"f:spec"}}]`,
		`[{"manager":"a","fieldsV1":{"f:x":{} "f:spec":{}}}]`, `[{"manager":"a","fieldsV1":{"":{},"k:":{},"x:y":{}}}]`,
		`[{"manager":"a","fieldsV1":{"f:spec":{"f:c":{"k:5":{},"k:[]":{},"k:{\"name\":{}}":{}}}}}]`,
	} {
		if manager, _ := managerOf([]byte(managedFields), []byte("spec.c[name=x].y"), ""); manager != "" {
			t.Errorf("in %s the manager is %q", managedFields, manager)
		}
	}
}

func TestWriteManager(t *testing.T) {
	const other = `{"manager":"other","operation":"Update","time":"2022-10-24T09:30:30Z","fieldsV1":{"f:spec":{"f:a":{},"f:b":{}}}}`
	oldMF := "[" + other + "]"
	wrote := func(second int) string { return entryOf("me", "", second, `{"f:spec":{"f:a":{}}}`) }
	for _, c := range []struct {
		name, oldMF, newMF, oldObj, newObj, want string
	}{
		{"what was set now is mine", oldMF, "[" + other + "," + wrote(40) + "]", `{"spec":{"a":1}}`, `{"spec":{"a":2}}`, "me"},
		{"even if another one has it and its clock is ahead", oldMF, "[" + wrote(10) + "," + other + "]", `{"spec":{"a":1}}`, `{"spec":{"a":2}}`, "me"},
		{"a field that came", oldMF, "[" + wrote(40) + "]", `{"spec":{}}`, `{"spec":{"a":2}}`, "me"},
		{"a field that went has no owner", oldMF, "[" + wrote(40) + "]", `{"spec":{"a":1}}`, `{"spec":{}}`, ""},
		{"beside one that was set", oldMF, "[" + wrote(40) + "]", `{"spec":{"z":1,"a":1}}`, `{"spec":{"a":2}}`, "me"},
		{"beside one that is not tracked", oldMF, "[" + wrote(40) + "]", `{"spec":{"A":1,"a":1}}`, `{"spec":{"A":2,"a":2}}`, "me"},
		{"nothing is tracked", "", "", `{"spec":{"a":1}}`, `{"spec":{"a":2}}`, ""},
		{"too many are not tracked", oldMF, oldMF, `{}`, `{"s":{"0":1,"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1},"spec":{"a":1}}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Differ
			changes, _, err := d.Diff([]byte(c.oldObj), []byte(c.newObj))
			if err != nil || len(changes) == 0 {
				t.Fatal(err)
			}
			if got := writeManager([]byte(c.oldMF), []byte(c.newMF), changes); got != c.want {
				t.Errorf("manager %q, want %q", got, c.want)
			}
		})
	}
}

func TestOwnersAsTheAPIServerTellsThem(t *testing.T) {
	gvk := schema.GroupVersionKind{Group: "ops.tips", Version: "v1", Kind: "PizzaOrder"}
	m := managedfieldstest.NewTestFieldManager(managedfields.NewDeducedTypeConverter(), gvk)
	object := func(spec string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{}
		if err := json.Unmarshal([]byte(`{"apiVersion":"ops.tips/v1","kind":"PizzaOrder","metadata":{"name":"p","annotations":{"ops.tips/oven":"`+
			spec+`"}},"spec":{"size":"`+spec+`","toppings":["`+spec+`"],"parts":[{"name":"`+spec+`"}],"fixed":{"a":{"b":"c"}}}}`), u); err != nil {
			t.Fatal(err)
		}
		return u
	}
	type state struct{ object, managedFields []byte }
	live := func() state {
		return state{encode(t, m.Live()), encode(t, m.ManagedFields())}
	}
	states := []state{{}}
	for _, step := range []struct{ manager, value string }{{"waiter", "a"}, {"chef", "b"}, {"waiter", "a"}, {"guest", "c"}} {
		var err error
		if step.manager == "chef" {
			err = m.Apply(object(step.value), step.manager, true)
		} else {
			err = m.Update(object(step.value), step.manager)
		}
		if err != nil {
			t.Fatal(err)
		}
		before, after := states[len(states)-1], live()
		states = append(states, after)
		var d Differ
		changes, _, err := d.Diff(before.object, after.object)
		if err != nil || len(changes) < 4 {
			t.Fatalf("changes %s, error %v", lines(changes), err)
		}
		if got := writeManager(before.managedFields, after.managedFields, changes); got != step.manager {
			t.Errorf("%s wrote %s, but writeManager says %q\n%s", step.manager, lines(changes), got, after.managedFields)
		}
		for _, path := range []string{"metadata.annotations[ops.tips/oven]", "spec.size", "spec.toppings[*]", "spec.parts[name=" + step.value + "]"} {
			manager, at := managerOf(after.managedFields, []byte(path), "")
			if manager != step.manager {
				t.Errorf("after %s wrote, %s is owned by %q\n%s", step.manager, path, manager, after.managedFields)
			}
			if at.IsZero() || metav1.Now().Sub(at) > time.Hour {
				t.Errorf("it was written at %v", at)
			}
		}
	}
}
