package history

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

// FuzzUnmarshal: whatever the bytes, no panic and no more memory than they are worth; and what can be read at all is
// encoded in a way that stays.
func FuzzUnmarshal(f *testing.F) {
	for _, o := range []*Object{{}, richObject()} {
		b := encode(f, o)
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var o Object
		if o.UnmarshalBinary(b) != nil {
			return
		}
		if n := cap(o.writers)*8 + cap(o.fields)*int(unsafe.Sizeof(Field{})+unsafe.Sizeof(rare{})); n > 64+16*len(b) {
			t.Errorf("%d bytes of lists for an encoding of %d", n, len(b))
		}
		once := encode(t, &o)
		var again Object
		if err := again.UnmarshalBinary(once); err != nil {
			t.Fatalf("%x\nencodes as\n%x\nwhich is refused: %v", b, once, err)
		}
		if twice := encode(t, &again); !bytes.Equal(once, twice) {
			t.Fatalf("%x\nencodes as\n%x\nand then as\n%x", b, once, twice)
		}
		use(&again)
	})
}

// use does with an object all that can be done, for a panic to show.
func use(o *Object) {
	now := t0
	o.Clone().Begin(Request{Now: now, ID: "x", UID: "y", Version: 1})
	o.Begin(Request{Now: now, ID: "r", Version: 1 << 60})
	o.Noop(now, writer("a"))
	for i := range o.Fields() {
		f := &o.Fields()[i]
		f.Counted(now, time.Hour)
		_ = f.Run.Span()
		for _, s := range f.States() {
			_, _ = s.At(), o.WriterOf(s)
		}
		if f.Fight != nil {
			f.Fight.AddParties(f, 1<<63|7)
			o.IsProbe(f.Fight, 1, writer("b"))
			o.AddParty(f.Fight, writer("b"))
			_, _ = o.ProbedBy(f.Fight), o.Parties(f.Fight)
			if f.Fight.Bucket != nil {
				f.Fight.Bucket.AllowN(now, 1)
			}
		}
		path := []byte(f.Path())
		for v := range Value(3) {
			g := o.Settle(now, path, Stored{Value: v, Owner: writer("c"), At: now})
			o.Retract(o.Propose(now, g, v+1, writer("d"), Owner))
			o.Propose(now, g, v+2, writer("e"), Owner)
		}
		now = now.Add(time.Second)
	}
	o.Settle(now, []byte("another"), Stored{})
}

// FuzzLedger plays requests to an Object and to the obvious model of one.
func FuzzLedger(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		b := make([]byte, 600)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		script = script[:min(len(script), 2000)]
		b := Bounds{Objects: 1, Fields: 3, States: 5, Writers: 16, Memory: modelMemory, RunGap: 10 * time.Second}
		p := player{
			t: t, script: script, now: t0, rv: 10,
			object: &Object{bounds: &b}, model: &modelObject{bounds: b},
		}
		for len(p.script) > 0 && !t.Failed() {
			p.play()
			p.compare()
		}
	})
}
