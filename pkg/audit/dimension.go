package audit

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/truce-dev/truce/pkg/admission"
)

// Dimension is something by which requests can be told apart.
type Dimension string

// dimensions append what an event has of them.
var dimensions = []struct {
	name   Dimension
	append func(to []byte, e *Event) []byte
}{
	{"user", func(to []byte, e *Event) []byte { return append(to, e.User()...) }},
	{"verb", func(to []byte, e *Event) []byte { return append(to, e.Verb...) }},
	{"resource", func(to []byte, e *Event) []byte { return e.Object.appendResource(to) }},
	{"namespace", func(to []byte, e *Event) []byte { return append(to, e.Object.Namespace...) }},
	{"object", func(to []byte, e *Event) []byte {
		if len(e.Object.Name) == 0 {
			return to
		}
		to = append(e.Object.appendResource(to), '/')
		if len(e.Object.Namespace) > 0 {
			to = append(append(to, e.Object.Namespace...), '/')
		}
		return append(to, e.Object.Name...)
	}},
	{"userAgent", func(to []byte, e *Event) []byte { return append(to, e.UserAgent...) }},
	{"agent", func(to []byte, e *Event) []byte { return append(to, e.agent()...) }},
	{"code", func(to []byte, e *Event) []byte { return strconv.AppendInt(to, int64(e.Code), 10) }},
	{"ip", func(to []byte, e *Event) []byte {
		each(e.SourceIPs, func(ip []byte) bool {
			to = append(to, admission.Text(ip)...)
			return false
		})
		return to
	}},
	{"path", func(to []byte, e *Event) []byte {
		path, _, _ := bytes.Cut(e.URI(), []byte{'?'})
		return append(to, path...)
	}},
	{"level", func(to []byte, e *Event) []byte { return append(to, e.Level...) }},
}

// Dimensions lists all names.
func Dimensions() string {
	var names []string
	for _, d := range dimensions {
		names = append(names, string(d.name))
	}
	return strings.Join(names, ", ")
}

// ParseDimensions reads a list of names.
func ParseDimensions(names []string) ([]Dimension, error) {
	var out []Dimension
	for _, n := range names {
		d := Dimension(strings.TrimSpace(n))
		if d.index() < 0 {
			return nil, fmt.Errorf("requests cannot be told apart by %q, only by %s", n, Dimensions())
		}
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("nothing to tell requests apart by; there are %s", Dimensions())
	}
	return out, nil
}

func (d Dimension) index() int {
	for i := range dimensions {
		if dimensions[i].name == d {
			return i
		}
	}
	return -1
}

// appendResource appends deployments.apps/scale.
func (r *ObjectRef) appendResource(to []byte) []byte {
	to = append(to, r.Resource...)
	if len(r.Group) > 0 {
		to = append(append(to, '.'), r.Group...)
	}
	if len(r.Subresource) > 0 {
		to = append(append(to, '/'), r.Subresource...)
	}
	return to
}

// agent returns the program that a user agent names: what is before its version. It is what the API server makes a
// client's field manager of, if it sets none.
func (e *Event) agent() []byte {
	name, _, _ := bytes.Cut(e.UserAgent, []byte{'/'})
	return name
}
