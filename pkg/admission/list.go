package admission

import (
	"slices"
)

// element is one of a list.
type element struct {
	val  span
	mate int32 // index of the other list's element with this merge key, -1 if there is none
	node int32 // set by Restore: the node of what changed in it, -1 if nothing did
	same bool  // the mate is the same bytes, and at the same index
}

// forms are the kinds of elements in a list.
type forms uint8

const (
	formScalar forms = 1 << iota
	formObject
	formList
)

func formOf(b []byte, s span) forms {
	switch b[s.start] {
	case '{':
		return formObject
	case '[':
		return formList
	}
	return formScalar
}

// list finds the changes in a list; on one side there may be none. A list of objects with a merge key is compared
// element by element, one that appears or disappears being one change. Any other is compared as a whole.
func (d *Differ) list(p pair, l link, rule listRule) error {
	base := [2]int{len(d.elements[was]), len(d.elements[is])}
	keys := [2]int{len(d.keys[was]), len(d.keys[is])}
	err := d.splitLists(p)
	if err == nil {
		err = d.walkList(p, l, rule, base)
	}
	for side := range base {
		d.elements[side] = d.elements[side][:base[side]]
		d.keys[side] = d.keys[side][:keys[side]]
	}
	return err
}

func (d *Differ) walkList(p pair, l link, rule listRule, base [2]int) error {
	var found forms
	for side, b := range d.buf {
		for _, e := range d.elements[side][base[side]:] {
			found |= formOf(b, e.val)
		}
	}
	switch found {
	case formScalar:
		length := len(d.path)
		d.path = append(d.path, wholeList...)
		err := d.whole(p, l, base)
		d.path = d.path[:length]
		return err
	case formObject:
		a, ok, err := d.align(rule, base)
		if err != nil {
			return err
		}
		if ok {
			n := d.enter(p, l, nodeList, rule)
			return d.leave(n, d.walkElements(p, a))
		}
	}
	return d.whole(p, l, base)
}

// whole compares lists without a merge key.
func (d *Differ) whole(p pair, l link, base [2]int) error {
	if p[was].absent() || p[is].absent() {
		return d.report(p, l, nodeLeaf)
	}
	same, reordered, err := d.compareElements(base)
	switch {
	case err != nil || same:
		return err
	case reordered:
		return d.report(p, l, nodeOrder)
	}
	return d.report(p, l, nodeLeaf)
}

// compareElements reports whether the elements from base on are the same, or the same in another order.
func (d *Differ) compareElements(base [2]int) (same, reordered bool, err error) {
	if len(d.elements[was])-base[was] != len(d.elements[is])-base[is] {
		return false, false, nil
	}
	for side := range d.buf {
		d.hashes[side] = d.hashes[side][:0]
		for _, e := range d.elements[side][base[side]:] {
			if e.same {
				continue
			}
			h, err := d.hashOf(side, e.val)
			if err != nil {
				return false, false, err
			}
			d.hashes[side] = append(d.hashes[side], h)
		}
	}
	if slices.Equal(d.hashes[was], d.hashes[is]) {
		return true, false, nil
	}
	slices.Sort(d.hashes[was])
	slices.Sort(d.hashes[is])
	return false, slices.Equal(d.hashes[was], d.hashes[is]), nil
}

// walkElements compares aligned lists.
func (d *Differ) walkElements(p pair, a alignment) error {
	reordered, last := false, int32(-1)
	for i := a.base[is]; i < len(d.elements[is]); i++ {
		e := d.elements[is][i]
		if e.mate >= 0 {
			reordered = reordered || e.mate < last
			last = e.mate
		}
		if e.same {
			continue
		}
		q := pair{is: e.val}
		l := link{at: [2]int32{e.mate, int32(i - a.base[is])}}
		if e.mate >= 0 {
			q[was] = d.elements[was][a.base[was]+int(e.mate)].val
		}
		if err := d.walkElement(q, l, a, is); err != nil {
			return err
		}
	}
	for i := a.base[was]; i < len(d.elements[was]); i++ {
		e := d.elements[was][i]
		if e.mate >= 0 {
			continue
		}
		l := link{at: [2]int32{int32(i - a.base[was]), -1}}
		if err := d.walkElement(pair{was: e.val}, l, a, was); err != nil {
			return err
		}
	}
	if reordered {
		return d.report(p, link{}, nodeOrder)
	}
	return nil
}

func (d *Differ) walkElement(p pair, l link, a alignment, side int) error {
	length := len(d.path)
	d.path = d.appendSelectors(d.path, a, side, int(l.at[side]))
	var err error
	if p[was].absent() || p[is].absent() {
		err = d.leaf(p, l)
	} else {
		err = d.value(p, l, placeOther, listPlain)
	}
	d.path = d.path[:length]
	return err
}

// splitLists puts the elements of both lists on the stacks. Those that are the same bytes at the same index are
// recognised by that, so that one side of them need not be scanned.
func (d *Differ) splitLists(p pair) error {
	var at [2]int // where the next element begins
	var live [2]bool
	for side, b := range d.buf {
		if !p[side].absent() {
			first, done := begin(b, int(p[side].start))
			at[side], live[side] = first, !done
		}
	}
	var err error
	for live[was] || live[is] {
		var cur [2]element
		if live[is] {
			if cur[is], err = d.elementAt(is, at[is]); err != nil {
				return err
			}
		}
		if live[was] {
			if live[is] && d.sameAhead(int(cur[is].val.start), int(cur[is].val.end), at[was]) {
				cur[is].same = true
				cur[was] = cur[is]
				shift := int32(at[was]) - cur[is].val.start
				cur[was].val = span{cur[is].val.start + shift, cur[is].val.end + shift}
			} else if cur[was], err = d.elementAt(was, at[was]); err != nil {
				return err
			}
		}
		for side, b := range d.buf {
			if !live[side] {
				continue
			}
			d.elements[side] = append(d.elements[side], cur[side])
			end := int(cur[side].val.end)
			var done bool
			if at[side], done = following(b, end, ']'); at[side] < 0 {
				return d.bad(side, end, "there is neither a comma nor the end of the list after an element")
			}
			live[side] = !done
		}
	}
	for side := range d.buf {
		if !p[side].absent() && at[side] != int(p[side].end)-1 {
			return d.bad(side, at[side], "there is something after the end of the list")
		}
	}
	return nil
}

func (d *Differ) elementAt(side, i int) (element, error) {
	end := skipValue(d.buf[side], i)
	if end < 0 {
		return element{}, d.bad(side, i, "there is no element of a list")
	}
	return element{val: span{int32(i), int32(end)}, mate: -1, node: -1}, nil
}
