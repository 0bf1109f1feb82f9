package audit

import (
	"slices"
)

// Filter leaves events out. Its zero value leaves out nothing but events that are not the last one of their request.
// Texts may have the wildcards * and ?.
type Filter struct {
	// Since and Until, which is not included, bound when the request came.
	Since, Until Micros
	// Each of these fits everything if it is empty, or else what fits one of its elements. Resources are as in
	// deployments.apps; without a group they are those of every group.
	Namespaces, Users, Resources []string
}

// Wants reports whether the event passes.
func (f *Filter) Wants(e *Event) bool {
	if !e.Complete() {
		return false
	}
	if f.Since != 0 && e.Received < f.Since || f.Until != 0 && e.Received >= f.Until {
		return false
	}
	return (len(f.Namespaces) == 0 || fits(f.Namespaces, string(e.Object.Namespace))) &&
		(len(f.Users) == 0 || fits(f.Users, string(e.User()))) &&
		(len(f.Resources) == 0 || fits(f.Resources, string(e.Object.Resource)) ||
			fits(f.Resources, string(e.Object.Resource)+"."+string(e.Object.Group)))
}

// fits reports whether s is one of the patterns.
func fits(patterns []string, s string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return wildcard(p, s) })
}

// wildcard reports whether s fits a pattern with * and ?.
func wildcard(pattern, s string) bool {
	star, back := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, back = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			back++
			p, i = star+1, back
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
