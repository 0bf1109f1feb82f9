package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// Widths of the text. More than maxWidth is tiring to read.
const (
	minWidth     = 60
	defaultWidth = 80
	maxWidth     = 100
)

// screen is where the lab prints: whole lines, and, at a terminal, one last line that is drawn again and again. It is
// safe for concurrent use.
type screen struct {
	style
	width int
	live  bool // the last line can be drawn again

	mu     sync.Mutex
	out    io.Writer
	status string
}

// pipe calls broken when nobody reads any more what is written.
type pipe struct {
	to     io.Writer
	broken func()
}

func (p *pipe) Write(data []byte) (int, error) {
	n, err := p.to.Write(data)
	if err != nil {
		p.broken()
	}
	return n, err
}

func newScreen(out *os.File) *screen {
	s := &screen{out: out, width: defaultWidth}
	s.live = term.IsTerminal(int(out.Fd())) && os.Getenv("TERM") != "dumb"
	s.style = style(s.live && os.Getenv("NO_COLOR") == "")
	if w, _, err := term.GetSize(int(out.Fd())); err == nil && w > 0 {
		s.width = min(max(w, minWidth), maxWidth)
	}
	return s
}

// lines prints whole lines.
func (s *screen) lines(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clearLocked()
	for _, l := range lines {
		fmt.Fprintln(s.out, strings.TrimRight(l, " "))
	}
	s.drawLocked()
}

// text prints a paragraph.
func (s *screen) text(text string) { s.lines(wrap(text, s.width)...) }

// title prints what all is about, heading what comes next.
func (s *screen) title(text string) {
	s.lines("", s.bold(text), s.dim(strings.Repeat("═", min(s.width, cells(text)))), "")
}

func (s *screen) heading(text string) {
	rule := strings.Repeat("─", max(3, s.width-cells(text)-4))
	s.lines("", s.dim("── ")+s.bold(text)+s.dim(" "+rule), "")
}

// setStatus sets the last line, empty for none. Where it cannot be drawn again it is not shown at all.
func (s *screen) setStatus(text string) {
	if !s.live {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clearLocked()
	s.status = cut(text, s.width-1)
	s.drawLocked()
}

func (s *screen) close() { s.setStatus("") }

func (s *screen) clearLocked() {
	if s.status != "" {
		fmt.Fprint(s.out, "\r\x1b[K")
	}
}

func (s *screen) drawLocked() {
	if s.status != "" {
		fmt.Fprint(s.out, s.dim(s.status))
	}
}

// style colours text, or does not.
type style bool

func (s style) bold(text string) string   { return s.code("1", text) }
func (s style) dim(text string) string    { return s.code("2", text) }
func (s style) red(text string) string    { return s.code("1;31", text) }
func (s style) green(text string) string  { return s.code("32", text) }
func (s style) yellow(text string) string { return s.code("33", text) }
func (s style) cyan(text string) string   { return s.code("36", text) }

func (s style) code(code, text string) string {
	if !s || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
