package admission

import (
	"fmt"
	"strconv"
	"strings"
)

// generator makes pairs of objects as they may meet in reviews, out of a sequence of choices: fuzzing mutates the choices.
type generator struct{ choices []byte }

func (g *generator) pick(n int) int {
	if len(g.choices) == 0 {
		return 0
	}
	c := int(g.choices[0])
	g.choices = g.choices[1:]
	return c % n
}

// tree is a JSON value with its members in order.
type tree struct {
	kind    byte // { [ or 0: text is a scalar
	keys    []string
	members []*tree
	text    string
}

// pair returns an object and one that was made of it by some edits.
func (g *generator) pair() (oldObj, newObj []byte) {
	a := g.object(0)
	b := g.edit(a, 0)
	return g.encode(a), g.encode(b)
}

var genKeys = []string{"metadata", "spec", "data", "annotations", "labels", "conditions", "ownerReferences", "env", "a",
	"b.c", "d/e~f", "x]y", "resourceVersion", "uid", "q\\r", "", "ä"}

func (g *generator) object(depth int) *tree {
	t := &tree{kind: '{'}
	for range g.pick(5) {
		key := genKeys[g.pick(len(genKeys))]
		if !contained(t.keys, key) {
			t.keys = append(t.keys, key)
			t.members = append(t.members, g.value(depth+1))
		}
	}
	return t
}

func contained(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func (g *generator) value(depth int) *tree {
	if depth > 4 {
		return g.scalar()
	}
	switch g.pick(6) {
	case 0, 1:
		return g.object(depth)
	case 2:
		return g.keyedList(depth)
	case 3:
		t := &tree{kind: '['}
		for range g.pick(4) {
			t.members = append(t.members, g.scalar())
		}
		return t
	case 4:
		t := &tree{kind: '['}
		for range g.pick(4) {
			t.members = append(t.members, g.value(depth+1))
		}
		return t
	}
	return g.scalar()
}

// keyedList returns a list of objects that may have a merge key, or two.
func (g *generator) keyedList(depth int) *tree {
	t := &tree{kind: '['}
	keys := [][]string{{"name"}, {"type"}, {"key", "effect"}, {"containerPort", "protocol"}, {"name", "namespace"}, {"nokey"}}[g.pick(6)]
	for i := range g.pick(5) {
		e := g.object(depth + 1)
		for n, k := range keys {
			if contained(e.keys, k) {
				continue
			}
			id := strconv.Itoa(i)
			if n == 0 && len(keys) > 1 {
				id = strconv.Itoa(i / 2)
			}
			if k != "containerPort" {
				id = `"` + id + []string{"", "]", `\\`, "="}[g.pick(4)] + `"`
			}
			e.keys = append(e.keys, k)
			e.members = append(e.members, &tree{text: id})
		}
		t.members = append(t.members, e)
	}
	return t
}

var genScalars = []string{"1", "1.0", `"1"`, `"1000m"`, `"x"`, `"\u0078"`, "null", "true", "false", "10e-1", "-0", `""`,
	`"2022-10-24T09:30:00Z"`, `"2023-10-24T09:30:00Z"`, `"a\n\"b\""`, "2", `"y"`}

func (g *generator) scalar() *tree { return &tree{text: genScalars[g.pick(len(genScalars))]} }

// edit returns t with some changes.
func (g *generator) edit(t *tree, depth int) *tree {
	c := *t
	c.keys = append([]string(nil), t.keys...)
	c.members = append([]*tree(nil), t.members...)
	for i := range c.members {
		if g.pick(3) == 0 {
			c.members[i] = g.edit(c.members[i], depth+1)
		}
	}
	switch g.pick(8) {
	case 0: // another value
		if depth > 0 {
			return g.value(depth)
		}
	case 1: // add a member or element
		if c.kind == '{' {
			key := genKeys[g.pick(len(genKeys))]
			if !contained(c.keys, key) {
				at := g.pick(len(c.keys) + 1)
				c.keys = append(c.keys[:at], append([]string{key}, c.keys[at:]...)...)
				c.members = append(c.members[:at], append([]*tree{g.value(depth + 1)}, c.members[at:]...)...)
			}
		} else if c.kind == '[' {
			e := g.value(depth + 1)
			if n := len(c.members); n > 0 && c.members[0].kind == '{' {
				e = &tree{kind: '{', keys: append([]string(nil), c.members[0].keys...)}
				for i, m := range c.members[0].members {
					if i < 3 && m.kind == 0 {
						m = &tree{text: strconv.Itoa(50 + g.pick(20))}
					}
					e.members = append(e.members, m)
				}
			}
			at := g.pick(len(c.members) + 1)
			c.members = append(c.members[:at], append([]*tree{e}, c.members[at:]...)...)
		}
	case 2: // remove one
		if n := len(c.members); n > 0 {
			at := g.pick(n)
			c.members = append(c.members[:at], c.members[at+1:]...)
			if c.kind == '{' {
				c.keys = append(c.keys[:at], c.keys[at+1:]...)
			}
		}
	case 3: // another order
		if n := len(c.members); n > 1 {
			i, j := g.pick(n), g.pick(n)
			c.members[i], c.members[j] = c.members[j], c.members[i]
			if c.kind == '{' {
				c.keys[i], c.keys[j] = c.keys[j], c.keys[i]
			}
		}
	}
	if c.kind == 0 && g.pick(2) == 0 {
		return g.scalar()
	}
	return &c
}

// encode writes a tree, sometimes in an unusual form.
func (g *generator) encode(t *tree) []byte {
	var b strings.Builder
	style := g.pick(4)
	g.write(&b, t, style)
	return []byte(b.String())
}

func (g *generator) write(b *strings.Builder, t *tree, style int) {
	space := ""
	if style == 1 {
		space = "\n  "
	}
	switch t.kind {
	case 0:
		b.WriteString(t.text)
	case '[':
		b.WriteString("[" + space)
		for i, m := range t.members {
			if i > 0 {
				b.WriteString("," + space)
			}
			g.write(b, m, style)
		}
		b.WriteString(space + "]")
	case '{':
		b.WriteString("{" + space)
		for i, m := range t.members {
			if i > 0 {
				b.WriteString("," + space)
			}
			if style == 2 && g.pick(8) == 0 { // a member that does not count, as it comes again
				b.WriteString(quoteKey(t.keys[i], style) + ":5,")
			}
			b.WriteString(quoteKey(t.keys[i], style) + space + ":" + space)
			g.write(b, m, style)
		}
		b.WriteString(space + "}")
	}
}

func quoteKey(key string, style int) string {
	if style == 3 && len(key) > 0 && key[0] < 0x80 {
		return fmt.Sprintf(`"\u%04x%s"`, key[0], strings.ReplaceAll(key[1:], `\`, `\\`))
	}
	return `"` + strings.ReplaceAll(key, `\`, `\\`) + `"`
}
