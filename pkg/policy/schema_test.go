package policy

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/truce-dev/truce/test/golden"
)

func TestSchema(t *testing.T) {
	golden.Check(t, "schema.json", generateSchema(t))
	if !*golden.Update && !bytes.Equal(Schema(), schemaJSON) {
		t.Error("Schema() is not what is embedded")
	}
}

// generateSchema makes the schema of the types, their tags and their comments.
func generateSchema(t *testing.T) string {
	t.Helper()
	r := &jsonschema.Reflector{Anonymous: true, ExpandedStruct: true, Mapper: func(t reflect.Type) *jsonschema.Schema {
		if t == reflect.TypeFor[Duration]() {
			return &jsonschema.Schema{Type: "string", Pattern: `^[0-9]+d$|^([0-9]+d)?([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`}
		}
		if o, ok := reflect.Zero(t).Interface().(options); ok {
			s := &jsonschema.Schema{Type: "string"}
			for _, option := range o.options() {
				s.Enum = append(s.Enum, option)
			}
			return s
		}
		return nil
	}}
	if err := r.AddGoComments("github.com/truce-dev/truce/pkg/policy", "./", jsonschema.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	for name, comment := range r.CommentMap {
		r.CommentMap[name] = strings.Join(strings.Fields(comment), " ")
	}
	s := r.Reflect(File{})
	s.Title = "Truce policy"
	describe(t, s, s.Definitions, reflect.ValueOf(defaultFile()))

	schemaOf(s, "apiVersion").Enum = []any{APIVersion}
	schemaOf(s, "kind").Enum = []any{Kind}
	schemaOf(s, "rules").MinItems = new(uint64(1))
	schemaOf(s, "rules").MaxItems = new(uint64(maxRules))
	schemaOf(s, "lookAlikes").MaxItems = new(uint64(maxLookAlikes))
	presets := schemaOf(s, "presets")
	presets.UniqueItems = true
	presets.Default = nil
	for _, name := range presetNames() {
		presets.Items.Enum = append(presets.Items.Enum, name)
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data) + "\n"
}

// defaultFile is a file with one rule and one look-alike that say nothing: every value in it is a default.
func defaultFile() File {
	f := File{Rules: []Rule{{}}, LookAlikes: []LookAlike{{}}}
	f.fill(func(string) bool { return false })
	f.Presets = nil
	return f
}

func schemaOf(s *jsonschema.Schema, key string) *jsonschema.Schema {
	p, _ := s.Properties.Get(key)
	return p
}

// describe adds to s, the schema of v's type, what the reflector does not know: ranges, syntaxes and defaults.
func describe(t *testing.T, s *jsonschema.Schema, all jsonschema.Definitions, v reflect.Value) {
	t.Helper()
	for _, p := range properties(v.Type()) {
		field, schema := v.Field(p.index), schemaOf(s, p.key)
		if schema == nil {
			t.Fatalf("%s.%s is not in the schema", v.Type(), p.key)
		}
		constrain(schema, field.Type(), p.tag)
		switch {
		case field.Kind() == reflect.Struct && field.NumField() > 2:
			describe(t, all[field.Type().Name()], all, field)
		case field.Kind() == reflect.Struct:
			constrainAll(all[field.Type().Name()], field.Type())
			schema.Default = field.Interface()
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct:
			describe(t, all[field.Type().Elem().Name()], all, field.Index(0))
		case !field.IsZero():
			schema.Default = field.Interface()
		}
	}
}

func constrainAll(s *jsonschema.Schema, of reflect.Type) {
	for _, p := range properties(of) {
		constrain(schemaOf(s, p.key), of.Field(p.index).Type, p.tag)
	}
}

func constrain(s *jsonschema.Schema, of reflect.Type, tag reflect.StructTag) {
	text := s
	if of.Kind() == reflect.Slice {
		text = s.Items
		s.MaxItems = new(uint64(maxEntries))
	}
	switch tag.Get("check") {
	case "label":
		text.Pattern = `^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`
	case "wildcard", "resource", "field":
		text.MinLength = new(uint64(1))
		text.MaxLength = new(uint64(maxText))
	}
	if low, high, ok := strings.Cut(tag.Get("range"), ","); ok && of != reflect.TypeFor[Duration]() {
		s.Minimum, s.Maximum = json.Number(low), json.Number(high)
	}
}

// schemaProblem returns what the schema has against the policy file in data, nil if nothing.
func schemaProblem(t *testing.T, data []byte) error {
	t.Helper()
	schema, err := validator.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("policy.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("policy.json")
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Unmarshal(data, &value); err != nil {
		return err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	instance, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate(instance)
}

func TestTheSchemaAcceptsWhatLoads(t *testing.T) {
	for _, file := range append(glob(t, "testdata/working_*.yaml"), "default.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := schemaProblem(t, data); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheSchemaRefuses(t *testing.T) {
	const head = "apiVersion: truce.dev/v1alpha1\nkind: Policy\n"
	for name, file := range map[string]string{
		"an unknown key":           head + "rules: [{name: a}]\nrule: 1\n",
		"a deep unknown key":       head + "rules: [{name: a, match: {field: [x]}}]\n",
		"a missing name":           head + "rules: [{action: Hold}]\n",
		"an unknown action":        head + "rules: [{name: a, action: Deny}]\n",
		"another version":          "apiVersion: truce.dev/v1\nkind: Policy\nrules: [{name: a}]\n",
		"a number too low":         head + "history: {statesPerField: 3}\nrules: [{name: a}]\n",
		"a number too high":        head + "history: {statesPerField: 65}\nrules: [{name: a}]\n",
		"a count too high":         head + "rules: [{name: a, detect: {reversals: {count: 1001}}}]\n",
		"a duration with no unit":  head + "history: {memory: 48}\nrules: [{name: a}]\n",
		"a duration with bad unit": head + "history: {memory: 48x}\nrules: [{name: a}]\n",
		"no rules":                 head + "rules: []\n",
		"an unknown preset":        head + "presets: [nonesuch]\nrules: [{name: a}]\n",
		"a name that is no label":  head + "rules: [{name: A rule}]\n",
		"a text for a list":        head + "rules: [{name: a, match: {fields: spec}}]\n",
	} {
		t.Run(name, func(t *testing.T) {
			if schemaProblem(t, []byte(file)) == nil {
				t.Error("it accepts it")
			}
		})
	}
	if err := schemaProblem(t, []byte(head+"rules: [{name: a, truce: {max: 1d12h}}]\n")); err != nil {
		t.Errorf("what the cases above build on: %v", err)
	}
}

// Descriptions are what an editor shows; a key without one is not documented.
func TestTheSchemaDescribesEveryKey(t *testing.T) {
	var s struct {
		Properties map[string]struct{ Description string }
		Defs       map[string]struct {
			Description string
			Properties  map[string]struct{ Description string }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	n := 0
	for key, p := range s.Properties {
		n++
		if p.Description == "" {
			t.Errorf("%s has no description", key)
		}
	}
	for name, d := range s.Defs {
		if d.Description == "" {
			t.Errorf("%s has no description", name)
		}
		for key, p := range d.Properties {
			n++
			if p.Description == "" {
				t.Errorf("%s.%s has no description", name, key)
			}
		}
	}
	if n < 50 {
		t.Errorf("only %s", strconv.Itoa(n)+" keys were looked at")
	}
}
