package replay

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/truce-dev/truce/pkg/policy"
)

const (
	maxFile   = 8 << 20                   // bytes of a story's file
	maxWrites = 1_000_000                 // steps times laps
	maxTime   = 10 * 365 * 24 * time.Hour // of a story, in virtual time
)

// Load reads and parses the story in a file. The error is policy.Problems if the file could be read.
func Load(path string) (*Story, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a story: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading a story: %w", err)
	}
	return Parse(data, path)
}

// Parse parses a story strictly: unknown keys, wrong types, impossible values and references to what is not there are
// all reported at once, as policy.Problems. The story's id must be the name of the file without .yaml.
func Parse(data []byte, file string) (*Story, error) {
	if len(data) > maxFile {
		return nil, policy.Problems{{File: file, Message: fmt.Sprintf("is larger than %d MiB", maxFile>>20)}}
	}
	root, err := document(data)
	if err != nil {
		return nil, policy.Problems{syntaxProblem(file, err)}
	}
	p := parser{decoder: decoder{file: file}, story: &Story{File: file, Visible: VisibleAdmission, Tracked: true, Laps: 1}}
	p.parse(root)
	if p.stop != nil {
		return nil, policy.Problems{*p.stop}
	}
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b policy.Problem) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, p.problems
	}
	return p.story, nil
}

// document returns the only document of a YAML file.
func document(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0:
		return nil, errors.New("is empty")
	case err != nil:
		return nil, err
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: holds more than one YAML document; one file is one story", max(more.Line, 1))
	}
	return doc.Content[0], nil
}

var lineOf = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

func syntaxProblem(file string, err error) policy.Problem {
	m := lineOf.FindStringSubmatch(err.Error())
	line, _ := strconv.Atoi(m[1])
	return policy.Problem{File: file, Line: line, Column: min(line, 1), Message: strings.TrimPrefix(err.Error(), m[0])}
}

// A parser fills a story.
type parser struct {
	decoder
	story  *Story
	fields map[string]*yaml.Node // the story's top-level values
	laps   bool                  // repeat was sound, so the number of laps can be relied on
}

func (p *parser) parse(root *yaml.Node) {
	s := p.story
	p.fields = p.members(root, "", "id", "title", "source", "shape", "basis", "visible", "tags", "expect", "tracked",
		"objects", "writers", "steps", "repeat")
	p.required(root, "", p.fields, "id", "expect", "objects", "writers", "steps")
	for key, into := range map[string]*string{
		"id": &s.ID, "title": &s.Title, "source": &s.Source, "shape": &s.Shape, "basis": &s.Basis,
	} {
		if n := p.fields[key]; n != nil {
			*into = p.text(n, key)
		}
	}
	name := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(p.file), ".yml"), ".yaml")
	if n := p.fields["id"]; n != nil && s.ID != name {
		p.problem(n, "id", "is %q, but the file is named for %q", s.ID, name)
	}
	if n := p.fields["visible"]; n != nil {
		s.Visible = p.choice(n, "visible", VisibleAdmission, VisibleWatch)
	}
	if n := p.fields["tags"]; n != nil {
		s.Tags = p.texts(n, "tags")
	}
	if n := p.fields["tracked"]; n != nil {
		tracked, ok := p.value(n, "tracked").(bool)
		if !ok {
			p.problem(n, "tracked", "must be true or false")
		}
		s.Tracked = tracked
	}
	p.parseObjects()
	p.parseWriters()
	p.parseExpect()
	p.parseRepeat()
	p.parseSteps()
}

// members returns the values of a map that may have these keys only. It is nil if n is no map.
func (p *parser) members(n *yaml.Node, path string, known ...string) map[string]*yaml.Node {
	members, ok := p.mapping(n, path)
	if !ok {
		return nil
	}
	out := make(map[string]*yaml.Node, len(members))
	for _, m := range members {
		if !slices.Contains(known, m.key) {
			p.problem(m.name, join(path, m.key), "is not part of the format; known here: %s", list(known))
			continue
		}
		out[m.key] = m.node
	}
	return out
}

func (p *parser) required(n *yaml.Node, path string, have map[string]*yaml.Node, keys ...string) {
	for _, key := range keys {
		if have != nil && have[key] == nil {
			p.problem(n, join(path, key), "is missing")
		}
	}
}

func (p *parser) parseObjects() {
	n := p.fields["objects"]
	if n == nil {
		return
	}
	members, _ := p.mapping(n, "objects")
	for _, m := range members {
		path := join("objects", m.key)
		o := Object{Key: m.key}
		switch v := p.value(m.node, path).(type) {
		case nil:
		case map[string]any:
			o.State = v
			if _, err := identityOf(v); err != nil {
				p.problem(m.node, path, "%v", err)
			}
		default:
			p.problem(m.node, path, "must be an object, or null if it is not there before step 1")
		}
		p.story.Objects = append(p.story.Objects, o)
	}
	if len(members) == 0 {
		p.problem(n, "objects", "must name at least one object")
	}
}

func (p *parser) parseWriters() {
	n := p.fields["writers"]
	if n == nil {
		return
	}
	members, _ := p.mapping(n, "writers")
	for _, m := range members {
		path := join("writers", m.key)
		w := Writer{Name: m.key}
		have := p.members(m.node, path, "user", "manager", "extra")
		p.required(m.node, path, have, "user")
		if n := have["user"]; n != nil {
			if w.User = p.text(n, join(path, "user")); w.User == "" {
				p.problem(n, join(path, "user"), "must not be empty")
			}
		}
		if n := have["manager"]; n != nil {
			w.Manager = p.text(n, join(path, "manager"))
		}
		if n := have["extra"]; n != nil {
			w.Extra = make(map[string][]string)
			extras, _ := p.mapping(n, join(path, "extra"))
			for _, e := range extras {
				w.Extra[e.key] = p.texts(e.node, join(join(path, "extra"), e.key))
			}
		}
		p.story.Writers = append(p.story.Writers, w)
	}
	if len(members) == 0 {
		p.problem(n, "writers", "must name at least one writer")
	}
}

func list(words []string) string { return strings.Join(words, ", ") }
