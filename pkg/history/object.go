package history

import (
	"slices"
	"time"
	"unique"

	"github.com/dchest/siphash"
)

// Exists is the path of an object's existence. Its ledger outlives the object's uid.
const Exists = "$exists"

// Object is the history of one object. Its zero value is an object of which nothing is known.
//
// It is not safe for concurrent use: Store.Update hands it to one function at a time.
type Object struct {
	check   uint64 // of the digest of its key
	uid     uint64 // a hash
	rv      uint64
	seen    uint64 // when rv was learnt, in milliseconds
	writers []unique.Handle[Writer]
	fields  []Field
	bounds  *Bounds
	// Idle counts the latest uninterrupted writes by one party that changed nothing.
	Idle    Run
	request uint32 // a hash
	idle    uint64 // when Idle's last write was, in milliseconds

	// Most objects have one field that changes and two writers at most. Their place is here, which saves allocations
	// and, with a million objects remembered, cache misses. An Object must not be copied but by Clone.
	first [1]Field
	pair  [2]unique.Handle[Writer]
}

// Request is what every request says about its object.
type Request struct {
	Now time.Time
	// ID is the request's own uid.
	ID string
	// UID is the stored object's uid, empty if there is none.
	UID string
	// Version is the stored object's resourceVersion, 0 if it is not known.
	Version uint64
}

// Standing says how a request relates to what is known already.
type Standing uint8

// The standings.
const (
	Current   Standing = iota // goes on from what is known
	Duplicate                 // the very request was seen before
	Stale                     // made upon an older object than one already seen: it will lose its race
)

// staleFor is how long an older resourceVersion is taken to be stale. After that a cluster restored from a backup,
// whose versions start anew from lower numbers, is the likelier reason.
const staleFor = time.Minute

// unstoredFor is how soon a repeated proposal is the API server trying the same request again after a lost race.
const unstoredFor = 100 * time.Millisecond

// Begin notes a request. A Current one may be learnt from; nothing should be from the others. A new uid clears all
// fields but the object's existence.
func (o *Object) Begin(r Request) Standing {
	now := millis(r.Now)
	if id := uint32(sum(r.ID)); id != 0 {
		if id == o.request {
			return Duplicate
		}
		o.request = id
	}
	if r.Version != 0 && r.Version < o.rv && now < o.seen+uint64(staleFor.Milliseconds()) {
		return Stale // even if its uid is another one: it is that of the object's predecessor
	}
	if uid := sum(r.UID); uid != 0 && uid != o.uid {
		if o.uid != 0 {
			o.forget()
		}
		o.uid = uid
	}
	for len(o.fields) > o.limits().Fields {
		o.evict()
	}
	if r.Version != 0 {
		o.rv, o.seen = r.Version, now
	}
	return Current
}

func (o *Object) forget() {
	kept := o.fields[:0]
	for _, f := range o.fields {
		if f.Path() == Exists {
			kept = append(kept, f)
		}
	}
	clear(o.fields[len(kept):])
	o.fields, o.rv, o.Idle, o.idle = kept, 0, Run{}, 0
}

// Fields returns the fields that are remembered. The slice is the object's own.
func (o *Object) Fields() []Field { return o.fields }

// Field returns the ledger of path, nil if there is none. It is valid until the next Settle.
func (o *Object) Field(path []byte) *Field {
	for i := range o.fields {
		if o.fields[i].Path() == string(path) {
			return &o.fields[i]
		}
	}
	return nil
}

// Stored is what a request shows of a field in the stored object.
type Stored struct {
	Value Value
	// Owner is who wrote it as far as the object tells, at time At (to the second); both may be unknown.
	Owner Writer
	At    time.Time
}

// Settle teaches what is stored at path: it confirms the pending write if it is there, drops it if it never was, and
// notes a write that passed unseen if it was undone or something else is there. It returns the field's ledger, which is
// valid until the next Settle; the field is remembered from now on, and another one forgotten if there are too many.
func (o *Object) Settle(now time.Time, path []byte, s Stored) *Field {
	f := o.Field(path)
	if f == nil {
		f = o.add(path)
	}
	n := len(f.states)
	switch {
	case n == 0:
		f.push(o, o.limits(), s.Value, min(millisOrZero(s.At), millis(now)), o.Writer(s.Owner), Unseen)
		return f
	case f.states[n-1].Value == s.Value:
		if f.states[n-1].Is(Pending) {
			f.states[n-1].clear(Pending)
			f.setLost(State{})
		}
		return f
	case n > 1 && f.states[n-1].Is(Pending) && f.states[n-2].Value == s.Value && !o.undone(now, f, f.states[n-1], s):
		if lost, ok := f.lost(); !ok || !o.undone(now, f, lost, s) {
			f.lose()
			return f
		}
		f.find(o)
	case o.refound(now, f, s):
		f.find(o)
		return f
	}
	f.states[len(f.states)-1].clear(Pending)
	f.setLost(State{})
	at := unseenAt(f.states[len(f.states)-1].ms(), s.At, millis(now))
	f.push(o, o.limits(), s.Value, at, o.Writer(s.Owner), Unseen)
	return f
}

// refound reports whether what is stored is the proposal that was taken for never stored. It is not if managedFields name
// another manager.
func (o *Object) refound(now time.Time, f *Field, s Stored) bool {
	lost, ok := f.lost()
	if !ok || lost.Value != s.Value || lost.since(millis(now)) > staleFor {
		return false
	}
	manager := o.WriterOf(lost).Manager
	return manager == "" || s.Owner.Manager == "" || manager == s.Owner.Manager
}

// unseenAt returns when a write that passed unseen was made: when the object says, or else half way between the write
// before it and now, so that one side of a steady back and forth still shows that it is steady.
func unseenAt(before uint64, said time.Time, now uint64) uint64 {
	switch {
	case !said.IsZero():
		return max(before, min(millis(said), now))
	case before == 0 || before > now:
		return max(before, now)
	}
	return before + (now-before)/2
}

// undone reports whether a proposal for f was stored and then undone by a write that passed unseen, rather than never
// stored, given that what is stored now is what was there before it.
func (o *Object) undone(now time.Time, f *Field, proposal State, s Stored) bool {
	if f.Path() == Exists {
		// An object that is still the same was not recreated: its deletion failed or waits for finalizers. And that one
		// is to be created does not show that there is none: many controllers create and ignore that it exists.
		return s.Value != Absent && o.base(f) != f.base
	}
	if !s.At.IsZero() {
		proposed := proposal.At().Truncate(time.Second)
		if at := s.At.Truncate(time.Second); !at.Equal(proposed) {
			return at.After(proposed)
		}
	}
	return o.base(f) != f.base && proposal.since(millis(now)) >= unstoredFor
}

// base tells apart the stored objects that proposals for f are made upon: by resourceVersion, and for the object's
// existence by uid. Half of a number is enough to see that it has changed.
func (o *Object) base(f *Field) uint32 {
	if f.Path() == Exists {
		return uint32(o.uid)
	}
	return uint32(o.rv)
}

// Attempt is a proposal that can be taken back until the next Settle.
type Attempt struct {
	field *Field
	mark  mark
}

// Propose notes that writer wants f to be v, as pending. Flags are those a caller may set, the others are worked out.
func (o *Object) Propose(now time.Time, f *Field, v Value, writer Writer, flags Flags) Attempt {
	at := millis(now)
	if last, ok := f.Last(); ok {
		at = max(at, last.ms()) // the clock may jump back
	}
	if base := o.base(f); base != f.base {
		f.base = base
		f.setLost(State{})
	}
	return Attempt{f, f.push(o, o.limits(), v, at, o.Writer(writer), flags&callers|Pending)}
}

// Touch makes the newest state of f one that writer wrote at now: the same value came about once more.
func (o *Object) Touch(now time.Time, f *Field, writer Writer) {
	last := &f.states[len(f.states)-1]
	*last = newState(last.Value, max(millis(now), last.ms()), o.Writer(writer), last.flags())
}

// Retract takes a proposal back: it was denied or held, so the field never was in that state.
func (o *Object) Retract(a Attempt) { a.field.pop(a.mark) }

// Noop notes a write by writer that changed nothing.
func (o *Object) Noop(now time.Time, writer Writer) {
	at, w := millis(now), o.Writer(writer)
	gap := max(at, o.idle) - o.idle // the clock may jump back
	o.idle += gap
	if o.Idle.Count == 0 || o.differ(o.Idle.writer, w) || time.Duration(gap)*time.Millisecond > o.limits().RunGap {
		o.Idle, o.idle = Run{Count: 1, writer: w}, at
		return
	}
	o.Idle.add(gap, w, 0)
}

func (o *Object) add(path []byte) *Field {
	for len(o.fields) >= o.limits().Fields {
		o.evict()
	}
	switch {
	case o.fields == nil:
		o.fields = o.first[:0]
	case len(o.fields) == 1 && cap(o.fields) == 1:
		o.fields = append(make([]Field, 0, 2), o.fields...)
		o.first = [1]Field{} // or it would hold on to what the field has moved on from
	}
	o.fields = append(o.fields, Field{path: unique.Make(string(path))})
	return &o.fields[len(o.fields)-1]
}

// evict forgets the field that changed the longest ago, one without a fight if there is any.
func (o *Object) evict() {
	worst := 0
	for i := range o.fields {
		f, w := &o.fields[i], &o.fields[worst]
		if quiet, than := f.Fight == nil, w.Fight == nil; quiet != than {
			if quiet {
				worst = i
			}
			continue
		}
		if f.changed() < w.changed() {
			worst = i
		}
	}
	o.fields = slices.Delete(o.fields, worst, worst+1)
}

func (f *Field) changed() uint64 {
	if len(f.states) == 0 {
		return 0
	}
	return f.states[len(f.states)-1].ms()
}

// limits returns the bounds of the store that o is in, or the default ones if it is in none.
func (o *Object) limits() *Bounds {
	if o.bounds == nil {
		return &DefaultBounds
	}
	return o.bounds
}

// empty reports whether nothing is known that a new Object would not say as well.
func (o *Object) empty() bool { return len(o.fields) == 0 && o.Idle.Count == 0 }

// Clone returns a copy of o that shares nothing with it.
func (o *Object) Clone() *Object {
	c := *o
	c.first, c.pair = [1]Field{}, [2]unique.Handle[Writer]{}
	c.writers = append([]unique.Handle[Writer](nil), o.writers...)
	c.fields = make([]Field, len(o.fields))
	for i := range o.fields {
		c.fields[i] = o.fields[i].clone()
	}
	return &c
}

func millisOrZero(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return millis(t)
}

// sum hashes an identifier. It is not keyed: uids are no secrets, and replicas must agree.
func sum(s string) uint64 {
	if s == "" {
		return 0
	}
	var buf [64]byte // a uid has 36 bytes
	return max(siphash.Hash(0, 0, append(buf[:0], s...)), 1)
}
