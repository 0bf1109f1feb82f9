package history

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

func storeOf(objects int) *Store {
	b := DefaultBounds
	b.Objects = objects + objects/8 // shards are not all equally full
	return New(b)
}

// BenchmarkUpdateKnownField writes to objects at random: the stored value settled, another one proposed, two parties in
// turns, the ledger full. The more objects, the fewer are in the processor's cache.
func BenchmarkUpdateKnownField(b *testing.B) {
	for _, n := range []int{1000, 200_000, 1_000_000} {
		b.Run(fmt.Sprintf("objects=%d", n), func(b *testing.B) {
			s := storeOf(n)
			l := newLap(newFleet(), 1)
			l.fill(s, n, DefaultBounds.States+1)
			if s.Len() != n {
				b.Fatalf("%d objects, want %d", s.Len(), n)
			}
			runtime.GC()
			rng := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				l.object = rng.IntN(n)
				l.step++
				l.now = l.now.Add(time.Millisecond)
				s.Update(l.fleet.key(l.object), l.fn)
				if l.flags&Reversal == 0 {
					b.Fatal("a reversal was not seen")
				}
			}
		})
	}
}

func BenchmarkUpdateKnownFieldParallel(b *testing.B) {
	for _, n := range []int{1000, 200_000} {
		b.Run(fmt.Sprintf("objects=%d", n), func(b *testing.B) {
			s := storeOf(n)
			names := newFleet()
			filled := newLap(names, 1)
			filled.fill(s, n, DefaultBounds.States+1)
			runtime.GC()
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				l := newLap(names, 1)
				l.now = filled.now
				rng := rand.New(rand.NewPCG(rand.Uint64(), 2))
				for pb.Next() {
					l.object = rng.IntN(n)
					l.step++
					l.now = l.now.Add(time.Millisecond)
					s.Update(names.key(l.object), l.fn)
					if l.flags&Reversal == 0 {
						b.Error("a reversal was not seen")
						return
					}
				}
			})
		})
	}
}

// BenchmarkNewField writes to an object that was never seen, another one being forgotten for it.
func BenchmarkNewField(b *testing.B) {
	const n = 100_000
	s := storeOf(n)
	l := newLap(newFleet(), 1)
	l.fill(s, 1_000_000, 2)
	evicted := s.Evictions()
	l.step, l.object = 0, 0
	b.ReportAllocs()
	for b.Loop() {
		l.object = (l.object + 1) % 1_000_000
		s.Update(l.fleet.key(l.object), l.fn)
	}
	if got := s.Evictions() - evicted; got < uint64(b.N) {
		b.Errorf("%d objects were forgotten for %d new ones", got, b.N)
	}
}

func encodedObject(b *testing.B, fields int) []byte {
	o := &Object{}
	l := newLap(newFleet(), fields)
	for l.step = range DefaultBounds.States {
		l.write(o)
	}
	return encode(b, o)
}

func BenchmarkEncode(b *testing.B) {
	for _, fields := range []int{1, 16} {
		b.Run(fmt.Sprintf("fields=%d", fields), func(b *testing.B) {
			var o Object
			buf := encodedObject(b, fields)
			if err := o.UnmarshalBinary(buf); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if buf, err = o.AppendBinary(buf[:0]); err != nil || len(buf) == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, fields := range []int{1, 16} {
		b.Run(fmt.Sprintf("fields=%d", fields), func(b *testing.B) {
			buf := encodedObject(b, fields)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				var o Object
				if err := o.UnmarshalBinary(buf); err != nil || len(o.Fields()) != fields {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMemory reports the heap that a million remembered fields take, all included.
func BenchmarkMemory(b *testing.B) {
	const million = 1_000_000
	for _, c := range []struct{ fields, states int }{{1, 2}, {4, 4}, {1, 12}} {
		b.Run(fmt.Sprintf("fields=%d/states=%d", c.fields, c.states), func(b *testing.B) {
			names := newFleet()
			var s *Store
			perField := 0.0
			for b.Loop() {
				runtime.KeepAlive(s)
				s = nil //nolint:wastedassign,ineffassign // frees the last round's before the heap is measured
				before := heap()
				s = storeOf(million / c.fields)
				newLap(names, c.fields).fill(s, million/c.fields, c.states)
				perField = float64(heap()-before) / million
			}
			fields, states := 0, 0
			for i := range million / c.fields {
				s.View(names.key(i), func(o *Object) {
					fields += len(o.Fields())
					for _, f := range o.Fields() {
						states += len(f.States())
					}
				})
			}
			if fields != million || states != million*c.states {
				b.Fatalf("%d fields of %d states are remembered", fields, states)
			}
			b.ReportMetric(perField, "heap-B/field")
		})
	}
}

// heap returns how much memory is in use, once everything is collected.
func heap() int64 {
	for range 3 { // what package unique holds goes some cycles after the last use
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
