package policy

import (
	"math/bits"
	"strings"
)

// Target is what a request is about.
type Target struct {
	Group, Resource, Subresource, Namespace, Name string
	// Label returns one of the object's labels. It may be nil: then there are none.
	Label func(key string) (value string, ok bool)
}

// matchBits is a set of rules or look-alikes by their index.
type matchBits [maxRules / 64]uint64

func (b *matchBits) set(i int)   { b[i/64] |= 1 << (i % 64) }
func (b *matchBits) clear(i int) { b[i/64] &^= 1 << (i % 64) }
func (b *matchBits) empty() bool { return *b == matchBits{} }

// resourceIndex finds the rules or look-alikes about a resource without looking at the others.
type resourceIndex struct {
	every matchBits // those about `*`
	exact map[groupResource][]indexed
	globs []indexed
}

type indexed struct {
	pattern resourcePattern
	bit     int
}

// add notes that what has the number bit is about the resources that fit one of the patterns.
func (x *resourceIndex) add(patterns []resourcePattern, bit int) {
	for _, p := range patterns {
		switch {
		case p.every():
			x.every.set(bit)
		case p.exact():
			if x.exact == nil {
				x.exact = map[groupResource][]indexed{}
			}
			gr := groupResource{string(p.group), p.resource}
			x.exact[gr] = append(x.exact[gr], indexed{p, bit})
		default:
			x.globs = append(x.globs, indexed{p, bit})
		}
	}
}

func (x *resourceIndex) find(t *Target) matchBits {
	var found matchBits
	if (&resourcePattern{}).fitsSub(t.Subresource) {
		found = x.every
	}
	for _, e := range x.exact[groupResource{t.Group, t.Resource}] {
		if e.pattern.fitsSub(t.Subresource) {
			found.set(e.bit)
		}
	}
	for i := range x.globs {
		if e := &x.globs[i]; e.pattern.fits(t) {
			found.set(e.bit)
		}
	}
	return found
}

// Matched is what a Policy has to say about one object: the rules that may watch its fields and the look-alikes that may
// silence them. It is a value and may be kept; the zero Matched watches nothing.
type Matched struct {
	policy       *Policy
	rules, looks matchBits
}

// Match finds the rules and look-alikes about an object. It allocates nothing, and its time grows with the number of rules
// and look-alikes that name resources by wildcard, not with that of the others.
func (p *Policy) Match(t *Target) Matched {
	m := Matched{policy: p, rules: p.ruleIndex.find(t)}
	for w, word := range m.rules {
		for ; word != 0; word &= word - 1 {
			i := w*64 + bits.TrailingZeros64(word)
			if !p.rules[i].about(t) {
				m.rules.clear(i)
			}
		}
	}
	if !m.rules.empty() {
		m.looks = p.lookIndex.find(t)
	}
	return m
}

// about reports whether the object is r's, once it is known that its resource is among r's resources.
func (r *CompiledRule) about(t *Target) bool {
	return !fitsResource(r.excludeResources, t) &&
		r.namespaces.fits(t.Namespace) &&
		!r.excludeNamespaces.fits(t.Namespace) &&
		r.selector.fits(t.Label)
}

// Empty reports whether no rule watches any field of the object.
func (m Matched) Empty() bool { return m.rules.empty() }

// Rule returns the first rule that watches the field at path, which is nil if none does.
func (m Matched) Rule(path []byte) *CompiledRule {
	for w, word := range m.rules {
		for ; word != 0; word &= word - 1 {
			r := &m.policy.rules[w*64+bits.TrailingZeros64(word)]
			if r.fields.fits(path) && !r.excludeFields.fits(path) {
				return r
			}
		}
	}
	return nil
}

// Silence returns how far a write of the field at path by this writer is a known look-alike: not at all (""), OneWriter or
// Always, the strongest that fits.
func (m Matched) Silence(path []byte, user, manager string, groups []string) Silence {
	var strongest Silence
	for w, word := range m.looks {
		for ; word != 0; word &= word - 1 {
			l := &m.policy.looks[w*64+bits.TrailingZeros64(word)]
			if l.silent == strongest || !l.fields.fits(path) || !l.anyone && !l.writers.fit(user, manager, groups) {
				continue
			}
			if l.silent == Always {
				return Always
			}
			strongest = l.silent
		}
	}
	return strongest
}

// ExemptReason says why a writer is exempt: one of a closed set, for metrics and audit annotations.
type ExemptReason string

// The reasons; the empty one means that the writer is not exempt.
const (
	NotExempt       ExemptReason = ""
	ExemptUser      ExemptReason = "user"
	ExemptGroup     ExemptReason = "group"
	ExemptManager   ExemptReason = "manager"
	ExemptNamespace ExemptReason = "namespace"
)

// Exempt reports whether the policy exempts writes of this writer to objects in this namespace, and the first reason why.
func (p *Policy) Exempt(user, manager, namespace string, groups []string) ExemptReason {
	switch {
	case p.exempt.users.fits(user):
		return ExemptUser
	case p.exempt.groups.fitsAny(groups):
		return ExemptGroup
	case p.exempt.managers.fits(manager):
		return ExemptManager
	case p.exemptNamespaces.fits(namespace):
		return ExemptNamespace
	}
	return NotExempt
}

// Hand is who guides a writer.
type Hand uint8

// The hands.
const (
	Machine Hand = iota
	Person
	// Script: a service account with a tool that is made for people. What it does by itself is a procedure that somebody has
	// written down; against others it is as tireless as any machine.
	Script
)

// Hand returns who guides this writer.
func (p *Policy) Hand(user, manager string, groups []string) Hand {
	switch {
	case p.people.named(user, groups):
		return Person
	case !p.people.managers.fits(manager):
		return Machine
	case strings.HasPrefix(user, "system:serviceaccount:") || p.people.excludeUsers.fits(user):
		return Script
	}
	return Person
}

// Preferred reports whether this writer is the party that r lets win.
func (r *CompiledRule) Preferred(user, manager string, groups []string) bool {
	return r.prefer.fit(user, manager, groups)
}
