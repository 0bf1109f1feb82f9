package admission

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lines describes changes, one a line: path, old value, new value and what else there is to say.
func lines(changes []Change) []string {
	var out []string
	for _, c := range changes {
		values := [2]string{"-", "-"}
		for i, v := range [][]byte{c.Old, c.New} {
			if v != nil {
				values[i] = string(v)
			}
		}
		line := fmt.Sprintf("%s: %s > %s", c.Path, values[0], values[1])
		switch c.Kind {
		case ChangeOrder:
			line += " (order)"
		case ChangeQuantity:
			line += " (quantity)"
		}
		if c.Clock {
			line += " (clock)"
		}
		out = append(out, line)
	}
	return out
}

type diffCase struct {
	name, why string
	old, new  string
	want      []string
}

func runDiffCases(t *testing.T, cases []diffCase) {
	t.Helper()
	var d Differ // one for all: what a diff leaves must not show in the next
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			changes, truncated, err := d.Diff([]byte(c.old), []byte(c.new))
			if err != nil || truncated {
				t.Fatalf("truncated %t, error %v", truncated, err)
			}
			if diff := cmp.Diff(c.want, lines(changes)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

func TestDiffOfMembers(t *testing.T) {
	runDiffCases(t, []diffCase{
		{"equal objects", "", `{"a":1}`, `{"a":1}`, nil},
		{"a value", "", `{"spec":{"replicas":3,"x":{"y":1}}}`, `{"spec":{"replicas":5,"x":{"y":1}}}`, []string{"spec.replicas: 3 > 5"}},
		{"the incident", "",
			`{"metadata":{"annotations":{"apps.example.com/signature":"a"}}}`, `{"metadata":{"annotations":{"apps.example.com/signature":"b"}}}`,
			[]string{`metadata.annotations[apps.example.com/signature]: "a" > "b"`}},
		{"a key that comes and one that goes", "what goes is told last",
			`{"data":{"a":"1","b":"2"}}`, `{"data":{"b":"2","c":"3"}}`, []string{`data[c]: - > "3"`, `data[a]: "1" > -`}},
		{"null is absent", "", `{"a":null,"b":1,"c":{"d":null}}`, `{"b":null,"c":{"e":null}}`, []string{"b: 1 > -"}},
		{"the empty string is not absent", "", `{"spec":{}}`, `{"spec":{"a":""}}`, []string{`spec.a: - > ""`}},
		{"an object that comes", "each of its fields is one of its own",
			`{}`, `{"metadata":{"labels":{"a":"1","b":"2"}},"spec":{"x":{"y":{}},"z":[]}}`,
			[]string{`metadata.labels[a]: - > "1"`, `metadata.labels[b]: - > "2"`, "spec.x.y: - > {}", "spec.z: - > []"}},
		{"an object that goes", "", `{"spec":{"a":{"b":1,"c":{"d":null}}}}`, `{"spec":null}`, []string{"spec.a.b: 1 > -", `spec.a.c: {"d":null} > -`}},
		{"an object becomes a string", "what has another type is one field", `{"a":{"b":1}}`, `{"a":"b"}`, []string{`a: {"b":1} > "b"`}},
		{"a list becomes an object", "", `{"a":[1]}`, `{"a":{"b":1}}`, []string{`a: [1] > {"b":1}`}},
		{"a boolean", "", `{"a":true,"b":true}`, `{"a":false,"b":"true"}`, []string{"a: true > false", `b: true > "true"`}},
		{"bookkeeping of the API server is ignored", "",
			`{"apiVersion":"v1","kind":"A","metadata":{"uid":"1","resourceVersion":"1","generation":1,"managedFields":[],"selfLink":"a","creationTimestamp":"a"}}`,
			`{"apiVersion":"v2","kind":"B","metadata":{"uid":"2","resourceVersion":"2","generation":2,"managedFields":[{}],"deletionTimestamp":"b","deletionGracePeriodSeconds":0}}`, nil},
		{"what has the same name elsewhere is not", "",
			`{"spec":{"kind":"a","template":{"metadata":{"uid":"1","generation":1}}}}`, `{"spec":{"kind":"b","template":{"metadata":{"uid":"2","generation":2}}}}`,
			[]string{`spec.kind: "a" > "b"`, `spec.template.metadata.uid: "1" > "2"`, "spec.template.metadata.generation: 1 > 2"}},
		{"the order of keys", "", `{"b":{"y":1,"x":2},"a":1}`, `{"a":1,"b":{"x":2,"y":1}}`, nil},
		{"the order of keys, with one of them changed", "", `{"b":1,"a":1,"c":{"d":1},"e":0}`, `{"a":1,"c":{"d":2},"b":1,"f":0}`, []string{"c.d: 1 > 2", "f: - > 0", "e: 0 > -"}},
		{"white space", "", `{"a":{"b":[1,2],"c":"x"}}`, " {\n\"a\" : { \"b\" : [ 1 , 2 ] ,\t\"c\":\"x\" }\r\n} ", nil},
		{"escapes", "", `{"\u0061":"\u00e4\/","b":"A"}`, `{"a":"ä/","b":"\u0041"}`, nil},
		{"escapes that mean another", "", `{"a":"\u0041"}`, `{"a":"\u0042"}`, []string{`a: "\u0041" > "\u0042"`}},
		{"forms of numbers", "", `{"a":1,"b":100,"c":0,"d":1}`, `{"a":1.0,"b":1e2,"c":-0,"d":1.5}`, []string{"d: 1 > 1.5"}},
		{"numbers beyond a float64", "", `{"a":9007199254740993}`, `{"a":9007199254740992}`, []string{"a: 9007199254740993 > 9007199254740992"}},
		{"of a key that comes twice the last one counts", "", `{"a":1,"b":1,"a":2}`, `{"a":2,"b":1}`, nil},
		{"of a key that comes twice the last one counts, on both sides", "", `{"a":1,"a":2}`, `{"a":3,"a":2}`, nil},
		{"of a key that comes twice, once with an escape, the last one counts", "", `{"a":1,"\u0061":2}`, `{"a":3,"\u0061":2}`, nil},
		{"of a key that comes twice the last one may be null", "", `{"a":1,"a":null}`, `{"a":1}`, []string{"a: - > 1"}},
		{"of a key that comes twice the last one may differ", "", `{"b":0,"a":1,"a":2}`, `{"b":0,"a":1,"a":3}`, []string{"a: 2 > 3"}},
		{"keys that could be mistaken are in brackets", "",
			`{"spec":{"a.b":1,"a/b":1,"a[b]":1,"a=b":1,"*":1,"":1,"a\\b":1}}`, `{"spec":{}}`,
			[]string{"spec[a.b]: 1 > -", "spec[a/b]: 1 > -", `spec[a[b\]]: 1 > -`, "spec[a=b]: 1 > -", "spec[*]: 1 > -", "spec[]: 1 > -", `spec.a\b: 1 > -`}},
		{"keys of annotations, labels and data always are", "at the root, and those of templates",
			`{"metadata":{"labels":{"a":"1"},"name":"x"},"data":{"a":"1"},"binaryData":{"a":"1"},"stringData":{"a":"1"},"spec":{"data":{"a":"1"},"labels":{"a":"1"},"template":{"metadata":{"labels":{"a":"1"}}}}}`,
			`{"metadata":{"labels":{"a":"2"},"name":"y"},"data":{"a":"2"},"binaryData":{"a":"2"},"stringData":{"a":"2"},"spec":{"data":{"a":"2"},"labels":{"a":"2"},"template":{"metadata":{"labels":{"a":"2"}}}}}`,
			[]string{`metadata.labels[a]: "1" > "2"`, `metadata.name: "x" > "y"`, `data[a]: "1" > "2"`, `binaryData[a]: "1" > "2"`, `stringData[a]: "1" > "2"`,
				`spec.data.a: "1" > "2"`, `spec.labels.a: "1" > "2"`, `spec.template.metadata.labels[a]: "1" > "2"`}},
		{"no object before", "", ``, `{"spec":{"a":1}}`, []string{"spec.a: - > 1"}},
		{"no object after", "", `{"spec":{"a":1}}`, ` null `, []string{"spec.a: 1 > -"}},
		{"no object at all", "", `null`, ``, nil},
		{"an empty object that comes", "", ``, `{}`, nil},
		{"invalid UTF-8 is compared as bytes", "", "{\"a\":\"\xff\"}", "{\"a\":\"\xfe\"}", []string{"a: \"\xff\" > \"\xfe\""}},
		{"only a point in time", "", `{"status":{"at":"2022-10-24T09:30:00Z","n":"1"}}`, `{"status":{"at":"2022-10-24T09:30:05Z","n":"2"}}`,
			[]string{`status.at: "2022-10-24T09:30:00Z" > "2022-10-24T09:30:05Z" (clock)`, `status.n: "1" > "2"`}},
		{"a point in time in a text", "", `{"a":"run at 2022-10-24T09:30:00Z"}`, `{"a":"run at 2022-10-24T09:31:00Z"}`,
			[]string{`a: "run at 2022-10-24T09:30:00Z" > "run at 2022-10-24T09:31:00Z" (clock)`}},
		{"a quantity", "", `{"limits":{"cpu":"1000m","memory":"1Gi","x":"1"}}`, `{"limits":{"cpu":1,"memory":"1024Mi","x":"2"}}`,
			[]string{`limits.cpu: "1000m" > 1 (quantity)`, `limits.memory: "1Gi" > "1024Mi" (quantity)`, `limits.x: "1" > "2"`}},
		{"a Scale", "the same path as in the Deployment",
			`{"kind":"Scale","metadata":{"name":"d"},"spec":{"replicas":3}}`, `{"kind":"Scale","metadata":{"name":"d"},"spec":{}}`, []string{"spec.replicas: 3 > -"}},
	})
}

func TestDiffOfLists(t *testing.T) {
	runDiffCases(t, []diffCase{
		{"a finalizer comes", "", `{"metadata":{"finalizers":["a"]}}`, `{"metadata":{"finalizers":["a","b"]}}`, []string{`metadata.finalizers[*]: ["a"] > ["a","b"]`}},
		{"the first finalizer comes", "the path is the same whether the list was there or not", `{"metadata":{}}`, `{"metadata":{"finalizers":["a"]}}`, []string{`metadata.finalizers[*]: - > ["a"]`}},
		{"the first finalizer comes to an empty list", "", `{"metadata":{"finalizers":[]}}`, `{"metadata":{"finalizers":["a"]}}`, []string{`metadata.finalizers[*]: [] > ["a"]`}},
		{"an empty list goes", "", `{"a":[]}`, `{}`, []string{"a: [] > -"}},
		{"an empty list with white space", "", `{"a":[]}`, `{"a":[ ]}`, nil},
		{"scalars in another order", "", `{"a":["x","y",1,1]}`, `{"a":["y",1,"x",1.0]}`, []string{`a[*]: ["x","y",1,1] > ["y",1,"x",1.0] (order)`}},
		{"scalars in other numbers", "", `{"a":["x","x","y"]}`, `{"a":["x","y","y"]}`, []string{`a[*]: ["x","x","y"] > ["x","y","y"]`}},
		{"scalars written in other ways", "", `{"a":["x",1]}`, `{"a":["\u0078",1.0]}`, nil},
		{"points in time", "", `{"a":["2022-10-24T09:30:00Z"]}`, `{"a":["2022-10-24T09:31:00Z"]}`, []string{`a[*]: ["2022-10-24T09:30:00Z"] > ["2022-10-24T09:31:00Z"] (clock)`}},
		{"null in a list is a value", "", `{"a":["x",null]}`, `{"a":["x"]}`, []string{`a[*]: ["x",null] > ["x"]`}},

		{"a container's image", "", `{"spec":{"containers":[{"name":"a","image":"1"},{"name":"b","image":"1"}]}}`, `{"spec":{"containers":[{"name":"a","image":"1"},{"name":"b","image":"2"}]}}`,
			[]string{`spec.containers[name=b].image: "1" > "2"`}},
		{"a container comes before the others", "it is one change, and the others none",
			`{"spec":{"containers":[{"name":"a"},{"name":"b"}]}}`, `{"spec":{"containers":[{"name":"c","x":{"y":1}},{"name":"a"},{"name":"b"}]}}`,
			[]string{`spec.containers[name=c]: - > {"name":"c","x":{"y":1}}`}},
		{"a container goes and others trade places", "", `{"c":[{"name":"a"},{"name":"b"},{"name":"d","v":1}]}`, `{"c":[{"name":"d","v":2},{"name":"a"}]}`,
			[]string{"c[name=d].v: 1 > 2", `c[name=b]: {"name":"b"} > -`, `c: [{"name":"a"},{"name":"b"},{"name":"d","v":1}] > [{"name":"d","v":2},{"name":"a"}] (order)`}},
		{"only the order", "", `{"c":[{"name":"a"},{"name":"b"}]}`, `{"c":[{"name":"b"},{"name":"a"}]}`, []string{`c: [{"name":"a"},{"name":"b"}] > [{"name":"b"},{"name":"a"}] (order)`}},
		{"a list comes", "element by element", `{}`, `{"c":[{"name":"a"},{"name":"b"}]}`, []string{`c[name=a]: - > {"name":"a"}`, `c[name=b]: - > {"name":"b"}`}},
		{"an empty list gets an element", "", `{"c":[]}`, `{"c":[{"name":"a"}]}`, []string{`c[name=a]: - > {"name":"a"}`}},
		{"a list in a list", "", `{"c":[{"name":"a","ports":[{"containerPort":80,"x":1}]}]}`, `{"c":[{"name":"a","ports":[{"containerPort":80,"x":2}]}]}`, []string{"c[name=a].ports[containerPort=80].x: 1 > 2"}},

		{"conditions go by type", "even if they have names", `{"status":{"conditions":[{"name":"n","type":"Ready","status":"True"}]}}`, `{"status":{"conditions":[{"name":"n","type":"Ready","status":"False"}]}}`,
			[]string{`status.conditions[type=Ready].status: "True" > "False"`}},
		{"owners go by uid", "", `{"metadata":{"ownerReferences":[{"name":"a","uid":"1"}]}}`, `{"metadata":{"ownerReferences":[{"name":"a","uid":"2"}]}}`,
			[]string{`metadata.ownerReferences[uid=2]: - > {"name":"a","uid":"2"}`, `metadata.ownerReferences[uid=1]: {"name":"a","uid":"1"} > -`}},
		{"ownerReferences elsewhere go by name", "", `{"spec":{"ownerReferences":[{"name":"a","uid":"1"}]}}`, `{"spec":{"ownerReferences":[{"name":"a","uid":"2"}]}}`,
			[]string{`spec.ownerReferences[name=a].uid: "1" > "2"`}},
		{"conditions without types go by the usual keys", "", `{"conditions":[{"name":"a","v":1}]}`, `{"conditions":[{"name":"a","v":2}]}`, []string{"conditions[name=a].v: 1 > 2"}},
		{"ports without names", "", `{"spec":{"ports":[{"port":3000,"nodePort":1},{"port":80}]}}`, `{"spec":{"ports":[{"port":3000,"nodePort":2},{"port":80}]}}`, []string{"spec.ports[port=3000].nodePort: 1 > 2"}},
		{"ports of two protocols", "", `{"p":[{"port":53,"protocol":"TCP","x":1},{"port":53,"protocol":"UDP"}]}`, `{"p":[{"port":53,"protocol":"TCP","x":2},{"port":53,"protocol":"UDP"}]}`,
			[]string{"p[port=53][protocol=TCP].x: 1 > 2"}},
		{"a taint", "", `{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}}`, `{"spec":{"taints":[{"key":"a","effect":"NoSchedule"},{"key":"a","effect":"NoExecute"}]}}`,
			[]string{`spec.taints[key=a][effect=NoExecute]: - > {"key":"a","effect":"NoExecute"}`}},
		{"a volume mounted twice", "the name is not unique, the path is", `{"m":[{"name":"v","mountPath":"/a"},{"name":"v","mountPath":"/b","ro":1}]}`, `{"m":[{"name":"v","mountPath":"/a"},{"name":"v","mountPath":"/b","ro":2}]}`,
			[]string{"m[mountPath=/b].ro: 1 > 2"}},
		{"a key that only some have", "it tells nothing apart", `{"m":[{"name":"a","type":"x"},{"type":"y"}]}`, `{"m":[{"name":"a","type":"x"},{"type":"y","v":1}]}`, []string{"m[type=y].v: - > 1"}},
		{"keys with escapes", "", `{"m":[{"n\u0061me":"\u0061]","v":1}]}`, `{"m":[{"name":"a]","v":2}]}`, []string{`m[name=a\]].v: 1 > 2`}},
		{"keys that are no strings", "", `{"m":[{"key":true},{"key":0}]}`, `{"m":[{"key":true,"v":1},{"key":0}]}`, []string{"m[key=true].v: - > 1"}},
		{"a key of another type", "", `{"m":[{"port":80}]}`, `{"m":[{"port":"80"}]}`, []string{`m[port=80].port: 80 > "80" (quantity)`}},
		{"a number as key that can be written in several ways", "such a list has no key", `{"m":[{"port":1.0}]}`, `{"m":[{"port":1}]}`, nil},
		{"names that are objects or null", "", `{"m":[{"name":{}},{"name":null}]}`, `{"m":[{"name":{}},{"name":"a"}]}`, []string{`m: [{"name":{}},{"name":null}] > [{"name":{}},{"name":"a"}]`}},
		{"no key is unique", "", `{"m":[{"name":"a"},{"name":"a"}]}`, `{"m":[{"name":"a"},{"name":"b"}]}`, []string{`m: [{"name":"a"},{"name":"a"}] > [{"name":"a"},{"name":"b"}]`}},
		{"no key is unique after the write", "", `{"m":[{"name":"a"}]}`, `{"m":[{"name":"a"},{"name":"a"}]}`, []string{`m: [{"name":"a"}] > [{"name":"a"},{"name":"a"}]`}},
		{"no key at all", "", `{"status":{"loadBalancer":{"ingress":[{"ip":"1"}]}}}`, `{"status":{"loadBalancer":{"ingress":[{"ip":"2"}]}}}`, []string{`status.loadBalancer.ingress: [{"ip":"1"}] > [{"ip":"2"}]`}},
		{"no key at all, another order", "", `{"i":[{"ip":"1","x":{"a":1,"b":null}},{"ip":"2"}]}`, `{"i":[{"ip":"2"},{"x":{"a":1.0},"ip":"\u0031"}]}`,
			[]string{`i: [{"ip":"1","x":{"a":1,"b":null}},{"ip":"2"}] > [{"ip":"2"},{"x":{"a":1.0},"ip":"\u0031"}] (order)`}},
		{"no key at all, written in other ways", "of a key that comes twice the last one counts", `{"i":[{"ip":"1","a":[true,false,null]},{}]}`, `{"i":[{"a":5,"a":[true, false,null],"ip":"1"},{"b":1,"b":null}]}`, nil},
		{"lists of lists", "", `{"m":[[1],[2]]}`, `{"m":[[2],[1]]}`, []string{"m: [[1],[2]] > [[2],[1]] (order)"}},
		{"lists of lists that differ inside", "", `{"m":[[1,2]]}`, `{"m":[[2,1]]}`, []string{"m: [[1,2]] > [[2,1]]"}},
		{"objects and scalars", "", `{"m":[{"name":"a"},1]}`, `{"m":[{"name":"a"},2]}`, []string{`m: [{"name":"a"},1] > [{"name":"a"},2]`}},
	})
}

func TestDiffRefusesWhatIsNotJSON(t *testing.T) {
	const good = `{"a":1}`
	for _, c := range []struct{ name, old, new, where, what string }{
		{"a list", good, `[1]`, "request.object", "it is not a JSON object, at byte 0"},
		{"a string", `"a"`, good, "request.oldObject", "it is not a JSON object, at byte 0"},
		{"truncated", good, `{"a":`, "request.object", "there is no member of an object, at byte 1"},
		{"truncated, the old one", `{"a":2`, good, "request.oldObject", "there is neither a comma"},
		{"no colon", good, `{"a" 1}`, "request.object", "there is no member of an object, at byte 1"},
		{"no comma", good, `{"a":1 "b":2}`, "request.object", "there is neither a comma nor the end of the object after a member, at byte 6"},
		{"a comma too much", good, `{"a":1,}`, "request.object", "there is no member of an object, at byte 7"},
		{"a key without quotes", good, `{a:1}`, "request.object", "there is no member"},
		{"something after it", good, `{"a":1}x`, "request.object", "there is something after the end of the object, at byte 6"},
		{"a word that is none", good, `{"a":tru}`, "request.object", "there is no JSON value, at byte 5"},
		{"a word that is none, before", `{"a":nul}`, good, "request.oldObject", "there is no JSON value, at byte 5"},
		{"a word that is none, of another kind", good, `{"a":falsy}`, "request.object", "there is no JSON value"},
		{"a number that is none", good, `{"a":01}`, "request.object", "there is no JSON value"},
		{"an escape that is none", `{"a":"x"}`, `{"a":"\x"}`, "request.object", "there is an escape that JSON does not have, at byte 5"},
		{"brackets that do not match", good, `{"a":[1}}`, "request.object", "there is no member of an object, at byte 1"},
		{"a list without a comma", `{"a":[1]}`, `{"a":[1 2]}`, "request.object", "there is neither a comma nor the end of the list"},
		{"a list with a comma too much", `{"a":[1]}`, `{"a":[1,]}`, "request.object", "there is no element of a list"},
		{"a word in a list", `{"a":[1]}`, `{"a":[x]}`, "request.object", "there is no JSON value"},
		{"a word in a list in a list", `{"a":[[1]]}`, `{"a":[[x]]}`, "request.object", "there is no JSON value"},
		{"a list in a list without a comma", `{"a":[[1]]}`, `{"a":[[1 2]]}`, "request.object", "there is neither a comma nor the end of the list"},
		{"a list in a list with a comma too much", `{"a":[[1]]}`, `{"a":[[1,]]}`, "request.object", "there is no JSON value"},
		{"an object in a list without a colon", `{"a":[{"x":1}]}`, `{"a":[{"x" 1}]}`, "request.object", "there is no member"},
		{"an object in a list without a comma", `{"a":[{"x":1}]}`, `{"a":[{"x":1 "y":2}]}`, "request.object", "there is neither a comma"},
		{"an object in a list of lists without a colon", `{"a":[[{"x":1}]]}`, `{"a":[[{"x" 1}]]}`, "request.object", "there is no member"},
		{"an object in a list of lists without a comma", `{"a":[[{"x":1}]]}`, `{"a":[[{"x":1 "y":2}]]}`, "request.object", "there is neither a comma"},
		{"an object in a list of lists with a word", `{"a":[[{"x":1}]]}`, `{"a":[[{"x":z}]]}`, "request.object", "there is no JSON value"},
		{"the old one in a list of lists", `{"a":[[x]]}`, `{"a":[[1]]}`, "request.oldObject", "there is no JSON value"},
		{"crossing brackets", `{"a":[{}]}`, `{"a":[{]}}`, "request.object", "there is no member of an object, at byte 1"},
		{"nested 100,000 deep", good, `{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, "request.object", "there is no member"},
		{"nested 9,999 deep, and not JSON at the end", `{"a":[1]}`, `{"a":` + strings.Repeat("[", 9_990) + "x" + strings.Repeat("]", 9_990) + `}`, "request.object", "there is no JSON value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Differ
			changes, _, err := d.Diff([]byte(c.old), []byte(c.new))
			var bad *BadReview
			if !errors.As(err, &bad) {
				t.Fatalf("error %v, changes %s", err, lines(changes))
			}
			if bad.Where != c.where || !strings.HasPrefix(bad.What, c.what) {
				t.Errorf("error at %s: %s\nwant at %s: %s", bad.Where, bad.What, c.where, c.what)
			}
			if changes, _, err := d.Diff([]byte(good), []byte(`{"a":2}`)); err != nil || len(changes) != 1 {
				t.Errorf("the next diff: %s, error %v", lines(changes), err)
			}
		})
	}
}

func TestWhatIsEqualAsBytesIsNotLookedAt(t *testing.T) {
	var d Differ
	changes, _, err := d.Diff([]byte(`{"a":{"b" 1},"c":1}`), []byte(`{"a":{"b" 1},"c":2}`))
	if diff := cmp.Diff([]string{"c: 1 > 2"}, lines(changes)); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestDiffStopsAtItsLimit(t *testing.T) {
	object := func(n int, value string) []byte {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%03d":%q`, i, value)
		}
		return []byte(`{"data":{` + b.String()[1:] + `}}`)
	}
	for _, c := range []struct {
		limit, n, want int
		truncated      bool
	}{
		{0, 255, 255, false}, {0, 256, 256, false}, {0, 257, 256, true}, {3, 2, 2, false}, {3, 3, 3, false}, {3, 4, 3, true},
	} {
		d := Differ{MaxChanges: c.limit}
		changes, truncated, err := d.Diff(object(c.n, "a"), object(c.n, "b"))
		if err != nil || len(changes) != c.want || truncated != c.truncated {
			t.Errorf("limit %d, %d differ: %d changes, truncated %t, error %v", c.limit, c.n, len(changes), truncated, err)
		}
		if string(changes[c.want-1].Path) != fmt.Sprintf("data[k%03d]", c.want-1) {
			t.Errorf("the last change is %s", changes[c.want-1].Path)
		}
	}
}

func TestDeepObjects(t *testing.T) {
	nested := func(depth int, key, inner string) string {
		return strings.Repeat(`{"`+key+`":`, depth) + inner + strings.Repeat("}", depth)
	}
	long := strings.Repeat("k", 300)
	for _, c := range []struct {
		name     string
		old, new string
		want     int // length of the only path, -1 for none
	}{
		{"as deep as any object is", nested(60, "a", "1"), nested(60, "a", "2"), 2*60 - 1},
		{"deeper than paths are long", nested(40, long, "1"), nested(40, long, "2"), 7*301 - 1},
		{"deeper than paths are long, and equal", nested(40, long, `{"b":1,"c":2}`), nested(40, long, `{"c":2,"b":1}`), -1},
		{"nearly as deep as JSON may be, and equal", nested(9990, "a", `{"b":1,"c":2}`), nested(9990, "a", `{"c":2,"b":1}`), -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Differ
			changes, truncated, err := d.Diff([]byte(c.old), []byte(c.new))
			if err != nil || truncated {
				t.Fatalf("truncated %t, error %v", truncated, err)
			}
			if c.want < 0 {
				if len(changes) > 0 {
					t.Fatalf("%d changes", len(changes))
				}
				return
			}
			if len(changes) != 1 || len(changes[0].Path) != c.want {
				t.Fatalf("%d changes, path of %d bytes, want %d", len(changes), len(changes[0].Path), c.want)
			}
		})
	}
}

func TestAnObjectMadeToBeSlowIsComparedAsAWholeFromSomeDepthOn(t *testing.T) {
	const levels = 900
	slow := func(inner string) []byte {
		var b strings.Builder
		for range levels {
			b.WriteString(`{"a":`)
		}
		b.WriteString(`{"x":"` + strings.Repeat("y", 1<<20) + `","z":` + inner + "}")
		b.WriteString(strings.Repeat("}", levels))
		return []byte(b.String())
	}
	var d Differ
	changes, _, err := d.Diff(slow("1"), slow("2"))
	if err != nil || len(changes) != 1 {
		t.Fatalf("%d changes, error %v", len(changes), err)
	}
	if n := strings.Count(string(changes[0].Path), "a"); n < 10 || n > 100 {
		t.Errorf("it was split %d times", n)
	}
}

func TestDiffDoesNotAllocate(t *testing.T) {
	for _, s := range samples(t) {
		var d Differ
		n := testing.AllocsPerRun(100, func() {
			if changes, _, err := d.Diff(s.old, s.new); err != nil || len(changes) != 1 {
				t.Fatal(err)
			}
		})
		if n > 0 {
			t.Errorf("%s: %v allocations", s.name, n)
		}
	}
}
