package history

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Pairs remembers which two parties undid each other on which objects lately, so that a fight that is spread thinly
// over many objects is seen as one. It is bounded, and safe for concurrent use.
type Pairs struct {
	mu   sync.Mutex
	seed maphash.Seed
	lru  *simplelru.LRU[uint64, *pair]
}

// Pair names two parties and what they undo each other on. Which of them is A does not matter.
type Pair struct {
	Group, Resource, Path string
	A, B                  Writer
}

const (
	maxPairs     = 1024
	pairObjects  = 8 // objects remembered of a pair
	pairMemory   = time.Hour
	widespreadOn = 5
)

type pair struct {
	objects [pairObjects]struct{ object, at uint64 }
}

// NewPairs returns an empty Pairs.
func NewPairs() *Pairs {
	lru, err := simplelru.NewLRU[uint64, *pair](maxPairs, nil)
	if err != nil {
		panic(err) // only a size below 1 is an error
	}
	return &Pairs{seed: maphash.MakeSeed(), lru: lru}
}

// Note notes that the parties of p undid each other on object, repeatedly, and reports whether they did so on many
// objects within the last hour.
func (ps *Pairs) Note(now time.Time, p Pair, object Key) (widespread bool) {
	a, b := maphash.Comparable(ps.seed, p.A), maphash.Comparable(ps.seed, p.B)
	p.A, p.B = Writer{}, Writer{}
	id := maphash.Comparable(ps.seed, p) ^ (a + b) // the sum does not depend on their order
	o := maphash.Comparable(ps.seed, object)
	at := millis(now)

	ps.mu.Lock()
	defer ps.mu.Unlock()
	known, ok := ps.lru.Get(id)
	if !ok {
		known = &pair{}
		ps.lru.Add(id, known)
	}
	slot, recent := 0, 0
	for i, e := range known.objects {
		if e.object == o {
			slot = i
			break
		}
		if e.at < known.objects[slot].at {
			slot = i
		}
	}
	known.objects[slot].object, known.objects[slot].at = o, at
	for _, e := range known.objects {
		if e.object != 0 && at < e.at+uint64(pairMemory.Milliseconds()) {
			recent++
		}
	}
	return recent >= widespreadOn
}
