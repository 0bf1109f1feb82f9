package admission

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Meta is what is read of an object's metadata. Its strings are its own; what is raw points into the object.
type Meta struct {
	Name, GenerateName, Namespace, UID string
	// ResourceVersion is 0 if there is none, or it is not a number.
	ResourceVersion uint64
	// Created is the creation timestamp, zero if there is none.
	Created time.Time
	// Deleting: there is a deletion timestamp.
	Deleting bool
	// Owner is the uid of the owner reference that is the controller, or else of the first one.
	Owner string
	// ManagedFields, Labels and Annotations are raw, nil where there are none.
	ManagedFields, Labels, Annotations jsontext.Value

	extents
}

// extents are where in an object its metadata are and, in them, what is raw.
type extents struct{ metadata, managedFields, labels, annotations span }

// Of returns m as read of object, which is a copy of the one that m was read of.
func (m Meta) Of(object []byte) *Meta {
	m.ManagedFields, m.Labels, m.Annotations = m.managedFields.value(object), m.labels.value(object), m.annotations.value(object)
	return &m
}

// metaOf reads an object's metadata. Of no object, or one without, it is empty. What comes before the metadata in the
// object is skipped; what follows is not looked at.
func metaOf(object []byte) (Meta, error) {
	var m Meta
	at := skipSpace(object, 0)
	if at == len(object) {
		return m, nil
	}
	if object[at] != '{' {
		return m, errors.New("it is not an object")
	}
	at, done := begin(object, at)
	for !done {
		key, value := memberAhead(object, at)
		if value < 0 {
			return m, fmt.Errorf("there is no member at byte %d", at)
		}
		if string(key) == `"metadata"` {
			return m, m.read(object, value)
		}
		next := skipValue(object, value)
		if next < 0 {
			return m, fmt.Errorf("the value at byte %d does not end", value)
		}
		if at, done = following(object, next, '}'); at < 0 {
			return m, fmt.Errorf("there is neither a comma nor the end of the object at byte %d", next)
		}
	}
	return m, nil
}

// read reads the metadata that begins at b[at].
func (m *Meta) read(b []byte, at int) error {
	start := int32(at)
	switch b[at] {
	case 'n':
		return nil
	case '{':
	default:
		return errors.New("metadata is not an object")
	}
	var name, generateName, namespace, uid, version, created, deleted, owners span
	at, done := begin(b, at)
	for !done {
		f, next := nextMember(b, at)
		if next < 0 {
			return fmt.Errorf("metadata has no member at byte %d", at)
		}
		switch string(f.key.in(b)) {
		case "name":
			name = f.val
		case "generateName":
			generateName = f.val
		case "namespace":
			namespace = f.val
		case "uid":
			uid = f.val
		case "resourceVersion":
			version = f.val
		case "creationTimestamp":
			created = f.val
		case "deletionTimestamp":
			deleted = f.val
		case "ownerReferences":
			owners = f.val
		case "managedFields":
			m.ManagedFields = f.val.value(b)
			m.managedFields = f.val
		case "labels":
			m.Labels = f.val.value(b)
			m.labels = f.val
		case "annotations":
			m.Annotations = f.val.value(b)
			m.annotations = f.val
		}
		if at, done = following(b, next, '}'); at < 0 {
			return fmt.Errorf("metadata has neither a comma nor an end at byte %d", next)
		}
	}
	m.metadata = span{start, int32(at + 1)}
	owner := ownerUID(b, owners)
	m.strings(b, [...]struct {
		to *string
		at span
	}{{&m.Name, name}, {&m.GenerateName, generateName}, {&m.Namespace, namespace}, {&m.UID, uid}, {&m.Owner, owner}})
	if v := textOf(b, version); len(v) > 0 {
		m.ResourceVersion, _ = strconv.ParseUint(string(v), 10, 64)
	}
	m.Created = timeOf(textOf(b, created))
	m.Deleting = !deleted.missing(b)
	return nil
}

// strings makes all of the strings with one allocation.
func (m *Meta) strings(b []byte, fields [5]struct {
	to *string
	at span
}) {
	var buf [512]byte
	var ends [len(fields)]int
	all := buf[:0]
	for i, f := range fields {
		all = append(all, textOf(b, f.at)...)
		ends[i] = len(all)
	}
	text := string(all)
	start := 0
	for i, f := range fields {
		*f.to = text[start:ends[i]]
		start = ends[i]
	}
}

// textOf returns the text of a string, nothing if it is none.
func textOf(b []byte, s span) []byte {
	if s.absent() || b[s.start] != '"' {
		return nil
	}
	return unquoted(s.in(b))
}

// timeOf reads a point in time, zero if it is none.
func timeOf(text []byte) time.Time {
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return time.Time{}
	}
	return t
}

// ownerUID returns the uid of the owner reference that is the controller, or else of the first one.
func ownerUID(b []byte, owners span) span {
	var first span
	if owners.absent() || b[owners.start] != '[' {
		return first
	}
	at, done := begin(b, int(owners.start))
	for !done {
		next := skipValue(b, at)
		if next < 0 {
			return first
		}
		if b[at] == '{' {
			uid, controller := findMember(b[:next], at, "uid"), findMember(b[:next], at, "controller")
			if !controller.absent() && string(controller.in(b)) == "true" {
				return uid
			}
			if first.absent() {
				first = uid
			}
		}
		if at, done = following(b, next, ']'); at < 0 {
			return first
		}
	}
	return first
}

// findMember returns the value of a member of the object that begins at b[at], nothing if it has none. If there are
// several, the last one counts.
func findMember(b []byte, at int, key string) (found span) {
	at, done := begin(b, at)
	for !done {
		m, next := nextMember(b, at)
		if next < 0 {
			return span{}
		}
		if k := m.key.in(b); string(k) == key || m.escaped && string(plainText(k)) == key {
			found = m.val
		}
		if at, done = following(b, next, '}'); at < 0 {
			return span{}
		}
	}
	return found
}

func plainText(text []byte) []byte {
	out, _ := appendText(nil, text)
	return out
}

// mapValue returns the value of a key in a raw map of strings, such as labels. It reports false if there is none.
func mapValue(raw jsontext.Value, key string) (string, bool) {
	if len(raw) == 0 || raw[0] != '{' {
		return "", false
	}
	s := findMember(raw, 0, key)
	if s.absent() || raw[s.start] != '"' {
		return "", false
	}
	return string(textOf(raw, s)), true
}
