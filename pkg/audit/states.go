package audit

import (
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/truce-dev/truce/pkg/admission"
)

// Bounds of what is remembered of objects besides their histories.
const (
	maxStates     = 50_000
	maxStateBytes = 64 << 20
)

// id names an object.
type id struct{ group, resource, namespace, name string }

// state is what is known of an object as it was stored last.
type state struct {
	// object is nil if it is not known; gone says that there is none.
	object  []byte
	meta    *admission.Meta // of object; nil if nobody read it yet
	gone    bool
	version uint64
	uid     string
	// event is the ID of the last one, which a webhook backend may get twice.
	event string

	// virtual is the object as it would have been stored, if a policy had acted; nil if that is the same. Not stored at
	// all if missing.
	virtual []byte
	missing bool

	writes      int
	bytes       int64
	first, last Micros
}

func (s *state) size() int { return cap(s.object) + cap(s.virtual) }

// states remembers the objects that were written last. It is bounded in their number and bytes.
type states struct {
	lru     *simplelru.LRU[id, *state]
	most    int // bytes
	bytes   int
	evicted int
}

// newStates returns states that are one of some, which share the bounds.
func newStates(some int) *states {
	s := &states{most: maxStateBytes / some}
	lru, err := simplelru.NewLRU(maxStates/some, func(_ id, old *state) {
		s.bytes -= old.size()
		s.evicted++
	})
	if err != nil {
		panic(err) // of a size below 1
	}
	s.lru = lru
	return s
}

// of returns the state of an object, a new one if nothing is known.
func (s *states) of(k id) *state {
	if st, ok := s.lru.Get(k); ok {
		return st
	}
	st := &state{}
	s.lru.Add(k, st)
	return st
}

// change changes a state by fn, and makes room for what it has grown.
func (s *states) change(st *state, fn func()) {
	s.bytes -= st.size()
	fn()
	s.bytes += st.size()
	for s.bytes > s.most && s.lru.Len() > 1 {
		s.lru.RemoveOldest()
	}
}

// keep makes a copy of object the state's, in the memory that it has.
func (st *state) keep(object []byte, version uint64, uid string) {
	if c := cap(st.object); c < len(object) || c > 4*len(object)+4096 {
		st.object = make([]byte, 0, len(object)+len(object)/16)
	}
	st.object = append(st.object[:0], object...)
	st.meta = nil
	st.version, st.gone = version, false
	if uid != "" {
		st.uid = uid
	}
}

// keepAs is keep, of an object whose metadata were read.
func (st *state) keepAs(object []byte, meta *admission.Meta) {
	st.keep(object, meta.ResourceVersion, meta.UID)
	st.meta = meta.Of(st.object)
}

// forget makes the state unknown.
func (st *state) forget() {
	st.object, st.version, st.virtual, st.missing, st.meta = nil, 0, nil, false, nil
}
