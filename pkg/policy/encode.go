package policy

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// MarshalYAML lets yaml.Marshal print f with its keys in the order of the types, as Load reads it. What is left out in f
// stays left out; an empty list stays, as it means something else.
func (f File) MarshalYAML() (any, error) { return node(reflect.ValueOf(f)) }

// node returns v as a YAML node, nil for one that is left out.
func node(v reflect.Value) (*yaml.Node, error) {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return node(v.Elem())
	case v.Kind() == reflect.Int:
		return scalar("!!int", strconv.FormatInt(v.Int(), 10)), nil
	case v.IsZero():
		return nil, nil
	case v.Kind() == reflect.String:
		return scalar("!!str", v.String()), nil
	case v.Kind() == reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for i := range v.Len() {
			entry, err := node(v.Index(i))
			if err != nil {
				return nil, err
			}
			if entry != nil {
				n.Content = append(n.Content, entry)
			}
		}
		return n, nil
	case v.Kind() == reflect.Struct:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, p := range properties(v.Type()) {
			value, err := node(v.Field(p.index))
			if err != nil {
				return nil, err
			}
			if value != nil {
				n.Content = append(n.Content, scalar("!!str", p.key), value)
			}
		}
		return n, nil
	}
	if t, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := t.MarshalText()
		return scalar("!!str", string(text)), err
	}
	return nil, fmt.Errorf("no YAML for %s", v.Type())
}

// scalar returns a node that the printer quotes where it has to.
func scalar(tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}
