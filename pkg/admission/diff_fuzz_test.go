package admission

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

// checkDiff compares the Differ with the model.
func checkDiff(t *testing.T, d *Differ, oldObj, newObj []byte) []Change {
	t.Helper()
	changes, truncated, err := d.Diff(oldObj, newObj)
	if err != nil {
		t.Fatalf("Diff: %v\nold %s\nnew %s", err, oldObj, newObj)
	}
	if truncated {
		return nil
	}
	if diff := cmp.Diff(modelDiff(oldObj, newObj), summary(changes)); diff != "" {
		t.Fatalf("changes (-model +Diff):\n%s\nold %s\nnew %s", diff, oldObj, newObj)
	}
	return changes
}

// checkRestore puts back the changes that choose says, and looks at what is left.
func checkRestore(t *testing.T, d *Differ, oldObj, newObj []byte, choose func(i int) bool) {
	t.Helper()
	changes := checkDiff(t, d, oldObj, newObj)
	var which []int
	var left []string
	for i, c := range changes {
		if choose(i) {
			which = append(which, i)
		} else {
			left = append(left, summary([]Change{c})...)
		}
	}
	slices.Sort(left)
	patch, err := d.Restore(oldObj, newObj, changes, which)
	if err != nil {
		t.Fatalf("Restore: %v\nold %s\nnew %s", err, oldObj, newObj)
	}
	result := applyPatch(t, patch, newObj)
	rest := modelDiff(oldObj, result)
	if len(which) == len(changes) && len(rest) > 0 {
		t.Fatalf("all is put back, but this differs: %q\nold %s\nnew %s\npatch %s\nresult %s", rest, oldObj, newObj, patch, result)
	}
	if diff := cmp.Diff(left, rest); diff != "" && sameKeys(oldObj, newObj, result) {
		t.Fatalf("what is left (-want +got):\n%s\nold %s\nnew %s\npatch %s\nresult %s", diff, oldObj, newObj, patch, result)
	}
}

func applyPatch(t *testing.T, patch, doc []byte) []byte {
	t.Helper()
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		t.Fatalf("decode patch %s: %v", patch, err)
	}
	out, err := p.Apply(doc)
	if err != nil {
		t.Fatalf("apply patch %s to %s: %v", patch, doc, err)
	}
	return out
}

func TestDiffAndRestoreAgreeWithTheModelOnRandomObjects(t *testing.T) {
	var d Differ
	rng := rand.New(rand.NewPCG(1, 2))
	n := 10_000
	if testing.Short() {
		n = 2_000
	}
	some := 0
	for range n {
		choices := make([]byte, 20+rng.IntN(400))
		for i := range choices {
			choices[i] = byte(rng.Uint32())
		}
		g := generator{choices}
		oldObj, newObj := g.pair()
		mask := rng.Uint64()
		switch rng.IntN(3) {
		case 0:
			mask = ^uint64(0)
		case 1:
			mask = 1 << rng.IntN(6)
		}
		checkRestore(t, &d, oldObj, newObj, func(i int) bool { return mask>>(i%64)&1 == 1 })
		if len(d.changes) > 0 {
			some++
		}
	}
	if some < n/3 {
		t.Errorf("only %d of %d pairs differ", some, n)
	}
}

func FuzzDiff(f *testing.F) {
	s := samples(f)[0]
	f.Add(s.old, s.new)
	f.Add([]byte(`{"spec":{"a":[{"name":"x","v":1},{"name":"y"}]}}`), []byte(`{"spec":{"a":[{"name":"y"},{"name":"x","v":1.0}]}}`))
	f.Add([]byte(`{"data":{"k":null,"l":"2022-10-24T09:30:00Z"}}`), []byte(`{"data":{"l":"2022-10-24T09:30:01Z","l":"1"}}`))
	f.Add([]byte(`{"a":"1000m","b":[1,2]}`), []byte(`{"a":1,"b":[2,1]}`))
	f.Fuzz(func(t *testing.T, oldObj, newObj []byte) {
		var d Differ
		_, _, err := d.Diff(oldObj, newObj)
		if err != nil {
			var bad *BadReview
			if !errors.As(err, &bad) {
				t.Fatalf("the error is %T", err)
			}
			if isObject(oldObj) && isObject(newObj) {
				t.Fatalf("JSON is refused: %v\nold %s\nnew %s", err, oldObj, newObj)
			}
			return
		}
		if !isObject(oldObj) || !isObject(newObj) || !modelled(oldObj) || !modelled(newObj) {
			return
		}
		checkRestore(t, &d, oldObj, newObj, func(i int) bool { return i%2 == 0 })
		checkRestore(t, &d, oldObj, newObj, func(int) bool { return true })
	})
}

func isObject(b []byte) bool {
	return json.Valid(b) && bytes.HasPrefix(bytes.TrimLeft(b, " \n\t\r"), []byte("{"))
}

// modelled reports whether the model can tell about b. It has no bounds, cannot compare huge numbers, and its decoder
// replaces what is not UTF-8.
func modelled(b []byte) bool {
	return utf8.Valid(b) && len(b) < maxPath && !longText.Match(b) && !hugeNumber.Match(b)
}

func FuzzRestore(f *testing.F) {
	f.Add([]byte("\x03\x00\x01\x02\x03\x04\x05\x06\x07"), uint64(1))
	for i := range 8 {
		f.Add(bytes.Repeat([]byte{3, 1, byte(i), 2, 4}, 20), uint64(i))
	}
	f.Fuzz(func(t *testing.T, choices []byte, mask uint64) {
		g := generator{choices}
		oldObj, newObj := g.pair()
		var d Differ
		checkRestore(t, &d, oldObj, newObj, func(i int) bool { return mask>>(i%64)&1 == 1 })
		checkRestore(t, &d, oldObj, newObj, func(int) bool { return true })
	})
}
