package history

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
	"unique"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/time/rate"
)

var update = flag.Bool("update", false, "write the golden files anew")

// richObject is an object that uses all that an encoding can hold.
func richObject() *Object {
	o := &Object{}
	for i, s := range []step{
		{rv: 100, sees: "1", owner: "argo", since: -time.Hour, by: "hpa", sets: "3", flags: Owner},
		{rv: 101, at: 1 * time.Second, sees: "3", by: "argo", sets: "1", flags: QuantityOnly},
		{rv: 102, at: 2 * time.Second, sees: "1", by: "hpa", sets: "3"},
		{rv: 102, at: 2 * time.Second, path: signature, sees: absent, by: "", sets: `""`, flags: ByPerson},
		{rv: 102, at: 2 * time.Second, path: signature, sees: absent},
		{rv: 103, at: 3 * time.Second, path: Exists, sees: "here"},
	} {
		s.id = string(rune('a' + i))
		s.take(o)
	}
	o.Noop(t0.Add(4*time.Second), Writer{User: "u", Pod: "web-0"})
	o.Noop(t0.Add(5*time.Second), Writer{User: "u", Pod: "web-0"})

	f := o.Field([]byte(replicas))
	f.Fight = &Fight{
		Phase: Probing, Signal: TwoWriters, Count: 300, Stopped: 2,
		Since: t0, Last: t0.Add(2 * time.Second), Until: t0.Add(time.Minute), Length: 30 * time.Second,
	}
	f.Fight.AddParties(f, 7)
	o.SetProbe(f.Fight, value("3"), writer("hpa"))
	f.Fight.Bucket = bucketWith(rate.Every(time.Minute), 5, 2250, f.Fight.Last)

	f = o.Field([]byte(signature))
	r := f.getRare()
	r.settled = millis(t0.Add(time.Second))
	f.setRare(r)
	f.Fight = &Fight{Phase: Open, Signal: Alternation, Since: t0, Last: t0}
	return o
}

// sameObject compares all that two objects remember.
func sameObject(t *testing.T, want, got *Object) {
	t.Helper()
	opts := cmp.Options{
		cmpopts.EquateEmpty(),
		cmp.Exporter(func(reflect.Type) bool { return true }),
		cmp.FilterPath(func(p cmp.Path) bool {
			switch p.String() {
			case "check", "bounds", "first", "pair": // of the store, and the place of what is compared elsewhere
				return true
			}
			return false
		}, cmp.Ignore()),
		cmp.Comparer(func(a, b unique.Handle[Writer]) bool { return a == b }),
		cmp.Comparer(func(a, b unique.Handle[string]) bool { return a == b }),
		cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
		cmp.Comparer(func(a, b *rate.Limiter) bool {
			if a == nil || b == nil {
				return a == b
			}
			later := t0.Add(time.Minute)
			return a.Limit() == b.Limit() && a.Burst() == b.Burst() &&
				math.Abs(a.TokensAt(later)-b.TokensAt(later)) < 1e-6
		}),
	}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("objects differ (-want +got):\n%s", diff)
	}
}

func encode(t testing.TB, o *Object) []byte {
	t.Helper()
	b, err := o.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnObjectSurvivesItsEncoding(t *testing.T) {
	many := &Object{}
	for i := range 20 {
		change(many, time.Duration(i)*time.Second, strings.Repeat("p", i), Value(i), strings.Repeat("w", i))
	}
	for name, o := range map[string]*Object{"a rich one": richObject(), "the zero one": {}, "one of many fields": many} {
		t.Run(name, func(t *testing.T) {
			b := encode(t, o)
			var got Object
			if err := got.UnmarshalBinary(b); err != nil {
				t.Fatal(err)
			}
			sameObject(t, o, &got)
			if again := encode(t, &got); !bytes.Equal(again, b) {
				t.Errorf("encoded again: %x, want %x", again, b)
			}
		})
		t.Run(name+" and its clone are equal", func(t *testing.T) { sameObject(t, o, o.Clone()) })
	}
	t.Run("and goes on as before", func(t *testing.T) {
		o, got := richObject(), &Object{}
		if err := got.UnmarshalBinary(encode(t, o)); err != nil {
			t.Fatal(err)
		}
		for _, o := range []*Object{o, got} {
			for i := range 40 {
				change(o, time.Duration(i)*time.Second, strings.Repeat("p", i%7), Value(i), strings.Repeat("w", i%3))
				step{rv: uint64(200 + i), at: time.Duration(i) * time.Second, sees: "1", by: "hpa", sets: "3"}.take(o)
			}
		}
		sameObject(t, o, got)
	})
	t.Run("in the place of another", func(t *testing.T) {
		o, got := richObject(), many.Clone()
		got.check, got.bounds = 7, &DefaultBounds
		if err := got.UnmarshalBinary(encode(t, o)); err != nil {
			t.Fatal(err)
		}
		sameObject(t, o, got)
		if got.check != 7 || got.bounds != &DefaultBounds {
			t.Error("what belongs to the store is lost")
		}
	})
	t.Run("appended to what is there", func(t *testing.T) {
		b, err := richObject().AppendBinary([]byte("before"))
		if rest, ok := bytes.CutPrefix(b, []byte("before")); err != nil || !ok || !bytes.Equal(rest, encode(t, richObject())) {
			t.Errorf("%q, %v", b, err)
		}
	})
	t.Run("a throttle without burst is left out", func(t *testing.T) {
		o := richObject()
		o.Field([]byte(replicas)).Fight.Bucket = rate.NewLimiter(1, 0)
		var got Object
		if err := got.UnmarshalBinary(encode(t, o)); err != nil || got.Field([]byte(replicas)).Fight.Bucket != nil {
			t.Errorf("bucket %v, error %v", got.Field([]byte(replicas)).Fight.Bucket, err)
		}
	})
}

// A shared store holds encodings of other versions of this program. If this test fails, encodingVersion must change.
func TestTheEncodingOfVersion1StaysAsItIs(t *testing.T) {
	golden := filepath.Join("testdata", "object.v1.hex")
	b := encode(t, richObject())
	if *update {
		text := ""
		for rest := hex.EncodeToString(b); rest != ""; {
			n := min(len(rest), 100)
			text += rest[:n] + "\n"
			rest = rest[n:]
		}
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, want) {
		t.Errorf("%s holds\n%x, the encoding is\n%x", golden, want, b)
	}
	if b[0] != 1 {
		t.Errorf("version %d", b[0])
	}
	var o Object
	if err := o.UnmarshalBinary(want); err != nil {
		t.Fatal(err)
	}
	sameObject(t, richObject(), &o)
}

func TestWhatIsNoEncodingIsRefused(t *testing.T) {
	good := encode(t, richObject())
	refuse := func(t *testing.T, b []byte, want string) {
		t.Helper()
		var o Object
		err := o.UnmarshalBinary(b)
		if !errors.Is(err, errEncoding) || !strings.Contains(err.Error(), want) {
			t.Errorf("%x: error %v, want one about %q", b, err, want)
		}
	}
	t.Run("cut short anywhere", func(t *testing.T) {
		for n := range good {
			refuse(t, good[:n], "")
		}
		refuse(t, nil, "cut short")
	})
	t.Run("too long", func(t *testing.T) { refuse(t, append(bytes.Clone(good), 1, 2), "2 bytes too many") })
	t.Run("of another version", func(t *testing.T) {
		refuse(t, append([]byte{2}, good[1:]...), "version 2 is not known, only 1 is")
		refuse(t, []byte{0}, "version 0")
	})

	head := encode(t, &Object{})[:1+8+1+1+1] // version, uid, request, resourceVersion, time
	bad := func(parts ...[]byte) []byte { return bytes.Join(append([][]byte{head}, parts...), nil) }
	ff := bytes.Repeat([]byte{0xff}, 9)
	huge := append(bytes.Clone(ff), 0x01)                     // 2^64-1
	field := []byte{0 /*writers*/, 0 /*idle*/, 0, 1, 0, 0, 0} // one field: path "", base 0, settled 0
	fight := bytes.Join([][]byte{field, {0 /*run*/, 0 /*lost*/, 0 /*states*/}}, nil)
	dull := []byte{byte(Open), 0, 0, 0, 0, 0, 0, 0, 0} // phase, signal, probe's writer, counts, times, length
	dull = append(dull, make([]byte, 16)...)           // probe's value, parties
	fixed := func(f float64) []byte {
		var e encoder
		e.fixed(math.Float64bits(f))
		return e.b
	}
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"more writers than there are bytes", bad(huge), "a list of 18446744073709551615 is longer than the rest"},
		{"more writers than can be", bad([]byte{65}, make([]byte, 300)), "65 writers, more than 64"},
		{"a longer name than there are bytes", bad([]byte{1}, huge), "a list of"},
		{"a number that does not end", bad(ff, ff), "out of range"},
		{"more fields than there are bytes", bad([]byte{0, 0, 0}, huge), "a list of"},
		{"a longer path than there are bytes", bad([]byte{0, 0, 0, 1}, huge), "a list of"},
		{"more states than there are bytes", bad(field, []byte{0, 0}, huge), "a list of"},
		{"a run of more writes than are counted", bad(field, huge), "at most 4294967295"},
		{"flags that do not exist", bad(field, []byte{1, 0, 0, 0, 0xff, 0xff, 0x7f}), "at most 65535"},
		{"a fight in a phase that does not exist", bad(fight, []byte{9}), "a fight in phase 9"},
		{"a time after the last", bad(fight, []byte{1, 0, 0, 0, 0}, huge), "at most 1099511627775"},
		{"a bucket of no rate", bad(fight, dull, []byte{5}, fixed(0), []byte{1}), "a token bucket of 5 at rate 0"},
		{"a bucket of a negative rate", bad(fight, dull, []byte{5}, fixed(-1), []byte{1}), "at rate -1"},
		{"a bucket of an infinite rate", bad(fight, dull, []byte{5}, fixed(math.Inf(1)), []byte{1}), "at rate +Inf"},
		{"a bucket of a rate that is no number", bad(fight, dull, []byte{5}, fixed(math.NaN()), []byte{1}), "at rate NaN"},
		{"a bucket that is too full", bad(fight, dull, []byte{5}, fixed(1), []byte{0x89, 0x27}), "with 5001/1000 tokens"},
		{"a bucket that is too big", bad(fight, dull, huge, fixed(1), []byte{1}), "a token bucket of 18446744073709551615"},
	} {
		t.Run(c.name, func(t *testing.T) { refuse(t, c.b, c.want) })
	}
	t.Run("but the parts of these are good", func(t *testing.T) {
		for _, b := range [][]byte{
			bad([]byte{64}, make([]byte, 192), []byte{0, 0, 0}), bad(fight, []byte{0}),
			bad(field, []byte{0, 1}, make([]byte, 16), []byte{0, 0}),
			bad(fight, dull, []byte{0}), bad(fight, dull, []byte{5}, fixed(1), []byte{0x88, 0x27}),
		} {
			var o Object
			if err := o.UnmarshalBinary(b); err != nil {
				t.Errorf("%x: %v", b, err)
			}
		}
	})
}

func TestLengthsAreNotBelieved(t *testing.T) {
	// Counts as high as the bytes that follow allow, of things that are not there.
	o := encode(t, &Object{})
	rest := make([]byte, 1<<20)
	for name, b := range map[string][]byte{
		"fields":      append(append(o[:len(o)-1:len(o)-1], 0xd5, 0xaa, 0x0a), rest...), // 2^20/6
		"more fields": append(append(o[:len(o)-1:len(o)-1], 0x80, 0x80, 0x40), rest...), // 2^20
		"states":      append(append(o[:len(o)-1:len(o)-1], 1, 0, 0, 0, 0, 0xff, 0xff, 3), rest...),
		"names":       append(append(o[:12:12], 1, 0xff, 0xff, 0xff, 0xff, 0xf), rest...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var o Object
		if err := o.UnmarshalBinary(b); err == nil {
			t.Errorf("%s: no error", name)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 16*uint64(len(b)) {
			t.Errorf("%s: %d bytes allocated for an encoding of %d", name, grown, len(b))
		}
	}
}
