package stage

import (
	"time"

	"github.com/truce-dev/truce/lab/measure"
)

// Audience is told how a scene goes. Its methods are called from any goroutine.
type Audience interface {
	// Status says how it stands, again and again.
	Status(since time.Duration, text string)
	// Say says what happened.
	Say(since time.Duration, headline, sentence string)
	// Fight says what the webhook's log says of one.
	Fight(since time.Duration, e Entry)
	// Told says what a client was told.
	Told(measure.Told)
}

// Log is an Audience for tests: it logs what happens.
type Log func(...any)

func (Log) Status(time.Duration, string) {}

func (l Log) Say(_ time.Duration, headline, sentence string) { l(headline, sentence) }

func (l Log) Fight(since time.Duration, e Entry) {
	headline, sentence := e.Verdict()
	l(since, headline, sentence)
}

func (l Log) Told(told measure.Told) { l("told:", told.Text) }
