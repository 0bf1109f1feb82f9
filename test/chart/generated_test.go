package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	"go.yaml.in/yaml/v3"

	"github.com/truce-dev/truce/pkg/notify"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/test/cluster"
)

// The chart's schema is kept by hand but for what it says of policies, which is the policy's own schema, and of receivers,
// which follows from their types.
func TestTheSchemaHoldsThoseOfPoliciesAndReceivers(t *testing.T) {
	path := filepath.Join(chartDir(), "values.schema.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var schema, ofPolicy map[string]any
	for text, into := range map[string]*map[string]any{string(data): &schema, string(policy.Schema()): &ofPolicy} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	defs := ofPolicy["$defs"].(map[string]any)
	for _, key := range []string{"$schema", "$defs", "title"} {
		delete(ofPolicy, key)
	}
	ofPolicy["required"] = []any{"rules"} // the chart adds apiVersion and kind
	defs["Policy"] = ofPolicy
	// An override says what a rule says, but for its name.
	rule := map[string]any{}
	for k, v := range defs["Rule"].(map[string]any) {
		rule[k] = v
	}
	properties := map[string]any{}
	for k, v := range rule["properties"].(map[string]any) {
		if k != "name" {
			properties[k] = v
		}
	}
	rule["properties"] = properties
	delete(rule, "required")
	defs["RuleOverride"] = rule
	maps.Copy(defs, schemaOfReceivers(t, defs["CountWithin"].(map[string]any)["properties"].(map[string]any)["within"]))
	schema["$defs"] = defs
	want, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, path, string(want)+"\n")
}

// schemaOfReceivers returns the definitions of a receiver of notifications and of what is in it.
func schemaOfReceivers(t *testing.T, duration any) map[string]any {
	t.Helper()
	r := &jsonschema.Reflector{Anonymous: true}
	const pkg = "github.com/truce-dev/truce/test/chart"
	if err := r.AddGoComments(pkg, filepath.Join("..", "..", "pkg", "notify"), jsonschema.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	for name, comment := range r.CommentMap {
		r.CommentMap[name] = strings.Join(strings.Fields(comment), " ")
	}
	data, err := json.Marshal(r.Reflect(notify.Receiver{}).Definitions)
	if err != nil {
		t.Fatal(err)
	}
	var defs map[string]any
	if err := json.Unmarshal(data, &defs); err != nil {
		t.Fatal(err)
	}
	property := func(of, name string) map[string]any {
		p, ok := defs[of].(map[string]any)["properties"].(map[string]any)[name].(map[string]any)
		if !ok {
			t.Fatalf("%s has no %s", of, name)
		}
		return p
	}
	pattern := duration.(map[string]any)["pattern"]
	for _, p := range []map[string]any{property("Fights", "every"), property("Fights", "pause"), property("Changes", "every")} {
		p["type"], p["pattern"] = "string", pattern
	}
	property("Fights", "kinds")["items"] = map[string]any{"enum": []any{"fight", "loop"}}
	property("CloudEvents", "mode")["enum"] = []any{notify.Binary, notify.Structured}
	property("Receiver", "name")["pattern"] = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
	return defs
}

// Every value has its comment, its place in the schema and its line in the README.
func TestTheReadmeListsTheValues(t *testing.T) {
	values := readValues(t)
	var table strings.Builder
	table.WriteString("| value | default | what it is |\n|---|---|---|\n")
	for _, v := range values {
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", v.path, v.initial, strings.ReplaceAll(v.comment, "|", `\|`))
	}
	const begin, end = "<!-- values: made of values.yaml by `make generate` -->\n", "<!-- end of values -->"
	path := filepath.Join(chartDir(), "README.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the marks %q and %q", path, begin, end)
	}
	golden(t, path, before+begin+"\n"+table.String()+"\n"+end+after)
}

// value is a value of the chart that is set by itself.
type value struct{ path, initial, comment string }

func readValues(t *testing.T) []value {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(chartDir(), "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	data, err = os.ReadFile(filepath.Join(chartDir(), "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	var values []value
	collect(t, doc.Content[0], schema, "", &values)
	return values
}

// whole are mappings that are one value, whatever is in them.
var whole = []string{"policy", "resources", "nodeSelector", "metrics.dashboard.labels"}

func collect(t *testing.T, m *yaml.Node, schema map[string]any, prefix string, into *[]value) {
	t.Helper()
	properties, _ := schema["properties"].(map[string]any)
	if schema["additionalProperties"] != false {
		t.Errorf("the schema lets anything into %q", prefix)
	}
	known := map[string]bool{"global": true}
	for i := 0; i < len(m.Content); i += 2 {
		key, v := m.Content[i], m.Content[i+1]
		path := strings.TrimPrefix(prefix+"."+key.Value, ".")
		known[key.Value] = true
		of, ok := properties[key.Value].(map[string]any)
		if !ok {
			t.Errorf("%s is not in the schema", path)
		}
		if v.Kind == yaml.MappingNode && len(v.Content) > 0 && !slices.Contains(whole, path) {
			collect(t, v, of, path, into)
			continue
		}
		comment := strings.Join(strings.Fields(strings.ReplaceAll(key.HeadComment, "#", " ")), " ")
		if comment == "" {
			t.Errorf("%s has no comment in values.yaml", path)
		}
		*into = append(*into, value{path, shown(t, path, v), comment})
	}
	for key := range properties {
		if !known[key] {
			t.Errorf("the schema knows %s.%s, values.yaml does not", prefix, key)
		}
	}
}

func shown(t *testing.T, path string, v *yaml.Node) string {
	t.Helper()
	if path == "policy" {
		return "Truce's built-in policy"
	}
	var plain any
	if err := v.Decode(&plain); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	return "`" + string(text) + "`"
}

// The plain manifests are what the chart renders, without what only Helm has a use for.
func TestThePlainManifestsAreFresh(t *testing.T) {
	out, err := tryRender(t, "")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(plainHeader)
	for line := range strings.Lines(out) {
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, "helm.sh/chart:"), trimmed == "app.kubernetes.io/managed-by: Helm",
			strings.HasPrefix(trimmed, "# Source:"), trimmed == "":
		default:
			b.WriteString(line)
		}
	}
	golden(t, filepath.Join(cluster.Root(), "deploy", "truce.yaml"), b.String())
}

const plainHeader = `# Truce without Helm: what charts/truce renders with its default values. Made by ` + "`make generate`" + `.
#
#     kubectl apply -f deploy/truce.yaml
#
# Before you delete it, delete its webhook configurations:
#
#     kubectl delete validatingwebhookconfiguration,mutatingwebhookconfiguration -l app.kubernetes.io/name=truce
apiVersion: v1
kind: Namespace
metadata:
  name: truce-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/warn: restricted
`
