package policy

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// checks are the syntaxes that a `check` tag can name.
var checks = map[string]func(string) error{
	"wildcard": func(s string) error { _, err := parseWildcard(s); return err },
	"resource": func(s string) error { _, err := parseResource(s); return err },
	"field":    func(s string) error { _, err := parseField(s); return err },
	"selector": func(s string) error { _, err := parseSelector(s); return err },
	"observed": checkObserved,
	"label":    checkLabel,
}

// checkObserved wants a resource that can be watched.
func checkObserved(s string) error {
	p, err := parseResource(s)
	if err == nil && (!p.exact() || p.sub != subDefault) {
		err = fmt.Errorf("%s is not one resource to watch; write it like `customresourcedefinitions.apiextensions.k8s.io`",
			quote(s))
	}
	return err
}

// checkLabel wants a DNS label, which can be a metric's label, an audit annotation's value and part of an object's name.
func checkLabel(s string) error {
	ok := len(s) > 0 && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-'
	for i := 0; i < len(s); i++ {
		c := s[i]
		ok = ok && (c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z')
	}
	if !ok {
		return fmt.Errorf("%s is not a DNS label; use up to 63 of a-z, 0-9 and `-`, not at the ends", quote(s))
	}
	return nil
}

// options is a type whose values are a closed set.
type options interface{ options() []string }

func (d *decoder) text(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		hint := ""
		if n.Kind == yaml.ScalarNode {
			hint = "; put it in quotes"
		}
		d.problem(n, path, "must be text, not %s%s", noun(n), hint)
		return
	}
	longest := maxText
	if tag.Get("check") == "template" {
		longest = maxTemplate
	}
	if len(n.Value) > longest {
		d.problem(n, path, "must be at most %s bytes long, not %s", number(int64(longest)), number(int64(len(n.Value))))
		return
	}
	if o, ok := v.Interface().(options); ok && !slices.Contains(o.options(), n.Value) {
		hint := ""
		if meant := nearest(n.Value, o.options()); meant != "" {
			hint = "; did you mean " + quote(meant) + "?"
		}
		d.problem(n, path, "must be %s, not %s%s", list(o.options(), "or"), quote(n.Value), hint)
		return
	}
	if check := checks[tag.Get("check")]; check != nil {
		if err := check(n.Value); err != nil {
			d.problem(n, path, "%v", err)
			return
		}
	}
	v.SetString(n.Value)
}

func (d *decoder) int(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) {
	// A number that no int64 holds is a float for the parser.
	tooLong := n.Kind == yaml.ScalarNode && n.ShortTag() == "!!float" && strings.Trim(n.Value, "-+0123456789") == ""
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" && !tooLong {
		d.problem(n, path, "must be a whole number, not %s", noun(n))
		return
	}
	low, high, err := bounds(tag, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
	if err != nil {
		panic(err)
	}
	var i int64
	if err := n.Decode(&i); err != nil || i < low || i > high {
		d.problem(n, path, "must be between %s and %s, not %s", number(low), number(high), quote(n.Value))
		return
	}
	v.SetInt(i)
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		d.problem(n, path, "must be a duration such as `90s`, `5m`, `48h` or `7d`, not %s", noun(n))
		return
	}
	low, high, err := bounds(tag, parseDuration)
	if err != nil {
		panic(err)
	}
	got, err := parseDuration(n.Value)
	if err == nil && (got < low || got > high) {
		err = fmt.Errorf("must be between %s and %s, not %s", days(low), days(high), quote(n.Value))
	}
	if err != nil {
		d.problem(n, path, "%v", err)
		return
	}
	v.SetInt(int64(got))
}

// days writes a bound as this package's comments do.
func days(d Duration) string {
	if day := Duration(24 * time.Hour); d > day && d%day == 0 {
		return plural(int(d/day), "day")
	}
	return d.String()
}

// bounds reads the two ends of a `range` tag.
func bounds[T any](tag reflect.StructTag, parse func(string) (T, error)) (low, high T, err error) {
	first, last, ok := strings.Cut(tag.Get("range"), ",")
	if !ok {
		return low, high, errors.New("policy: a number without a range")
	}
	low, lowErr := parse(first)
	high, highErr := parse(last)
	return low, high, errors.Join(lowErr, highErr)
}
