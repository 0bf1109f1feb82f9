package admission

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRestore(t *testing.T) {
	for _, c := range []struct {
		name, why string
		old, new  string
		hold      []string // paths; none: all
		patch     string
		left      []string
	}{
		{name: "a value", old: `{"spec":{"replicas":3}}`, new: `{"spec":{"replicas":5}}`,
			patch: `[{"op":"replace","path":"/spec/replicas","value":3}]`},
		{name: "the incident", old: `{"metadata":{"annotations":{"apps.example.com/signature":"a"}}}`,
			new:   `{"metadata":{"annotations":{"apps.example.com/signature":"b"}}}`,
			patch: `[{"op":"replace","path":"/metadata/annotations/apps.example.com~1signature","value":"a"}]`},
		{name: "a key that came goes", old: `{"data":{"a":"1"}}`, new: `{"data":{"a":"1","b":"2"}}`,
			patch: `[{"op":"remove","path":"/data/b"}]`},
		{name: "a key that went comes", old: `{"data":{"a":"1","b":"2"}}`, new: `{"data":{"a":"1"}}`,
			patch: `[{"op":"add","path":"/data/b","value":"2"}]`},
		{name: "a key that is null now", old: `{"a":1}`, new: `{"a":null}`, patch: `[{"op":"add","path":"/a","value":1}]`},
		{name: "a key that was null", old: `{"a":null}`, new: `{"a":1}`, patch: `[{"op":"remove","path":"/a"}]`},
		{name: "a map that went, in part", old: `{"metadata":{"labels":{"a":"1","b":"2"}}}`, new: `{"metadata":{}}`,
			hold: []string{"metadata.labels[a]"}, patch: `[{"op":"add","path":"/metadata/labels","value":{"a":"1"}}]`,
			left: []string{`metadata.labels[b]: "2" > -`}},
		{name: "a map that went with all that it was in", old: `{"metadata":{"labels":{"a":"1"},"annotations":{"b":{}}}}`, new: `{}`,
			patch: `[{"op":"add","path":"/metadata","value":{"labels":{"a":"1"},"annotations":{"b":{}}}}]`},
		{name: "a map that came goes with its last key", why: "an empty one would be a change, too",
			old: `{"metadata":{}}`, new: `{"metadata":{"labels":{"a":"1","b":"2"}}}`,
			patch: `[{"op":"remove","path":"/metadata/labels"}]`},
		{name: "a map that came stays with the keys that stay", old: `{"metadata":{}}`, new: `{"metadata":{"labels":{"a":"1","b":"2"}}}`,
			hold: []string{"metadata.labels[a]"}, patch: `[{"op":"remove","path":"/metadata/labels/a"}]`, left: []string{`metadata.labels[b]: - > "2"`}},
		{name: "a map that came stays with what is ignored in it", old: `{}`, new: `{"metadata":{"uid":"u","labels":{"a":"1"}}}`,
			patch: `[{"op":"remove","path":"/metadata/labels"}]`},
		{name: "an empty map that was there stays", old: `{"a":{}}`, new: `{"a":{"b":1}}`, patch: `[{"op":"remove","path":"/a/b"}]`},
		{name: "keys with anything in them", old: `{"data":{"a~b/c":"1","\"\\ä\u0001":"1"}}`, new: `{"data":{"a~b/c":"2","\"\\ä\u0001":"2"}}`,
			patch: `[{"op":"replace","path":"/data/a~0b~1c","value":"1"},{"op":"replace","path":"/data/\"\\ä\u0001","value":"1"}]`},
		{name: "a type", old: `{"a":{"b":1}}`, new: `{"a":"b"}`, patch: `[{"op":"replace","path":"/a","value":{"b":1}}]`},
		{name: "a quantity", old: `{"a":"1000m"}`, new: `{"a":1}`, patch: `[{"op":"replace","path":"/a","value":"1000m"}]`},
		{name: "finalizers", old: `{"metadata":{"finalizers":["a","b"]}}`, new: `{"metadata":{"finalizers":["b"]}}`,
			patch: `[{"op":"replace","path":"/metadata/finalizers","value":["a","b"]}]`},
		{name: "finalizers that came", old: `{"metadata":{}}`, new: `{"metadata":{"finalizers":["b"]}}`,
			patch: `[{"op":"remove","path":"/metadata/finalizers"}]`},
		{name: "the order of scalars", old: `{"a":[1,2]}`, new: `{"a":[2,1]}`, patch: `[{"op":"replace","path":"/a","value":[1,2]}]`},
		{name: "a container's image, and not the rest of it", old: `{"c":[{"name":"a","image":"1","tty":1},{"name":"b"}]}`, new: `{"c":[{"name":"a","image":"2","tty":2},{"name":"b"}]}`,
			hold: []string{"c[name=a].image"}, patch: `[{"op":"replace","path":"/c","value":[{"name":"a","image":"1","tty":2},{"name":"b"}]}]`,
			left: []string{"c[name=a].tty: 1 > 2"}},
		{name: "members of an element that come, go and change", old: `{"c":[{"name":"a","x":1,"y":{"z":1}}]}`, new: `{"c":[{"v":{"w":1},"name":"a","x":null,"u":3}]}`,
			hold:  []string{"c[name=a].x", "c[name=a].y.z", "c[name=a].v.w"},
			patch: `[{"op":"replace","path":"/c","value":[{"name":"a","u":3,"x":1,"y":{"z":1}}]}]`, left: []string{"c[name=a].u: - > 3"}},
		{name: "members of an element that are null now", old: `{"c":[{"name":"a","x":1,"y":1}]}`, new: `{"c":[{"name":"a","x":null,"y":2,"z":null}]}`,
			patch: `[{"op":"replace","path":"/c","value":[{"name":"a","y":1,"z":null,"x":1}]}]`},
		{name: "a container that came goes", old: `{"c":[{"name":"a"}]}`, new: `{"c":[{"name":"x"},{"name":"a"},{"name":"y"}]}`,
			hold: []string{"c[name=x]"}, patch: `[{"op":"replace","path":"/c","value":[{"name":"a"},{"name":"y"}]}]`, left: []string{`c[name=y]: - > {"name":"y"}`}},
		{name: "a container that went comes back to its place", old: `{"c":[{"name":"a"},{"name":"b"},{"name":"d"}]}`, new: `{"c":[{"name":"a"},{"name":"d"}]}`,
			patch: `[{"op":"replace","path":"/c","value":[{"name":"a"},{"name":"b"},{"name":"d"}]}]`},
		{name: "what stays keeps its place", why: "the order of initContainers matters", old: `{"c":[{"name":"a"},{"name":"b"}]}`, new: `{"c":[{"name":"x"},{"name":"a","v":1},{"name":"y"},{"name":"z"},{"name":"b"}]}`,
			hold: []string{"c[name=a].v"}, patch: `[{"op":"replace","path":"/c","value":[{"name":"x"},{"name":"a"},{"name":"y"},{"name":"z"},{"name":"b"}]}]`,
			left: []string{`c[name=x]: - > {"name":"x"}`, `c[name=y]: - > {"name":"y"}`, `c[name=z]: - > {"name":"z"}`}},
		{name: "the order, and not what changed in the elements", old: `{"c":[{"name":"a"},{"name":"b"}]}`, new: `{"c":[{"name":"b","v":1},{"name":"x"},{"name":"a"}]}`,
			hold: []string{"c"}, patch: `[{"op":"replace","path":"/c","value":[{"name":"a"},{"name":"b","v":1},{"name":"x"}]}]`,
			left: []string{"c[name=b].v: - > 1", `c[name=x]: - > {"name":"x"}`}},
		{name: "what changed in the elements, and not the order", old: `{"c":[{"name":"a"},{"name":"y"},{"name":"b"}]}`, new: `{"c":[{"name":"b","v":1},{"name":"x"},{"name":"a"}]}`,
			hold: []string{"c[name=b].v", "c[name=y]"}, patch: `[{"op":"replace","path":"/c","value":[{"name":"b"},{"name":"x"},{"name":"a"},{"name":"y"}]}]`,
			left: []string{`c[name=x]: - > {"name":"x"}`, `c: [{"name":"a"},{"name":"y"},{"name":"b"}] > [{"name":"b"},{"name":"x"},{"name":"a"},{"name":"y"}] (order)`}},
		{name: "a list that came goes", old: `{}`, new: `{"c":[{"name":"a"},{"name":"b"}]}`, patch: `[{"op":"remove","path":"/c"}]`},
		{name: "a list that came, in part", old: `{}`, new: `{"c":[{"name":"a"},{"name":"b"}]}`, hold: []string{"c[name=a]"},
			patch: `[{"op":"replace","path":"/c","value":[{"name":"b"}]}]`, left: []string{`c[name=b]: - > {"name":"b"}`}},
		{name: "a list that went, in part", old: `{"c":[{"name":"a"},{"name":"b"}]}`, new: `{}`, hold: []string{"c[name=b]"},
			patch: `[{"op":"add","path":"/c","value":[{"name":"b"}]}]`, left: []string{`c[name=a]: {"name":"a"} > -`}},
		{name: "an empty list that got an element is empty again", old: `{"c":[]}`, new: `{"c":[{"name":"a"}]}`, patch: `[{"op":"replace","path":"/c","value":[]}]`},
		{name: "a list in a list", old: `{"c":[{"name":"a","p":[{"port":1,"v":1},{"port":2}]},{"name":"b"}]}`, new: `{"c":[{"name":"a","p":[{"port":1,"v":2}]},{"name":"b"}]}`,
			patch: `[{"op":"replace","path":"/c","value":[{"name":"a","p":[{"port":1,"v":1},{"port":2}]},{"name":"b"}]}]`},
		{name: "a list without a merge key", old: `{"i":[{"ip":"1"}]}`, new: `{"i":[{"ip":"2"},{"ip":"3"}]}`, patch: `[{"op":"replace","path":"/i","value":[{"ip":"1"}]}]`},
		{name: "of a key that comes twice none is left", old: `{"c":[{"name":"a"}]}`, new: `{"c":[{"name":"a","x":1,"x":2}]}`,
			patch: `[{"op":"replace","path":"/c","value":[{"name":"a"}]}]`},
		{name: "several places at once", old: `{"a":1,"b":{"c":1},"d":1}`, new: `{"a":2,"b":{"c":2},"e":1}`, hold: []string{"b.c", "d", "e"},
			patch: `[{"op":"replace","path":"/b/c","value":1},{"op":"remove","path":"/e"},{"op":"add","path":"/d","value":1}]`, left: []string{"a: 1 > 2"}},
		{name: "nothing", old: `{"a":1}`, new: `{"a":2}`, hold: []string{"no such path"}, patch: `[]`, left: []string{"a: 1 > 2"}},
		{name: "nothing differs", old: `{"a":1}`, new: `{"a":1}`, patch: `[]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Differ
			oldObj, newObj := []byte(c.old), []byte(c.new)
			changes, _, err := d.Diff(oldObj, newObj)
			if err != nil {
				t.Fatal(err)
			}
			var which []int
			for i, change := range changes {
				held := c.hold == nil
				for _, path := range c.hold {
					held = held || path == string(change.Path)
				}
				if held {
					which = append(which, i)
				}
			}
			patch, err := d.Restore(oldObj, newObj, changes, which)
			if err != nil {
				t.Fatal(err)
			}
			if string(patch) != c.patch {
				t.Errorf("%s\n got %s\nwant %s", c.why, patch, c.patch)
			}
			left, _, err := d.Diff(oldObj, applyPatch(t, patch, newObj))
			if diff := cmp.Diff(c.left, lines(left)); diff != "" || err != nil {
				t.Errorf("what is left (-want +got):\n%s%v", diff, err)
			}
		})
	}
}

func TestRestoreAfterATruncatedDiffLeavesTheRest(t *testing.T) {
	oldObj := []byte(`{"spec":{"x":1}}`)
	newObj := []byte(`{"spec":{"x":1},"new":{"a":1,"b":1,"c":{"d":1}}}`)
	d := Differ{MaxChanges: 2}
	changes, truncated, err := d.Diff(oldObj, newObj)
	if err != nil || !truncated {
		t.Fatal(truncated, err)
	}
	patch, err := d.Restore(oldObj, newObj, changes, []int{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	// Had it been taken for complete, all of /new would go.
	const want = `[{"op":"remove","path":"/new/a"},{"op":"remove","path":"/new/b"}]`
	if string(patch) != want {
		t.Errorf("patch %s, want %s", patch, want)
	}
}

func TestRestoreRefuses(t *testing.T) {
	oldObj, newObj := []byte(`{"a":1,"b":[{}]}`), []byte(`{"a":2,"b":[{}]}`)
	var d, other Differ
	changes, _, err := d.Diff(oldObj, newObj)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := other.Diff([]byte(`{}`), []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		d        *Differ
		old, new []byte
		changes  []Change
		which    []int
		want     string
	}{
		"other objects":        {&other, oldObj, newObj, changes, []int{0}, "these are not the objects of the last diff"},
		"a copy of the object": {&d, oldObj, []byte(string(newObj)), changes, []int{0}, "these are not the objects of the last diff"},
		"an index beyond":      {&d, oldObj, newObj, changes, []int{1}, "there is no change 1 among 1"},
		"a negative index":     {&d, oldObj, newObj, changes, []int{-1}, "there is no change -1 among 1"},
		"other changes":        {&d, oldObj, newObj, []Change{{node: 7}}, []int{0}, "these are not the changes of the last diff"},
		"made-up changes":      {&d, oldObj, newObj, []Change{{}}, []int{0}, "these are not the changes of the last diff"},
	} {
		if _, err := c.d.Restore(c.old, c.new, c.changes, c.which); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestRestoreNeverPutsBackWhatIsNotJSON(t *testing.T) {
	for _, oldObj := range []string{
		`{"c":[{"name":"a","v":tru}]}`,
		`{"c":[{"name":"a","v":{"x" 1}}]}`,
		"{\"c\":\"a\x01\"}",
		`{"c":[[1,}]]}`,
	} {
		var d Differ
		a, b := []byte(oldObj), []byte(`{"d":1}`)
		changes, _, err := d.Diff(a, b)
		if err != nil {
			continue // found out before
		}
		all := make([]int, len(changes))
		for i := range all {
			all[i] = i
		}
		if patch, err := d.Restore(a, b, changes, all); err == nil || !strings.Contains(err.Error(), "is not JSON") {
			t.Errorf("of %q patch %s, error %v", oldObj, patch, err)
		}
	}
}
