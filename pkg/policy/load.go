package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile is the size of the largest policy file, in bytes.
const maxFile = 1 << 20

// Load reads a policy file. What is wrong with it comes back as Problems, all of them at once; name is what they call the
// file. It never panics, and its time and memory are bounded by the 1 MiB that a file may have.
func Load(data []byte, name string) (*Policy, error) {
	d := newDecoder(name, "a policy")
	file := d.file(data)
	if err := d.problems.err(); err != nil {
		return nil, err
	}
	return compile(file), nil
}

// LoadFile is Load for the file at path. If it cannot be read, the error is not Problems but wraps the reason.
func LoadFile(path string) (*Policy, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	return Load(data, path)
}

// Decode reads a file that is no policy into what v points to, as strictly as Load reads a policy: the same YAML, the same
// tags (see File), the same Problems. what says what the file is, as in "a list of receivers". check looks for what no
// value alone shows; it tells of it by the path of the value.
func Decode(data []byte, name, what string, v any, check func(problem func(path, format string, args ...any))) error {
	d := newDecoder(name, what)
	if root := d.parse(data); root != nil {
		d.value(root, reflect.ValueOf(v).Elem(), "", "")
		check(func(path, format string, args ...any) {
			if !d.problems.under(path) { // one problem with a value is enough
				d.problemAt(path, format, args...)
			}
		})
	}
	return d.problems.err()
}

// file decodes and validates a whole file and fills its defaults in. It is fit to be compiled if no problems were found.
func (d *decoder) file(data []byte) *File {
	file := &File{}
	root := d.parse(data)
	if root == nil {
		return file
	}
	d.value(root, reflect.ValueOf(file).Elem(), "", "")
	d.validate(file)
	file.fill(d.given)
	return file
}

// parse returns the root of the only document in data, or nil if there is nothing to decode.
func (d *decoder) parse(data []byte) *yaml.Node {
	if len(data) > maxFile {
		d.problems.add(Problem{Message: "is larger than " + number(maxFile) + " bytes"})
		return nil
	}
	documents := yaml.NewDecoder(bytes.NewReader(data))
	root, err := nextDocument(documents)
	if err == nil {
		var second *yaml.Node
		if second, err = nextDocument(documents); err == nil {
			d.problem(second, "", "a second document; %s is a file of its own", d.what)
		}
	} else if errors.Is(err, io.EOF) {
		d.problems.add(Problem{Line: 1, Column: 1, Message: "is empty; " + d.what + " starts with `apiVersion: " + APIVersion + "`"})
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		d.problems.add(syntaxProblem(err))
	}
	return root
}

// nextDocument returns the root of the next document that is not empty, or io.EOF.
func nextDocument(documents *yaml.Decoder) (*yaml.Node, error) {
	for {
		var n yaml.Node
		if err := documents.Decode(&n); err != nil {
			return nil, err
		}
		if len(n.Content) == 1 && !isNull(n.Content[0]) {
			return n.Content[0], nil
		}
	}
}

// yamlLine finds the line in an error of the YAML parser, which says no column.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func syntaxProblem(err error) Problem {
	text := err.Error()
	p := Problem{Line: 1, Column: 1}
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = text[len(m[0]):]
		if n, err := strconv.Atoi(m[1]); err == nil {
			p.Line = n
		}
	}
	p.Message = "is not YAML: " + strings.ReplaceAll(text, "\n", " ")
	if strings.Contains(text, "alphabetic or numeric character") || strings.Contains(text, "unknown anchor") {
		p.Message += "; a pattern that starts with `*` needs quotes"
	}
	return p
}
