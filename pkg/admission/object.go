package admission

import (
	"bytes"
	"hash/maphash"
)

// member is one of an object.
type member struct {
	key, val span
	mate     int32 // index of the other object's member with this key, -1 if there is none
	escaped  bool  // there are escapes in the key
	same     bool  // the mate is the same bytes
	dead     bool  // the key comes again: the last one counts
}

// object finds the changes in an object; on one side there may be none. Its members are compared one by one. If it has
// none, it is a field itself.
func (d *Differ) object(p pair, l link, at place) error {
	base := [2]int{len(d.members[was]), len(d.members[is])}
	err := d.splitObjects(p)
	if err == nil {
		if (p[was].absent() || p[is].absent()) && at != placeRoot && d.vacant(base) {
			err = d.leaf(p, l)
		} else {
			n := d.enter(p, l, nodeObject, listPlain)
			err = d.leave(n, d.walkMembers(base, n, at))
		}
	}
	for side := range base {
		d.members[side] = d.members[side][:base[side]]
	}
	return err
}

// vacant reports whether none of the members from base on has a value.
func (d *Differ) vacant(base [2]int) bool {
	for side, b := range d.buf {
		for _, m := range d.members[side][base[side]:] {
			if !m.dead && !m.val.missing(b) {
				return false
			}
		}
	}
	return true
}

// walkMembers compares the members from base on, which are those of node n.
func (d *Differ) walkMembers(base [2]int, n int, at place) error {
	for i := base[is]; i < len(d.members[is]); i++ {
		m := d.members[is][i] // a copy: the stack moves as it grows
		if m.same || m.dead {
			continue
		}
		p := pair{is: m.val}
		if m.mate >= 0 {
			p[was] = d.members[was][m.mate].val
		}
		if err := d.walkMember(p, m, is, n, at); err != nil {
			return err
		}
	}
	for i := base[was]; i < len(d.members[was]); i++ {
		m := d.members[was][i]
		if m.mate >= 0 || m.dead {
			continue
		}
		if err := d.walkMember(pair{was: m.val}, m, was, n, at); err != nil {
			return err
		}
	}
	return nil
}

// walkMember compares one member of node n on both sides.
func (d *Differ) walkMember(p pair, m member, side, n int, at place) error {
	key := d.keyText(side, m, 0)
	if at.ignored(key) {
		d.nodes[n].partial = d.nodes[n].partial || !p[is].missing(d.buf[is])
		return nil
	}
	length := len(d.path)
	d.path = appendKey(d.path, at, key)
	rule := ruleFor(at, key)
	err := d.value(p, link{key: m.key, keySide: uint8(side), escaped: m.escaped}, at.below(key), rule)
	d.path = d.path[:length]
	return err
}

// keyText returns what m's key means. If there are escapes in it, the text is valid until the next use of the same
// scratch memory, 0 or 1.
func (d *Differ) keyText(side int, m member, scratch int) []byte {
	key := m.key.in(d.buf[side])
	if m.escaped {
		d.text[scratch], _ = appendText(d.text[scratch][:0], key)
		return d.text[scratch]
	}
	return key
}

// splitObjects puts the members of both objects on the stacks and pairs them by key. Members that are the same bytes on
// both sides are recognised by that, so that one side of them need not be scanned.
func (d *Differ) splitObjects(p pair) error {
	base := [2]int{len(d.members[was]), len(d.members[is])}
	var (
		at     [2]int // where the next member begins
		live   [2]bool
		have   [2]bool // cur and next are read
		cur    [2]member
		next   [2]int
		sorted = [2]bool{true, true} // by key, each key once
		inStep = true                // each key met its like, and has no escapes
	)
	for side, b := range d.buf {
		if !p[side].absent() {
			first, done := begin(b, int(p[side].start))
			at[side], live[side] = first, !done
		}
	}
	for live[was] || live[is] {
		for side := is; side >= was; side-- {
			if !live[side] || have[side] {
				continue
			}
			if side == was && have[is] && d.sameAhead(int(cur[is].key.start)-1, next[is], at[was]) {
				shift := int32(at[was]) - (cur[is].key.start - 1)
				cur[was], next[was] = cur[is].shifted(shift), next[is]+int(shift)
				cur[is].same, have[was] = true, true
				continue
			}
			if cur[side], next[side] = d.nextMember(side, at[side]); next[side] < 0 {
				return d.bad(side, at[side], "there is no member of an object")
			}
			have[side] = true
		}
		// Both Go's maps and its structs come in a fixed order, which makes the same keys meet. Where a key is on one
		// side only, going by the alphabet brings maps in step again, and often enough structs, too.
		var order int
		switch {
		case !have[was]:
			order = -1
		case !have[is]:
			order = 1
		default:
			order = bytes.Compare(cur[is].key.in(d.buf[is]), cur[was].key.in(d.buf[was]))
		}
		if order == 0 {
			cur[was].mate, cur[is].mate = int32(len(d.members[is])), int32(len(d.members[was]))
		}
		inStep = inStep && order == 0 && !cur[is].escaped
		for side := range d.buf {
			if order != 0 && (order < 0) != (side == is) {
				continue
			}
			sorted[side] = sorted[side] && !cur[side].escaped && d.ascends(side, base[side], cur[side].key)
			d.members[side] = append(d.members[side], cur[side])
			have[side] = false
			var done bool
			if at[side], done = following(d.buf[side], next[side], '}'); at[side] < 0 {
				return d.bad(side, next[side], "there is neither a comma nor the end of the object after a member")
			}
			live[side] = !done
		}
	}
	for side := range d.buf {
		if !p[side].absent() && at[side] != int(p[side].end)-1 {
			return d.bad(side, at[side], "there is something after the end of the object")
		}
	}
	if sorted[was] && sorted[is] || inStep && d.distinct(d.members[is][base[is]:]) {
		return nil // all pairs were met, and no key comes twice
	}
	d.matchMembers(base)
	return nil
}

// nextMember is nextMember in the object of a side.
func (d *Differ) nextMember(side, i int) (m member, next int) {
	b := d.buf[side]
	m, v := memberKey(b, i)
	switch at := int32(v); {
	case v < 0:
		return m, -1
	case at == d.known[side].metadata.start && at > 0:
		next = int(d.known[side].metadata.end)
	case at == d.known[side].managedFields.start && at > 0:
		next = int(d.known[side].managedFields.end)
	default:
		next = skipValue(b, v)
	}
	m.val = span{int32(v), int32(next)}
	return m, next
}

// distinct reports whether the keys of new members, which have no escapes, all differ.
func (d *Differ) distinct(members []member) bool {
	if len(members) <= 64 && d.clearlyDistinct(members) {
		return true
	}
	d.index.reset(len(members))
	for i, m := range members {
		key := m.key.in(d.buf[is])
		s := d.index.find(maphash.Bytes(d.seed, key), func(at int32) bool {
			return bytes.Equal(members[at].key.in(d.buf[is]), key)
		})
		if s.used() {
			return false
		}
		s.fill(int32(i))
	}
	return true
}

// clearlyDistinct is a quick look that spares most small objects the table.
func (d *Differ) clearlyDistinct(members []member) bool {
	var seen [16]uint64
	for _, m := range members {
		if m.key.len() == 0 {
			return false
		}
		b := d.buf[is]
		h := uint(m.key.len()) + 37*uint(b[m.key.start]) + 11*uint(b[m.key.end-1]) + 101*uint(b[(m.key.start+m.key.end)/2])
		bit := uint64(1) << (h % 64)
		word := &seen[h/64%16]
		if *word&bit != 0 {
			return false
		}
		*word |= bit
	}
	return true
}

// sameAhead reports whether the old object has at oldAt the same bytes as the new one from start to end, and a value
// that ends there.
func (d *Differ) sameAhead(start, end, oldAt int) bool {
	oldEnd := oldAt + end - start
	return oldEnd < len(d.buf[was]) && ends(d.buf[was][oldEnd]) &&
		string(d.buf[was][oldAt:oldEnd]) == string(d.buf[is][start:end])
}

func (m member) shifted(by int32) member {
	m.key = span{m.key.start + by, m.key.end + by}
	m.val = span{m.val.start + by, m.val.end + by}
	return m
}

// ascends reports whether key comes after that of the last member since base.
func (d *Differ) ascends(side, base int, key span) bool {
	n := len(d.members[side])
	return n == base || bytes.Compare(d.members[side][n-1].key.in(d.buf[side]), key.in(d.buf[side])) < 0
}

// matchMembers pairs the members from base on by key, where going through both sides in step may have missed a pair or
// a key may come twice.
func (d *Differ) matchMembers(base [2]int) {
	old, members := d.members[was][base[was]:], d.members[is][base[is]:]
	d.index.reset(len(old) + len(members))
	for i := range old {
		old[i].mate = -1
		key := d.keyText(was, old[i], 0)
		s := d.index.find(maphash.Bytes(d.seed, key), func(at int32) bool {
			return bytes.Equal(d.keyText(was, old[at], 1), key)
		})
		if s.used() {
			old[s.at()].dead = true
		}
		s.fill(int32(i))
	}
	for i := range members {
		m := &members[i]
		key := d.keyText(is, *m, 0)
		s := d.index.find(maphash.Bytes(d.seed, key), func(at int32) bool {
			if at < 0 {
				return bytes.Equal(d.keyText(is, members[^at], 1), key)
			}
			return bytes.Equal(d.keyText(was, old[at], 1), key)
		})
		switch at := s.at(); {
		case !s.used():
			m.mate, m.same = -1, false
			s.fill(^int32(i))
		case at < 0:
			members[^at].dead = true
			m.mate, m.same = -1, false
			s.fill(^int32(i))
		default:
			o := &old[at]
			if o.mate >= 0 {
				members[int(o.mate)-base[is]].dead = true
			}
			m.same = m.same && int(m.mate) == base[was]+int(at)
			m.mate, o.mate = int32(base[was])+at, int32(base[is]+i)
		}
	}
}
