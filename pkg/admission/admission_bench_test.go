package admission

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// BenchmarkDecode compares Decode with what it could have been: the same without the scan for the objects (tokens), and
// the library's decoding into structs.
func BenchmarkDecode(b *testing.B) {
	for _, s := range samples(b) {
		var r Request
		for _, how := range []struct {
			name   string
			decode func() error
		}{
			{"scan", func() error { return Decode(s.body, &r) }},
			{"tokens", func() error { return r.decode(s.body) }},
			{"structs", func() error { return decodeStructs(s.body, &r) }},
		} {
			b.Run(s.name+"/"+how.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(s.body)))
				for b.Loop() {
					if err := how.decode(); err != nil {
						b.Fatal(err)
					}
				}
				if len(r.Object) != len(s.new) || len(r.OldObject) != len(s.old) || r.User.Username == "" {
					b.Fatalf("it was not decoded: %+v", r)
				}
			})
		}
	}
}

func decodeStructs(body []byte, r *Request) error {
	type resource struct{ Group, Version, Resource string }
	var review struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Request    struct {
			UID       string                `json:"uid"`
			Kind      struct{ Kind string } `json:"kind"`
			Resource  resource              `json:"resource"`
			Name      string                `json:"name"`
			Namespace string                `json:"namespace"`
			Operation string                `json:"operation"`
			UserInfo  struct {
				Username string   `json:"username"`
				Groups   []string `json:"groups"`
			} `json:"userInfo"`
			Object    jsontext.Value `json:"object"`
			OldObject jsontext.Value `json:"oldObject"`
			DryRun    bool           `json:"dryRun"`
			Options   struct {
				FieldManager string `json:"fieldManager"`
			} `json:"options"`
		} `json:"request"`
	}
	err := json.Unmarshal(body, &review, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	r.Object, r.OldObject = review.Request.Object, review.Request.OldObject
	r.User.Username = review.Request.UserInfo.Username
	return err
}

func BenchmarkDiff(b *testing.B) {
	for _, s := range samples(b) {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(s.old) + len(s.new)))
			var d Differ
			var changes []Change
			for b.Loop() {
				var err error
				if changes, _, err = d.Diff(s.old, s.new); err != nil {
					b.Fatal(err)
				}
			}
			if len(changes) != 1 {
				b.Fatal(lines(changes))
			}
		})
	}
}

// BenchmarkDecodeAndDiff is all that is done with JSON for a review: Decode, both objects' metadata, Diff.
func BenchmarkDecodeAndDiff(b *testing.B) {
	for _, s := range samples(b) {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(s.body)))
			var d Differ
			var r Request
			found := 0
			for b.Loop() {
				if err := Decode(s.body, &r); err != nil {
					b.Fatal(err)
				}
				for _, object := range [...][]byte{r.Object, r.OldObject} {
					if _, err := metaOf(object); err != nil {
						b.Fatal(err)
					}
				}
				changes, _, err := d.Diff(r.OldObject, r.Object)
				if err != nil {
					b.Fatal(err)
				}
				found = len(changes)
			}
			if found != 1 {
				b.Fatal(found, "changes")
			}
		})
	}
}

func BenchmarkMeta(b *testing.B) {
	for _, s := range samples(b) {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			var m Meta
			for b.Loop() {
				var err error
				if m, err = metaOf(s.new); err != nil {
					b.Fatal(err)
				}
			}
			if m.ResourceVersion != 918273 {
				b.Fatal(m)
			}
		})
	}
}

// BenchmarkDiffOfMuch is a diff of large objects that differ in the last place.
func BenchmarkDiffOfMuch(b *testing.B) {
	for name, object := range hugeObjects() {
		oldObj, newObj := []byte(object("a")), []byte(object("b"))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(oldObj) + len(newObj)))
			var d Differ
			var changes []Change
			for b.Loop() {
				var err error
				if changes, _, err = d.Diff(oldObj, newObj); err != nil {
					b.Fatal(err)
				}
			}
			if len(changes) != 1 {
				b.Fatal(len(changes), "changes")
			}
		})
	}
}

func BenchmarkRestore(b *testing.B) {
	s := samples(b)[1]
	b.ReportAllocs()
	var d Differ
	changes, _, err := d.Diff(s.old, s.new)
	if err != nil {
		b.Fatal(err)
	}
	var patch []byte
	for b.Loop() {
		if patch, err = d.Restore(s.old, s.new, changes, []int{0}); err != nil {
			b.Fatal(err)
		}
	}
	if len(patch) < 10 {
		b.Fatal(string(patch))
	}
}

func BenchmarkManagerOf(b *testing.B) {
	m, err := metaOf(samples(b)[1].new)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	path := []byte("spec.template.spec.containers[name=envoy].image")
	for b.Loop() {
		if manager, _ := managerOf(m.ManagedFields, path, ""); manager != "helm" {
			b.Fatal(manager)
		}
	}
}
