package history

import (
	"slices"
	"unique"
)

// maxWriters is how many writers of one object can be told apart at most: a fight's parties are the bits of a word.
const maxWriters = 64

// unknownWriter is the index of a writer of whom nothing is known, or who was forgotten.
const unknownWriter = 255

// Writer returns the index of w among the object's writers. One who is referred to no longer makes room if there are
// too many; if there is none, w is not told apart from other unknown writers.
func (o *Object) Writer(w Writer) uint8 {
	if !w.Known() {
		return unknownWriter
	}
	for i, have := range o.writers {
		if have.Value() == w {
			return uint8(i)
		}
	}
	h := unique.Make(w)
	if len(o.writers) < o.limits().Writers {
		if o.writers == nil {
			o.writers = o.pair[:0]
		}
		o.writers = append(o.writers, h)
		return uint8(len(o.writers) - 1)
	}
	used := o.usedWriters()
	for i := range o.writers {
		if used&(1<<i) == 0 {
			o.writers[i] = h
			return uint8(i)
		}
	}
	return unknownWriter
}

func (o *Object) usedWriters() (used uint64) {
	mark := func(w uint8) {
		if w < maxWriters {
			used |= 1 << w
		}
	}
	run := func(r Run) {
		if r.Count > 0 {
			mark(r.writer)
		}
	}
	run(o.Idle)
	for i := range o.fields {
		f := &o.fields[i]
		run(f.Run)
		for _, s := range f.states {
			mark(s.writer())
		}
		if lost, ok := f.lost(); ok {
			mark(lost.writer())
		}
		if f.Fight != nil {
			used |= f.Fight.parties
			if f.Fight.Phase == Probing {
				mark(f.Fight.Probe.writer)
			}
		}
	}
	return used
}

// SameWriter reports whether one and the same known writer wrote a and b, states of one object.
func SameWriter(a, b State) bool { return a.writer() == b.writer() && a.writer() != unknownWriter }

// WriterOf returns who wrote s.
func (o *Object) WriterOf(s State) Writer { return o.writer(s.writer()) }

func (o *Object) writer(i uint8) Writer {
	if int(i) < len(o.writers) {
		return o.writers[i].Value()
	}
	return Writer{}
}

func (o *Object) differ(a, b uint8) bool {
	return a != b && o.writer(a).Differs(o.writer(b))
}

// Parties returns the parties of a fight over one of the object's fields, in the order of the object's writers. One of
// whom less is known is left out if it may be another one: a write that passed unseen has no user.
func (o *Object) Parties(f *Fight) []Writer {
	var all []Writer
	for i := range o.writers {
		if f.parties&(1<<i) != 0 {
			all = append(all, o.writers[i].Value())
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(w Writer) bool {
		return slices.ContainsFunc(all, w.partOf)
	})
}

// partOf reports whether all that is known of w is known of o as well, and more.
func (w Writer) partOf(o Writer) bool {
	part := func(a, b string) bool { return a == "" || a == b }
	return w != o && part(w.User, o.User) && part(w.Manager, o.Manager) && part(w.Pod, o.Pod)
}

// SetProbe makes w writing v the probe of f.
func (o *Object) SetProbe(f *Fight, v Value, w Writer) { f.Probe = Probe{v, o.Writer(w)} }

// IsProbe reports whether w writing v is the probe of f.
func (o *Object) IsProbe(f *Fight, v Value, w Writer) bool {
	return f.Probe.Value == v && !o.writer(f.Probe.writer).Differs(w)
}

// ProbedBy returns who wrote the probe of f.
func (o *Object) ProbedBy(f *Fight) Writer { return o.writer(f.Probe.writer) }

// AddParty adds w to the parties of f.
func (o *Object) AddParty(f *Fight, w Writer) { f.addWriter(o.Writer(w)) }
