package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxProblems is how many problems of one file are told; somebody who made more of them has made one many times.
const maxProblems = 100

// Problem is something wrong with a policy file.
type Problem struct {
	File string
	// Line and Column count from 1; 0 if the problem is the file as a whole.
	Line, Column int
	// Path leads to what is wrong, as in `rules[2].throttle.burst`; empty for the file as a whole.
	Path string
	// Message says what is wrong and, where it can, what to write instead.
	Message string
}

// String writes p as `file:line:column: path: message`, leaving out what is not known.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems are all that is wrong with a policy file, in the order of its lines. If there are more than 100, the last one
// says how many are not listed.
type Problems []Problem

// Error writes one problem per line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// problemList collects problems, so many that sorting them makes sense, but not as many as a hostile file can have.
type problemList struct {
	file    string
	found   []Problem
	dropped int
}

// full reports whether further problems are only counted.
func (l *problemList) full() bool { return len(l.found) == 10*maxProblems }

func (l *problemList) add(p Problem) {
	if l.full() {
		l.dropped++
		return
	}
	p.File = l.file
	l.found = append(l.found, p)
}

// under reports whether anything is wrong at path or below it.
func (l *problemList) under(path string) bool {
	return slices.ContainsFunc(l.found, func(p Problem) bool {
		rest, ok := strings.CutPrefix(p.Path, path)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// err returns nil if nothing was found.
func (l *problemList) err() error {
	if len(l.found) == 0 {
		return nil
	}
	slices.SortStableFunc(l.found, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	found, more := l.found, l.dropped
	if len(found) > maxProblems {
		more += len(found) - maxProblems
		found = found[:maxProblems]
	}
	if more > 0 {
		found = append(slices.Clip(found), Problem{File: l.file, Message: fmt.Sprintf("and %s more", plural(more, "problem"))})
	}
	return Problems(found)
}
