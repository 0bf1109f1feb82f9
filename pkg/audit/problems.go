package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// maxProblems is how many problems are located.
const maxProblems = 10

// Problems counts what was no event, and locates the first ones. Its zero value is ready for use, by several goroutines.
type Problems struct {
	mu    sync.Mutex
	count int
	first []Problem
}

// Problem is something that is no event, and where.
type Problem struct {
	Position
	Err error
}

func (p *Problems) add(at Position, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	problem := Problem{at, err}
	i, _ := slices.BinarySearchFunc(p.first, problem, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	if i < maxProblems {
		p.first = slices.Insert(p.first[:min(len(p.first), maxProblems-1)], i, problem)
	}
}

// Count returns how many things were no event.
func (p *Problems) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// First returns the first ones, in order.
func (p *Problems) First() []Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.first)
}

// String says how many there were and where the first ones are; nothing if there are none.
func (p *Problems) String() string {
	n, first := p.Count(), p.First()
	if n == 0 {
		return ""
	}
	var b strings.Builder
	if n == 1 {
		b.WriteString("1 line was left out, since it is no audit event:\n")
	} else {
		fmt.Fprintf(&b, "%d lines were left out, since they are no audit events:\n", n)
	}
	for _, f := range first {
		fmt.Fprintf(&b, "  %s: %v\n", f.Position, f.Err)
	}
	if n > len(first) {
		fmt.Fprintf(&b, "  and %d more\n", n-len(first))
	}
	return b.String()
}
