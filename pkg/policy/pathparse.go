package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// parseField reads a field pattern. It refuses what no path of a field can fit, as the author meant something else.
func parseField(s string) (fieldPattern, error) {
	parts, err := splitField(s)
	if err == nil {
		err = checkField(s, parts)
	}
	if err != nil {
		return fieldPattern{}, err
	}
	return newFieldPattern(s, parts), nil
}

func splitField(s string) ([]fieldPart, error) {
	if s == "" {
		return nil, errors.New("is empty; `**` fits every field")
	}
	if strings.HasPrefix(s, "/") {
		return nil, fmt.Errorf("%s is a JSON pointer; write keys with dots between them, as in `spec.replicas`", quote(s))
	}
	var parts []fieldPart
	for i := 0; i < len(s); {
		var part fieldPart
		var err error
		if s[i] == '[' {
			part, i, err = splitBracket(s, i)
		} else {
			if s[i] == '.' && i > 0 {
				i++
			}
			part, i, err = splitKey(s, i)
		}
		if err != nil {
			return nil, err
		}
		if part.kind == deepPart && len(parts) > 0 && parts[len(parts)-1].kind == deepPart {
			continue // twice any number is any number
		}
		parts = append(parts, part)
	}
	return parts, nil
}

func splitKey(s string, start int) (fieldPart, int, error) {
	end := start
	for end < len(s) && s[end] != '.' && s[end] != '[' {
		end++
	}
	key := s[start:end]
	switch {
	case key == "":
		return fieldPart{}, 0, fmt.Errorf("%s has nothing between two dots, or a dot at an end", quote(s))
	case key == "**":
		return fieldPart{kind: deepPart}, end, nil
	case strings.Contains(key, "**"):
		return fieldPart{}, 0, fmt.Errorf("%s: `**` stands alone between dots; within a key write `*`", quote(s))
	case strings.ContainsAny(key, `/=]\`):
		return fieldPart{}, 0, fmt.Errorf("%s: a key with a `.`, `/` or `=` in it stands in brackets, "+
			"as in `metadata.annotations[example.com/key]`", quote(s))
	case strings.TrimSpace(key) != key:
		return fieldPart{}, 0, fmt.Errorf("%s: a key starts or ends with a space", quote(s))
	}
	return fieldPart{keyPart, key, strings.Contains(key, "*")}, end, nil
}

func splitBracket(s string, start int) (fieldPart, int, error) {
	end := start + 1
	for ; end < len(s) && s[end] != ']'; end++ {
		if s[end] != '\\' {
			continue
		}
		end++
		if end == len(s) || s[end] != ']' && s[end] != '\\' {
			return fieldPart{}, 0, fmt.Errorf("%s: a `\\` stands only before a `]` or another `\\`", quote(s))
		}
	}
	if end >= len(s) {
		return fieldPart{}, 0, fmt.Errorf("%s has a `[` without a `]`", quote(s))
	}
	text := s[start+1 : end]
	switch {
	case text == "":
		return fieldPart{}, 0, fmt.Errorf("%s has nothing between its brackets; `[*]` fits every key and element", quote(s))
	case strings.Contains(text, "**"):
		return fieldPart{}, 0, fmt.Errorf("%s: between brackets write one `*`", quote(s))
	case end+1 < len(s) && s[end+1] != '.' && s[end+1] != '[':
		return fieldPart{}, 0, fmt.Errorf("%s: after a `]` comes a dot or another bracket", quote(s))
	}
	return fieldPart{bracketPart, text, strings.Contains(text, "*")}, end + 1, nil
}

// containers are fields whose content changes, not they themselves, and what an author who names one most likely means.
var containers = map[string]string{
	"metadata":                 "metadata.**",
	"metadata.finalizers":      "metadata.finalizers[*]",
	"metadata.ownerReferences": "metadata.ownerReferences.**",
	"metadata.managedFields":   "metadata.managedFields.**",
	"spec":                     "spec.**",
	"status":                   "status.**",
}

// checkField refuses patterns that are well written but fit nothing, or not what they seem to.
func checkField(s string, parts []fieldPart) error {
	if meant, ok := containers[s]; ok {
		return fmt.Errorf("%s is a field whose content changes, not it itself; write %s", quote(s), quote(meant))
	}
	if s == "*" {
		return errors.New("`*` fits only keys at the top; `**` fits every field")
	}
	if strings.HasPrefix(parts[0].text, "$") && parts[0].kind == keyPart && s != Exists {
		return fmt.Errorf("%s: the only name with a `$` is %s, which stands alone", quote(s), quote(Exists))
	}
	for i, p := range parts {
		switch {
		case !holdsKeys(parts[:i+1]):
		case i+1 == len(parts):
			return fmt.Errorf("%s is a field whose content changes, not it itself; write %s", quote(s), quote(s+"[*]"))
		case parts[i+1].kind == keyPart:
			right := p.text + "[" + parts[i+1].text + "]"
			return fmt.Errorf("%s: the keys of %s stand in brackets, as in %s", quote(s), quote(p.text), quote(right))
		}
		if p.kind == bracketPart && !p.wild && !strings.ContainsAny(p.text, "./=[]") && !mayHoldKeys(parts[:i]) &&
			(i > 0 || !strings.HasPrefix(p.text, "$")) {
			return fmt.Errorf("%s: %s is neither a key that needs brackets nor an element, which is named by a key of it, "+
				"as in `[name=web]`, or by `[*]`", quote(s), quote("["+p.text+"]"))
		}
	}
	return nil
}

// holdsKeys reports whether at is the path of a map whose keys always stand in brackets: labels and annotations of
// anything that has metadata, and the data of an object.
func holdsKeys(at []fieldPart) bool {
	switch last := at[len(at)-1]; {
	case last.kind != keyPart:
		return false
	case len(at) == 1:
		return last.text == "data" || last.text == "binaryData" || last.text == "stringData"
	default:
		above := at[len(at)-2]
		return above.kind == keyPart && above.text == "metadata" && (last.text == "annotations" || last.text == "labels")
	}
}

// mayHoldKeys reports whether at can be the path of such a map.
func mayHoldKeys(at []fieldPart) bool {
	return len(at) > 0 && holdsKeys(at) || slices.ContainsFunc(at, func(p fieldPart) bool {
		return p.kind == deepPart || p.wild
	})
}
