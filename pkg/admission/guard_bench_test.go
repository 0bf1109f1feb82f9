package admission

import (
	"bytes"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// BenchmarkReview measures a whole review with the default policy: decode, diff, history, decision. Each one is about
// another object than the one before, with a fresh uid and a changed annotation that a rule watches.
func BenchmarkReview(b *testing.B) {
	for _, s := range samples(b) {
		b.Run(s.name, func(b *testing.B) { benchmarkReview(b, s, 1_000) })
	}
	b.Run("17kB/million", func(b *testing.B) { benchmarkReview(b, samples(b)[1], 1_000_000) })
}

func benchmarkReview(b *testing.B, s sample, objects int) {
	g := benchGuard(b, objects)
	w := newWrites(b, s, 0, objects)
	w.remember(b, g)
	b.ReportAllocs()
	b.SetBytes(int64(len(s.body)))
	b.ResetTimer()
	for b.Loop() {
		w.next()
		resp, err := g.Review(w.now, Validating, w.body)
		if err != nil || !resp.Allowed || len(resp.Verdicts) != 0 {
			b.Fatal(resp, err)
		}
	}
	if n := g.store.Len(); n != objects {
		b.Fatalf("%d objects are remembered, not %d", n, objects)
	}
}

// BenchmarkReviewParallel is BenchmarkReview with as many reviews at once as there are processors.
func BenchmarkReviewParallel(b *testing.B) {
	const objects = 1_000
	for _, s := range samples(b) {
		b.Run(s.name, func(b *testing.B) {
			g := benchGuard(b, objects*runtime.GOMAXPROCS(0))
			var streams atomic.Int64
			b.ReportAllocs()
			b.SetBytes(int64(len(s.body)))
			b.RunParallel(func(pb *testing.PB) {
				w := newWrites(b, s, int(streams.Add(1)-1)*objects, objects)
				for pb.Next() {
					w.next()
					resp, err := g.Review(w.now, Validating, w.body)
					if err != nil || !resp.Allowed || len(resp.Verdicts) != 0 {
						b.Error(resp, err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkReviewFight is BenchmarkReview of objects that two writers fight over: each review gets a warning.
func BenchmarkReviewFight(b *testing.B) {
	const objects = 100
	for _, s := range samples(b) {
		b.Run(s.name, func(b *testing.B) {
			g := benchGuard(b, objects)
			w := newWrites(b, s, 0, objects)
			warned := 0
			review := func() {
				w.fight()
				resp, err := g.Review(w.now, Validating, w.body)
				if err != nil || !resp.Allowed {
					b.Fatal(resp, err)
				}
				if len(resp.Warnings) > 0 {
					warned++
				}
			}
			for range 10 * objects {
				review()
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(s.body)))
			b.ResetTimer()
			warned = 0
			for b.Loop() {
				review()
			}
			if warned < b.N*9/10 { // the others were let through to see whether the fight is over
				b.Fatalf("%d of %d reviews got a warning", warned, b.N)
			}
		})
	}
}

// benchGuard returns a Guard with the default policy and room for so many objects, however they fall into shards.
func benchGuard(b *testing.B, objects int) *Guard {
	b.Helper()
	text := bytes.Replace(policy.DefaultYAML(), []byte("objects: 200000"), fmt.Appendf(nil, "objects: %d", 2*objects), 1)
	p, err := policy.Load(text, "default.yaml")
	if err != nil {
		b.Fatal(err)
	}
	if p.File.History.Objects != 2*objects {
		b.Fatalf("the default policy says how many objects in another way: %d", p.File.History.Objects)
	}
	return NewGuard(p, history.New(Bounds(p)), history.NewHasher())
}

// writes makes reviews out of a sample, in place: of one object after the other, lap by lap.
type writes struct {
	body                                      []byte
	now                                       time.Time
	first, objects, count                     int
	namespace, uid, version, from, to, writer []int // where they are
}

const (
	benchStride    = 7919 // a prime: objects that follow each other are not neighbours in memory
	benchVersion   = 100_000
	benchObjectUID = "5f0c2b7e-aaaa-4000-8000-000000000003"
)

func newWrites(b *testing.B, s sample, first, objects int) *writes {
	b.Helper()
	body := bytes.Clone(s.body)
	w := &writes{
		body: body, now: time.Now(), first: first, objects: objects,
		namespace: after(body, `"namespace":"`),
		uid:       after(body, sampleUID[:24]),
		version:   after(body, `"resourceVersion":"`),
		from:      after(body, `"`+sampleSignature+`":"`)[1:],
		to:        after(body, `"`+sampleSignature+`":"`)[:1],
		writer:    after(body, "system:serviceaccount:archetype:"),
	}
	if len(w.namespace) != 3 || len(w.uid) != 1 || len(w.version) != 2 || len(w.from) != 1 || len(w.writer) != 1 {
		b.Fatalf("the sample is not as the benchmark expects it: %+v", w)
	}
	return w
}

// remember makes g know all objects, each with a full ledger, as laps of writes would, but faster.
func (w *writes) remember(b *testing.B, g *Guard) {
	b.Helper()
	var r Request
	if err := Decode(w.body, &r); err != nil {
		b.Fatal(err)
	}
	laps := g.Policy().File.History.StatesPerField
	values := make([]history.Value, laps+1)
	for lap := range values {
		values[lap] = g.hasher.Sum(fmt.Appendf(nil, `"%016d"`, lap))
	}
	path := []byte("metadata.annotations[" + sampleSignature + "]")
	writer := history.Writer{User: r.User.Username, Manager: r.FieldManager, Pod: r.User.Pod}
	for i := range w.objects {
		k := history.Key{
			Group: r.Group, Resource: r.Resource, Namespace: fmt.Sprintf("%08d", w.first+i), Name: r.Name,
		}
		g.store.Update(k, func(o *history.Object) {
			for lap := range laps {
				now := w.now.Add(time.Duration(lap-laps) * time.Minute)
				o.Begin(history.Request{Now: now, UID: benchObjectUID, Version: uint64(benchVersion + lap)})
				f := o.Settle(now, path, history.Stored{Value: values[lap]})
				o.Propose(now, f, values[lap+1], writer, 0)
			}
		})
	}
	w.count += laps * w.objects
}

// next is the next write. Values never come back, and there is a minute between the writes of an object.
func (w *writes) next() {
	lap := w.put()
	w.now = w.now.Add(time.Minute / time.Duration(w.objects))
	put(w.body, w.from, lap, 16)
	put(w.body, w.to, lap+1, 16)
}

// fight is the next write of an object that two writers want to be different, with a second between them.
func (w *writes) fight() {
	lap := w.put()
	w.now = w.now.Add(time.Second / time.Duration(w.objects))
	put(w.body, w.from, lap%2, 16)
	put(w.body, w.to, (lap+1)%2, 16)
	put(w.body, w.writer, lap%2, 10)
}

// put sets what the next write is about, and returns how often its object was written before.
func (w *writes) put() (lap int) {
	object := w.first + w.count*benchStride%w.objects
	lap = w.count / w.objects
	w.count++
	put(w.body, w.namespace, object, 8)
	put(w.body, w.uid, w.first+w.count, 12)
	put(w.body, w.version, benchVersion+lap, 6)
	return lap
}

// put overwrites what is at the offsets with n, in so many digits.
func put(b []byte, at []int, n, digits int) {
	for _, i := range at {
		for d, rest := digits-1, n; d >= 0; d, rest = d-1, rest/10 {
			b[i+d] = '0' + byte(rest%10)
		}
	}
}

// after returns the offsets that follow text in b.
func after(b []byte, text string) (all []int) {
	for i := 0; ; {
		n := bytes.Index(b[i:], []byte(text))
		if n < 0 {
			return all
		}
		i += n + len(text)
		all = append(all, i)
	}
}
