package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// How receivers are asked.
const (
	postTimeout = 10 * time.Second // for one attempt, answer and all
	backoffMin  = 2 * time.Second
	backoffMax  = 5 * time.Minute
	// retryAfterMax caps what a receiver may ask for. Whoever wants to hear nothing for longer is asked again anyway.
	retryAfterMax = 15 * time.Minute
	maxAnswer     = 4 << 10
)

// failure is why a message did not get there. Its text holds no secret.
type failure struct {
	text string
	// again: the same message may get there later, after wait at the earliest if that is not 0.
	again bool
	wait  time.Duration
}

func (f *failure) Error() string { return f.text }

// unfit is an error of making a body.
type unfit struct{ error }

// newClient returns a client that follows no redirects: they would take secrets elsewhere.
func newClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxConnsPerHost, t.MaxIdleConnsPerHost = 2, 1
		t.ResponseHeaderTimeout = postTimeout
		transport = t
	}
	return &http.Client{
		Transport: transport, Timeout: postTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// post tells a message once. It returns nil or a *failure.
func (t *target) post(ctx context.Context, client *http.Client, m *Message, now time.Time) *failure {
	r, hidden, err := t.request(ctx, m)
	if err != nil {
		// The files of secrets may be there, or better, later. A template that failed would fail again.
		return &failure{text: hidden.hide(err.Error()), again: !errors.As(err, new(unfit))}
	}
	answer, err := client.Do(r)
	if err != nil {
		var withURL *url.Error
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return &failure{text: hidden.hide(fmt.Sprintf("posting to %s: %v", redacted(r.URL), err)), again: true}
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // for the log, and so that the connection can be kept
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return nil
	}
	f := &failure{text: fmt.Sprintf("%s answered %d", redacted(r.URL), answer.StatusCode)}
	if said := cut(strings.TrimSpace(oneLine(string(body))), 120); said != "" && !strings.HasPrefix(said, "<") {
		f.text += ": " + said
	}
	f.text = hidden.hide(f.text)
	f.again, f.wait = retryable(answer.StatusCode), retryAfter(answer.Header.Get("Retry-After"), now)
	return f
}

// retryable reports whether the same request may succeed later.
func retryable(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return status >= 500
}

// retryAfter reads how long a receiver wants to be left alone, at most retryAfterMax; 0 if it does not say.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(retryAfterMax/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), retryAfterMax)
	}
	return 0
}

// backoff is how long a receiver is left alone after failures, its own wish set aside.
type backoff struct{ next time.Duration }

// fail returns how long to wait after one more failure: twice as long as the last time, up to half of it less, so that
// replicas do not come all at once.
func (b *backoff) fail() time.Duration {
	b.next = min(max(2*b.next, backoffMin), backoffMax)
	return b.next/2 + rand.N(b.next/2+1)
}

func (b *backoff) reset() { b.next = 0 }
