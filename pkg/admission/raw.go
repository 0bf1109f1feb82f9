package admission

// What reads the JSON around objects elsewhere, such as audit logs, finds its way with the same scan as Decode does.
// Offsets are bytes; -1 stands for text that is not JSON as far as it was looked at.

// SkipValue returns the index after the value that begins at b[at], or -1 if there is none or it does not end. What is in
// an object or list is not looked at but for its brackets and strings.
func SkipValue(b []byte, at int) int { return skipValue(b, at) }

// Member reads the member of an object that begins at b[at]: its key, without quotes and with escapes as written, and its
// value as raw JSON. It returns the index after the value, or -1 if there is no member.
func Member(b []byte, at int) (key, value []byte, next int) {
	k, v := memberAhead(b, at)
	if v < 0 {
		m, next := nextMember(b, at)
		if next < 0 {
			return nil, nil, -1
		}
		return m.key.in(b), m.val.in(b), next
	}
	if next = skipValue(b, v); next < 0 {
		return nil, nil, -1
	}
	return k[1 : len(k)-1], b[v:next:next], next
}

// Ahead is Member without going through the value: it returns where that begins, or -1.
func Ahead(b []byte, at int) (key []byte, value int) {
	if k, v := memberAhead(b, at); v >= 0 {
		return k[1 : len(k)-1], v
	}
	m, next := nextMember(b, at)
	if next < 0 {
		return nil, -1
	}
	return m.key.in(b), int(m.val.start)
}

// First returns where the first member or element of the object or list at b[at] begins; done if it is empty.
func First(b []byte, at int) (first int, done bool) { return begin(b, at) }

// Next returns where the next member or element begins, given the index after one; done if that was the last. It is -1 if
// there is neither a comma nor the closing bracket.
func Next(b []byte, at int, closing byte) (next int, done bool) { return following(b, at, closing) }

// Find returns the raw value of a member of the raw object, nil if it has none or is none. If there are several, the last
// one counts.
func Find(object []byte, key string) []byte {
	if len(object) == 0 || object[0] != '{' {
		return nil
	}
	s := findMember(object, 0, key)
	if s.absent() {
		return nil
	}
	return s.in(object)
}

// Text returns the text of a raw string, nil if it is none. It points into raw if there are no escapes.
func Text(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	return unquoted(raw)
}

// MetaOf reads an object's metadata. Of no object, or one without, it is empty.
func MetaOf(object []byte) (Meta, error) { return metaOf(object) }
