package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// wildcard is a pattern for a name, in which `*` is any run of characters, also none.
type wildcard string

// parseWildcard refuses what can only be a slip. Runs of `*` become one.
func parseWildcard(s string) (wildcard, error) {
	switch {
	case s == "":
		return "", errors.New("is empty; `*` fits every name")
	case strings.TrimSpace(s) != s:
		return "", fmt.Errorf("%s starts or ends with a space", quote(s))
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", fmt.Errorf("%s has a control character in it", quote(s))
	}
	for strings.Contains(s, "**") {
		s = strings.ReplaceAll(s, "**", "*")
	}
	return wildcard(s), nil
}

// literal returns what every name that fits w starts with, and whether that is all of it.
func (w wildcard) literal() (prefix string, all bool) {
	prefix, _, star := strings.Cut(string(w), "*")
	return prefix, !star
}

// covers reports whether every name that fits other fits w too. The `*` of other can only be matched by one of w, as
// nothing else of w matches a star.
func (w wildcard) covers(other wildcard) bool { return globFits(string(w), string(other)) }

// disjoint reports whether certainly no name fits both.
func (w wildcard) disjoint(other wildcard) bool {
	a, aAll := w.literal()
	b, bAll := other.literal()
	if aAll && bAll {
		return a != b
	}
	return !strings.HasPrefix(a, b) && !strings.HasPrefix(b, a)
}

func (w wildcard) size() int { return len(w) }

// globFits reports whether name fits pattern. It takes no longer than the product of their lengths.
func globFits[S ~string | ~[]byte](pattern string, name S) bool {
	p, n := 0, 0
	star, resume := -1, 0 // the last star, and where in name its run ends so far
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			resume++
			p, n = star+1, resume
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// wildcards are several patterns of which one must fit. The zero value fits nothing. Names without a `*` cost one look-up
// however many they are, since users can be in hundreds of groups.
type wildcards struct {
	every bool
	exact map[string]struct{}
	globs []string
}

// newWildcards takes patterns that parseWildcard accepts, as decoding has made sure.
func newWildcards(patterns []string) wildcards {
	var ws wildcards
	for _, p := range patterns {
		w, _ := parseWildcard(p)
		switch _, all := w.literal(); {
		case w == "*":
			ws.every = true
		case !all:
			ws.globs = append(ws.globs, string(w))
		default:
			if ws.exact == nil {
				ws.exact = map[string]struct{}{}
			}
			ws.exact[string(w)] = struct{}{}
		}
	}
	return ws
}

func (ws *wildcards) none() bool { return !ws.every && len(ws.exact) == 0 && len(ws.globs) == 0 }

func (ws *wildcards) fits(name string) bool {
	if ws.every {
		return true
	}
	if len(ws.exact) > 0 {
		if _, ok := ws.exact[name]; ok {
			return true
		}
	}
	for _, g := range ws.globs {
		if globFits(g, name) {
			return true
		}
	}
	return false
}

func (ws *wildcards) fitsAny(names []string) bool {
	return !ws.none() && slices.ContainsFunc(names, ws.fits)
}

// writers are the compiled Writers.
type writers struct{ users, groups, managers wildcards }

func newWriters(w Writers) writers {
	return writers{newWildcards(w.Users), newWildcards(w.Groups), newWildcards(w.Managers)}
}

// people are the compiled People.
type people struct {
	writers
	excludeUsers wildcards
}

func newPeople(p People) people {
	return people{newWriters(Writers{Users: p.Users, Groups: p.Groups, Managers: p.Managers}), newWildcards(p.ExcludeUsers)}
}

// named reports whether the user is a person, whatever it writes with.
func (p *people) named(user string, groups []string) bool {
	return p.users.fits(user) && !p.excludeUsers.fits(user) || p.groups.fitsAny(groups)
}

func (w *writers) none() bool { return w.users.none() && w.groups.none() && w.managers.none() }

func (w *writers) fit(user, manager string, groups []string) bool {
	return w.users.fits(user) || w.managers.fits(manager) || w.groups.fitsAny(groups)
}
