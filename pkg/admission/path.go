package admission

import (
	"bytes"
	"hash/fnv"
	"strconv"
)

// The text of a field's path: keys are set off by dots; `[key]` is a key of annotations, labels or data, or one that
// could be mistaken; `[name=web]` is an element of a list of objects, by its merge key, with further selectors if that
// key alone is not unique; `[*]` ends the path of a list of scalars. In brackets, `]` and `\` are escaped with `\`.

const (
	// maxPath bounds the length of paths: what is deeper is compared as one value.
	maxPath = 2048
	// maxKey bounds the part of a key that is written into paths. Keys of Kubernetes objects are shorter.
	maxKey = 512
)

// wholeList ends the path of a list of scalars.
const wholeList = "[*]"

// place is where in an object the walk is: what the keys there mean for the paths of fields.
type place uint8

const (
	placeOther     place = iota
	placeRoot            // the object itself
	placeMeta            // its metadata
	placeInnerMeta       // the metadata of something in it, such as a Pod template
	placeKeys            // a map whose keys are data: annotations, labels, data
)

// below returns the place of what is at key.
func (p place) below(key []byte) place {
	switch p {
	case placeRoot:
		switch string(key) {
		case "metadata":
			return placeMeta
		case "data", "binaryData", "stringData":
			return placeKeys
		}
		return placeOther
	case placeMeta, placeInnerMeta:
		if k := string(key); k == "annotations" || k == "labels" {
			return placeKeys
		}
	case placeKeys:
		return placeOther
	}
	if string(key) == "metadata" {
		return placeInnerMeta
	}
	return placeOther
}

// ignored reports whether a member at this place is never a contested field: the API server's own bookkeeping.
func (p place) ignored(key []byte) bool {
	switch p {
	case placeRoot:
		return string(key) == "apiVersion" || string(key) == "kind"
	case placeMeta:
		switch string(key) {
		case "managedFields", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
			"deletionGracePeriodSeconds", "selfLink", "uid":
			return true
		}
	}
	return false
}

// appendKey appends the part of a path that stands for key at place p.
func appendKey(path []byte, p place, key []byte) []byte {
	if p == placeKeys || len(key) == 0 || len(key) > maxKey || bytes.ContainsAny(key, "./[]=*") ||
		len(path) == 0 && key[0] == '$' { // $exists is no key
		path = append(path, '[')
		path = appendBracketed(path, key)
		return append(path, ']')
	}
	if len(path) > 0 {
		path = append(path, '.')
	}
	return append(path, key...)
}

// appendSelector appends the part of a path that selects the element of a list whose member name has the given value.
func appendSelector(path []byte, name string, value []byte) []byte {
	path = append(path, '[')
	path = append(path, name...)
	path = append(path, '=')
	path = appendBracketed(path, value)
	return append(path, ']')
}

// appendBracketed appends what is between brackets. A text that is too long is cut and told from others by a hash.
func appendBracketed(path, text []byte) []byte {
	if len(text) > maxKey {
		h := fnv.New64a()
		_, _ = h.Write(text)
		path = appendBracketed(path, text[:maxKey/2])
		path = append(path, "…"...)
		return strconv.AppendUint(path, h.Sum64(), 16)
	}
	for _, c := range text {
		if c == ']' || c == '\\' {
			path = append(path, '\\')
		}
		path = append(path, c)
	}
	return path
}

// part is one part of a path, as written: in brackets, text still has its escapes.
type part struct {
	text    []byte
	bracket bool
}

// cutPart returns the first part of a path and what follows.
func cutPart(path []byte) (p part, rest []byte) {
	if path[0] == '[' {
		end := 1
		for end < len(path) && path[end] != ']' {
			if path[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end, len(path))
		return part{path[1:end], true}, path[min(end+1, len(path)):]
	}
	if path[0] == '.' {
		path = path[1:]
	}
	end := bytes.IndexAny(path, ".[")
	if end < 0 {
		end = len(path)
	}
	return part{path[:end], false}, path[end:]
}

// plain returns text between brackets without its escapes.
func plain(text []byte) []byte {
	if bytes.IndexByte(text, '\\') < 0 {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		out = append(out, text[i])
	}
	return out
}
