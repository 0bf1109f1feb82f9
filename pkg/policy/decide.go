package policy

import (
	"math/bits"
	"time"

	"golang.org/x/time/rate"

	"github.com/truce-dev/truce/pkg/history"
)

// Reason says why a write got its verdict: one of a closed set, for metrics and audit annotations.
type Reason string

// The reasons.
const (
	// The write goes through.
	ReasonNone      Reason = ""               // nothing is being fought over
	ReasonLoop      Reason = "Loop"           // one writer churns; advisory
	ReasonObserved  Reason = "Observed"       // mode Audit: recorded only
	ReasonWarned    Reason = "Warned"         // mode or action Warn
	ReasonExempt    Reason = "Exempt"         // an exempt user, group, manager or namespace
	ReasonBreak     Reason = "BreakGlass"     // the object is exempted by its annotation
	ReasonCleanup   Reason = "Cleanup"        // a namespace's deletion, garbage collection, an object on its way out
	ReasonPreferred Reason = "Preferred"      // the party that the rule prefers
	ReasonProbe     Reason = "Probe"          // the truce is over: one change is let through
	ReasonBucket    Reason = "WithinThrottle" // the throttle had a token left
	ReasonUnheld    Reason = "HoldMissed"     // it came past the mutating webhook, the only one that can hold
	// The write, or its change of the contested field, does not.
	ReasonThrottled Reason = "Throttled"
	ReasonRejected  Reason = "Rejected"
	ReasonHeld      Reason = "Held"
)

// Stops reports whether a write with this reason is not stored as it was meant.
func (r Reason) Stops() bool {
	return r == ReasonThrottled || r == ReasonRejected || r == ReasonHeld
}

// Turn is what a decision does to a fight: one of a closed set.
type Turn string

// The turns.
const (
	NoTurn   Turn = ""
	Started  Turn = "Started" // a fight was found; the truce begins
	Probed   Turn = "Probed"  // the truce is over, one change was let through
	Resumed  Turn = "Resumed" // the probe was undone; a longer truce begins
	EndedNow Turn = "Ended"   // the probe stood, or nobody tried any more
	Noticed  Turn = "Noticed" // a loop goes on; said less and less often
	// What a person decides, rather than a write.
	Released Turn = "Released" // the fight is over: its truce ends now
	Pinned   Turn = "Pinned"   // the truce lasts until a given time
)

// Verdict is what one request gets for one field.
type Verdict struct {
	Reason Reason
	Turn   Turn
	Signal history.Signal
	Rule   *CompiledRule
	// Count is how many reversals make the fight so far, or writes the loop.
	Count int
	// Until is when the truce ends; the zero time for a loop.
	Until time.Time
	// RetryAfter is what a throttled client is told to wait, 0 if it is told nothing.
	RetryAfter time.Duration
}

// Question is what a decision depends on, besides the field's ledger.
type Question struct {
	Now    time.Time
	Mode   Mode
	Rule   *CompiledRule
	Writer history.Writer
	Value  history.Value
	// Pass is why this writer passes whatever the fight: exempt, preferred, … ReasonNone if it does not.
	Pass Reason
	// CanHold: the request can be changed so that the field keeps its stored value.
	CanHold bool
}

// Decide says what the write that made the newest state of f gets, and moves the fight over f on. It changes nothing
// but f.Fight. If the verdict stops the write, the caller takes the newest state back: it was an attempt.
//
// A fight is a circuit breaker. A finding opens it: the truce. When the truce is over, one change is let through, the
// probe. If it is undone before it has stood for as long as the truce was, a truce of twice the length begins.
func Decide(q Question, found Finding, o *history.Object, f *history.Field) Verdict {
	fight := f.Fight
	turn := NoTurn
	if fight != nil && over(fight, q.Now) {
		f.End(q.Now)
		fight, turn, found = nil, EndedNow, Finding{}
	}
	if fight == nil {
		if !found.Found() {
			return Verdict{Turn: turn, Rule: q.Rule}
		}
		if found.Signal.Loop() {
			return advise(q, found)
		}
		fight = start(q, found, f)
		f.Fight = fight
		return act(q, f, Started)
	}
	fight.Last = q.Now
	o.AddParty(fight, q.Writer)
	undoes := undoes(o, f, q.Writer)
	if undoes {
		fight.Count++
	}
	if fight.Phase == history.Probing {
		if o.IsProbe(fight, q.Value, q.Writer) || !undoes {
			return verdict(q, fight, ReasonProbe, NoTurn)
		}
		fight.Phase = history.Open
		fight.Length = min(2*fight.Length, time.Duration(q.Rule.Truce.Max))
		fight.Until = q.Now.Add(fight.Length)
		return act(q, f, Resumed)
	}
	if !q.Now.Before(fight.Until) && q.Pass == ReasonNone {
		fight.Phase = history.Probing
		fight.Until = q.Now.Add(fight.Length)
		o.SetProbe(fight, q.Value, q.Writer)
		return verdict(q, fight, ReasonProbe, Probed)
	}
	return act(q, f, NoTurn)
}

// over reports whether a fight has ended by itself: its probe has stood for long enough, or its truce is over and no
// party has tried anything for as long again.
func over(f *history.Fight, now time.Time) bool {
	if f.Phase == history.Probing {
		return !now.Before(f.Until)
	}
	return !now.Before(f.Until.Add(f.Length)) && now.Sub(f.Last) >= f.Length
}

// Release ends the fight over f, if there is one, and returns what it was.
func Release(now time.Time, f *history.Field) (was history.Fight, ok bool) {
	if f.Fight == nil {
		return history.Fight{}, false
	}
	was = *f.Fight
	f.End(now)
	return was, true
}

// Pin makes the truce over f last until a given time, if there is a fight.
func Pin(now, until time.Time, f *history.Field) bool {
	if f.Fight == nil || over(f.Fight, now) {
		return false
	}
	f.Fight.Phase, f.Fight.Until, f.Fight.Last = history.Open, until, now
	return true
}

func start(q Question, found Finding, f *history.Field) *history.Fight {
	length := time.Duration(q.Rule.Truce.Length)
	fight := &history.Fight{
		Phase: history.Open, Signal: found.Signal, Count: uint32(found.Count),
		Since: q.Now, Last: q.Now, Until: q.Now.Add(length), Length: length,
	}
	fight.AddParties(f, found.Evidence)
	return fight
}

// undoes reports whether the newest state of f undoes another one, as far as its fight is concerned.
func undoes(o *history.Object, f *history.Field, w history.Writer) bool {
	last, _ := f.Last()
	if last.Any(history.Reversal) {
		return true
	}
	if f.Fight.Signal != history.Alternation {
		return false
	}
	return f.Fight.Phase != history.Probing || o.ProbedBy(f.Fight).Differs(w)
}

// act applies the rule's action, as far as the mode and the writer's standing let it.
func act(q Question, f *history.Field, turn Turn) Verdict {
	fight := f.Fight
	reason := enforce(q, fight, f.Path())
	switch {
	case q.Pass != ReasonNone:
		reason = q.Pass
	case q.Mode == Audit:
		reason = ReasonObserved
	case q.Mode == Warn:
		reason = ReasonWarned
	}
	if reason.Stops() {
		fight.Stopped++
	}
	v := verdict(q, fight, reason, turn)
	if reason == ReasonThrottled {
		v.RetryAfter = time.Duration(q.Rule.Throttle.RetryAfterSeconds) * time.Second
	}
	return v
}

func enforce(q Question, fight *history.Fight, path string) Reason {
	action := q.Rule.Action
	if action == ActionHold && path == history.Exists {
		action = ActionThrottle // a creation or deletion cannot be made to do nothing
	}
	switch action {
	case ActionThrottle:
		if q.Pass == ReasonNone && q.Mode == Enforce && !take(q, fight) {
			return ReasonThrottled
		}
		return ReasonBucket
	case ActionReject:
		return ReasonRejected
	case ActionHold:
		if q.CanHold {
			return ReasonHeld
		}
		return ReasonUnheld
	}
	return ReasonWarned
}

// take takes a token from the fight's bucket.
func take(q Question, fight *history.Fight) bool {
	t := q.Rule.Throttle
	limit := rate.Every(time.Duration(t.Every))
	if fight.Bucket == nil || fight.Bucket.Limit() != limit || fight.Bucket.Burst() != t.Burst {
		fight.Bucket = rate.NewLimiter(limit, t.Burst)
	}
	return fight.Bucket.AllowN(q.Now, 1)
}

func verdict(q Question, f *history.Fight, r Reason, t Turn) Verdict {
	return Verdict{Reason: r, Turn: t, Signal: f.Signal, Rule: q.Rule, Count: int(f.Count), Until: f.Until}
}

// advise is the verdict on a loop: advisory, whatever the mode.
func advise(q Question, found Finding) Verdict {
	v := Verdict{Reason: ReasonLoop, Signal: found.Signal, Rule: q.Rule, Count: found.Count}
	if found.Count&(found.Count-1) == 0 {
		v.Turn = Noticed
	}
	if q.Pass != ReasonNone {
		v.Reason = q.Pass
	}
	return v
}

// Holds reports whether any field of the object may be held, so that the mutating webhook has to look at it.
func (m Matched) Holds() bool {
	if m.policy == nil || m.policy.File.Mode != Enforce {
		return false
	}
	for w, word := range m.rules {
		for ; word != 0; word &= word - 1 {
			if m.policy.rules[w*64+bits.TrailingZeros64(word)].Action == ActionHold {
				return true
			}
		}
	}
	return false
}
