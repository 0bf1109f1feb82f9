package admission

import (
	"bytes"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Who owns a field is told by metadata.managedFields: per manager, operation and subresource an entry with a set of
// fields (fieldsV1), and the time, to the second, at which this manager last changed one of them. A set is a tree of
// objects whose keys are f:name for a member, k:{"name":"web"} for an element of a list by its merge key, v:"x" for an
// element of a set of scalars, and . for the field itself beside what is in it. A field with nothing below it is owned
// as a whole: what is in it, too.

// managerOf returns the manager that owns the field at path and when it last wrote, or nothing if none does. Of several,
// the one that wrote last counts; then one that wrote through subresource; then the last one in the list.
func managerOf(managedFields jsontext.Value, path []byte, subresource string) (manager string, at time.Time) {
	e, ok := ownerOf(managedFields, nil, path, subresource)
	if !ok {
		return "", time.Time{}
	}
	return string(textOf(managedFields, e.manager)), e.at
}

// maxTried is how many changes are looked up to find who made them. One is enough, if it is tracked at all.
const maxTried = 8

// writeManager returns the manager that made changes, going by the managedFields of the object before and after: the one
// that owns what was set now. It returns nothing if all was removed or nothing is tracked.
func writeManager(oldMF, newMF jsontext.Value, changes []Change) string {
	tried := 0
	for i := range changes {
		c := &changes[i]
		if c.New == nil {
			continue
		}
		if e, ok := ownerOf(newMF, oldMF, c.Path, ""); ok {
			return string(textOf(newMF, e.manager))
		}
		if tried++; tried == maxTried {
			break
		}
	}
	return ""
}

// managedEntry is an entry of managedFields.
type managedEntry struct {
	span
	manager, subresource, fields span
	at                           time.Time
	// exact: it owns the field itself, not only what is around it.
	exact bool
}

// ownerOf returns the entry that owns the field at path. If before, the managedFields before the write, is given, an
// entry that the write changed goes before one that it did not.
func ownerOf(managedFields, before jsontext.Value, path []byte, subresource string) (owner managedEntry, ok bool) {
	if len(managedFields) == 0 || managedFields[0] != '[' || len(path) == 0 {
		return owner, false
	}
	r := ranking{managedFields, before, subresource}
	at, done := begin(managedFields, 0)
	for !done {
		e, next := readEntry(managedFields, at)
		if next < 0 {
			return owner, ok
		}
		if !e.fields.absent() {
			owned := owns(managedFields, int(e.fields.start), path)
			e.exact = owned == ownsIt
			if owned != ownsNot && (!ok || !r.outranks(owner, e)) {
				owner, ok = e, true
			}
		}
		if at, done = following(managedFields, next, ']'); at < 0 {
			break
		}
	}
	return owner, ok
}

// ranking is what the likelier one of two owners is found by.
type ranking struct {
	managedFields, before jsontext.Value
	subresource           string
}

// outranks reports whether e is more likely to be the last writer than an entry that comes after it.
func (r ranking) outranks(e, later managedEntry) bool {
	if e.exact != later.exact {
		return e.exact
	}
	if a, b := r.fresh(e), r.fresh(later); a != b {
		return a
	}
	if !e.at.Equal(later.at) {
		return e.at.After(later.at)
	}
	return r.through(e) && !r.through(later)
}

// fresh reports whether the write made or changed e.
func (r ranking) fresh(e managedEntry) bool {
	return r.before != nil && !bytes.Contains(r.before, e.span.in(r.managedFields))
}

// through reports whether e was written through the subresource.
func (r ranking) through(e managedEntry) bool {
	return string(textOf(r.managedFields, e.subresource)) == r.subresource
}

// readEntry reads the entry that begins at b[at], and returns the index after it, or -1. What is no entry is empty.
func readEntry(b []byte, at int) (e managedEntry, next int) {
	if at >= len(b) || b[at] != '{' {
		return e, skipValue(b, at)
	}
	e.start = int32(at)
	at, done := begin(b, at)
	for !done {
		m, next := nextMember(b, at)
		if next < 0 {
			return e, -1
		}
		switch string(m.key.in(b)) {
		case "manager":
			e.manager = m.val
		case "subresource":
			e.subresource = m.val
		case "time":
			e.at = timeOf(textOf(b, m.val))
		case "fieldsV1":
			if b[m.val.start] == '{' {
				e.fields = m.val
			}
		}
		if at, done = following(b, next, '}'); at < 0 {
			return e, -1
		}
	}
	e.end = int32(at + 1)
	return e, at + 1
}

// ownership tells what a set of fields has of a field.
type ownership uint8

const (
	ownsNot ownership = iota
	// ownsAround: a map or list that the field is in, as a leaf. It may own all of that, if it is atomic, or only the map
	// as such: who made the first annotation keeps that when the annotation has become another's.
	ownsAround
	ownsIt
)

// owns returns what the set that begins at b[at] has of the field at path, which is relative to it.
func owns(b []byte, at int, path []byte) (owned ownership) {
	at, done := begin(b, at)
	if len(path) == 0 || string(path) == wholeList {
		return ownsIt // some of it is enough
	}
	p, rest := cutPart(path)
	name := p.text
	selects := false
	if p.bracket {
		name = plain(name)
		selects = bytes.IndexByte(p.text, '=') > 0
	}
	for !done {
		// Not nextMember: what is looked into is not gone through before.
		key, value := setMember(b, at)
		if value < 0 {
			return owned
		}
		var match bool
		below := rest
		switch {
		case len(key) < 2 || key[1] != ':':
		case key[0] == 'f':
			match = bytes.Equal(key[2:], name)
		case key[0] == 'k' && selects:
			match, below = selected(key[2:], path)
		}
		if match {
			if _, empty := begin(b, value); empty {
				owned = max(owned, ownsAround)
			}
			if owned = max(owned, owns(b, value, below)); owned == ownsIt || key[0] == 'f' && !selects {
				return owned
			}
		}
		next := skipContainer(b, value)
		if next < 0 {
			return owned
		}
		if at, done = following(b, next, '}'); at < 0 {
			return owned
		}
	}
	return owned
}

// setMember returns the key of the member of a set that begins at b[i], and where its value, an object, begins, -1 if
// there is none.
func setMember(b []byte, i int) (key []byte, value int) {
	if i >= len(b) || b[i] != '"' {
		return nil, -1
	}
	end := skipString(b, i)
	if end < 0 {
		return nil, -1
	}
	value = skipSpace(b, end)
	if value >= len(b) || b[value] != ':' {
		return nil, -1
	}
	value = skipSpace(b, value+1)
	if value >= len(b) || b[value] != '{' {
		return nil, -1
	}
	return unquoted(b[i:end]), value
}

// selected reports whether an element's key, such as {"port":80,"protocol":"TCP"}, may be meant by the selectors at the
// start of path, and returns what follows them. They must agree in all members that both have. If they have none in
// common, the list's elements are known to the API server by another key than in paths, and any of them may be meant.
func selected(key, path []byte) (match bool, rest []byte) {
	for rest = path; len(rest) > 0; {
		p, after := cutPart(rest)
		eq := bytes.IndexByte(p.text, '=')
		if !p.bracket || eq <= 0 {
			break
		}
		rest = after
		if len(key) == 0 || key[0] != '{' {
			return false, rest
		}
		s := findMember(key, 0, string(p.text[:eq]))
		if s.absent() {
			continue
		}
		value := bare(s.in(key))
		if hasEscape(value) {
			value = plainText(value)
		}
		if !bytes.Equal(value, plain(p.text[eq+1:])) {
			return false, rest
		}
	}
	return true, rest
}
