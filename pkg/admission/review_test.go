package admission

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// envelope returns a review whose request has the given members after its uid.
func envelope(members string) string {
	if members != "" {
		members = "," + members
	}
	return `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u1"` + members + `}}`
}

var ignoreScratch = cmp.Options{cmpopts.IgnoreUnexported(Request{}), cmpopts.EquateEmpty()}

func TestDecodeReadsAReview(t *testing.T) {
	s := samples(t)[1]
	var r Request
	if err := Decode(s.body, &r); err != nil {
		t.Fatal(err)
	}
	want := Request{
		UID: sampleUID, Group: "apps", Version: "v1", Resource: "deployments", Kind: "Deployment",
		Name: "backend", Namespace: "payments", Operation: "UPDATE",
		User: UserInfo{
			Username: "system:serviceaccount:archetype:controller",
			Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:archetype", "system:authenticated"},
			Pod:      "controller-7d9c5b8f6d-x2v4k",
		},
		Object: s.new, OldObject: s.old, FieldManager: "archetype-controller",
	}
	if diff := cmp.Diff(want, r, ignoreScratch); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if &r.Object[0] != &s.body[bytes.Index(s.body, s.new)] {
		t.Error("the object was copied")
	}
}

func TestDecode(t *testing.T) {
	tests := []struct {
		name string
		body string
		want Request
	}{
		{"nothing but a uid", envelope(""), Request{}},
		{"unknown members are ignored, whatever they hold",
			`{"x":[{"y":[]}],"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"no"},
			"request":{"z":{"object":5},"uid":"u1","userInfo":{"uid":"5","username":"a","extra":{"more":["b"]}},"name":"n",
			"kind":{"group":"g","kind":"K"},"resource":{"resource":"rs","more":1},"options":{"kind":"o","fieldManager":"m"},
			"requestKind":{"kind":"L"},"requestResource":{"resource":"ls"}}}`,
			Request{User: UserInfo{Username: "a"}, Name: "n", Kind: "K", Resource: "rs", FieldManager: "m"}},
		{"null is as good as absent",
			envelope(`"kind":null,"resource":null,"subResource":null,"name":null,"namespace":null,"operation":null,
			"userInfo":null,"object":null,"oldObject":null,"dryRun":null,"options":null`), Request{}},
		{"null further down is as good as absent",
			envelope(`"kind":{"kind":null},"resource":{"group":null,"version":null,"resource":null},"userInfo":{"username":null,
			"groups":null,"extra":null},"options":{"fieldManager":null,"propagationPolicy":null}`), Request{}},
		{"a deletion", envelope(`"operation":"DELETE","object":null,"oldObject":{"a":1},"options":{"propagationPolicy":"Foreground"}`),
			Request{Operation: "DELETE", OldObject: []byte(`{"a":1}`), Propagation: "Foreground"}},
		{"the old object may come first", envelope(`"oldObject":{"a":1},"name":"n","object":{"a":2},"dryRun":true`),
			Request{OldObject: []byte(`{"a":1}`), Object: []byte(`{"a":2}`), Name: "n", DryRun: true}},
		{"a subresource", envelope(`"subResource":"scale","resource":{"group":"apps","version":"v1","resource":"deployments"}`),
			Request{Subresource: "scale", Group: "apps", Version: "v1", Resource: "deployments"}},
		{"white space everywhere", " \n" + strings.NewReplacer(",", " ,\n\t", ":", " : ", "{", "{ ", "}", " }").
			Replace(envelope(`"object":{"a":[1]},"oldObject":{},"name":"n"`)) + "\r\n",
			Request{Object: []byte(`{ "a" : [1] }`), OldObject: []byte(`{  }`), Name: "n"}},
		{"of a member that comes twice the last one counts",
			envelope(`"name":"a","name":"b","object":{"a":1},"object":{"a":2},"oldObject":{"b":1},"oldObject":null,
			"userInfo":{"groups":["x","y"],"groups":["z"]}`),
			Request{Name: "b", Object: []byte(`{"a":2}`), User: UserInfo{Groups: []string{"z"}}}},
		{"of two requests the members of the last one count",
			`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u0","object":{"a":1}},
			"request":{"uid":"u1","object":{"a":2}}}`, Request{Object: []byte(`{"a":2}`)}},
		{"of two requests the members that one has count",
			`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"object":{"a":1}},"request":{"uid":"u1"}}`,
			Request{Object: []byte(`{"a":1}`)}},
		{"keys and strings with escapes", envelope(`"n\u0061me":"\u00e4\n","obj\u0065ct":{"a":1},"oldObject":{"a":2}`),
			Request{Name: "ä\n", Object: []byte(`{"a":1}`), OldObject: []byte(`{"a":2}`)}},
		{"what is not UTF-8 is replaced in strings, and kept in objects",
			envelope("\"name\":\"a\xff\xfeb\",\"object\":{\"a\":\"\xff\"}"),
			Request{Name: "a\uFFFD\uFFFDb", Object: []byte("{\"a\":\"\xff\"}")}},
		{"a surrogate alone is replaced", envelope(`"name":"\ud800"`), Request{Name: "\uFFFD"}},
		{"the Pod is the first of its values", envelope(`"userInfo":{"extra":{"` + podName + `":["p","q"]}}`),
			Request{User: UserInfo{Pod: "p"}}},
		{"a Pod that is null or no one", envelope(`"userInfo":{"extra":{"` + podName + `":null}}`), Request{}},
		{"strings that look like structure", envelope(`"name":"{\"request\":[","object":{"a":"}]\\"},"namespace":"\\\""`),
			Request{Name: `{"request":[`, Object: []byte(`{"a":"}]\\"}`), Namespace: `\"`}},
		{"an envelope too large to be copied whole", envelope(`"name":"n","namespace":"` + strings.Repeat("x", maxText) + `"`),
			Request{Name: "n", Namespace: strings.Repeat("x", maxText)}},
		{"what is in an object is not looked at", envelope(`"object":{"a":tru}`), Request{Object: []byte(`{"a":tru}`)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// A Request that was used before must not show it.
			var r Request
			if err := Decode(samples(t)[1].body, &r); err != nil {
				t.Fatal(err)
			}
			if err := Decode([]byte(test.body), &r); err != nil {
				t.Fatal(err)
			}
			test.want.UID = "u1"
			if diff := cmp.Diff(test.want, r, ignoreScratch); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRefusesWhatIsNoReview(t *testing.T) {
	const version, kind = `"apiVersion":"admission.k8s.io/v1"`, `"kind":"AdmissionReview"`
	deep := func(open, closing string) string {
		return envelope(`"object":{"a":` + strings.Repeat(open, 100_000) + strings.Repeat(closing, 100_000) + `}`)
	}
	tests := []struct {
		name, body, where, what string
	}{
		{"empty", "", "", "the body is empty"},
		{"white space", " \n", "", "the body is empty"},
		{"not JSON", "hello", "", "not JSON at byte 0 of 5"},
		{"YAML", "kind: AdmissionReview", "", "not JSON at byte 0"},
		{"a list", "[]", "", "it must be an object, not a list"},
		{"null", "null", "apiVersion", "it must be"},
		{"a string", `"x"`, "", "it must be an object, not a string"},
		{"truncated in the envelope", envelope(`"name":"n"`)[:90], "request.name", "not JSON at byte 90 of 90"},
		{"truncated in an object", envelope(`"object":{"metadata":{"name":"abc"}}`)[:110], "request.object.metadata", "not JSON at byte 110 of 110"},
		{"truncated after an object", strings.TrimSuffix(envelope(`"object":{"a":1}`), "}}"), "request", "not JSON"},
		{"something after it", envelope("") + " x", "", "not JSON at byte"},
		{"another review after it", envelope("") + envelope(""), "", "there is something after the review"},
		{"a comma too much", envelope(`"name":"n",`), "request", "not JSON"},
		{"a comma too few", envelope(`"name":"n" "namespace":"m"`), "request", "not JSON"},
		{"brackets that do not match", envelope(`"object":{"a":[1}]}`), "request.object.a", "not JSON"},
		{"an object that ends in a list's bracket", envelope(`"object":{"a":1]`), "request.object", "not JSON"},
		{"a word that is none", envelope(`"object":nulx`), "request.object", "not JSON"},
		{"a boolean that is none", envelope(`"dryRun":tru`), "request.dryRun", "not JSON"},
		{"a string without an end", envelope(`"name":"n`), "request.name", "not JSON"},
		{"a control character in a string", envelope("\"name\":\"a\x01\""), "request.name", "not JSON"},
		{"an escape that is none", envelope(`"name":"\x"`), "request.name", "not JSON"},
		{"lists nested 100,000 deep", deep("[", "]"), "request.object.a", "exceeded max depth"},
		{"objects nested 100,000 deep", deep(`{"b":`, "}"), "request.object.a", "exceeded max depth"},
		{"no request", `{` + kind + `,` + version + `}`, "request", "there is none"},
		{"the request is null", `{` + kind + `,` + version + `,"request":null}`, "request", "there is none"},
		{"the last request is null", `{` + kind + `,` + version + `,"request":{"uid":"u"},"request":null}`, "request", "there is none"},
		{"no uid", `{` + kind + `,` + version + `,"request":{"name":"n"}}`, "request.uid", "there is none"},
		{"an empty uid", `{` + kind + `,` + version + `,"request":{"uid":""}}`, "request.uid", "there is none"},
		{"no kind", `{` + version + `,"request":{"uid":"u"}}`, "kind", `it must be "AdmissionReview", not ""`},
		{"another kind", `{"kind":"Pod",` + version + `,"request":{"uid":"u"}}`, "kind", `not "Pod"`},
		{"a long kind", `{"kind":"` + strings.Repeat("x", 5000) + `",` + version + `,"request":{"uid":"u"}}`, "kind", "…"},
		{"no version", `{` + kind + `,"request":{"uid":"u"}}`, "apiVersion", `not ""`},
		{"another version", `{` + kind + `,"apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"u"}}`, "apiVersion", `not "admission.k8s.io/v1beta1"`},
	}
	// Each member of the wrong type.
	for _, m := range []struct{ member, want string }{
		{"uid", "a string"}, {"kind", "an object"}, {"kind.kind", "a string"}, {"resource", "an object"},
		{"resource.group", "a string"}, {"resource.version", "a string"}, {"resource.resource", "a string"},
		{"subResource", "a string"}, {"name", "a string"}, {"namespace", "a string"}, {"operation", "a string"},
		{"userInfo", "an object"}, {"userInfo.username", "a string"}, {"userInfo.groups", "a list"},
		{"userInfo.extra", "an object"}, {"object", "an object"}, {"oldObject", "an object"}, {"dryRun", "a boolean"},
		{"options", "an object"}, {"options.fieldManager", "a string"}, {"options.propagationPolicy", "a string"},
	} {
		for value, is := range map[string]string{`{}`: "an object", `[]`: "a list", `"x"`: "a string", `5`: "a number", `true`: "a boolean"} {
			if is == m.want {
				continue
			}
			member := `"` + strings.ReplaceAll(m.member, ".", `":{"`) + `":` + value + strings.Repeat("}", strings.Count(m.member, "."))
			tests = append(tests, struct{ name, body, where, what string }{
				m.member + " is " + is, envelope(member), "request." + m.member, "it must be " + m.want + ", not " + is})
		}
	}
	tests = append(tests, []struct{ name, body, where, what string }{
		{"a group that is no string", envelope(`"userInfo":{"groups":["a",1]}`), "request.userInfo.groups", "it must be a string, not a number"},
		{"a Pod that is no list", envelope(`"userInfo":{"extra":{"` + podName + `":"p"}}`), "request.userInfo.extra[" + podName + "]", "it must be a list"},
		{"a Pod whose name is no string", envelope(`"userInfo":{"extra":{"` + podName + `":[{}]}}`), "request.userInfo.extra[" + podName + "]", "it must be a string"},
		{"the envelope's kind is no string", `{"kind":5}`, "kind", "it must be a string, not a number"},
		{"the envelope's version is no string", `{"apiVersion":{}}`, "apiVersion", "it must be a string, not an object"},
		{"the request is a list", `{"request":[]}`, "request", "it must be an object, not a list"},
	}...)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var r Request
			err := Decode([]byte(test.body), &r)
			var bad *BadReview
			if !errors.As(err, &bad) {
				t.Fatalf("error %v, want a *BadReview", err)
			}
			where := bad.Where
			if strings.HasSuffix(where, "…") {
				where = where[:len(test.where)]
			}
			if where != test.where || !strings.Contains(bad.What, test.what) {
				t.Errorf("error at %q: %s\nwant at %q: %s", bad.Where, bad.What, test.where, test.what)
			}
			if len(err.Error()) > 512 {
				t.Errorf("the message has %d bytes: %s", len(err.Error()), err)
			}
			if strings.HasPrefix(err.Error(), ":") {
				t.Errorf("message %q", err)
			}
			// What follows is not disturbed.
			if err := Decode(samples(t)[0].body, &r); err != nil || r.Kind != "ServiceAccount" {
				t.Errorf("the next review: %v, %s", err, r.Kind)
			}
		})
	}
}

func TestEveryTruncationOfAReviewIsRefused(t *testing.T) {
	body := samples(t)[0].body
	var r Request
	for n := range body {
		if err := Decode(body[:n], &r); err == nil {
			t.Fatalf("the first %d bytes of %d are taken for a review", n, len(body))
		}
	}
}

func TestBadObjectKeepsWhatADiffSays(t *testing.T) {
	inner := &BadReview{Where: "request.oldObject", What: "w"}
	if err := badObject("request.object", fmt.Errorf("diff: %w", inner)); !errors.Is(err, inner) {
		t.Errorf("error %v", err)
	}
	if got := badObject("request.object", errors.New("w")).Error(); got != "request.object: w" {
		t.Errorf("error %q", got)
	}
}

// hugeObjects returns makers of objects that are larger than any real one, by name. They differ in one value.
func hugeObjects() map[string]func(value string) string {
	annotations := func(format string) func(string) string {
		return func(value string) string {
			var b strings.Builder
			for i := range 100_000 {
				fmt.Fprintf(&b, format, i)
			}
			return `{"metadata":{"annotations":{` + b.String() + `"last":"` + value + `"}}}`
		}
	}
	text := func(value string) string {
		return `{"data":{"a":"` + strings.Repeat(`a line\n`, 400_000) + `","b":"` + value + `"}}`
	}
	list := func(value string) string {
		var b strings.Builder
		for i := range 50_000 {
			fmt.Fprintf(&b, `{"name":"n-%d","value":"v"},`, i)
		}
		return `{"spec":{"env":[` + b.String() + `{"name":"last","value":"` + value + `"}]}}`
	}
	return map[string]func(string) string{
		"100,000 annotations":          annotations(`"key-%06d":"value",`),
		"100,000 unsorted annotations": annotations(`"key-%d":"value",`), // as no API server sends them
		"3 MB of text":                 text,
		"a list of 50,000":             list,
	}
}

func TestHugeObjectsAreDecodedAndDiffed(t *testing.T) {
	huge := hugeObjects()
	for name, c := range map[string]struct {
		object func(string) string
		path   string
	}{
		"100,000 annotations":          {huge["100,000 annotations"], "metadata.annotations[last]"},
		"100,000 unsorted annotations": {huge["100,000 unsorted annotations"], "metadata.annotations[last]"},
		"3 MB of text":                 {huge["3 MB of text"], "data[b]"},
		"a list of 50,000":             {huge["a list of 50,000"], "spec.env[name=last].value"},
		"100,000 annotations new":      {func(v string) string { return map[string]string{"a": "{}", "b": huge["100,000 annotations"](v)}[v] }, "metadata.annotations[key-000000]"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := c.object("a"), c.object("b")
			body := []byte(envelope(`"object":` + b + `,"oldObject":` + a))
			var r Request
			if err := Decode(body, &r); err != nil {
				t.Fatal(err)
			}
			if _, err := metaOf(r.Object); err != nil {
				t.Fatal(err)
			}
			var d Differ
			changes, truncated, err := d.Diff(r.OldObject, r.Object)
			if err != nil || len(changes) == 0 || string(changes[0].Path) != c.path {
				t.Fatalf("%d changes, error %v, want %s", len(changes), err, c.path)
			}
			if more := len(changes) == maxChanges; truncated != more {
				t.Errorf("truncated is %t with %d changes", truncated, len(changes))
			}
			if n := cap(d.members[is]) + cap(d.elements[is]) + cap(d.keys[is]) + cap(d.index.slots); n > 50_000 {
				t.Errorf("the Differ keeps room for %d entries", n)
			}
		})
	}
}

func TestDecodeKeepsNoLargeEnvelope(t *testing.T) {
	var r Request
	if err := Decode([]byte(envelope(`"object":{},"options":{"x":"`+strings.Repeat("x", 10*maxText)+`"}`)), &r); err != nil {
		t.Fatal(err)
	}
	if cap(r.reader.scratch) > maxText || len(r.reader.text) > 0 || r.reader.dec != nil || r.reader.buf.Cap() > 0 {
		t.Errorf("the Request keeps %d and %d bytes, and its decoder", cap(r.reader.scratch), len(r.reader.text))
	}
}

func TestDecodeHardlyAllocates(t *testing.T) {
	for _, s := range samples(t) {
		var r Request
		n := testing.AllocsPerRun(100, func() {
			if err := Decode(s.body, &r); err != nil {
				t.Fatal(err)
			}
		})
		if n > 1 {
			t.Errorf("%s: %v allocations, want the text that all strings are cut from", s.name, n)
		}
	}
}
