package incluster

import (
	"net/http"
	"testing"
	"time"
)

// Every HTTP server in Go says what time it is, to the second; so does the API server.
func TestTheClockIsTheAPIServers(t *testing.T) {
	for _, wrong := range []time.Duration{0, time.Second, 5 * time.Second, -5 * time.Second, time.Hour, 400 * 24 * time.Hour, -400 * 24 * time.Hour} {
		right := time.Date(2026, 3, 1, 12, 0, 0, 999e6, time.UTC)
		offset := wrong
		c := &Clock{machine: func() time.Time { return right.Add(offset) }}
		transport := c.Wrap(answer{"Date": {right.Format(http.TimeFormat)}})
		ask := func() {
			if _, err := transport.RoundTrip(nil); err != nil {
				t.Fatal(err)
			}
		}
		if c.Ahead() != 0 {
			t.Error("it knows before it has asked")
		}
		ask()
		if off := right.Sub(c.Now()).Abs(); off > precision {
			t.Errorf("on a machine that is %v ahead, the clock is %v off", wrong, off)
		}
		if wrong.Abs() < 2*time.Second && c.Ahead() != 0 {
			t.Errorf("the Date header's resolution is taken for a difference of %v", c.Ahead())
		}
		offset = 0 // somebody set the machine's clock right
		ask()
		if off := right.Sub(c.Now()).Abs(); off > precision {
			t.Errorf("after the machine's clock was set, the clock is %v off", off)
		}
	}
}

func TestAnAnswerWithoutATimeLeavesTheClockAlone(t *testing.T) {
	c := &Clock{}
	c.ahead.Store(int64(time.Hour))
	rt := c.Wrap(answer{})
	if _, err := rt.RoundTrip(nil); err != nil || c.Ahead() != time.Hour {
		t.Errorf("ahead %v, %v", c.Ahead(), err)
	}
}

// answer is the headers of every answer.
type answer http.Header

func (a answer) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{Header: http.Header(a)}, nil
}
