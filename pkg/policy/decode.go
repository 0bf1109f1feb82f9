package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds on what a file may hold. Rules and look-alikes are numbered in bit sets (see matchBits).
const (
	maxEntries    = 1000
	maxRules      = 256
	maxLookAlikes = 256
	maxText       = 1024
	maxTemplate   = 32 << 10
)

// position is where a value stands in a file.
type position struct{ line, column int }

// decoder turns a tree of YAML nodes into a Go value. It is strict, goes on after a problem, and knows where every value
// it found stands. What it finds wrong is left at the zero value.
type decoder struct {
	problems *problemList
	what     string // the file is: "a policy"
	// at holds the position of each value that the file gives, by its path. A null counts as left out.
	at map[string]position
}

func newDecoder(file, what string) *decoder {
	return &decoder{problems: &problemList{file: file}, what: what, at: map[string]position{}}
}

// problem notes what is wrong with node n, which is at path.
func (d *decoder) problem(n *yaml.Node, path, format string, args ...any) {
	d.problems.add(Problem{Line: n.Line, Column: n.Column, Path: path, Message: fmt.Sprintf(format, args...)})
}

// given reports whether the file has a value at path.
func (d *decoder) given(path string) bool { _, ok := d.at[path]; return ok }

// problemAt notes what is wrong with the value at path. If the file does not give it, what holds it is pointed at.
func (d *decoder) problemAt(path, format string, args ...any) {
	p := Problem{Path: path, Message: fmt.Sprintf(format, args...)}
	for ; ; path = path[:max(0, strings.LastIndexAny(path, ".["))] {
		if at, ok := d.at[path]; ok || path == "" {
			p.Line, p.Column = at.line, at.column
			break
		}
	}
	d.problems.add(p)
}

// value decodes n into v, which is at path and was declared with tag.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) {
	if !d.plain(n, path) || isNull(n) {
		return
	}
	d.at[path] = position{n.Line, n.Column}
	switch t := v.Type(); {
	case t == reflect.TypeFor[Duration]():
		d.duration(n, v, path, tag)
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		d.value(n, v.Elem(), path, tag)
	case t.Kind() == reflect.Struct:
		d.mapping(n, v, path)
	case t.Kind() == reflect.Slice:
		d.list(n, v, path, tag)
	case t.Kind() == reflect.Int:
		d.int(n, v, path, tag)
	case t.Kind() == reflect.String:
		d.text(n, v, path, tag)
	default:
		panic("policy: no decoder for " + t.String())
	}
}

// plain reports whether n may be looked at. Anchors are refused: a few lines with aliases can expand to gigabytes, and
// nobody reading the file should have to expand them either.
func (d *decoder) plain(n *yaml.Node, path string) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.problem(n, path, "anchors and aliases (`&` and `*`) are not supported; text that starts with one needs quotes")
		return false
	}
	return true
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// noun says what n is.
func noun(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "the number " + quote(n.Value)
	case "!!bool":
		return "the boolean " + quote(n.Value)
	case "!!str":
		return "the text " + quote(n.Value)
	case "!!timestamp":
		return "the date " + quote(n.Value)
	}
	return "a value of type " + quote(n.ShortTag())
}

// property is a struct's field as a file shows it.
type property struct {
	key      string
	required bool
	index    int
	tag      reflect.StructTag
}

// properties lists the keys that a mapping of type t may have.
func properties(t reflect.Type) []property {
	list := make([]property, t.NumField())
	for i := range list {
		f := t.Field(i)
		key, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		list[i] = property{key: key, required: rest == "", index: i, tag: f.Tag}
	}
	return list
}

// join appends a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, "must be a mapping of keys to values, not %s", noun(n))
		return
	}
	known := properties(v.Type())
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.plain(key, path) {
			continue
		}
		if key.Kind != yaml.ScalarNode {
			d.problem(key, path, "a key must be text, not %s", noun(key))
			continue
		}
		at := slices.IndexFunc(known, func(p property) bool { return p.key == key.Value })
		if at < 0 {
			d.unknownKey(key, known, path)
			continue
		}
		below := join(path, key.Value)
		if line, twice := seen[key.Value]; twice {
			d.problem(key, below, "given twice; first on line %d", line)
			continue
		}
		seen[key.Value] = key.Line
		d.value(value, v.Field(known[at].index), below, known[at].tag)
	}
	for _, p := range known {
		if below := join(path, p.key); p.required && !d.given(below) && !d.problems.under(below) {
			d.problem(n, below, "must be given")
		}
	}
}

func (d *decoder) unknownKey(key *yaml.Node, known []property, path string) {
	if d.problems.full() {
		d.problem(key, path, "unknown key") // not shown: no need to find out what was meant
		return
	}
	names := make([]string, len(known))
	for i := range known {
		names[i] = known[i].key
	}
	name := key.Value
	if len(name) > 40 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		name = strings.Trim(quote(name), "`")
	}
	if meant := nearest(key.Value, names); meant != "" {
		d.problem(key, join(path, name), "unknown key; did you mean %s?", quote(meant))
		return
	}
	d.problem(key, join(path, name), "unknown key; there are %s", list(names, "and"))
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) {
	if n.Kind != yaml.SequenceNode {
		d.problem(n, path, "must be a list, not %s", noun(n))
		return
	}
	limit := maxEntries
	switch v.Type().Elem() {
	case reflect.TypeFor[Rule]():
		limit = maxRules
	case reflect.TypeFor[LookAlike]():
		limit = maxLookAlikes
	}
	if len(n.Content) > limit {
		d.problem(n, path, "must have at most %s entries, not %s", number(int64(limit)), number(int64(len(n.Content))))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, entry := range n.Content {
		below := path + "[" + strconv.Itoa(i) + "]"
		if isNull(entry) {
			d.problem(entry, below, "is empty")
			continue
		}
		d.value(entry, v.Index(i), below, tag)
	}
}
