package history

import (
	"fmt"
	"time"
)

// fleet names a million objects and more as a big cluster does: a thousand namespaces of a thousand service accounts,
// a hundred annotations, two hundred writers. It holds few strings, so that a benchmark's own names stay in the cache
// as those of a request just decoded do.
type fleet struct {
	namespaces, names [1000]string
	paths             [100][]byte
	writers           [200]Writer
}

func newFleet() *fleet {
	f := &fleet{}
	for i := range f.names {
		f.namespaces[i] = fmt.Sprintf("team-%03d-production", i)
		f.names[i] = fmt.Sprintf("payments-api-worker-%05d", i)
	}
	for i := range f.paths {
		f.paths[i] = fmt.Appendf(nil, "metadata.annotations[apps.example.com/signature-%02d]", i)
	}
	for i := range f.writers {
		f.writers[i] = Writer{
			User:    fmt.Sprintf("system:serviceaccount:platform-%03d:component-controller", i),
			Manager: fmt.Sprintf("component-controller-%03d", i),
		}
	}
	return f
}

func (f *fleet) key(i int) Key {
	return Key{Resource: "serviceaccounts", Namespace: f.namespaces[i/1000%1000], Name: f.names[i%1000]}
}

// lap is one write to an object: what an admission webhook does with its history. It is prepared once and used for
// many writes, as a pooled visit is.
type lap struct {
	fleet  *fleet
	now    time.Time
	object int
	step   int // which of two values is stored, and which of two parties writes the other
	fields int
	fn     func(*Object)
	flags  Flags // of the newest state, for the caller to see that it was learnt
}

func newLap(f *fleet, fields int) *lap {
	l := &lap{fleet: f, now: t0, fields: fields}
	l.fn = l.write
	return l
}

func (l *lap) write(o *Object) {
	o.Begin(Request{
		Now: l.now, ID: "3c9ae9a5-6c2c-4b4c-9d0b-8f5a4f0d7a51", UID: "5f0c1f0c-5f0c-4f0c-8f0c-5f0c5f0c5f0c",
		Version: uint64(l.now.UnixMilli()),
	})
	o.request = 0 // every write is another request
	from, to := Value(10+l.step%2), Value(11-l.step%2)
	for i := range l.fields {
		f := o.Settle(l.now, l.fleet.paths[(l.object+i)%len(l.fleet.paths)], Stored{Value: from})
		o.Propose(l.now, f, to, l.fleet.writers[(l.object+l.step%2)%len(l.fleet.writers)], Owner)
		last, _ := f.Last()
		l.flags = last.flags()
	}
}

// fill writes to the first n objects until each field has states states.
func (l *lap) fill(s *Store, n, states int) {
	for l.step = range states - 1 {
		l.now = l.now.Add(time.Second)
		for l.object = range n {
			s.Update(l.fleet.key(l.object), l.fn)
		}
	}
}
