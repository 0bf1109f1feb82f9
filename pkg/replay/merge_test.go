package replay

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The cases of RFC 7386, appendix A, and what a lap's number becomes.
func TestMerged(t *testing.T) {
	for _, c := range []struct {
		name, old, patch, want string
		changed                bool
	}{
		{"a value is replaced", `{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`, true},
		{"a key is added", `{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`, true},
		{"null removes a key", `{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`, true},
		{"null for a key that is not there is nothing", `{"b":"c"}`, `{"a":null}`, `{"b":"c"}`, false},
		{"a list is replaced whole", `{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`, true},
		{"a nested key", `{"a":{"b":"c","d":"e"}}`, `{"a":{"b":"x","d":null}}`, `{"a":{"b":"x"}}`, true},
		{"a map takes the place of text, without its nulls", `{"a":"b"}`, `{"a":{"b":{"c":null},"d":1}}`, `{"a":{"b":{},"d":1}}`, true},
		{"a map takes the place of a list", `{"a":[1]}`, `{"a":{}}`, `{"a":{}}`, true},
		{"text takes the place of a map", `{"a":{"b":1}}`, `{"a":"x"}`, `{"a":"x"}`, true},
		{"the same value", `{"a":{"b":[1,2]}}`, `{"a":{"b":[1,2]}}`, `{"a":{"b":[1,2]}}`, false},
		{"the same number, written otherwise", `{"a":1}`, `{"a":1.0}`, `{"a":1}`, false},
		{"the same number, the other way round", `{"a":1.0}`, `{"a":1}`, `{"a":1}`, false},
		{"another order is another list", `{"a":[1,2]}`, `{"a":[2,1]}`, `{"a":[2,1]}`, true},
		{"a longer list", `{"a":[1]}`, `{"a":[1,1]}`, `{"a":[1,1]}`, true},
		{"an empty patch", `{"a":1}`, `{}`, `{"a":1}`, false},
		{"an explicit null in a list stays", `{}`, `{"a":[null]}`, `{"a":[null]}`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, patch := ints(t, c.old), ints(t, c.patch)
			got, changed := merged(old, patch)
			if changed != c.changed {
				t.Errorf("changed is %v, want %v", changed, c.changed)
			}
			if diff := cmp.Diff(decoded(t, []byte(c.want)), through(t, got)); diff != "" {
				t.Errorf("result differs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(ints(t, c.old), old); diff != "" {
				t.Errorf("the old value was changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestALapBecomesANumberOnlyInPlaceOfOne(t *testing.T) {
	old := map[string]any{
		"number": int64(3), "float": 2.5, "text": "3",
		"list": []any{map[string]any{"port": int64(1), "name": "a"}},
	}
	patch := map[string]any{
		"number": lapNumber(4), "float": lapNumber(4), "text": lapNumber(4), "absent": lapNumber(4),
		"list": []any{
			map[string]any{"port": lapNumber(5), "name": lapNumber(5)},
			map[string]any{"port": lapNumber(6)},
		},
	}
	want := map[string]any{
		"number": int64(4), "float": int64(4), "text": "4", "absent": "4",
		"list": []any{
			map[string]any{"port": int64(5), "name": "5"},
			map[string]any{"port": "6"},
		},
	}
	got, changed := merged(old, patch)
	if !changed {
		t.Error("nothing changed")
	}
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Errorf("result differs (-want +got):\n%s", diff)
	}
}

func TestAgreeingKeepsWhatStillStands(t *testing.T) {
	config := ints(t, `{"a":{"x":1,"y":2},"gone":{"z":1},"list":[1],"other":[1],"empty":{}}`)
	object := ints(t, `{"a":{"x":1,"y":3},"list":[1],"other":[2],"empty":{"n":1},"more":1}`)
	want := decoded(t, []byte(`{"a":{"x":1},"list":[1],"empty":{}}`))
	if diff := cmp.Diff(want, through(t, agreeing(config, object))); diff != "" {
		t.Errorf("what stands differs (-want +got):\n%s", diff)
	}
	if got := agreeing(config, "text"); got != nil {
		t.Errorf("a map agrees with text in %v", got)
	}
}

// ints decodes JSON with whole numbers as int64, unless they are written with a point.
func ints(t *testing.T, text string) any {
	t.Helper()
	var d decoder
	node, err := document([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	v := d.value(node, "")
	if len(d.problems) > 0 {
		t.Fatal(d.problems)
	}
	return v
}

// through returns v as it comes back from JSON.
func through(t *testing.T, v any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, raw)
}

func TestTidyLeavesOutEmptyMetadata(t *testing.T) {
	in := ints(t, `{"metadata":{"annotations":{},"labels":{"a":"b"},"finalizers":[],"ownerReferences":[1],"name":""},"spec":{}}`)
	want := decoded(t, []byte(`{"metadata":{"labels":{"a":"b"},"ownerReferences":[1],"name":""},"spec":{}}`))
	if diff := cmp.Diff(want, through(t, tidy(in.(map[string]any)))); diff != "" {
		t.Errorf("object differs (-want +got):\n%s", diff)
	}
}
