package policy

import "slices"

// maxComparisons bounds the search for shadowed rules, which grows with the square of the number of patterns. A file with
// a hundred rules of ten patterns each stays far below it. A comparison of long patterns counts as several.
const maxComparisons = 200_000

// shadowing looks for rules that can never be reached. It is careful: what it says is certain, but a rule that only
// several earlier ones together hide is not found.
type shadowing struct{ left int }

// shadows reports the rules that no field can reach: those that exclude all they include, and those that an earlier rule
// hides. Rules that have problems of their own are left alone.
func (d *decoder) shadows(rules []Rule) {
	s := &shadowing{left: maxComparisons}
	var earlier []shape
	for i := range rules {
		path := index("rules", i)
		if d.problems.under(path) {
			continue
		}
		r := shapeOf(rules[i], i)
		if part := s.hollow(&r); part != "" {
			d.problemAt(path, "can never be reached: match.exclude%s excludes everything that it includes", part)
			continue
		}
		for j := range earlier {
			if e := &earlier[j]; s.hides(e, &r) {
				d.problemAt(path, "can never be reached: rules[%d] (%s) decides about everything that it fits", e.index, e.name)
				break
			}
		}
		earlier = append(earlier, r)
	}
}

// shape is what a rule fits, in patterns that can be compared.
type shape struct {
	index                         int
	name                          string
	selector                      selector
	resources, excludeResources   []*resourcePattern
	namespaces, excludeNamespaces []wildcard
	fields, excludeFields         []*fieldPattern
}

func shapeOf(r Rule, i int) shape {
	r.Match.fill()
	c := compileRule(&r, i)
	return shape{
		index: i, name: r.Name, selector: c.selector,
		resources: pointers(c.resources), excludeResources: pointers(c.excludeResources),
		namespaces: parseAll(r.Match.Namespaces), excludeNamespaces: parseAll(r.Match.ExcludeNamespaces),
		fields: pointers(c.fields), excludeFields: pointers(c.excludeFields),
	}
}

// hollow returns the part of r's match that excludes all it includes, "" if there is none.
func (s *shadowing) hollow(r *shape) string {
	switch {
	case coverEach(s, r.resources, r.excludeResources):
		return "Resources"
	case coverEach(s, r.namespaces, r.excludeNamespaces):
		return "Namespaces"
	case coverEach(s, r.fields, r.excludeFields):
		return "Fields"
	}
	return ""
}

// hides reports whether rule e, which is tried first, certainly decides about every field that rule r fits.
func (s *shadowing) hides(e, r *shape) bool {
	return e.selector.covers(r.selector) &&
		within(s, e.resources, e.excludeResources, r.resources, r.excludeResources) &&
		within(s, e.namespaces, e.excludeNamespaces, r.namespaces, r.excludeNamespaces) &&
		within(s, e.fields, e.excludeFields, r.fields, r.excludeFields) &&
		s.left > 0 // else a hole may have been overlooked
}

// pattern is one of the kinds of patterns that a match is made of.
type pattern[P any] interface {
	covers(other P) bool
	disjoint(other P) bool
	size() int // in bytes, about
}

// within reports whether all that is in and not in out is also in outerIn and not in outerOut.
func within[P pattern[P]](s *shadowing, outerIn, outerOut, in, out []P) bool {
	if !coverEach(s, in, outerIn) {
		return false
	}
	for _, hole := range outerOut {
		filled := anyOf(s, out, hole, func(o P) bool { return o.covers(hole) })
		if !filled && anyOf(s, in, hole, func(i P) bool { return !i.disjoint(hole) }) {
			return false
		}
	}
	return true
}

// coverEach reports whether each of the patterns is covered by one of the covers.
func coverEach[P pattern[P]](s *shadowing, patterns, covers []P) bool {
	return !slices.ContainsFunc(patterns, func(p P) bool {
		return !anyOf(s, covers, p, func(c P) bool { return c.covers(p) })
	})
}

// anyOf reports whether one of the patterns fits, which means to compare it with p. It says no once all comparisons are
// used up.
func anyOf[P pattern[P]](s *shadowing, patterns []P, p P, fits func(P) bool) bool {
	for _, q := range patterns {
		if s.left -= 1 + p.size()*q.size()/1024; s.left <= 0 {
			return false
		}
		if fits(q) {
			return true
		}
	}
	return false
}

// parseAll takes wildcards that parseWildcard accepts.
func parseAll(patterns []string) []wildcard {
	ws := make([]wildcard, len(patterns))
	for i, p := range patterns {
		ws[i], _ = parseWildcard(p)
	}
	return ws
}

func pointers[P any](values []P) []*P {
	ps := make([]*P, len(values))
	for i := range values {
		ps[i] = &values[i]
	}
	return ps
}
