package victim

import (
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kind is a kind of object that the engine watches, in the order in which a snapshot has them: what others refer to
// comes first.
type kind uint8

const (
	namespaces kind = iota
	accounts
	policies
	pods
)

// key names an object.
type key struct {
	kind            kind
	namespace, name string
}

// update is news of one object.
type update struct {
	key    key
	object metav1.Object // nil: it is gone
}

// fanout keeps the latest state of everything and passes news on to its connections, in order. A connection that does not
// keep up is dropped: its agent has to connect anew, and starts over from a snapshot. It is safe for concurrent use.
type fanout struct {
	buffer int // how many updates a connection may lag behind

	mu      sync.Mutex
	state   map[key]metav1.Object
	conns   map[*conn]struct{}
	dropped int
}

// conn is the connection of one agent.
type conn struct {
	snapshot []update
	updates  chan update
	dropped  chan struct{} // closed when it was too slow
}

func newFanout(buffer int) *fanout {
	return &fanout{buffer: buffer, state: map[key]metav1.Object{}, conns: map[*conn]struct{}{}}
}

// publish passes an update on to everybody. It never waits.
func (f *fanout) publish(u update) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u.object == nil {
		delete(f.state, u.key)
	} else {
		f.state[u.key] = u.object
	}
	for c := range f.conns {
		select {
		case c.updates <- u:
		default:
			close(c.dropped)
			delete(f.conns, c)
			f.dropped++
		}
	}
}

// connect returns a connection with all that is known now.
func (f *fanout) connect() *conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &conn{updates: make(chan update, f.buffer), dropped: make(chan struct{})}
	for k, object := range f.state {
		c.snapshot = append(c.snapshot, update{k, object})
	}
	slices.SortFunc(c.snapshot, func(a, b update) int {
		if a.key.kind != b.key.kind {
			return int(a.key.kind) - int(b.key.kind)
		}
		return strings.Compare(a.key.namespace+"/"+a.key.name, b.key.namespace+"/"+b.key.name)
	})
	f.conns[c] = struct{}{}
	return c
}

func (f *fanout) drops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dropped
}
