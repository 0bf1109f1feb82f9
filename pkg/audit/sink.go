package audit

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

// Bounds of a Sink.
const (
	maxBatch = 32 << 20 // bytes of one EventList
	maxQueue = 64 << 20 // bytes of all that wait to be looked at
)

// Sink is an audit webhook backend: the API server posts EventLists, and the writes in them go through the code of the
// webhook as they come, those too that admission cannot see. What is found, a report.Recorder is told, as by the webhook
// itself: fights have the same ids.
//
// It never slows an API server down: a batch is put into a bounded queue and answered at once. If there is no room, it is
// answered all the same and counted as shed, rather than refused: an API server would send it again, and again. A Sink
// must be made by NewSink, and its Run be running.
type Sink struct {
	queue  chan []byte
	queued atomic.Int64 // bytes

	batches, events, shedBatches, shedBytes, refused atomic.Int64

	most     int64 // bytes that may be queued
	guard    *admission.Guard
	player   *player
	recorder *report.Recorder
	problems Problems
	window   window
}

// NewSink returns a Sink that judges by p and tells r what it finds. queue is how many bytes may wait; 0 means 64 MiB.
func NewSink(p *policy.Policy, o report.Options, queue int64) (*Sink, error) {
	guard, store, err := guardOf(p, policy.Audit, 1)
	if err != nil {
		return nil, err
	}
	guard.Journal = true
	o.Store = store
	s := &Sink{queue: make(chan []byte, 1024), most: cmp.Or(queue, maxQueue), guard: guard, recorder: report.New(o)}
	s.player = newPlayer(1, s.judge)
	return s, nil
}

// Recorder returns what is told of fights and changes.
func (s *Sink) Recorder() *report.Recorder { return s.recorder }

// SinkStats count what came.
type SinkStats struct {
	Batches int64 `json:"batches"`
	Events  int64 `json:"events"`
	// ShedBatches were answered and not looked at, since too much was waiting.
	ShedBatches int64 `json:"shedBatches"`
	ShedBytes   int64 `json:"shedBytes"`
	// Refused were no EventLists.
	Refused int64 `json:"refused"`
	// QueuedBytes wait to be looked at.
	QueuedBytes int64 `json:"queuedBytes"`
}

// Stats returns what came so far.
func (s *Sink) Stats() SinkStats {
	return SinkStats{
		Batches: s.batches.Load(), Events: s.events.Load(), ShedBatches: s.shedBatches.Load(), ShedBytes: s.shedBytes.Load(),
		Refused: s.refused.Load(), QueuedBytes: s.queued.Load(),
	}
}

// ServeHTTP takes a batch of events.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		s.refused.Add(1)
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "truce: audit events are posted", http.StatusMethodNotAllowed)
		return
	}
	s.batches.Add(1)
	if r.ContentLength > maxBatch || s.queued.Load()+max(r.ContentLength, 0) > s.most {
		s.shed(w, max(r.ContentLength, 0))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBatch))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		s.shed(w, tooLarge.Limit)
		return
	case err != nil:
		s.refused.Add(1)
		http.Error(w, "truce: the body broke off", http.StatusBadRequest)
		return
	}
	if s.queued.Add(int64(len(body))) > s.most {
		s.queued.Add(-int64(len(body)))
		s.shed(w, int64(len(body)))
		return
	}
	select {
	case s.queue <- body:
		w.WriteHeader(http.StatusOK)
	default:
		s.queued.Add(-int64(len(body)))
		s.shed(w, int64(len(body)))
	}
}

// shed answers a batch that is not looked at. The API server is told that all is well: it can do nothing about it.
func (s *Sink) shed(w http.ResponseWriter, n int64) {
	s.shedBatches.Add(1)
	s.shedBytes.Add(n)
	w.WriteHeader(http.StatusOK)
}

// Run looks at what comes until ctx ends, and records what it finds.
func (s *Sink) Run(ctx context.Context) {
	var recording sync.WaitGroup
	recording.Go(func() { s.recorder.Run(ctx) })
	defer recording.Wait()
	s.window = window{fn: func(b *batch) {
		for _, e := range b.events {
			s.player.play(e)
		}
		b.release()
	}}
	ticker := time.NewTicker(time.Second) // the window holds events back until later ones come
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case body := <-s.queue:
			s.take(body)
			s.queued.Add(-int64(len(body)))
		case <-ticker.C:
			s.window.flush()
		}
	}
}

// take looks at one batch.
func (s *Sink) take(body []byte) {
	b := &block{file: "request"} // not one to be used again: it is the body's own
	b.refs.Store(1)
	var e Event
	e.At.File = b.file
	err := e.unwrap(body, func(e *Event) {
		s.events.Add(1)
		if e.Complete() && tells(e) && e.find() {
			one := *e
			s.window.add(&one, b)
		}
	})
	if err != nil {
		s.refused.Add(1)
		s.problems.add(e.At, err)
	}
	b.release()
}

func (s *Sink) judge(w *write) {
	resp, err := s.guard.Judge(when(w.event), admission.Validating, &w.Request)
	if err != nil {
		s.refused.Add(1)
		return
	}
	if w.worked { // what was sent once more may have been changed meanwhile
		resp.Verdicts = slices.DeleteFunc(resp.Verdicts, func(v admission.Verdict) bool { return v.Path == "" })
	}
	s.recorder.Recorded(&resp, unseenByAdmission(w.Group, w.Resource))
}
