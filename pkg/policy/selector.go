package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// labelOp is what a requirement asks of a label.
type labelOp string

const (
	labelIn     labelOp = "in"
	labelNotIn  labelOp = "notin"
	labelExists labelOp = "exists"
	labelAbsent labelOp = "!"
)

// requirement is one condition of a selector.
type requirement struct {
	key    string
	op     labelOp
	values []string // sorted
}

// selector selects objects by their labels, in the syntax of kubectl's --selector. The zero value selects everything.
type selector []requirement

// fits asks label for each label it wants to know.
func (s selector) fits(label func(string) (string, bool)) bool {
	for i := range s {
		value, ok := "", false
		if label != nil {
			value, ok = label(s[i].key)
		}
		if !s[i].fits(value, ok) {
			return false
		}
	}
	return true
}

func (r *requirement) fits(value string, ok bool) bool {
	switch r.op {
	case labelIn:
		return ok && slices.Contains(r.values, value)
	case labelNotIn: // as in Kubernetes, an object without the label is not in
		return !ok || !slices.Contains(r.values, value)
	case labelExists:
		return ok
	}
	return !ok
}

// covers reports whether certainly everything that other selects s selects too: other asks all that s asks.
func (s selector) covers(other selector) bool {
	for _, mine := range s {
		if !slices.ContainsFunc(other, func(r requirement) bool {
			return mine.key == r.key && mine.op == r.op && slices.Equal(mine.values, r.values)
		}) {
			return false
		}
	}
	return true
}

const labelNamePattern = `[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?`

var (
	labelKey   = regexp.MustCompile(`^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?` + labelNamePattern + `$`)
	labelValue = regexp.MustCompile(`^(` + labelNamePattern + `)?$`)
	// term matches one requirement: a key with an operator and values, a key alone, or one with a `!` before it.
	term = regexp.MustCompile(`^\s*(?:` +
		`(!)\s*([^\s,!=()]+)|` +
		`([^\s,!=()]+)(?:\s*(==?|!=)\s*([^\s,=!()]*)|\s+(in|notin)\s*\(([^()]*)\))?` +
		`)\s*(?:,|$)`)
)

// parseSelector reads a selector and refuses one that no object can fit.
func parseSelector(s string) (selector, error) {
	var sel selector
	for rest := s; strings.TrimSpace(rest) != ""; {
		m := term.FindStringSubmatch(rest)
		if m == nil {
			return nil, fmt.Errorf("%s is not a label selector at %s; it is written as `app=web,tier in (front,back),!legacy`",
				quote(s), quote(rest))
		}
		if rest = rest[len(m[0]):]; rest == "" && strings.HasSuffix(m[0], ",") {
			return nil, fmt.Errorf("%s ends in a comma", quote(s))
		}
		r := requirement{key: m[3]}
		switch {
		case m[1] != "":
			r.key, r.op = m[2], labelAbsent
		case m[4] != "":
			r.op, r.values = labelIn, []string{m[5]}
			if m[4] == "!=" {
				r.op = labelNotIn
			}
		case m[6] != "":
			r.op = labelOp(m[6])
			for v := range strings.SplitSeq(m[7], ",") {
				r.values = append(r.values, strings.TrimSpace(v))
			}
			slices.Sort(r.values)
			r.values = slices.Compact(r.values)
		default:
			r.op = labelExists
		}
		if !labelKey.MatchString(r.key) {
			return nil, fmt.Errorf("%s: %s is not the key of a label", quote(s), quote(r.key))
		}
		for _, v := range r.values {
			if !labelValue.MatchString(v) {
				return nil, fmt.Errorf("%s: %s is not the value of a label", quote(s), quote(v))
			}
		}
		sel = append(sel, r)
	}
	if err := sel.contradiction(); err != nil {
		return nil, fmt.Errorf("%s: %w", quote(s), err)
	}
	return sel, nil
}

// contradiction finds a key of which a selector asks what cannot be.
func (s selector) contradiction() error {
	for _, r := range s {
		mine := slices.DeleteFunc(slices.Clone(s), func(o requirement) bool { return o.key != r.key })
		possible := []string{}
		for _, o := range mine {
			possible = append(possible, o.values...)
		}
		// Some value that nobody mentions stands for all the others; `-` is none that a label can have.
		possible = append(possible, "-")
		get := func(value string, ok bool) bool {
			return mine.fits(func(string) (string, bool) { return value, ok })
		}
		if !get("", false) && !slices.ContainsFunc(possible, func(v string) bool { return get(v, true) }) {
			return errors.New("no object fits, because of what it asks of " + quote(r.key))
		}
	}
	return nil
}
