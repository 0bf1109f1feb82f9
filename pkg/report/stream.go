package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// How the stream of events is paced.
const (
	streamEvery = 500 * time.Millisecond // what happened meanwhile is sent together
	streamBeat  = 15 * time.Second       // a comment, so that what is between us and the client keeps the connection
	streamWrite = 10 * time.Second       // how long a client may take to receive it
)

// events sends fights that changed, as events "fight", and changes, as events "change", until the client goes: first
// the fights that go on, then what happens from now on. A client that is slow gets the latest of each fight, and may miss
// changes: nobody waits for it.
func (a *API) events(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	if err := known(values, "object", "namespace", "field", "manager", "fight"); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	changes, _ := changeQuery(values, a.Now()) // it has no times, which alone could be wrong
	fights := FightQuery{Namespace: changes.Namespace}

	select {
	case a.streams <- struct{}{}:
		defer func() { <-a.streams }()
	default:
		w.Header().Set("Retry-After", "10")
		http.Error(w, fmt.Sprintf("%d clients listen already, which is as many as can", maxStreams), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	s := &stream{w: w, control: http.NewResponseController(w)}

	_, seen := a.Journal.Since(^uint64(0), changes)
	current, revision := a.Register.Since(a.Now(), 0, fights)
	for i := range current {
		if current[i].State.Active() {
			s.event("fight", &current[i])
		}
	}
	s.comment("listening")
	tick, beat := time.NewTicker(streamEvery), time.NewTicker(streamBeat)
	defer tick.Stop()
	defer beat.Stop()
	for s.flush() {
		select {
		case <-r.Context().Done():
			return
		case <-beat.C:
			s.comment("still here")
		case <-tick.C:
			var some []Change
			some, seen = a.Journal.Since(seen, changes)
			for i := range some {
				s.event("change", &some[i])
			}
			current, revision = a.Register.Since(a.Now(), revision, fights)
			for i := range current {
				s.event("fight", &current[i])
			}
		}
	}
}

// stream writes server-sent events.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer
}

func (s *stream) event(name string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		return // there is nothing in these types that could not be told
	}
	fmt.Fprintf(&s.buf, "event: %s\ndata: %s\n\n", name, b)
}

func (s *stream) comment(text string) { fmt.Fprintf(&s.buf, ": %s\n\n", text) }

// flush sends what was written. It reports false if the client is gone.
func (s *stream) flush() bool {
	if s.buf.Len() == 0 {
		return true
	}
	// The server's own bound is on a whole answer, and this one does not end. Where none can be set, there is none.
	_ = s.control.SetWriteDeadline(time.Now().Add(streamWrite))
	_, err := s.w.Write(s.buf.Bytes())
	s.buf.Reset()
	return err == nil && s.control.Flush() == nil
}
