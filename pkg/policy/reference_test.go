package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/truce-dev/truce/test/golden"
)

// schemaNode is the part of a JSON Schema that the reference shows.
type schemaNode struct {
	Ref         string `json:"$ref"`
	Type        string
	Description string
	Default     any
	Enum        []string
	Items       *schemaNode
	Properties  json.RawMessage
	Defs        map[string]schemaNode `json:"$defs"`
}

// member is a property, in the order of the file.
type member struct {
	name string
	schemaNode
}

func (n *schemaNode) members(t *testing.T) (all []member) {
	t.Helper()
	if n.Properties == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(n.Properties))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		m := member{name: name.(string)}
		if err := d.Decode(&m.schemaNode); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// TestReference keeps docs/policy.md, the reference of the policy file, what the types and the default policy say.
func TestReference(t *testing.T) {
	var root schemaNode
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# Policy reference\n\n" +
		"Generated from the Go types by `make generate`; do not edit. What the parts mean together is in\n" +
		"[detection.md](detection.md); `truce policy default` prints a commented policy, `truce policy schema` the JSON\n" +
		"Schema, and `truce lint FILE` says everything that is wrong with a file.\n")
	var section func(title string, n *schemaNode)
	done := map[string]bool{}
	section = func(title string, n *schemaNode) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| key | type | default | meaning |\n|---|---|---|---|\n", title, n.Description)
		members := n.members(t)
		for _, m := range members {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, typeOf(&m.schemaNode), defaultOf(t, m.Default),
				strings.ReplaceAll(m.Description, "|", `\|`))
		}
		for _, m := range members {
			if name := refOf(&m.schemaNode); name != "" && !done[name] {
				done[name] = true
				n := root.Defs[name]
				section(name, &n)
			}
		}
	}
	section("Policy", &root)
	b.WriteString("\n## Built-in look-alikes\n\n| name | silent | why |\n|---|---|---|\n")
	for _, l := range Default().File.LookAlikes {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", l.Name, l.Silent, strings.ReplaceAll(strings.TrimSpace(l.Why), "\n", " "))
	}
	golden.Check(t, "../../docs/policy.md", b.String())
}

func refOf(n *schemaNode) string {
	if n.Items != nil {
		return refOf(n.Items)
	}
	return strings.TrimPrefix(n.Ref, "#/$defs/")
}

func typeOf(n *schemaNode) string {
	switch {
	case n.Items != nil:
		return "list of " + typeOf(n.Items)
	case n.Ref != "":
		return fmt.Sprintf("[%s](#%s)", refOf(n), strings.ToLower(refOf(n)))
	case len(n.Enum) > 8:
		return "name of one of the [built-in look-alikes](#built-in-look-alikes)"
	case len(n.Enum) > 0:
		return "`" + strings.Join(n.Enum, "`, `") + "`"
	}
	return n.Type
}

func defaultOf(t *testing.T, v any) string {
	t.Helper()
	if v == nil {
		return ""
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(b.String())
	if len(text) > 80 {
		return "see `truce policy default`"
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}
