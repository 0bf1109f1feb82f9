package admission

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// restorer undoes some of the changes of a diff.
type restorer struct {
	d *Differ
	// chosen, leaves and partial count the nodes before each that are changes to be undone, changes at all, and partial:
	// the difference of two counts tells how many there are in a subtree.
	chosen, leaves, partial []int32
	pointer                 []byte // to the object at hand, as JSON text without quotes
	out                     []byte
}

// Restore returns a JSON Patch (RFC 6902) that, applied to newObj, puts the chosen changes back: which holds indexes into
// changes. All other changes stay. If all are chosen and the diff was not truncated, the result means the same as oldObj.
//
// The objects and changes must be those of the last Diff. The patch adds, replaces and removes members of objects; a list
// with anything to put back in it is replaced by one that is built anew: the elements in the old order (if a changed
// order is to stay, in the new one), and between them the new elements that stay, each after the element that it
// follows now.
func (d *Differ) Restore(oldObj, newObj []byte, changes []Change, which []int) ([]byte, error) {
	if !sameBuffer(oldObj, d.buf[was]) || !sameBuffer(newObj, d.buf[is]) {
		return nil, errors.New("these are not the objects of the last diff")
	}
	r := restorer{d: d, out: []byte{'['}}
	if err := r.count(changes, which); err != nil {
		return nil, err
	}
	defer d.trim()
	if len(which) > 0 && len(d.nodes) > 0 {
		if err := r.object(0); err != nil {
			return nil, err
		}
	}
	r.out = append(r.out, ']')
	// Of the values only the extent is known to be right, see skipContainer. What is not JSON must not get into a patch.
	if !jsontext.Value(r.out).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return nil, errors.New("what is to be put back is not JSON")
	}
	return r.out, nil
}

func sameBuffer(a, b []byte) bool {
	return len(a) == len(b) && unsafe.SliceData(a) == unsafe.SliceData(b)
}

// count marks what is chosen.
func (r *restorer) count(changes []Change, which []int) error {
	nodes := r.d.nodes
	all := make([]int32, 3*(len(nodes)+1))
	r.chosen, r.leaves, r.partial = all[:len(nodes)+1], all[len(nodes)+1:2*len(nodes)+2], all[2*len(nodes)+2:]
	for _, w := range which {
		if w < 0 || w >= len(changes) {
			return fmt.Errorf("there is no change %d among %d", w, len(changes))
		}
		n := int(changes[w].node)
		if n >= len(nodes) || nodes[n].kind != nodeLeaf && nodes[n].kind != nodeOrder {
			return errors.New("these are not the changes of the last diff")
		}
		r.chosen[n+1] = 1
	}
	for i, n := range nodes {
		if n.kind == nodeLeaf || n.kind == nodeOrder {
			r.leaves[i+1] = 1
		}
		if n.partial {
			r.partial[i+1] = 1
		}
	}
	for i := range nodes {
		r.chosen[i+1] += r.chosen[i]
		r.leaves[i+1] += r.leaves[i]
		r.partial[i+1] += r.partial[i]
	}
	return nil
}

// some reports whether anything in node n is chosen.
func (r *restorer) some(n int) bool {
	return r.chosen[r.d.nodes[n].end] > r.chosen[n]
}

// gone reports whether nothing is left of node n: it was not there before, and all that is in it is chosen.
func (r *restorer) gone(n int) bool {
	node := &r.d.nodes[n]
	return node.pair[was].absent() && r.partial[node.end] == r.partial[n] &&
		r.chosen[node.end]-r.chosen[n] == r.leaves[node.end]-r.leaves[n]
}

// object appends the operations for the members of node n, an object that is there now.
func (r *restorer) object(n int) error {
	nodes := r.d.nodes
	for c := n + 1; c < int(nodes[n].end); c = int(nodes[c].end) {
		if !r.some(c) {
			continue
		}
		length := len(r.pointer)
		r.pointer = r.d.appendPointer(r.pointer, nodes[c].link)
		var err error
		switch now := nodes[c].pair[is]; {
		case r.gone(c):
			r.operation("remove")
			r.out = append(r.out, '}')
		case now.absent():
			err = r.valueOperation("add", c)
		case nodes[c].kind == nodeObject:
			err = r.object(c)
		default:
			err = r.valueOperation("replace", c)
		}
		if err != nil {
			return err
		}
		r.pointer = r.pointer[:length]
	}
	return nil
}

// operation appends an operation on what the pointer points to, but for its end.
func (r *restorer) operation(op string) {
	if len(r.out) > 1 {
		r.out = append(r.out, ',')
	}
	r.out = append(r.out, `{"op":"`...)
	r.out = append(r.out, op...)
	r.out = append(r.out, `","path":"`...)
	r.out = append(r.out, r.pointer...)
	r.out = append(r.out, '"')
}

func (r *restorer) valueOperation(op string, n int) error {
	r.operation(op)
	r.out = append(r.out, `,"value":`...)
	err := r.build(n)
	r.out = append(r.out, '}')
	return err
}

// appendPointer appends the step of a JSON Pointer that leads along l.
func (d *Differ) appendPointer(pointer []byte, l link) []byte {
	key := d.keyOfLink(l)
	// ~ and / are escaped for the pointer, and then all of it for JSON.
	step := make([]byte, 0, len(key)+8)
	for _, c := range key {
		switch c {
		case '~':
			step = append(step, "~0"...)
		case '/':
			step = append(step, "~1"...)
		default:
			step = append(step, c)
		}
	}
	quoted, _ := jsontext.AppendQuote(nil, step) // an error says that it was no UTF-8, and now is
	pointer = append(pointer, '/')
	return append(pointer, quoted[1:len(quoted)-1]...)
}

// keyOfLink returns what the key of a link means.
func (d *Differ) keyOfLink(l link) []byte {
	key := l.key.in(d.buf[l.keySide])
	if l.escaped {
		return plainText(key)
	}
	return key
}
