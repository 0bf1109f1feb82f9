package admission

import (
	"encoding/binary"
	"math/bits"

	"github.com/go-json-experiment/json/jsontext"
)

// This file finds where JSON values end without looking at what is in them. Most of a review is the object twice over,
// most of that is equal on both sides, and of what is equal only the extent matters: it is compared as bytes. The scan
// relies on the text being JSON, as an API server sends it. On other text it stops somewhere, or reports that there is
// no end, but reads nothing outside of it; what is taken for a member, a list or a scalar that changed is checked then.

// maxNesting is how deep values may be nested, the same as in jsontext.
const maxNesting = 10_000

// span is where something is in a buffer. The zero span stands for what is not there.
type span struct{ start, end int32 }

func (s span) absent() bool          { return s.end == 0 }
func (s span) in(b []byte) []byte    { return b[s.start:s.end] }
func (s span) len() int              { return int(s.end - s.start) }
func (s span) null(b []byte) bool    { return s.len() == 4 && b[s.start] == 'n' }
func (s span) missing(b []byte) bool { return s.absent() || s.null(b) }

// value returns what s spans as a raw value, nil if it is not there or null.
func (s span) value(b []byte) jsontext.Value {
	if s.missing(b) {
		return nil
	}
	return jsontext.Value(b[s.start:s.end:s.end])
}

// Eight bytes are looked at at once. One bit of each byte tells what it is: the topmost.
const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// equalBytes marks the bytes of w that equal c.
func equalBytes(w uint64, c byte) uint64 {
	w ^= uint64(c) * ones
	return ^((w&^tops + ^uint64(tops)) | w) & tops
}

// contains reports whether a byte of w equals c. Its formula is shorter, but right only up to the first match.
func contains(w uint64, c byte) bool {
	w ^= uint64(c) * ones
	return (w-ones)&^w&tops != 0
}

// escapedBytes marks the bytes of w that a backslash before them escapes. The first one is if carry; next tells the same
// of the byte after w.
func escapedBytes(w uint64, carry bool) (escaped uint64, next bool) {
	slashes := equalBytes(w, '\\')
	if carry {
		escaped = 0x80
		slashes &^= 0x80
	}
	for slashes != 0 {
		first := slashes & -slashes
		if first == 1<<63 {
			return escaped, true
		}
		escaped |= first << 8
		slashes &^= first | first<<8
	}
	return escaped, false
}

// skipContainer returns the index after the object or list that begins at b[i], or -1 if it does not end, or is nested
// too deeply. It counts brackets outside of strings, 64 or eight bytes at a time and with hardly a branch that depends on the
// text, which is why it is several times as fast as reading tokens.
func skipContainer(b []byte, i int) int {
	open := b[i]
	depth := 0
	var inside uint64 // all ones if the word at i begins within a string
	escape := false   // whether a backslash before i escapes b[i]
	for vectors && i+64 <= len(b) {
		var m marks
		mark((*[64]byte)(b[i:]), &m)
		if m.slashes != 0 || escape {
			var escaped uint64
			escaped, escape = escapedBits(m.slashes, escape)
			m.quotes &^= escaped
		}
		quoted := within(m.quotes) ^ inside
		inside = uint64(int64(quoted) >> 63)
		brackets := m.brackets &^ quoted
		closing := bits.OnesCount64(brackets & m.closing)
		if all := bits.OnesCount64(brackets); depth > closing && depth+all <= maxNesting {
			depth += all - 2*closing
			i += 64
			continue
		}
		for ; brackets != 0; brackets &= brackets - 1 { // it may end here
			at := i + bits.TrailingZeros64(brackets)
			if b[at]&4 == 0 {
				if depth++; depth > maxNesting {
					return -1
				}
			} else if depth--; depth == 0 {
				return closed(b, open, at)
			}
		}
		i += 64
	}
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quotes := equalBytes(w, '"')
		if contains(w, '\\') || escape {
			var escaped uint64
			escaped, escape = escapedBytes(w, escape)
			quotes &^= escaped
		}
		// The parity of the quotes up to a byte tells whether it is within a string.
		quoted := quotes
		quoted ^= quoted << 8
		quoted ^= quoted << 16
		quoted ^= quoted << 32
		quoted ^= inside
		inside = uint64(int64(quoted) >> 63)
		// Brackets are the bytes that |0x26 makes 0x7f. So are Y, y, _ and DEL, which are found in strings only.
		brackets := equalBytes(w|0x26*ones, 0x7f) &^ quoted
		if brackets == 0 {
			continue
		}
		closing := bits.OnesCount64(brackets & (w << 5)) // 0x04 is set in ] and } alone
		if depth > closing {
			depth += bits.OnesCount64(brackets) - 2*closing
			if depth > maxNesting {
				return -1
			}
			continue
		}
		for ; brackets != 0; brackets &= brackets - 1 { // it may end here
			at := i + bits.TrailingZeros64(brackets)>>3
			if b[at]&4 == 0 {
				depth++
			} else if depth--; depth == 0 {
				return closed(b, open, at)
			}
		}
	}
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case escape:
			escape = false
		case c == '"':
			inside = ^inside
		case inside != 0:
			escape = c == '\\'
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return closed(b, open, i)
			}
		}
	}
	return -1
}

// closed returns the index after the closing bracket at b[at], or -1 if it does not fit the opening one.
func closed(b []byte, open byte, at int) int {
	if b[at] != open+2 { // [ \ ] and { | }
		return -1
	}
	return at + 1
}

// skipString returns the index after the string that begins at b[i], or -1 if it does not end.
func skipString(b []byte, i int) int {
	i++
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^'"'*ones, w^'\\'*ones
		// Below the first match this formula is exact, and only the first one counts.
		if found := ((quote-ones)&^quote | (slash-ones)&^slash) & tops; found != 0 {
			i += bits.TrailingZeros64(found) >> 3
			if b[i] == '"' {
				return i + 1
			}
			i += 2
			continue
		}
		i += 8
	}
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return -1
}

// skipValue returns the index after the value that begins at b[i], or -1 if there is none or it does not end.
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		return skipContainer(b, i)
	}
	start := i
	for i < len(b) && !ends(b[i]) {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

// ends reports whether a number or literal ends before c.
func ends(c byte) bool {
	return c == ',' || c == '}' || c == ']' || c <= ' '
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// nextMember reads the member that begins at b[i], and returns the index after its value, or -1 if there is no member.
func nextMember(b []byte, i int) (m member, next int) {
	m, v := memberKey(b, i)
	if v < 0 {
		return m, -1
	}
	end := skipValue(b, v)
	m.val = span{int32(v), int32(end)}
	return m, end
}

// memberKey reads the key of the member that begins at b[i], and returns where its value begins, or -1 if there is no
// member.
func memberKey(b []byte, i int) (m member, value int) {
	if i >= len(b) || b[i] != '"' {
		return m, -1
	}
	k := skipString(b, i)
	if k < 0 {
		return m, -1
	}
	c := skipSpace(b, k)
	if c >= len(b) || b[c] != ':' {
		return m, -1
	}
	m.key = span{int32(i + 1), int32(k - 1)}
	m.mate = -1
	m.escaped = hasEscape(b[i:k])
	return m, skipSpace(b, c+1)
}

// begin returns where the first member or element of the object or list at b[i] begins; done if it is empty.
func begin(b []byte, i int) (first int, done bool) {
	first = skipSpace(b, i+1)
	return first, first < len(b) && b[first] == b[i]+2
}

// following returns where the next member or element begins, given the index after one; done if that was the last, -1 if
// there is neither a comma nor the closing bracket.
func following(b []byte, i int, closing byte) (next int, done bool) {
	i = skipSpace(b, i)
	if i < len(b) {
		switch b[i] {
		case ',':
			return skipSpace(b, i+1), false
		case closing:
			return i, true
		}
	}
	return -1, false
}

func hasEscape(b []byte) bool {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		if contains(binary.LittleEndian.Uint64(b[i:]), '\\') {
			return true
		}
	}
	for ; i < len(b); i++ {
		if b[i] == '\\' {
			return true
		}
	}
	return false
}
