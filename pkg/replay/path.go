package replay

import (
	"fmt"
	"slices"
	"strings"
)

// segment is one step of a field path: the key of a map, or the selectors of a list's element.
type segment struct {
	key       string
	selectors []string // as in name=podinfo; nil for the key of a map
}

// parsePath reads a field path: dots between map keys, [key] for keys with special characters, [name=x] for the
// element of a list of objects, [*] at the end for a whole list of scalars. Inside of brackets a backslash escapes.
func parsePath(path string) ([]segment, error) {
	var out []segment
	rest := path
	for first := true; rest != ""; first = false {
		if rest[0] == '[' {
			text, after, ok := bracket(rest[1:])
			if !ok {
				return nil, fmt.Errorf("field path %q has a [ without ]", path)
			}
			rest = after
			switch raw := text.raw; {
			case raw == "*" && rest == "" && !first:
				return out, nil
			case strings.Contains(raw, "=") && !text.escaped:
				if n := len(out); n > 0 && out[n-1].selectors != nil { // [a=x][b=y] is one element
					out[n-1].selectors = append(out[n-1].selectors, raw)
				} else {
					out = append(out, segment{selectors: []string{raw}})
				}
			default:
				out = append(out, segment{key: raw})
			}
			continue
		}
		if !first {
			if rest[0] != '.' {
				return nil, fmt.Errorf("field path %q needs a dot or [ before %q", path, rest)
			}
			rest = rest[1:]
		}
		end := strings.IndexAny(rest, ".[]")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 || end < len(rest) && rest[end] == ']' {
			return nil, fmt.Errorf("field path %q has an empty or misplaced part at %q", path, rest)
		}
		out = append(out, segment{key: rest[:end]})
		rest = rest[end:]
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("field path %q is empty", path)
	}
	return out, nil
}

type bracketed struct {
	raw     string
	escaped bool // holds an escaped character, which only keys do
}

// bracket reads up to the closing bracket.
func bracket(s string) (text bracketed, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i == len(s) {
				return text, "", false
			}
			text.escaped = true
			b.WriteByte(s[i])
		case ']':
			text.raw = b.String()
			return text, s[i+1:], true
		default:
			b.WriteByte(s[i])
		}
	}
	return text, "", false
}

// names reports whether naming one path names the other: they are equal, or one is above the other. An element of a
// list may be selected by more keys on one side.
func names(a, b []segment) bool {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		if (x.selectors == nil) != (y.selectors == nil) || x.key != y.key || !within(x.selectors, y.selectors) {
			return false
		}
	}
	return true
}

func within(a, b []string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}
