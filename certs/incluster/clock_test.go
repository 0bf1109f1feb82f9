package incluster

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Every HTTP server in Go says what time it is; so does the API server.
func TestTheClockIsTheAPIServers(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for _, wrong := range []time.Duration{0, time.Second, 5 * time.Second, -5 * time.Second, time.Hour, 400 * 24 * time.Hour, -400 * 24 * time.Hour} {
		offset := wrong
		c := &Clock{machine: func() time.Time { return time.Now().Add(offset) }}
		client := &http.Client{Transport: c.Wrap(http.DefaultTransport)}
		ask := func() {
			resp, err := client.Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		if c.Ahead() != 0 {
			t.Error("it knows before it has asked")
		}
		ask()
		if off := time.Since(c.Now()).Abs(); off > precision {
			t.Errorf("on a machine that is %v ahead, the clock is %v off", wrong, off)
		}
		if wrong.Abs() < 2*time.Second && c.Ahead() != 0 {
			t.Errorf("the Date header's resolution is taken for a difference of %v", c.Ahead())
		}
		offset = 0 // somebody set the machine's clock right
		ask()
		if off := time.Since(c.Now()).Abs(); off > precision {
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

type answer struct{}

func (answer) RoundTrip(*http.Request) (*http.Response, error) { return &http.Response{}, nil }
