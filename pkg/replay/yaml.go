package replay

import (
	"fmt"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/truce-dev/truce/pkg/policy"
)

// maxNodes bounds a story once its YAML aliases are followed, so that nested aliases cannot fill the memory.
const maxNodes = 200_000

// maxProblems is how many problems of one file are told.
const maxProblems = 100

// maxDepth bounds how deep a value nests, so that an alias to what it stands in ends.
const maxDepth = 200

// A decoder turns YAML nodes into the values of a story and collects every problem it meets.
type decoder struct {
	file     string
	problems policy.Problems
	nodes    int
	depth    int
	stop     *policy.Problem // why the rest of the file is not worth a look
}

// stopped notes why the rest of the file is not worth a look; then nothing else is worth telling either.
func (d *decoder) stopped(n *yaml.Node, format string, args ...any) {
	d.stop = &policy.Problem{File: d.file, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...)}
}

func (d *decoder) problem(n *yaml.Node, path, format string, args ...any) {
	switch message := fmt.Sprintf(format, args...); {
	case len(d.problems) < maxProblems:
		d.problems = append(d.problems, policy.Problem{
			File: d.file, Line: n.Line, Column: n.Column, Path: path, Message: message,
		})
	case len(d.problems) == maxProblems:
		d.problems = append(d.problems, policy.Problem{File: d.file, Line: n.Line, Column: n.Column,
			Message: "and more problems, which are not listed"})
	}
}

// resolve follows an alias. It returns nil once the document has become too large.
func (d *decoder) resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if d.stop != nil {
		return nil
	}
	if d.nodes++; d.nodes > maxNodes {
		d.stopped(n, "the story has more than %d YAML nodes, aliases followed; make it smaller", maxNodes)
		return nil
	}
	return n
}

// member is one entry of a mapping.
type member struct {
	key        string
	name, node *yaml.Node
}

// mapping returns the entries of a mapping in the order of the file. Duplicate keys and keys that are not scalars are
// problems. ok is false if n is no mapping at all.
func (d *decoder) mapping(n *yaml.Node, path string) (members []member, ok bool) {
	at := n
	if n = d.resolve(n); n == nil {
		return nil, false
	}
	if n.Kind != yaml.MappingNode {
		d.problem(at, path, "must be a map, not %s", describe(n))
		return nil, false
	}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		key := name
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			d.problem(name, path, "every key must be plain text, not %s", describe(key))
			continue
		}
		if line, twice := seen[key.Value]; twice {
			d.problem(name, join(path, key.Value), "is there twice, first on line %d", line)
			continue
		}
		seen[key.Value] = name.Line
		members = append(members, member{key: key.Value, name: name, node: value})
	}
	return members, true
}

// text decodes a string. Numbers and the like are not strings: quotes decide.
func (d *decoder) text(n *yaml.Node, path string) string {
	at := n
	if n = d.resolve(n); n == nil {
		return ""
	}
	if n.Kind != yaml.ScalarNode || (n.Tag != "!!str" && n.Tag != "!!timestamp") {
		d.problem(at, path, "must be a string, not %s", describe(n))
		return ""
	}
	return n.Value
}

// choice decodes a string out of a closed set.
func (d *decoder) choice(n *yaml.Node, path string, set ...string) string {
	before := len(d.problems)
	s := d.text(n, path)
	if len(d.problems) > before {
		return ""
	}
	for _, one := range set {
		if s == one {
			return s
		}
	}
	d.problem(n, path, "must be one of %s, not %q", list(set), s)
	return ""
}

// texts decodes a list of strings.
func (d *decoder) texts(n *yaml.Node, path string) (out []string) {
	at := n
	if n = d.resolve(n); n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		d.problem(at, path, "must be a list of strings, not %s", describe(n))
		return nil
	}
	for i, item := range n.Content {
		out = append(out, d.text(item, index(path, i)))
	}
	return out
}

// value decodes what is JSON: nil, bool, int64, float64, string, []any, map[string]any.
func (d *decoder) value(n *yaml.Node, path string) any {
	at := n
	if n = d.resolve(n); n == nil {
		return nil
	}
	if d.depth++; d.depth > maxDepth {
		d.stopped(at, "nests deeper than %d levels; an alias must not stand in what it stands for", maxDepth)
		return nil
	}
	defer func() { d.depth-- }()
	switch n.Kind {
	case yaml.MappingNode:
		members, _ := d.mapping(n, path)
		out := make(map[string]any, len(members))
		for _, m := range members {
			out[m.key] = d.value(m.node, join(path, m.key))
		}
		return out
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, item := range n.Content {
			out[i] = d.value(item, index(path, i))
		}
		return out
	case yaml.ScalarNode:
		if v, ok := scalar(n); ok {
			return v
		}
	}
	d.problem(at, path, "is %s, which JSON cannot say", describe(n))
	return nil
}

func scalar(n *yaml.Node) (any, bool) {
	switch n.Tag {
	case "!!null":
		return nil, true
	case "!!str", "!!timestamp": // JSON has no points in time: they stay as they are written
		return n.Value, true
	case "!!bool":
		var b bool
		err := n.Decode(&b)
		return b, err == nil
	case "!!int":
		var i int64
		err := n.Decode(&i)
		return i, err == nil
	case "!!float":
		var f float64
		err := n.Decode(&f)
		return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	return nil, false
}

// describe says what a node is, for messages.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "null"
		}
		return fmt.Sprintf("%s (%s)", strconv.Quote(n.Value), n.Tag)
	}
	return "nothing"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
