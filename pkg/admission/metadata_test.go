package admission

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestMetaOf(t *testing.T) {
	for _, c := range []struct {
		name, object string
		want         Meta
	}{
		{"no object", "", Meta{}},
		{"an empty object", "{}", Meta{}},
		{"no metadata", `{"spec":{"metadata":{"name":"no"}},"status":null}`, Meta{}},
		{"metadata that are null", `{"metadata":null}`, Meta{}},
		{"all there is", `{"kind":"X","data":{"metadata":"{"},"metadata":{"name":"n-1","generateName":"n-","namespace":"ns","uid":"u",
			"resourceVersion":"18446744073709551615","creationTimestamp":"2022-10-24T09:30:00Z",
			"deletionTimestamp":"2022-10-25T09:30:00Z","labels":{"a":"b"},"annotations":{"c":"d"},"managedFields":[{}],"extra":1,
			"ownerReferences":[{"kind":"A","uid":"first"},{"uid":"none","controller":false},{"uid":"second","controller":true},{"uid":"third"}]},"garbage`,
			Meta{Name: "n-1", GenerateName: "n-", Namespace: "ns", UID: "u", Owner: "second", ResourceVersion: 18446744073709551615,
				Created: time.Date(2022, 10, 24, 9, 30, 0, 0, time.UTC), Deleting: true, Labels: []byte(`{"a":"b"}`),
				Annotations: []byte(`{"c":"d"}`), ManagedFields: []byte(`[{}]`)}},
		{"the first owner, if none is the controller",
			`{"metadata":{"ownerReferences":[5,{"kind":"no uid"},{"uid":"u1","controller":false},{"uid":"u2"}]}}`, Meta{Owner: "u1"}},
		{"owners that are none", `{"metadata":{"ownerReferences":{},"name":"n"}}`, Meta{Name: "n"}},
		{"values of other types are as good as absent",
			`{"metadata":{"name":5,"uid":null,"resourceVersion":"abc","creationTimestamp":null,"deletionTimestamp":null,"labels":null}}`, Meta{}},
		{"escapes", `{"metadata":{"name":"\u0061\"b","uid":"u"}}`, Meta{Name: `a"b`, UID: "u"}},
		{"longer than most", `{"metadata":{"name":"` + strings.Repeat("n", 600) + `","uid":"u"}}`, Meta{Name: strings.Repeat("n", 600), UID: "u"}},
		{"owners without an end are none", `{"metadata":{"ownerReferences":[{"uid":"u"}{"uid":"v"}],"name":"n"}}`, Meta{Owner: "u", Name: "n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := metaOf([]byte(c.object))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Meta{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetaOfRefusesWhatIsNoObject(t *testing.T) {
	for object, want := range map[string]string{
		"5":                            "it is not an object",
		`{"metadata":5}`:               "metadata is not an object",
		`{"metadata":{"name" "x"}}`:    "metadata has no member at byte 13",
		`{"metadata":{"name":"x" 5}}`:  "metadata has neither a comma nor an end at byte 23",
		`{"spec" 5,"metadata":{}}`:     "there is no member at byte 1",
		`{"spec":{"a":1`:               "the value at byte 8 does not end",
		`{"spec":{} "metadata":{}}`:    "there is neither a comma nor the end of the object at byte 10",
		`{"metadata":{"name":"x","y":`: "metadata has no member at byte 24",
	} {
		if _, err := metaOf([]byte(object)); err == nil || err.Error() != want {
			t.Errorf("metaOf(%s): %v, want %s", object, err, want)
		}
	}
}

func TestMetaAllocatesItsStringsAtOnce(t *testing.T) {
	object := samples(t)[1].new
	if n := testing.AllocsPerRun(100, func() { _, _ = metaOf(object) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func TestMapValue(t *testing.T) {
	raw := []byte(`{"a":"1","b":{"c":"2"},"d\u0065":"x\ny","a":"3","e":4,"f":""}`)
	for key, want := range map[string]string{"a": "3", "de": "x\ny", "f": ""} {
		if got, ok := mapValue(raw, key); !ok || got != want {
			t.Errorf("%s: %q, %t, want %q", key, got, ok, want)
		}
	}
	for _, key := range []string{"c", "b", "e", "", "de\\"} {
		if got, ok := mapValue(raw, key); ok {
			t.Errorf("%s: %q, want nothing", key, got)
		}
	}
	for _, raw := range []string{"", "null", "[]", `{"a"`, `{"a":1 "b":"2"}`} {
		if got, ok := mapValue([]byte(raw), "b"); ok {
			t.Errorf("in %s: %q, want nothing", raw, got)
		}
	}
}
