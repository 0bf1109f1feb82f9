package history

import (
	"math"
	"math/bits"
	"time"

	"golang.org/x/time/rate"
)

// Fight is a fight over one field and the circuit breaker that holds it down. The rules that move it from phase to
// phase are in package policy; here it is only kept.
type Fight struct {
	Phase  Phase
	Signal Signal
	// Count is how many reversals were seen, attempts that were stopped included.
	Count uint32
	// Stopped is how many writes were denied or held.
	Stopped uint32
	// Since is when the fight was found, Last when a party last wrote or tried to.
	Since, Last time.Time
	// Until is when the truce ends (Open), or when the probe will have stood long enough (Probing).
	Until time.Time
	// Length of the current truce.
	Length time.Duration
	// Probe is the write that was let through to see whether the fight goes on.
	Probe Probe
	// Bucket limits the fight's writes under action Throttle; nil until it is needed.
	Bucket *rate.Limiter

	parties uint64 // bits: indexes into the object's writers
}

// Probe is a write that was let through to see whether a fight goes on.
type Probe struct {
	Value  Value
	writer uint8
}

// Phase is the state of a fight's circuit breaker. There is no fight when it is closed.
type Phase uint8

// The phases.
const (
	Open    Phase = iota + 1 // the truce lasts; once it is over, one change is let through
	Probing                  // one change was let through; if it is undone, the truce starts anew
)

// Signal is how a fight or a loop was found.
type Signal uint8

// The signals. What each of them means is written in docs/detection.md.
const (
	NoSignal Signal = iota
	TwoWriters
	SlowTwoWriters
	PeopleAndMachine
	OneWriter
	OneWriterOwners
	Alternation
	IneffectiveLoop
	MintingLoop
	ChurnLoop

	signals
)

var signalNames = [signals]string{
	"None", "Reversal", "SlowReversal", "PeopleReversal", "SelfReversal", "OwnerReversal", "Alternation",
	"IneffectiveLoop", "MintingLoop", "ChurnLoop",
}

// String returns the signal's name, one of a closed set.
func (s Signal) String() string {
	if s < signals {
		return signalNames[s]
	}
	return "Unknown"
}

// Loop reports whether s is a loop: one writer churning, nobody undone, advisory only.
func (s Signal) Loop() bool { return s >= IneffectiveLoop }

// AddParties adds writers of fd's states to the fight's parties: those whose bit is set, bit i being the state before
// the newest by i.
func (f *Fight) AddParties(fd *Field, evidence uint64) {
	for i := range fd.states {
		if s := fd.states[len(fd.states)-1-i]; evidence>>i&1 != 0 {
			f.addWriter(s.writer())
		}
	}
}

func (f *Fight) addWriter(w uint8) {
	if w < maxWriters {
		f.parties |= 1 << w
	}
}

// Parties returns how many parties the fight has.
func (f *Fight) Parties() int { return bits.OnesCount64(f.parties) }

func (f *Fight) clone() *Fight {
	c := *f
	if f.Bucket != nil {
		c.Bucket = bucketWith(f.Bucket.Limit(), f.Bucket.Burst(), millitokens(f.Bucket, f.Last), f.Last)
	}
	return &c
}

// millitokens returns what b has at now, in thousandths of a token.
func millitokens(b *rate.Limiter, now time.Time) uint64 {
	tokens := max(b.TokensAt(now), 0)
	if b.Limit() > fineLimit {
		return uint64(tokens) * 1000
	}
	return uint64(tokens*1000 + 1e-3)
}

// fineLimit is the rate up to which the time that a thousandth of a token takes to grow can be told in nanoseconds.
const fineLimit = 1e5

// bucketWith returns a limiter that has so many thousandths of a token at now. Only whole ones can be taken from a
// limiter, so they are taken so long before now that the fraction has grown back by then.
func bucketWith(limit rate.Limit, burst int, milli uint64, now time.Time) *rate.Limiter {
	c := rate.NewLimiter(limit, burst)
	if spent := burst - int(milli/1000); spent > 0 {
		grown := math.Ceil(float64(milli%1000) / 1000 / float64(limit) * float64(time.Second))
		c.ReserveN(now.Add(-time.Duration(min(grown, math.MaxInt64/2))), spent)
	}
	return c
}
