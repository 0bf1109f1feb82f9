package history

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Bounds limit what is remembered. What falls out of a bound is forgotten as if it had never been written.
type Bounds struct {
	Objects int // objects; at least 1
	Fields  int // fields of one object; at least 1
	States  int // states of one field; at least 4
	Writers int // writers of one object told apart; 2 to 64
	// Memory is how long a state counts as earlier value of its field.
	Memory time.Duration
	// RunGap is the longest time between two writes of one Run.
	RunGap time.Duration
}

// DefaultBounds are the bounds of a Store whose policy names none.
var DefaultBounds = Bounds{
	Objects: 200_000, Fields: 64, States: 12, Writers: 16, Memory: 48 * time.Hour, RunGap: 10 * time.Second,
}

// Store remembers the history of objects, the most recently written ones. It is safe for concurrent use.
type Store struct {
	shards  []shard
	seeds   seeds
	evicted atomic.Uint64
}

// shard is a part of the objects under one lock. The LRU underneath has none of its own: a get-or-create through a
// locking LRU would be two steps, between which another writer gets in.
type shard struct {
	mu     sync.Mutex
	bounds *Bounds
	lru    *simplelru.LRU[uint64, *Object] // by digest.index
	size   size
	// forgotten is when the object that was evicted last had been written, in milliseconds.
	forgotten uint64
	_         [64]byte // keeps the locks of two shards off one cache line
}

// New returns an empty Store.
func New(b Bounds) *Store {
	s := &Store{seeds: newSeeds()}
	s.build(b)
	return s
}

// shardsFor returns how many shards a Store of so many objects has: a power of two, one if it is so small that
// uneven shards would forget early.
func shardsFor(objects int) int {
	if objects < 4096 {
		return 1
	}
	return 1 << min(6, bits.Len(uint(objects/4096)))
}

func (s *Store) build(b Bounds) {
	n := shardsFor(b.Objects)
	s.shards = make([]shard, n)
	for i := range s.shards {
		sh := &s.shards[i]
		lru, err := simplelru.NewLRU((b.Objects+n-1)/n, func(_ uint64, o *Object) {
			sh.size = sh.size.plus(size{}.minus(o.size()))
			sh.forgotten = max(sh.forgotten, o.written())
		})
		if err != nil {
			panic("history: bounds without objects") // a caller's bug: policies are validated
		}
		sh.bounds, sh.lru = &b, lru
	}
}

// Update calls fn with the history of k, a new one if there is none, and keeps what fn makes of it, atomically: no
// other Update of k runs meanwhile. fn must not block, nor keep the Object, nor use the Store.
func (s *Store) Update(k Key, fn func(*Object)) {
	d := s.seeds.digest(k)
	sh := s.shard(d)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	o, known := sh.lru.Get(d.index)
	if known = known && o.check == d.check; !known {
		o = &Object{check: d.check}
	}
	o.bounds = sh.bounds
	before := o.size()
	fn(o)
	if !known {
		if o.empty() {
			return
		}
		if sh.lru.Add(d.index, o) {
			s.evicted.Add(1)
		}
	}
	sh.size = sh.size.plus(o.size().minus(before))
}

// View calls fn with a copy of the history of k, a new one if there is none, and leaves no trace.
func (s *Store) View(k Key, fn func(*Object)) {
	d := s.seeds.digest(k)
	sh := s.shard(d)
	sh.mu.Lock()
	o, known := sh.lru.Peek(d.index)
	if known && o.check == d.check {
		o = o.Clone()
	} else {
		o = &Object{}
	}
	o.bounds = sh.bounds
	sh.mu.Unlock()
	fn(o)
}

// SetBounds changes the bounds. Objects keep their histories, which shrink to new bounds as they are written next; if
// the number of objects shrinks, the least recently written are forgotten. The number of shards stays: a Store made for
// many objects and shrunk to a few hundred forgets some of them early.
func (s *Store) SetBounds(b Bounds) {
	n := len(s.shards)
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		sh.bounds = &b
		s.evicted.Add(uint64(sh.lru.Resize((b.Objects + n - 1) / n)))
		sh.mu.Unlock()
	}
}

// Len returns how many objects are remembered.
func (s *Store) Len() int {
	n := 0
	for i := range s.shards {
		s.shards[i].mu.Lock()
		n += s.shards[i].lru.Len()
		s.shards[i].mu.Unlock()
	}
	return n
}

// Stats is how much is remembered.
type Stats struct {
	Objects, Fields, States int
	// Bytes is what that takes, about: without the names, which objects share.
	Bytes int
	// Evictions is how many objects were forgotten to make room.
	Evictions uint64
	// Forgotten is when the object among those that was written last had been written; zero if there is none.
	Forgotten time.Time
}

// Stats counts what is remembered. It costs the same however much that is.
func (s *Store) Stats() Stats {
	t := Stats{Evictions: s.evicted.Load()}
	var forgotten uint64
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		t.Objects += sh.lru.Len()
		t.Fields += sh.size.fields
		t.States += sh.size.states
		forgotten = max(forgotten, sh.forgotten)
		sh.mu.Unlock()
	}
	t.Forgotten = instant(forgotten)
	// What the LRU keeps beside an object: a list element, and a map's slot of which some are empty.
	const perObject = int(unsafe.Sizeof(Object{})) + 100
	t.Bytes = t.Objects*perObject + max(t.Fields-t.Objects, 0)*int(unsafe.Sizeof(Field{})) +
		t.States*int(unsafe.Sizeof(State{}))
	return t
}

// size is how much an object, or many, hold.
type size struct{ fields, states int }

func (a size) plus(b size) size  { return size{a.fields + b.fields, a.states + b.states} }
func (a size) minus(b size) size { return size{a.fields - b.fields, a.states - b.states} }

func (o *Object) size() (s size) {
	s.fields = len(o.fields)
	for i := range o.fields {
		s.states += len(o.fields[i].states)
	}
	return s
}

// written returns when the object was written last, as far as its fields tell, in milliseconds.
func (o *Object) written() uint64 {
	ms := o.idle
	for i := range o.fields {
		ms = max(ms, o.fields[i].changed())
	}
	return ms
}

// Evictions returns how many objects were forgotten to make room.
func (s *Store) Evictions() uint64 { return s.evicted.Load() }

func (s *Store) shard(d digest) *shard {
	return &s.shards[d.index&uint64(len(s.shards)-1)]
}
