package history

import "time"

// State is one value a field was in: since when, and who wrote it. It takes 16 bytes.
type State struct {
	Value Value
	meta  uint64 // milliseconds since epoch <<24 | writer <<16 | flags
}

// Flags say what a State's write did. The first ones are set by this package, the others by its caller.
type Flags uint16

const (
	// Pending: proposed, not yet seen stored.
	Pending Flags = 1 << iota
	// Unseen: learnt from what was stored, the write itself passed this process by.
	Unseen
	// Reversal: the field is back at a value it held before someone changed it.
	Reversal
	// Cross: certainly another party wrote the state before this one.
	Cross
	// OverPerson: the state before this one was written by a person.
	OverPerson

	// ByPerson: a person wrote it.
	ByPerson
	// Owner: something that names the object's owner changed in the same write.
	Owner
	// OrderOnly: only the order of a list changed.
	OrderOnly
	// QuantityOnly: the same quantity, written in another way.
	QuantityOnly
	// Clock: only points in time changed.
	Clock
	// Growing: the new value is the old one with something appended.
	Growing
	// Spent: what was deleted had served its purpose.
	Spent
	// Vain: what was deleted was not ready, if it ever had been.
	Vain
	// Retimed: when a condition changed is another time now, and the condition is not.
	Retimed
	// ByScript: a service account wrote it with a tool that is made for people.
	ByScript

	callers = ByPerson | Owner | OrderOnly | QuantityOnly | Clock | Growing | Spent | Vain | Retimed | ByScript
)

// epoch is where a State's clock starts; 40 bits of milliseconds reach to the year 2054.
var epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

const maxMillis = 1<<40 - 1

func millis(t time.Time) uint64 {
	return uint64(min(max(t.UnixMilli()-epoch, 0), maxMillis))
}

func instant(ms uint64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms) + epoch).UTC()
}

func newState(v Value, at uint64, writer uint8, f Flags) State {
	return State{v, at<<24 | uint64(writer)<<16 | uint64(f)}
}

// At returns when the state was written, to the millisecond; the zero time if that is not known.
func (s State) At() time.Time { return instant(s.ms()) }

// Is reports whether all of f are set.
func (s State) Is(f Flags) bool { return Flags(s.meta)&f == f }

// Any reports whether any of f is set.
func (s State) Any(f Flags) bool { return Flags(s.meta)&f != 0 }

func (s State) ms() uint64    { return s.meta >> 24 }
func (s State) writer() uint8 { return uint8(s.meta >> 16) }
func (s State) flags() Flags  { return Flags(s.meta) }

func (s *State) clear(f Flags) { s.meta &^= uint64(f) }

// since returns how long before now s was written; a clock that jumped back gives 0.
func (s State) since(now uint64) time.Duration {
	if s.ms() > now {
		return 0
	}
	return time.Duration(now-s.ms()) * time.Millisecond
}
