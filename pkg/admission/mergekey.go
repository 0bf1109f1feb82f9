package admission

import (
	"bytes"
	"hash/maphash"
	"math/bits"
)

// listRule says which merge key is tried before the usual ones.
type listRule uint8

const (
	listPlain      listRule = iota
	listConditions          // type
	listOwners              // uid
)

// ruleFor returns the rule for the list at key.
func ruleFor(at place, key []byte) listRule {
	switch {
	case string(key) == "conditions":
		return listConditions
	case at == placeMeta && string(key) == "ownerReferences":
		return listOwners
	}
	return listPlain
}

// keyNames are the members that can tell elements of a list apart, in the order in which they are tried. Those from
// firstExtra on only help another one that is not unique by itself.
var keyNames = [...]string{
	"name", "type", "uid", "key", "mountPath", "devicePath", "containerPort", "port", "topologyKey", "resourceName",
	"protocol", "effect", "namespace", "kind", "apiGroup", "whenUnsatisfiable",
}

const (
	keyType    = 1
	keyUID     = 2
	firstExtra = 10
)

// keyNumber returns the index of a name in keyNames, -1 if it is none.
func keyNumber(name []byte) int {
	switch string(name) {
	case "name":
		return 0
	case "type":
		return keyType
	case "uid":
		return keyUID
	case "key":
		return 3
	case "mountPath":
		return 4
	case "devicePath":
		return 5
	case "containerPort":
		return 6
	case "port":
		return 7
	case "topologyKey":
		return 8
	case "resourceName":
		return 9
	case "protocol":
		return 10
	case "effect":
		return 11
	case "namespace":
		return 12
	case "kind":
		return 13
	case "apiGroup":
		return 14
	case "whenUnsatisfiable":
		return 15
	}
	return -1
}

// alignment is how the elements of two lists are told apart and paired.
type alignment struct {
	// base is where the elements are on the stacks, keys where what may tell them apart is: columns for each element.
	base, keys [2]int
	columns    int
	mask       uint16 // the keyNames that have a column
	// by is the merge key, and a second one or -1, as indexes into keyNames.
	by [2]int
}

// column returns which column a key has.
func (a *alignment) column(key int) int {
	return bits.OnesCount16(a.mask & (1<<key - 1))
}

// align pairs the elements from base on by a merge key: the first one that every element on both sides has, and no two on
// one side the same. It reports whether there is one.
func (d *Differ) align(rule listRule, base [2]int) (a alignment, ok bool, err error) {
	a.base = base
	a.keys = [2]int{len(d.keys[was]), len(d.keys[is])}
	common, err := d.readKeys(&a)
	if err != nil {
		return a, false, err
	}
	first := -1
	switch rule {
	case listConditions:
		first = keyType
	case listOwners:
		first = keyUID
	}
	if first >= 0 && common&(1<<first) != 0 && d.alignBy(&a, common, first) {
		return a, true, nil
	}
	for key := range firstExtra {
		if common&(1<<key) != 0 && d.alignBy(&a, common, key) {
			return a, true, nil
		}
	}
	return a, false, nil
}

// alignBy tries one merge key, alone and with each of those that may help it.
func (d *Differ) alignBy(a *alignment, common uint16, key int) bool {
	a.by = [2]int{key, -1}
	if d.pairElements(a) {
		return true
	}
	for extra := firstExtra; extra < len(keyNames); extra++ {
		a.by[1] = extra
		if common&(1<<extra) != 0 && d.pairElements(a) {
			return true
		}
	}
	return false
}

// readKeys reads, of every element, the members that can tell it apart, and returns which ones all have.
func (d *Differ) readKeys(a *alignment) (common uint16, err error) {
	var row [len(keyNames)]span
	common = 1<<len(keyNames) - 1
	for side := is; side >= was; side-- {
		for i := a.base[side]; i < len(d.elements[side]); i++ {
			e := &d.elements[side][i]
			if side == was && e.same { // it has those of its twin
				j := a.base[is] + i - a.base[was]
				shift := e.val.start - d.elements[is][j].val.start
				for c := range a.columns {
					s := d.keys[is][a.keys[is]+(i-a.base[was])*a.columns+c]
					d.keys[was] = append(d.keys[was], span{s.start + shift, s.end + shift})
				}
				continue
			}
			has, err := d.readRow(side, e.val, &row)
			if err != nil {
				return 0, err
			}
			if a.mask == 0 { // the first element: no other key can be common
				a.mask = has
				a.columns = bits.OnesCount16(has)
			}
			if common &= has; common == 0 {
				return 0, nil
			}
			for mask := a.mask; mask != 0; mask &= mask - 1 {
				d.keys[side] = append(d.keys[side], row[bits.TrailingZeros16(mask)])
			}
		}
	}
	return common, nil
}

// readRow reads an element's members that can tell it apart, and returns which ones it has.
func (d *Differ) readRow(side int, s span, row *[len(keyNames)]span) (has uint16, err error) {
	b := d.buf[side]
	at, done := begin(b, int(s.start))
	for !done {
		m, next := nextMember(b, at)
		if next < 0 {
			return 0, d.bad(side, at, "there is no member of an object")
		}
		if k := keyNumber(d.keyText(side, m, 0)); k >= 0 {
			row[k] = m.val
			has &^= 1 << k
			if tells(m.val.in(b)) {
				has |= 1 << k
			}
		}
		if at, done = following(b, next, '}'); at < 0 {
			return 0, d.bad(side, next, "there is neither a comma nor the end of the object after a member")
		}
	}
	return has, nil
}

// tells reports whether a value can be a merge key: a string, a boolean or a natural number. Other numbers
// can be written in several ways.
func tells(value []byte) bool {
	switch value[0] {
	case '"', 't', 'f':
		return true
	}
	_, rest := cutDigits(value)
	return len(rest) == 0
}

// keyOf returns the text of an element's key, one of a.by.
func (d *Differ) keyOf(a *alignment, side, element, key, scratch int) []byte {
	s := d.keys[side][a.keys[side]+element*a.columns+a.column(key)]
	b := bare(s.in(d.buf[side]))
	if hasEscape(b) {
		d.text[scratch], _ = appendText(d.text[scratch][:0], b)
		return d.text[scratch]
	}
	return b
}

// pairElements pairs the elements by the keys in a.by. It reports false if two on one side have the same.
func (d *Differ) pairElements(a *alignment) bool {
	old, elements := d.elements[was][a.base[was]:], d.elements[is][a.base[is]:]
	d.index.reset(len(old) + len(elements))
	for i := range old {
		old[i].mate = -1
		s := d.findElement(a, was, i)
		if s.used() {
			return false
		}
		s.fill(int32(i))
	}
	for i := range elements {
		e := &elements[i]
		e.mate = -1
		s := d.findElement(a, is, i)
		switch {
		case !s.used():
			s.fill(^int32(i))
		case s.at() < 0 || old[s.at()].mate >= 0:
			return false
		default:
			e.mate, old[s.at()].mate = s.at(), int32(i)
		}
	}
	return true
}

// findElement looks an element up by its keys.
func (d *Differ) findElement(a *alignment, side, i int) *slot {
	var h uint64
	for _, key := range a.by {
		if key >= 0 {
			h = d.mix(h, maphash.Bytes(d.seed, d.keyOf(a, side, i, key, 0)))
		}
	}
	return d.index.find(h, func(at int32) bool {
		otherSide := was
		if at < 0 {
			otherSide, at = is, ^at
		}
		for _, key := range a.by {
			if key >= 0 && !bytes.Equal(d.keyOf(a, side, i, key, 0), d.keyOf(a, otherSide, int(at), key, 1)) {
				return false
			}
		}
		return true
	})
}

// appendSelectors appends the part of a path that selects an element.
func (d *Differ) appendSelectors(path []byte, a alignment, side, element int) []byte {
	for _, key := range a.by {
		if key >= 0 {
			path = appendSelector(path, keyNames[key], d.keyOf(&a, side, element, key, 0))
		}
	}
	return path
}
