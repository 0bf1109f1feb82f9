package history

import (
	"math"
	"time"
	"unique"
)

// Field is the ledger of one field: its last states, oldest first, and the fight over it if there is one. It takes 64
// bytes and 16 for each state.
type Field struct {
	path   unique.Handle[string]
	states []State
	// Fight is the fight over this field, nil if there is none.
	Fight *Fight
	// Run counts the latest uninterrupted writes by one party.
	Run Run
	// base is the stored object that the last proposal was made upon: see Object.base.
	base uint32
	// rare is what few fields have, nil if there is nothing of it.
	rare *rare
}

type rare struct {
	// lost is the first proposal made upon base that was taken for never stored, none if it has no time. Whoever is shown
	// the object as it was before, by the API server's cache or in a race, makes it look so for a moment.
	lost State
	// settled is when the last fight over the field ended, in milliseconds: what came before counts no more.
	settled uint64
}

func (f *Field) getRare() rare {
	if f.rare == nil {
		return rare{}
	}
	return *f.rare
}

func (f *Field) setRare(r rare) {
	switch {
	case r == rare{}:
		f.rare = nil
	case f.rare == nil:
		f.rare = new(r)
	default:
		*f.rare = r
	}
}

// lost returns the proposal that may have been lost, and false if there is none.
func (f *Field) lost() (State, bool) {
	s := f.getRare().lost
	return s, s.ms() != 0
}

func (f *Field) setLost(s State) {
	r := f.getRare()
	r.lost = s
	f.setRare(r)
}

// Run is a row of writes of one field by one party, no two of them far apart.
type Run struct {
	Count uint32
	span  uint32 // milliseconds from the first write to the last; it ends at 49 days
	// All holds the flags that every write of the run had.
	All Flags
	// Fresh: no write of the run brought back an earlier value.
	Fresh  bool
	writer uint8 // the first one who is known
}

// Span returns the time from the run's first write to its last.
func (r Run) Span() time.Duration { return time.Duration(r.span) * time.Millisecond }

// add counts a write at a time gap after the one before it.
func (r *Run) add(gap uint64, writer uint8, flags Flags) {
	r.Count++
	r.span = uint32(min(uint64(r.span)+gap, math.MaxUint32))
	r.All &= flags
	r.Fresh = r.Fresh && flags&Reversal == 0
	if r.writer == unknownWriter {
		r.writer = writer
	}
}

// drop takes back the last write, at a time gap after the one before it. What a run's first write cut short stays so.
func (r *Run) drop(gap uint64) {
	if r.Count <= 1 {
		*r = Run{}
		return
	}
	r.Count--
	r.span -= uint32(min(gap, uint64(r.span)))
}

// Path returns the field's path.
func (f *Field) Path() string { return f.path.Value() }

// States returns the field's last states, oldest first. The slice is the ledger's own: not to be kept or changed.
func (f *Field) States() []State { return f.states }

// Last returns the newest state, and false if there is none.
func (f *Field) Last() (State, bool) {
	if len(f.states) == 0 {
		return State{}, false
	}
	return f.states[len(f.states)-1], true
}

// Counted returns the states that count at now: written within memory and after the last fight over the field ended.
func (f *Field) Counted(now time.Time, memory time.Duration) []State {
	n := millis(now)
	i, settled := len(f.states), f.getRare().settled
	for i > 0 && f.states[i-1].ms() > settled && f.states[i-1].since(n) <= memory {
		i--
	}
	return f.states[i:]
}

// End forgets the fight over f. Reversals up to now no longer count towards another one.
func (f *Field) End(now time.Time) {
	f.Fight = nil
	r := f.getRare()
	r.settled = millis(now)
	f.setRare(r)
}

// Restart forgets the field's states, as if it had never changed. A fight over it goes on.
func (f *Field) Restart() {
	f.states, f.Run = f.states[:0], Run{}
	f.setLost(State{})
}

// mark is what a proposal displaced, for taking it back.
type mark struct {
	evicted State
	run     Run
	full    bool
}

// push appends a state, working out what it does to the ones before. The oldest falls out if there are too many.
func (f *Field) push(o *Object, b *Bounds, v Value, at uint64, writer uint8, flags Flags) mark {
	m := mark{run: f.Run}
	if n := len(f.states); n > 0 {
		last := f.states[n-1]
		if o.differ(last.writer(), writer) {
			flags |= Cross
		}
		if last.Is(ByPerson) {
			flags |= OverPerson
		}
		for _, s := range f.states[:n-1] {
			if s.Value == v && (s.ms() == 0 || s.since(at) <= b.Memory) {
				flags |= Reversal
				break
			}
		}
	}
	f.count(o, b, at, writer, flags)
	if drop := len(f.states) - b.States + 1; drop > 0 { // more than one only after the bound has shrunk
		m.full, m.evicted = true, f.states[drop-1]
		f.states = append(f.states[:0], f.states[drop:]...)
	}
	if n := len(f.states); n == cap(f.states) { // append would grow past the bound
		f.states = append(make([]State, 0, max(2, min(2*n, b.States))), f.states...)
	}
	f.states = append(f.states, newState(v, at, writer, flags))
	return m
}

// count adds a write to the run, or begins another one.
func (f *Field) count(o *Object, b *Bounds, at uint64, writer uint8, flags Flags) {
	last, _ := f.Last()
	r, gap := &f.Run, last.since(at)
	if r.Count == 0 || flags&Cross != 0 || gap > b.RunGap || o.differ(r.writer, writer) {
		*r = Run{Count: 1, All: flags, Fresh: flags&Reversal == 0, writer: writer}
		return
	}
	r.add(uint64(gap.Milliseconds()), writer, flags)
}

// drop takes back the newest state, which was never stored: the one before it is.
func (f *Field) drop() {
	n := len(f.states) - 1
	f.Run.drop(f.states[n].ms() - f.states[n-1].ms())
	f.states = f.states[:n]
	f.states[n-1].clear(Pending)
}

// lose takes back the newest state, a proposal, and remembers it if it is the first one made upon its object.
func (f *Field) lose() {
	if _, already := f.lost(); !already && f.Path() != Exists {
		f.setLost(f.states[len(f.states)-1])
	}
	f.drop()
}

// find puts back what was lost: it was stored after all. Of a proposal made upon the same object, that cannot be true too.
func (f *Field) find(o *Object) {
	if n := len(f.states); n > 1 && f.states[n-1].Is(Pending) {
		f.drop()
	}
	was, _ := f.lost()
	f.setLost(State{})
	f.push(o, o.limits(), was.Value, was.ms(), was.writer(), was.flags()&callers)
}

// pop takes back the last push.
func (f *Field) pop(m mark) {
	f.states = f.states[:len(f.states)-1]
	f.Run = m.run
	if m.full {
		f.states = append(f.states, State{})
		copy(f.states[1:], f.states)
		f.states[0] = m.evicted
	}
}

func (f *Field) clone() Field {
	c := *f
	c.states = append([]State(nil), f.states...)
	if f.Fight != nil {
		c.Fight = f.Fight.clone()
	}
	if f.rare != nil {
		c.rare = new(*f.rare)
	}
	return c
}
