package history

import (
	"slices"
	"time"
)

// modelObject is what an Object should be: slow and obvious, with every state it ever was in, identifiers as they are,
// and flags worked out anew whenever they are asked for.
type modelObject struct {
	bounds   Bounds
	id, uid  string
	rv       uint64
	seen     time.Time
	fields   []*modelField
	idle     []modelNoop // the current run
	lastIdle time.Time
}

type modelNoop struct {
	at time.Time
	by Writer
}

type modelField struct {
	path      string
	all       []modelState // but for what was dropped or retracted
	forgotten int          // how many of the first ones are not remembered any more
	run       modelRun
	fight     bool
	ended     time.Time
	madeOn    any         // the resourceVersion, or for existence the uid, that the last proposal was made upon
	lost      *modelState // the first proposal made upon it that was dropped
}

type modelState struct {
	value           Value
	at              time.Time // zero: unknown
	by              Writer
	flags           Flags // the caller's
	pending, unseen bool
	wasPending      bool
	remembered      int // the first state that was remembered when it was written
}

// modelRun begins at a state, and ends with the newest one. What was dropped has left its mark.
type modelRun struct {
	begun   bool
	from    int
	by      Writer // the first one who is known
	dropped []Flags
}

func (m *modelObject) begin(r Request) Standing {
	if r.ID != "" && r.ID == m.id {
		return Duplicate
	}
	if r.ID != "" {
		m.id = r.ID
	}
	if r.Version != 0 && r.Version < m.rv && r.Now.Before(m.seen.Add(time.Minute)) {
		return Stale
	}
	if r.UID != "" && r.UID != m.uid {
		if m.uid != "" {
			m.fields = slices.DeleteFunc(m.fields, func(f *modelField) bool { return f.path != Exists })
			m.rv, m.idle, m.lastIdle = 0, nil, time.Time{}
		}
		m.uid = r.UID
	}
	if r.Version != 0 {
		m.rv, m.seen = r.Version, r.Now
	}
	return Current
}

func (m *modelObject) field(path string) *modelField {
	for _, f := range m.fields {
		if f.path == path {
			return f
		}
	}
	return nil
}

func (m *modelObject) settle(now time.Time, path string, s Stored) *modelField {
	f := m.field(path)
	if f == nil {
		if len(m.fields) == m.bounds.Fields {
			m.evict()
		}
		f = &modelField{path: path}
		m.fields = append(m.fields, f)
	}
	at := s.At
	if at.After(now) {
		at = now
	}
	if len(f.all) == 0 {
		m.write(f, modelState{value: s.Value, at: at, by: s.Owner, unseen: true})
		return f
	}
	last := &f.all[len(f.all)-1]
	if last.value == s.Value {
		if last.pending {
			f.lost = nil
		}
		last.pending = false
		return f
	}
	before := len(f.all) - 2
	find := func() {
		if last.pending {
			f.drop()
		}
		m.write(f, modelState{value: f.lost.value, at: f.lost.at, by: f.lost.by, flags: f.lost.flags})
		f.lost = nil
	}
	if last.pending && before >= f.forgotten && f.all[before].value == s.Value && !m.undone(now, f, *last, s) {
		if f.lost == nil || !m.undone(now, f, *f.lost, s) {
			if f.lost == nil && path != Exists {
				f.lost = new(*last)
			}
			f.drop()
			return f
		}
		find()
	} else if was := f.lost; was != nil && was.value == s.Value && now.Sub(was.at) <= time.Minute &&
		(was.by.Manager == "" || s.Owner.Manager == "" || was.by.Manager == s.Owner.Manager) {
		find()
		return f
	}
	last = &f.all[len(f.all)-1]
	last.pending, f.lost = false, nil
	switch {
	case at.IsZero() && last.at.IsZero():
		at = now
	case at.IsZero() && last.at.Before(now):
		at = last.at.Add(now.Sub(last.at) / 2).Truncate(time.Millisecond)
	case at.Before(last.at):
		at = last.at
	}
	m.write(f, modelState{value: s.Value, at: at, by: s.Owner, unseen: true})
	return f
}

func (m *modelObject) undone(now time.Time, f *modelField, proposal modelState, s Stored) bool {
	proposed := proposal.at
	moved := f.madeOn != m.standsOn(f)
	if f.path == Exists {
		return moved && s.Value == Present
	}
	if !s.At.IsZero() {
		if then, owned := proposed.Unix(), s.At.Unix(); then != owned {
			return owned > then
		}
	}
	return moved && now.Sub(proposed) >= 100*time.Millisecond
}

func (m *modelObject) standsOn(f *modelField) any {
	if f.path == Exists {
		return m.uid
	}
	return m.rv
}

// propose returns what takes the proposal back.
func (m *modelObject) propose(now time.Time, f *modelField, v Value, by Writer, flags Flags) (retract func()) {
	at := now
	if len(f.all) > 0 && at.Before(f.all[len(f.all)-1].at) {
		at = f.all[len(f.all)-1].at
	}
	if on := m.standsOn(f); on != f.madeOn {
		f.madeOn, f.lost = on, nil
	}
	before := *f
	m.write(f, modelState{value: v, at: at, by: by, flags: flags, pending: true, wasPending: true})
	return func() { f.all, f.forgotten, f.run = before.all, before.forgotten, before.run }
}

func (m *modelObject) write(f *modelField, s modelState) {
	s.remembered = f.forgotten
	f.all = append(slices.Clone(f.all), s)
	n := len(f.all) - 1
	f.forgotten = max(f.forgotten, len(f.all)-m.bounds.States)
	goesOn := f.run.begun && n > 0 && f.flags(m, n)&Cross == 0 && f.all[n].at.Sub(f.all[n-1].at) <= m.bounds.RunGap
	if !goesOn || f.run.by.Differs(s.by) {
		f.run = modelRun{begun: true, from: n}
	}
	if !f.run.by.Known() {
		f.run.by = s.by
	}
}

func (f *modelField) drop() {
	n := len(f.all) - 1
	if f.run.from == n {
		f.run = modelRun{}
	} else {
		f.run.dropped = append(slices.Clone(f.run.dropped), f.all[n].asWritten(f.flagsBy(n)))
	}
	f.all = slices.Clone(f.all[:n])
	f.all[n-1].pending = false
}

// flags works out what the write of state i did.
func (f *modelField) flags(m *modelObject, i int) Flags {
	flags := f.all[i].flags | f.derived(m.bounds.Memory, i)
	if f.all[i].pending {
		flags |= Pending
	}
	if f.all[i].unseen {
		flags |= Unseen
	}
	return flags
}

func (f *modelField) derived(memory time.Duration, i int) Flags {
	if i == 0 {
		return 0
	}
	s, last := f.all[i], f.all[i-1]
	flags := Flags(0)
	if last.by.Differs(s.by) {
		flags |= Cross
	}
	if last.flags&ByPerson != 0 {
		flags |= OverPerson
	}
	for _, earlier := range f.all[s.remembered : i-1] {
		if earlier.value == s.value && (earlier.at.IsZero() || s.at.Sub(earlier.at) <= memory) {
			flags |= Reversal
		}
	}
	return flags
}

// modelMemory is the bound that all model objects have.
const modelMemory = time.Hour

func (f *modelField) flagsBy(i int) Flags { return f.derived(modelMemory, i) | f.all[i].flags }

func (s modelState) asWritten(f Flags) Flags {
	if s.wasPending {
		f |= Pending
	}
	if s.unseen {
		f |= Unseen
	}
	return f
}

// runs returns the current run: how many writes, in what time, the flags that all had, and whether all were fresh.
func (f *modelField) runs() (count int, span time.Duration, all Flags, fresh bool) {
	if !f.run.begun {
		return 0, 0, 0, false
	}
	all, fresh = ^Flags(0), true
	for _, flags := range f.run.dropped {
		all, fresh = all&flags, fresh && flags&Reversal == 0
	}
	for i := f.run.from; i < len(f.all); i++ {
		flags := f.all[i].asWritten(f.flagsBy(i))
		all, fresh = all&flags, fresh && flags&Reversal == 0
	}
	return len(f.all) - f.run.from, f.all[len(f.all)-1].at.Sub(f.all[f.run.from].at), all, fresh
}

func (f *modelField) counted(now time.Time, memory time.Duration) int {
	n := 0
	for i := len(f.all) - 1; i >= f.forgotten; i-- {
		s := f.all[i]
		if s.at.IsZero() || !s.at.After(f.ended) || now.Sub(s.at) > memory {
			break
		}
		n++
	}
	return n
}

func (m *modelObject) evict() {
	changed := func(f *modelField) time.Time { return f.all[len(f.all)-1].at }
	worst := slices.MinFunc(m.fields, func(a, b *modelField) int {
		if a.fight != b.fight {
			if b.fight {
				return -1
			}
			return 1
		}
		return changed(a).Compare(changed(b))
	})
	m.fields = slices.DeleteFunc(m.fields, func(f *modelField) bool { return f == worst })
}

func (m *modelObject) noop(now time.Time, by Writer) {
	goesOn := len(m.idle) > 0 && now.Sub(m.lastIdle) <= m.bounds.RunGap
	for _, n := range m.idle {
		if n.by.Known() {
			goesOn = goesOn && !n.by.Differs(by)
			break
		}
	}
	if !goesOn {
		m.idle, m.lastIdle = nil, now
	}
	if now.Before(m.lastIdle) {
		now = m.lastIdle
	}
	m.idle, m.lastIdle = append(m.idle, modelNoop{now, by}), now
}
