package admission

import (
	"bytes"
	"hash/maphash"
	"slices"
)

// check makes sure that a scalar is JSON, as far as it was not found out yet. Of objects and lists only the extent is
// known: what is in them is checked where the walk gets there.
func (d *Differ) check(side int, s span) error {
	if s.absent() {
		return nil
	}
	b := s.in(d.buf[side])
	ok := true
	switch b[0] {
	case '{', '[', '"':
	case 't':
		ok = string(b) == "true"
	case 'f':
		ok = string(b) == "false"
	case 'n':
		ok = string(b) == "null"
	default:
		ok = isNumber(b)
	}
	if !ok {
		return d.bad(side, int(s.start), "there is no JSON value")
	}
	return nil
}

// sameValue reports whether both values of a pair mean the same, however they are written: the order of keys, escapes,
// white space and the form of numbers do not matter.
func (d *Differ) sameValue(p pair) (bool, error) {
	a, b := p[was].in(d.buf[was]), p[is].in(d.buf[is])
	if bytes.Equal(a, b) {
		return true, nil
	}
	kind := kindOf(d.buf[was], p[was])
	if kind != kindOf(d.buf[is], p[is]) {
		return false, nil
	}
	switch kind {
	case '{', '[':
		x, err := d.hashOf(was, p[was])
		if err != nil {
			return false, err
		}
		y, err := d.hashOf(is, p[is])
		return x == y, err
	case '"':
		if !hasEscape(a) && !hasEscape(b) {
			return false, nil
		}
		for side, s := range [2][]byte{a, b} {
			var ok bool
			if d.text[side], ok = appendText(d.text[side][:0], s[1:len(s)-1]); !ok {
				return false, d.bad(side, int(p[side].start), "there is an escape that JSON does not have")
			}
		}
		return bytes.Equal(d.text[was], d.text[is]), nil
	case '0':
		return sameNumber(a, b), nil
	}
	return kind == 0, nil
}

// fieldHash is a member of an object that is being hashed.
type fieldHash struct {
	key, value uint64
}

// hashOf returns a hash of what a value means: the same for all ways to write the same. With 64 bits and a secret seed
// different values can be taken to have different hashes. It is one pass over the value, however deep it is.
func (d *Differ) hashOf(side int, s span) (uint64, error) {
	d.fields = d.fields[:0]
	h, _, err := d.hashAt(side, int(s.start))
	return h, err
}

// hashAt hashes the value that begins at i, and returns the index after it. The scan that found the extent of what is
// hashed has made sure that it is not nested deeper than maxNesting.
func (d *Differ) hashAt(side, i int) (h uint64, next int, err error) {
	b := d.buf[side]
	if i < len(b) {
		switch b[i] {
		case '{':
			return d.hashObject(side, i)
		case '[':
			return d.hashList(side, i)
		}
	}
	next = skipValue(b, i)
	if next < 0 {
		return 0, 0, d.bad(side, i, "there is no JSON value")
	}
	s := span{int32(i), int32(next)}
	if err := d.check(side, s); err != nil {
		return 0, 0, err
	}
	switch b[i] {
	case '"':
		return d.mix('"', d.hashText(s.start+1, s.end-1, side)), next, nil
	case 't', 'f', 'n':
		return d.mix(uint64(b[i]), 0), next, nil
	}
	d.text[0] = appendNumber(d.text[0][:0], s.in(b))
	return d.mix('0', maphash.Bytes(d.seed, d.text[0])), next, nil
}

func (d *Differ) hashText(start, end int32, side int) uint64 {
	text := d.buf[side][start:end]
	if hasEscape(text) {
		d.text[0], _ = appendText(d.text[0][:0], text)
		text = d.text[0]
	}
	return maphash.Bytes(d.seed, text)
}

func (d *Differ) hashList(side, i int) (h uint64, next int, err error) {
	b := d.buf[side]
	h = '['
	next, done := begin(b, i)
	for !done {
		var e uint64
		if e, next, err = d.hashAt(side, next); err != nil {
			return 0, 0, err
		}
		h = d.mix(h, e)
		at := next
		if next, done = following(b, at, ']'); next < 0 {
			return 0, 0, d.bad(side, at, "there is neither a comma nor the end of the list after an element")
		}
	}
	return d.mix(h, ']'), next + 1, nil
}

func (d *Differ) hashObject(side, i int) (h uint64, next int, err error) {
	b := d.buf[side]
	base := len(d.fields)
	next, done := begin(b, i)
	for !done {
		// The member's value may be large: find where it begins, and hash it without a look at where it ends.
		key, colon := span{}, -1
		if next < len(b) && b[next] == '"' {
			if end := skipString(b, next); end > 0 {
				key = span{int32(next + 1), int32(end - 1)}
				colon = skipSpace(b, end)
			}
		}
		if colon < 0 || colon >= len(b) || b[colon] != ':' {
			return 0, 0, d.bad(side, next, "there is no member of an object")
		}
		f := fieldHash{key: d.hashText(key.start, key.end, side)}
		value := skipSpace(b, colon+1)
		if f.value, next, err = d.hashAt(side, value); err != nil {
			return 0, 0, err
		}
		if b[value] == 'n' {
			f.value = 0 // null is absent, but it counts if the key came before
		}
		d.fields = append(d.fields, f)
		at := next
		if next, done = following(b, at, '}'); next < 0 {
			return 0, 0, d.bad(side, at, "there is neither a comma nor the end of the object after a member")
		}
	}
	fields := d.fields[base:]
	slices.SortStableFunc(fields, func(a, b fieldHash) int {
		switch {
		case a.key < b.key:
			return -1
		case a.key > b.key:
			return 1
		}
		return 0
	})
	h = '{'
	for i, f := range fields {
		if f.value != 0 && (i+1 == len(fields) || fields[i+1].key != f.key) { // of several, the last one counts
			h = d.mix(d.mix(h, f.key), f.value)
		}
	}
	d.fields = d.fields[:base]
	return d.mix(h, '}'), next + 1, nil
}

// mix hashes two hashes together.
func (d *Differ) mix(a, b uint64) uint64 {
	return maphash.Comparable(d.seed, [2]uint64{a, b})
}
