package main

import (
	"strings"
	"sync"
	"time"

	"github.com/truce-dev/truce/lab/measure"
	"github.com/truce-dev/truce/lab/stage"
)

// audience shows on the screen how a run goes.
type audience struct {
	screen *screen

	mu   sync.Mutex
	last time.Duration // when the status was printed last
}

var _ stage.Audience = (*audience)(nil)

// quiet is how long nothing is said of a run where the last line cannot be drawn again.
const quiet = 5 * time.Second

// Status shows how it stands.
func (a *audience) Status(since time.Duration, text string) {
	line := stamp(since) + "  " + text
	if a.screen.live {
		a.screen.setStatus(line)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if since-a.last >= quiet {
		a.last = since
		a.screen.lines(line)
	}
}

// Say shows that something happened.
func (a *audience) Say(since time.Duration, headline, sentence string) {
	a.screen.event(seconds(since), a.screen.green, headline, sentence)
}

// Fight shows what the webhook's log says of one.
func (a *audience) Fight(since time.Duration, e stage.Entry) { a.screen.fight(e, seconds(since)) }

// Told shows what a client was told.
func (a *audience) Told(told measure.Told) {
	s := a.screen
	who, colour := "the client gets a warning:", s.yellow
	if !told.Warning {
		who, colour = "the client gets an error:", s.red
	}
	lines := []string{indent + s.dim(who)}
	for _, l := range wrap(told.Text, s.width-len(indent)-2) {
		lines = append(lines, indent+colour("│ ")+l)
	}
	s.lines(append(lines, "")...)
}

// stamp is the first column of what happens in a run: the time since it began.
func stamp(since time.Duration) string {
	text := seconds(since)
	return strings.Repeat(" ", max(0, 8-cells(text))) + text
}

var indent = strings.Repeat(" ", cells(stamp(0))+2)

// event shows that something happened: when, a headline, and a sentence about it.
func (s *screen) event(at string, colour func(string) string, headline, sentence string) {
	first := strings.Repeat(" ", max(0, 8-cells(at))) + at + "  "
	lines := hang(first, headline+": "+sentence, s.width)
	lines[0] = strings.Replace(lines[0], headline, colour(headline), 1)
	s.lines(append(lines, "")...)
}

// fight shows what the webhook's log tells of a fight.
func (s *screen) fight(e stage.Entry, at string) {
	headline, sentence := e.Verdict()
	colour := s.red
	if e.Kind == "loop" || e.Turn == "Ended" {
		colour = s.yellow
	}
	s.event(at, colour, headline, sentence)
}
