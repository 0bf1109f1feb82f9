package admission

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func FuzzDecode(f *testing.F) {
	f.Add(samples(f)[0].body)
	f.Add([]byte(envelope(`"object":{"a":[{}]},"oldObject":null,"name":"n","options":{"fieldManager":"m"},"dryRun":true`)))
	f.Add([]byte(envelope(`"name":"\u00e4","obj\u0065ct":{},"userInfo":{"groups":["a",null],"extra":{"` + podName + `":["p"]}}`)))
	f.Add([]byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u"},"request":{"uid":"v"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		var r, whole Request
		err := Decode(body, &r)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			var bad *BadReview
			if !errors.As(err, &bad) {
				t.Fatalf("the error is a %T", err)
			}
			return
		}
		for _, object := range [][]byte{r.Object, r.OldObject} {
			if object == nil {
				continue
			}
			_, _ = metaOf(object)
			if i := bytes.Index(body, object); i < 0 {
				t.Fatalf("the object %s is not in the body", object)
			}
		}
		var d Differ
		if changes, _, err := d.Diff(r.OldObject, r.Object); err == nil && r.Object != nil && len(changes) > 0 {
			_, _ = d.Restore(r.OldObject, r.Object, changes, []int{0})
		}
		// With an empty object in place of each, which are not looked into, it must be JSON.
		clean := body
		for _, object := range []jsontext.Value{r.Object, r.OldObject} {
			if object != nil {
				clean = bytes.Replace(clean, object, []byte("{}"), 1)
			}
		}
		if !json.Valid(clean) {
			t.Fatalf("encoding/json refuses what was accepted: %s", body)
		}
		// The scan and the decoder agree, as do they and encoding/json where no member comes twice.
		if json.Valid(body) {
			if err := whole.decode(body); err != nil {
				t.Fatalf("the decoder refuses what the scan accepted: %v", err)
			}
			if r.Name != whole.Name || !bytes.Equal(r.Object, whole.Object) || !bytes.Equal(r.OldObject, whole.OldObject) {
				t.Fatalf("scan and decoder differ on %s", body)
			}
		}
		if jsontext.Value(body).IsValid(jsontext.AllowInvalidUTF8(true)) {
			checkEnvelope(t, body, &r)
		}
	})
}

// checkEnvelope compares r with what encoding/json makes of the body.
func checkEnvelope(t *testing.T, body []byte, r *Request) {
	t.Helper()
	var review map[string]any
	if err := json.Unmarshal(body, &review); err != nil {
		t.Fatal(err)
	}
	request := review["request"]
	at := func(path string) string {
		v := request
		for _, key := range strings.Split(path, "/") {
			m, _ := v.(map[string]any)
			v = m[key]
		}
		s, _ := v.(string)
		return s
	}
	for path, got := range map[string]string{
		"uid": r.UID, "kind/kind": r.Kind, "resource/group": r.Group, "resource/version": r.Version,
		"resource/resource": r.Resource, "subResource": r.Subresource, "name": r.Name, "namespace": r.Namespace,
		"operation": r.Operation, "userInfo/username": r.User.Username, "options/fieldManager": r.FieldManager,
		"options/propagationPolicy": r.Propagation,
	} {
		if want := at(path); got != want {
			t.Fatalf("%s is %q, want %q in %s", path, got, want, body)
		}
	}
}
