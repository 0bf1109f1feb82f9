package main

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"
)

// step is a part of the preparations.
type step struct {
	name  string
	doing string // what one waits for
	do    func(*progress) error
}

// progress is what a step says of itself.
type progress struct {
	result string // what came of it, in a few words

	screen *screen
	mu     sync.Mutex
	rest   []byte
	doing  string
}

// Write takes what a builder prints, and shows each line.
func (p *progress) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, data...)
	for {
		line, rest, ok := bytes.Cut(p.rest, []byte("\n"))
		if !ok {
			return len(data), nil
		}
		p.rest = bytes.Clone(rest)
		text := strings.TrimPrefix(string(line), "controlplane: ")
		doing, goesOn := strings.CutSuffix(text, " …")
		if goesOn {
			p.doing = doing
		}
		// What else it prints is why it failed, and becomes part of the error.
		if strings.HasPrefix(text, "built ") || goesOn && !p.screen.live {
			p.screen.lines(hang("    ", text, p.screen.width)...)
		}
	}
}

// nameWidth is the width of the column with the names of steps.
const nameWidth = 14

// step does one and prints what came of it. At a terminal one sees time pass meanwhile.
func (s *screen) step(st step) error {
	p := &progress{screen: s, doing: st.doing}
	if !s.live {
		s.lines("  … " + st.doing)
	}
	start := time.Now()
	done := make(chan error, 1)
	go func() { done <- st.do(p) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			s.setStatus("")
			took := time.Since(start)
			if err != nil {
				return err
			}
			s.lines(fmt.Sprintf("%s %-*s%8s   %s", s.green("✓"), nameWidth, st.name, seconds(took), s.dim(cut(p.result, s.width-nameWidth-13))))
			return nil
		case <-tick.C:
			p.mu.Lock()
			s.setStatus(fmt.Sprintf("  %-*s%8s   %s", nameWidth, st.name, seconds(time.Since(start)), p.doing))
			p.mu.Unlock()
		}
	}
}
