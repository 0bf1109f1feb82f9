package incluster

import "time"

// A caBundle that somebody else resets is put back at once the first time, and then after waits that double: two writers
// that undo each other at full speed are the very thing that Truce is there to stop. When nobody reset it for longer
// than forgiveAfter, the next time counts as the first.
const (
	firstWait    = 5 * time.Second
	longestWait  = 10 * time.Minute
	forgiveAfter = time.Hour
	// tellFrom is the restoration that is first told in an Event. One or two are somebody's upgrade.
	tellFrom  = 3
	tellEvery = time.Hour
)

// restraint bounds how often one configuration's caBundle is put back. The zero value has seen nothing.
type restraint struct {
	wait  time.Duration // from the last restoration to the next
	last  time.Time
	count int       // restorations without an hour's peace between them
	first time.Time // the first of them
	told  time.Time
}

// remaining returns how long to wait before the caBundle may be put back.
func (r *restraint) remaining(now time.Time) time.Duration {
	if r.count == 0 || now.Before(r.last) { // a clock that was set back must not make it wait for long
		return 0
	}
	return max(0, r.wait-now.Sub(r.last))
}

// restored notes that the caBundle was put back.
func (r *restraint) restored(now time.Time) {
	if r.count == 0 || now.Sub(r.last) > forgiveAfter || now.Before(r.last) {
		*r = restraint{first: now, told: r.told}
	}
	r.count++
	r.last = now
	r.wait = min(max(firstWait, 2*r.wait), longestWait)
}

// tell reports whether now is the time for an Event.
func (r *restraint) tell(now time.Time) bool {
	if r.count < tellFrom || !r.told.IsZero() && now.Sub(r.told).Abs() < tellEvery {
		return false
	}
	r.told = now
	return true
}
