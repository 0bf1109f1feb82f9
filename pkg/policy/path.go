package policy

import (
	"slices"
	"strings"
)

// Exists is the path that stands for an object itself: it exists or does not.
const Exists = "$exists"

// A field's path is a row of parts: keys, set off by dots, and brackets. A bracket holds a key that could be mistaken
// (one with a `.` or `/` in it, and all keys of annotations, labels and data), or what tells an element of a list from
// the others: `[name=web]`. If one such selector is not enough there are several: `[port=53][protocol=UDP]`.
type partKind uint8

const (
	keyPart partKind = iota
	bracketPart
	deepPart // `**`: any number of parts, also none
)

// fieldPart is one part of a fieldPattern.
type fieldPart struct {
	kind partKind
	// text is the key or what is between the brackets, as paths write it: `]` and `\` in brackets are escaped.
	text string
	// wild: there is a `*` in text, which is any run of characters.
	wild bool
}

func (p *fieldPart) fits(kind partKind, text []byte) bool {
	switch {
	case p.kind != kind:
		return false
	case !p.wild:
		return string(text) == p.text
	}
	return p.text == "*" || globFits(p.text, text)
}

// fieldPattern is a pattern for the paths of fields. It fits the field it names, and what is below it only if it ends in
// `**`. A bracket may leave out further selectors of the same element: `spec.ports[port=53].nodePort` fits
// `spec.ports[port=53][protocol=UDP].nodePort`.
type fieldPattern struct {
	text  string
	parts []fieldPart
	// every: it is `**`, which fits everything, Exists too.
	every bool
	// exact: only the path that equals text fits.
	exact bool
	// below: only text without its last `**`, which is prefix, and what is below that fits.
	below bool
	// prefix is what each path that fits starts with.
	prefix string
}

// newFieldPattern compiles parts, which text was made of.
func newFieldPattern(text string, parts []fieldPart) fieldPattern {
	p := fieldPattern{text: text, parts: parts}
	var prefix strings.Builder
	fixed := 0 // how many parts are literal and leave no selectors out
	for i, part := range parts {
		if part.kind == deepPart {
			break
		}
		switch {
		case part.kind == bracketPart:
			prefix.WriteByte('[')
		case i > 0:
			prefix.WriteByte('.')
		}
		literal, _, _ := strings.Cut(part.text, "*")
		prefix.WriteString(literal)
		if part.wild {
			break
		}
		if part.kind == bracketPart {
			prefix.WriteByte(']')
			if isSelector(part.text) && !p.bracketAt(i+1) {
				if i+2 == len(parts) && parts[i+1].kind == deepPart {
					fixed++
				}
				break
			}
		}
		fixed++
	}
	p.prefix = prefix.String()
	p.every = len(parts) == 1 && parts[0].kind == deepPart
	p.exact = fixed == len(parts)
	p.below = fixed == len(parts)-1 && fixed > 0 && parts[fixed].kind == deepPart
	return p
}

// bracketAt reports whether part i is a bracket.
func (p *fieldPattern) bracketAt(i int) bool {
	return i < len(p.parts) && p.parts[i].kind == bracketPart
}

// isSelector reports whether what is between brackets selects an element of a list.
func isSelector[S ~string | ~[]byte](text S) bool {
	for i := range len(text) {
		if text[i] == '=' {
			return true
		}
	}
	return false
}

// fits reports whether the field at path is meant. It allocates nothing.
func (p *fieldPattern) fits(path []byte) bool {
	switch {
	case p.every:
		return true
	case len(path) < len(p.prefix) || string(path[:len(p.prefix)]) != p.prefix:
		return false
	case p.exact:
		return len(path) == len(p.prefix)
	case p.below:
		return len(path) == len(p.prefix) || path[len(p.prefix)] == '.' || path[len(p.prefix)] == '['
	}
	return p.walk(path)
}

// walk matches part by part. Like globFits it only ever goes back to the last `**`.
func (p *fieldPattern) walk(path []byte) bool {
	part, at := 0, 0
	deep, resume := -1, 0 // the last `**`, and where in path its run ends so far
	for {
		if part < len(p.parts) && p.parts[part].kind == deepPart {
			deep, resume = part, at
			part++
			if part == len(p.parts) {
				return true
			}
		}
		if part == len(p.parts) && at == len(path) {
			return true
		}
		if part < len(p.parts) && at < len(path) {
			if kind, text, next := nextPart(path, at); p.parts[part].fits(kind, text) {
				at = next
				part++
				if kind == bracketPart && isSelector(text) && p.skips(part) {
					at = skipSelectors(path, at)
				}
				continue
			}
		}
		if deep < 0 || resume == len(path) {
			return false
		}
		_, _, resume = nextPart(path, resume)
		part, at = deep+1, resume
	}
}

// skips reports whether selectors that the pattern leaves out may stand before part i.
func (p *fieldPattern) skips(i int) bool {
	return i == len(p.parts) || p.parts[i].kind == keyPart
}

func skipSelectors(path []byte, at int) int {
	for at < len(path) && path[at] == '[' {
		_, text, next := nextPart(path, at)
		if !isSelector(text) {
			break
		}
		at = next
	}
	return at
}

// nextPart returns the part of path that starts at i, and where the next one starts.
func nextPart(path []byte, i int) (kind partKind, text []byte, next int) {
	if path[i] == '[' {
		end := i + 1
		for end < len(path) && path[end] != ']' {
			if path[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end, len(path))
		return bracketPart, path[i+1 : end], min(end+1, len(path))
	}
	if path[i] == '.' {
		i++
	}
	end := i
	for end < len(path) && path[end] != '.' && path[end] != '[' {
		end++
	}
	return keyPart, path[i:end], end
}

// covers reports whether certainly every field that fits other fits p too.
func (p *fieldPattern) covers(other *fieldPattern) bool { return coversParts(p.parts, other.parts) }

// coversParts matches b as if it were a path, in which only a `**` matches a `**` and only a `*` a `*`.
func coversParts(a, b []fieldPart) bool {
	rest := make([]bool, len(b)+1) // rest[j]: what is left of a covers b[j:]
	rest[len(b)] = true
	for i := len(a) - 1; i >= 0; i-- {
		if a[i].kind == deepPart {
			for j := len(b) - 1; j >= 0; j-- {
				rest[j] = rest[j] || rest[j+1]
			}
			continue
		}
		for j := range b {
			rest[j] = rest[j+1] && a[i].kind == b[j].kind && globFits(a[i].text, b[j].text)
		}
		rest[len(b)] = false
	}
	return rest[0]
}

// disjoint reports whether certainly no field fits both.
func (p *fieldPattern) disjoint(other *fieldPattern) bool {
	return !strings.HasPrefix(p.prefix, other.prefix) && !strings.HasPrefix(other.prefix, p.prefix)
}

func (p *fieldPattern) size() int { return len(p.text) }

// fields are several patterns of which one must fit. The zero value fits nothing.
type fields []fieldPattern

// newFields takes patterns that parseField accepts, as decoding has made sure.
func newFields(patterns []string) fields {
	fs := make(fields, 0, len(patterns))
	for _, text := range patterns {
		p, _ := parseField(text)
		if p.every {
			return fields{p}
		}
		fs = append(fs, p)
	}
	return slices.Clip(fs)
}

func (fs fields) fits(path []byte) bool {
	for i := range fs {
		if fs[i].fits(path) {
			return true
		}
	}
	return false
}
