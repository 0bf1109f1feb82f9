package report

import (
	"math"
	"time"
)

// rate tells how often something happened lately: the number of events, each counting less the older it is, by the time
// in which so many fit. Its zero value has counted nothing.
type rate struct {
	count       float64
	first, last time.Time
}

// rateSpan is the age at which an event counts a third of a new one. It is what "lately" means.
const rateSpan = time.Minute

func (r *rate) add(now time.Time) {
	if r.first.IsZero() {
		r.first, r.last = now, now
	}
	r.count = r.decayed(now) + 1
	if now.After(r.last) {
		r.last = now
	}
}

func (r *rate) decayed(now time.Time) float64 {
	age := max(now.Sub(r.last), 0) // the clock may jump back
	return r.count * math.Exp(-age.Seconds()/rateSpan.Seconds())
}

// perMinute returns the rate at now. Shortly after the first event, the time since then is what counts, not less than a
// second.
func (r *rate) perMinute(now time.Time) float64 {
	if r.first.IsZero() {
		return 0
	}
	age := max(now.Sub(r.first), time.Second)
	// A steady rate of x per span comes to x * (1 - e^-age/span) after age.
	full := 1 - math.Exp(-age.Seconds()/rateSpan.Seconds())
	perMinute := r.decayed(now) / full * (time.Minute.Seconds() / rateSpan.Seconds())
	return math.Round(perMinute*100) / 100
}
