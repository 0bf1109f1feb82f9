package admission

// build appends the value of node n with what is chosen put back. It must not be gone.
func (r *restorer) build(n int) error {
	node := r.d.nodes[n]
	switch {
	case node.kind == nodeObject && node.pair[is].absent():
		return r.buildFromOld(n)
	case node.kind == nodeObject:
		return r.buildObject(n)
	case node.kind == nodeList:
		return r.buildList(n)
	}
	side := is
	if r.some(n) {
		side = was
	}
	r.out = append(r.out, node.pair[side].in(r.d.buf[side])...)
	return nil
}

// buildFromOld appends an object that is not there now: of the old one, what is chosen.
func (r *restorer) buildFromOld(n int) error {
	r.out = append(r.out, '{')
	if err := r.buildRemoved(n, true); err != nil {
		return err
	}
	r.out = append(r.out, '}')
	return nil
}

// buildRemoved appends the chosen members of node n that are not there now.
func (r *restorer) buildRemoved(n int, first bool) error {
	nodes := r.d.nodes
	for c := n + 1; c < int(nodes[n].end); c = int(nodes[c].end) {
		if !nodes[c].pair[is].absent() || !r.some(c) {
			continue
		}
		r.comma(&first)
		l := nodes[c].link // of the new object, if there is null
		r.out = append(r.out, r.d.buf[l.keySide][l.key.start-1:l.key.end+1]...)
		r.out = append(r.out, ':')
		if err := r.build(c); err != nil {
			return err
		}
	}
	return nil
}

// buildObject appends an object that is there now: its members, with what is chosen put back.
func (r *restorer) buildObject(n int) error {
	d, nodes := r.d, r.d.nodes
	p := pair{is: nodes[n].pair[is]}
	base := [2]int{len(d.members[was]), len(d.members[is])}
	if err := d.splitObjects(p); err != nil {
		return err
	}
	r.out = append(r.out, '{')
	first := true
	c, end := n+1, int(nodes[n].end) // nodes of members that are there come in the order of the members
	for i := base[is]; i < len(d.members[is]); i++ {
		m := d.members[is][i]
		for c < end && nodes[c].pair[is].absent() {
			c = int(nodes[c].end)
		}
		changed := c < end && nodes[c].pair[is] == m.val
		node := c
		if changed {
			c = int(nodes[c].end)
		}
		if m.dead || changed && r.gone(node) || m.val.null(d.buf[is]) && r.returns(n, m) {
			continue
		}
		r.comma(&first)
		if !changed || !r.some(node) {
			r.out = append(r.out, d.buf[is][m.key.start-1:m.val.end]...)
			continue
		}
		r.out = append(r.out, d.buf[is][m.key.start-1:m.val.start]...)
		if err := r.build(node); err != nil {
			return err
		}
	}
	d.members[is] = d.members[is][:base[is]]
	if err := r.buildRemoved(n, first); err != nil {
		return err
	}
	r.out = append(r.out, '}')
	return nil
}

// returns reports whether there will be a value for m, a member of node n that is null now.
func (r *restorer) returns(n int, m member) bool {
	nodes := r.d.nodes
	for c := n + 1; c < int(nodes[n].end); c = int(nodes[c].end) {
		if !nodes[c].pair[is].absent() || !r.some(c) {
			continue
		}
		if string(r.d.keyOfLink(nodes[c].link)) == string(r.d.keyText(is, m, 0)) {
			return true
		}
	}
	return false
}

// buildList appends a list of objects with a merge key, with what is chosen put back.
func (r *restorer) buildList(n int) error {
	d, node := r.d, r.d.nodes[n]
	base := [2]int{len(d.elements[was]), len(d.elements[is])}
	keys := [2]int{len(d.keys[was]), len(d.keys[is])}
	if err := d.splitLists(node.pair); err != nil {
		return err
	}
	if _, _, err := d.align(node.rule, base); err != nil {
		return err
	}
	// The order is the old one, unless it changed and that is to stay.
	lead := was
	for c := n + 1; c < int(node.end); c = int(d.nodes[c].end) {
		child := &d.nodes[c]
		switch {
		case child.kind == nodeOrder:
			if !r.some(c) {
				lead = is
			}
		case child.at[is] >= 0:
			d.elements[is][base[is]+int(child.at[is])].node = int32(c)
		default:
			d.elements[was][base[was]+int(child.at[was])].node = int32(c)
		}
	}
	err := r.mergeLists(base, lead)
	for side := range base {
		d.elements[side] = d.elements[side][:base[side]]
		d.keys[side] = d.keys[side][:keys[side]]
	}
	return err
}

// mergeLists appends the elements from base on in the order of the lead side. Those that only the other side has come
// after the element that they follow there.
func (r *restorer) mergeLists(base [2]int, lead int) error {
	d := r.d
	other := 1 - lead
	count := [2]int{len(d.elements[was]) - base[was], len(d.elements[is]) - base[is]}
	first := true
	// lone appends the elements from i on that only the other side has, up to one that both have.
	lone := func(i int) error {
		for ; i < count[other] && d.elements[other][base[other]+i].mate < 0; i++ {
			if err := r.element(d.elements[other][base[other]+i], other, &first); err != nil {
				return err
			}
		}
		return nil
	}
	r.out = append(r.out, '[')
	if err := lone(0); err != nil {
		return err
	}
	for i := range count[lead] {
		e := d.elements[lead][base[lead]+i]
		if e.mate < 0 {
			if err := r.element(e, lead, &first); err != nil {
				return err
			}
			continue
		}
		// What changed in it is noted with the new element.
		if err := r.element(d.elements[is][base[is]+r.newIndex(e, i, lead)], is, &first); err != nil {
			return err
		}
		if err := lone(int(e.mate) + 1); err != nil {
			return err
		}
	}
	r.out = append(r.out, ']')
	return nil
}

func (r *restorer) newIndex(e element, i, side int) int {
	if side == was {
		return int(e.mate)
	}
	return i
}

// element appends an element if it is there in the end.
func (r *restorer) element(e element, side int, first *bool) error {
	chosen := e.node >= 0 && r.some(int(e.node))
	if e.mate < 0 && chosen == (side == is) {
		return nil // one that came is put back, or one that went is not
	}
	r.comma(first)
	if e.mate >= 0 && chosen {
		return r.build(int(e.node))
	}
	r.out = append(r.out, e.val.in(r.d.buf[side])...)
	return nil
}

func (r *restorer) comma(first *bool) {
	if !*first {
		r.out = append(r.out, ',')
	}
	*first = false
}
