package admission

import "math/bits"

// index is a hash table of small numbers, whose memory is used again.
type index struct{ slots []slot }

// slot is one of an index. Negative entries are kept as they are, others plus one: zero is an empty slot.
type slot struct {
	hash  uint32
	entry int32
}

// reset empties the table and makes room for n entries.
func (x *index) reset(n int) {
	size := 1 << bits.Len(uint(2*n))
	if cap(x.slots) < size {
		x.slots = make([]slot, size)
		return
	}
	x.slots = x.slots[:size]
	clear(x.slots)
}

// find returns the slot of the entry with the given hash for which same holds, or the one to fill for it.
func (x *index) find(hash uint64, same func(at int32) bool) *slot {
	mask := uint64(len(x.slots) - 1)
	high := uint32(hash >> 32)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := &x.slots[i]
		if s.entry == 0 {
			s.hash = high
			return s
		}
		if s.hash == high && same(s.at()) {
			return s
		}
	}
}

func (s *slot) used() bool { return s.entry != 0 }

func (s *slot) at() int32 {
	if s.entry > 0 {
		return s.entry - 1
	}
	return s.entry
}

func (s *slot) fill(at int32) {
	if at >= 0 {
		at++
	}
	s.entry = at
}
