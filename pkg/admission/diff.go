package admission

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/go-json-experiment/json/jsontext"
)

// ChangeKind tells what kind of difference a Change is.
type ChangeKind uint8

const (
	// ChangeValue is any difference that is none of the others.
	ChangeValue ChangeKind = iota
	// ChangeOrder is a list with the same elements in another order.
	ChangeOrder
	// ChangeQuantity is a quantity of the same value, written in another way: 1000m and 1.
	ChangeQuantity
)

// Change is a field that differs between two objects. What it holds is valid until the Differ's next Diff, and as long
// as the objects are.
type Change struct {
	// Path is the field's canonical path. Paths of one diff differ, but for a list both reordered and replaced in part.
	Path []byte
	Kind ChangeKind
	// Clock: both sides are equal but for points in time in them.
	Clock bool
	// Old and New are the values as raw JSON, nil where there is none: null is none. They point into the objects. For
	// ChangeOrder they are the whole list.
	Old, New jsontext.Value

	node int32
}

// maxChanges is how many changes are reported if Differ.MaxChanges does not say so.
const maxChanges = 256

// Differ finds the fields in which two objects differ. The zero Differ is ready for use. It keeps its scratch memory for
// the next diff, of which a usual one allocates nothing. It is not for concurrent use.
//
// What is equal as bytes is equal, and that is nearly everything: the walk goes down only where bytes differ, on both
// sides together. Each step splits the two objects or lists at hand in a scan of both (of one where they are equal), so
// the cost is that of a few scans, whatever they hold.
type Differ struct {
	// MaxChanges is how many changes a diff reports at most; 0 means 256.
	MaxChanges int

	buf     [2][]byte  // the objects
	known   [2]extents // what is known of them before the diff, so that it need not be scanned again
	changes []Change
	nodes   []node
	path    []byte // of what the walk is at
	paths   []byte // the paths of the changes
	budget  int    // how many bytes may still be split

	// Stacks: each step of the walk puts what it splits on top, and takes it off at the end.
	members  [2][]member
	elements [2][]element
	keys     [2][]span

	// Scratch memory of what does not call itself.
	seed   maphash.Seed
	index  index
	hashes [2][]uint64
	fields []fieldHash
	text   [2][]byte
}

// The two sides of a diff.
const (
	was = iota
	is
)

// pair is a value on both sides.
type pair [2]span

// link is how a value hangs on what it is in: by its key, or by its index among the elements on each side (-1: none).
type link struct {
	key     span
	keySide uint8
	escaped bool
	at      [2]int32
}

// node is something the walk went into, or a change, in the order in which it went. Restore builds on them.
type node struct {
	link
	pair
	kind nodeKind
	// rule is how a list's elements are told apart.
	rule listRule
	// partial: there is more in it than the changes tell, because it is ignored or the diff stopped.
	partial bool
	// end is the index after the nodes below this one, which follow it.
	end int32
}

type nodeKind uint8

const (
	nodeObject nodeKind = iota
	nodeList            // a list of objects with a merge key
	nodeLeaf            // a change
	nodeOrder           // a change of the order of the list above
)

// errFull ends a walk that found enough.
var errFull = errors.New("too many changes")

// Diff returns the fields in which newObj differs from oldObj, in the order of newObj with what was removed after what
// is there. Either may be empty: there was, or is, no object. truncated tells that there are more than MaxChanges.
// The error is a *BadReview: an object is not JSON, as far as the diff looked at it, or nested too deeply.
func (d *Differ) Diff(oldObj, newObj []byte) (changes []Change, truncated bool, err error) {
	d.reset(oldObj, newObj)
	defer d.trim()
	if bytes.Equal(oldObj, newObj) {
		return nil, false, nil
	}
	var root pair
	for side, b := range d.buf {
		if root[side], err = d.rootOf(side, b); err != nil {
			return nil, false, err
		}
	}
	if !root[was].absent() || !root[is].absent() {
		err = d.object(root, link{}, placeRoot)
	}
	if err != nil && !errors.Is(err, errFull) {
		d.nodes = d.nodes[:0]
		return nil, false, err
	}
	return d.changes, err != nil, nil
}

func (d *Differ) reset(oldObj, newObj []byte) {
	if d.seed == (maphash.Seed{}) {
		d.seed = maphash.MakeSeed()
	}
	d.buf = [2][]byte{oldObj, newObj}
	clear(d.changes)
	d.changes, d.nodes, d.path, d.paths = d.changes[:0], d.nodes[:0], d.path[:0], d.paths[:0]
	// Every level of nesting splits what is below it once more. Real objects come nowhere near; one made to be slow stops
	// being split, and compares as a whole from there on.
	d.budget = 16*(len(oldObj)+len(newObj)) + 4<<20
}

// trim takes everything off the stacks, and lets go of what an unusually large object left.
func (d *Differ) trim() {
	const keep = 4096
	d.known = [2]extents{}
	for side := range d.buf {
		d.members[side] = trimmed(d.members[side], keep)
		d.elements[side] = trimmed(d.elements[side], keep)
		d.keys[side] = trimmed(d.keys[side], 4*keep)
		d.hashes[side] = trimmed(d.hashes[side], keep)
		d.text[side] = trimmed(d.text[side], 4*keep)
	}
	d.fields = trimmed(d.fields, keep)
	d.index.slots = trimmed(d.index.slots, 4*keep)
}

func trimmed[S ~[]E, E any](s S, keep int) S {
	if cap(s) > keep {
		return nil
	}
	return s[:0]
}

// rootOf returns where the object in b is; nowhere if b is empty or null.
func (d *Differ) rootOf(side int, b []byte) (span, error) {
	if len(b) > 1<<30 {
		return span{}, d.bad(side, 0, "it is too large")
	}
	start, end := skipSpace(b, 0), len(b)
	for end > start && (b[end-1] == ' ' || b[end-1] == '\n' || b[end-1] == '\t' || b[end-1] == '\r') {
		end--
	}
	root := span{int32(start), int32(end)}
	switch {
	case start == end || string(root.in(b)) == "null":
		return span{}, nil
	case b[start] != '{':
		return span{}, d.bad(side, start, "it is not a JSON object")
	}
	return root, nil
}

// bad says that the object of a side is not as it must be.
func (d *Differ) bad(side, at int, what string) error {
	where := "request.object"
	if side == was {
		where = "request.oldObject"
	}
	return &BadReview{Where: where, What: fmt.Sprintf("%s, at byte %d", what, at)}
}

// value finds the changes in a value that is not the same bytes on both sides, or there on one only.
func (d *Differ) value(p pair, l link, at place, rule listRule) error {
	kinds := [2]byte{kindOf(d.buf[was], p[was]), kindOf(d.buf[is], p[is])}
	if kinds[was] != 0 && kinds[is] != 0 && kinds[was] != kinds[is] {
		return d.leaf(p, l)
	}
	for side := range p {
		if kinds[side] == 0 {
			p[side] = span{}
		}
	}
	kind := kinds[was] | kinds[is]
	if kind != '{' && kind != '[' {
		return d.leaf(p, l)
	}
	if d.budget -= p[was].len() + p[is].len(); d.budget < 0 || len(d.path) > maxPath {
		return d.leaf(p, l)
	}
	if kind == '{' {
		return d.object(p, l, at)
	}
	return d.list(p, l, rule)
}

// kindOf returns 0 for what is absent or null, and { [ " t f 0 for the other kinds of values.
func kindOf(b []byte, s span) byte {
	if s.missing(b) {
		return 0
	}
	switch c := b[s.start]; c {
	case '{', '[', '"', 't', 'f':
		return c
	}
	return '0'
}

// leaf reports a value that is compared as a whole, if it changed.
func (d *Differ) leaf(p pair, l link) error {
	for side := range p {
		if err := d.check(side, p[side]); err != nil {
			return err
		}
	}
	same, err := d.sameValue(p)
	if err != nil || same {
		return err
	}
	return d.report(p, l, nodeLeaf)
}

// report adds a change to the result.
func (d *Differ) report(p pair, l link, kind nodeKind) error {
	limit := d.MaxChanges
	if limit <= 0 {
		limit = maxChanges
	}
	if len(d.changes) == limit {
		return errFull
	}
	start := len(d.paths)
	d.paths = append(d.paths, d.path...)
	c := Change{
		Path: d.paths[start:len(d.paths):len(d.paths)], node: int32(len(d.nodes)),
		Old: p[was].value(d.buf[was]), New: p[is].value(d.buf[is]),
	}
	switch {
	case kind == nodeOrder:
		c.Kind = ChangeOrder
	case c.Old == nil || c.New == nil:
	case isScalar(c.Old) && isScalar(c.New) && sameQuantity(c.Old, c.New):
		c.Kind = ChangeQuantity
	default:
		c.Clock = sameButTimes(c.Old, c.New)
	}
	d.changes = append(d.changes, c)
	d.nodes = append(d.nodes, node{link: l, pair: p, kind: kind, end: int32(len(d.nodes) + 1)})
	return nil
}

func isScalar(v jsontext.Value) bool { return v[0] != '{' && v[0] != '[' }

// enter notes that the walk goes into an object or list. What is found there is between this and leave.
func (d *Differ) enter(p pair, l link, kind nodeKind, rule listRule) int {
	d.nodes = append(d.nodes, node{link: l, pair: p, kind: kind, rule: rule})
	return len(d.nodes) - 1
}

// leave ends what enter began, with the error that ended the walk there.
func (d *Differ) leave(n int, err error) error {
	if err == nil && n == len(d.nodes)-1 {
		d.nodes = d.nodes[:n] // nothing changed there
		return nil
	}
	d.nodes[n].end = int32(len(d.nodes))
	d.nodes[n].partial = d.nodes[n].partial || err != nil
	return err
}
