package incluster

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Clock is the API server's clock, read off its answers. It is the one that counts: the API server is who verifies the
// certificates. With a machine's own clock a wrong one would do harm: an hour ahead, it makes certificates that are not
// valid yet; a year ahead, it throws away good ones.
//
// The zero Clock is this machine's, until the first answer. It may be used concurrently.
type Clock struct {
	ahead   atomic.Int64
	machine func() time.Time // nil: time.Now
}

// Now returns the time.
func (c *Clock) Now() time.Time { return c.own().Add(c.Ahead()) }

func (c *Clock) own() time.Time {
	if c.machine != nil {
		return c.machine()
	}
	return time.Now()
}

// Ahead returns how far the API server's clock is ahead of this machine's.
func (c *Clock) Ahead() time.Duration { return time.Duration(c.ahead.Load()) }

// Wrap makes a client's transport set the clock.
func (c *Clock) Wrap(next http.RoundTripper) http.RoundTripper { return setting{next, c} }

type setting struct {
	http.RoundTripper
	clock *Clock
}

// precision is that of the Date header, and a little for the way.
const precision = 3 * time.Second

func (s setting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		ahead := date.Sub(s.clock.own())
		if ahead.Abs() < precision {
			ahead = 0
		}
		s.clock.ahead.Store(int64(ahead))
	}
	return resp, nil
}

// WrappedRoundTripper returns the transport below, as client-go wants it.
func (s setting) WrappedRoundTripper() http.RoundTripper { return s.RoundTripper }
