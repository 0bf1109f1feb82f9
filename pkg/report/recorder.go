package report

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// Options say what a Recorder records, and how much. A bound of 0 means its default.
type Options struct {
	// Store is the history whose size is told.
	Store    *history.Store
	Registry prometheus.Registerer
	Log      *slog.Logger
	// Now is the clock of what happens without a review: the ends of fights that nobody writes to any more.
	Now func() time.Time
	// Fights is how many fights and loops are kept, those that ended included; 2,000.
	Fights int
	// Retention is how long one that ended is kept; 24 h.
	Retention time.Duration
	// Changes is how many changes are kept in memory; 20,000.
	Changes int
	// Queue is how many things worth telling may wait; 8,192.
	Queue int
	// TopFights is how many active fights have a metric of their own, the fastest; none.
	TopFights int
	// Disk keeps the changes beyond memory and restarts; nil for none.
	Disk *Disk
	// Events tells of fights on their objects; nil for nobody.
	Events *Events
	// Key identifies the key that values are hashed with: see history.Hasher.
	Key string
}

// Recorder records what reviews find. It is the admission.Observer of the server.
type Recorder struct {
	// Register has the fights, Journal the changes.
	Register *Register
	Journal  *Journal

	metrics *metrics
	queue   chan item
	hurry   chan struct{} // the queue is half full
	log     *slog.Logger
	now     func() time.Time
	events  *Events
	disk    *Disk
}

var _ admission.Observer = (*Recorder)(nil)

// item is something worth telling: a write, a verdict, or both. It is passed by value, so that telling allocates nothing.
type item struct {
	at           time.Time
	object       admission.Object
	key          history.Key
	write        admission.Write
	outcome      Outcome // of the write; empty if there is none
	verdict      *admission.Verdict
	held         bool // the mutating webhook's verdict: a write only if it was held
	observedOnly bool
}

// New returns a Recorder. Its Run has to be running for anything to be recorded but the metrics of reviews.
func New(o Options) *Recorder {
	o.Fights = cmp.Or(o.Fights, 2_000)
	o.Retention = cmp.Or(o.Retention, 24*time.Hour)
	o.Changes = cmp.Or(o.Changes, 20_000)
	o.Queue = cmp.Or(o.Queue, 8_192)
	r := &Recorder{
		Register: newRegister(o.Fights, o.Retention), Journal: newJournal(o.Changes, o.Key, o.Disk),
		queue: make(chan item, o.Queue), hurry: make(chan struct{}, 1), log: o.Log, now: o.Now, events: o.Events, disk: o.Disk,
	}
	r.metrics = newMetrics(o, r)
	r.Register.onTurn = r.turned
	return r
}

// Reviewed counts an answered review and queues what is worth telling of it. It does not block.
func (r *Recorder) Reviewed(phase admission.Phase, resp *admission.Response, took time.Duration) {
	r.metrics.reviewed(phase, resp, took)
	if len(resp.Writes) > 0 || len(resp.Verdicts) > 0 {
		r.enqueue(phase, resp, false)
	}
}

// Observed queues what is worth telling of a write that admission never sees.
func (r *Recorder) Observed(resp *admission.Response) {
	r.metrics.observed.Inc()
	r.enqueue(admission.Validating, resp, true)
}

// Recorded queues what is worth telling of a write that an audit log tells of. If observedOnly, admission never sees such
// writes. It does not block.
func (r *Recorder) Recorded(resp *admission.Response, observedOnly bool) {
	if len(resp.Writes) > 0 || len(resp.Verdicts) > 0 {
		r.enqueue(admission.Validating, resp, observedOnly)
	}
}

func (r *Recorder) enqueue(phase admission.Phase, resp *admission.Response, observedOnly bool) {
	denied := denial(resp)
	it := item{at: resp.At, object: resp.Object, key: resp.Key, held: phase == admission.Mutating, observedOnly: observedOnly}
	for i := range resp.Writes {
		it.write = resp.Writes[i]
		it.outcome = outcomeOf(&it.write, denied, resp.DryRun)
		it.verdict = nil
		if !it.write.Unseen {
			it.verdict = verdictOn(resp, it.write.Path)
		}
		r.put(&it)
	}
	if resp.DryRun || resp.Again {
		return
	}
	// Verdicts without a write of their own: on writes that changed nothing, and of the mutating webhook.
	it.write, it.outcome = admission.Write{}, ""
	for i := range resp.Verdicts {
		if it.verdict = &resp.Verdicts[i]; !told(resp, it.verdict.Path) {
			r.put(&it)
		}
	}
}

func (r *Recorder) put(it *item) {
	select {
	case r.queue <- *it:
	default:
		r.metrics.dropped.queue.Inc()
		return
	}
	if len(r.queue) >= cap(r.queue)/2 {
		select {
		case r.hurry <- struct{}{}:
		default:
		}
	}
}

// denial returns what stopped the whole write, if anything did.
func denial(resp *admission.Response) Outcome {
	if resp.Allowed {
		return ""
	}
	if len(resp.Verdicts) > 0 && resp.Verdicts[0].Reason == policy.ReasonThrottled {
		return Throttled
	}
	return Rejected
}

func outcomeOf(w *admission.Write, denied Outcome, dryRun bool) Outcome {
	switch {
	case w.Unseen:
		return Unseen
	case dryRun:
		return DryRun
	case denied != "":
		return denied
	case w.Reason == policy.ReasonHeld:
		return Held
	case w.Reason == policy.ReasonWarned:
		return Warned
	}
	return Stored
}

func verdictOn(resp *admission.Response, path string) *admission.Verdict {
	for i := range resp.Verdicts {
		if resp.Verdicts[i].Path == path {
			return &resp.Verdicts[i]
		}
	}
	return nil
}

// told reports whether a write of path is told of.
func told(resp *admission.Response, path string) bool {
	for i := range resp.Writes {
		if resp.Writes[i].Path == path && !resp.Writes[i].Unseen {
			return true
		}
	}
	return false
}

// Refused counts a request that was no review.
func (r *Recorder) Refused(phase admission.Phase, status int) { r.metrics.refuse(phase, status) }

// Panicked counts and logs an internal error.
func (r *Recorder) Panicked(phase admission.Phase, value any, stack []byte) {
	r.metrics.panics.Inc()
	r.log.Error("a review failed with an internal error; the write is left to failurePolicy",
		"phase", phase.String(), "error", fmt.Sprint(value), "stack", string(stack))
}

// sweepEvery is how often fights that nobody writes to any more are looked at.
const sweepEvery = time.Second

// gather is how long things may wait in the queue before they are recorded. To put something into a queue that somebody
// waits at means to wake them, which costs a small review some hundredths of the time that the processor spends on it. A queue
// that is half full is not waited for.
const gather = 20 * time.Millisecond

// Run records until ctx ends, and then what is queued still.
func (r *Recorder) Run(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	defer r.Journal.close()
	for {
		select {
		case it := <-r.queue:
			r.record(&it)
			select {
			case <-time.After(gather):
			case <-r.hurry:
			case <-ctx.Done():
			}
			r.drain()
		case <-ticker.C:
			r.Register.sweep(r.now())
		case <-ctx.Done():
			r.drain()
			return
		}
	}
}

// drain records what is queued, but not what comes meanwhile. Nobody else takes from the queue.
func (r *Recorder) drain() {
	for range len(r.queue) {
		it := <-r.queue
		r.record(&it)
	}
}

func (r *Recorder) record(it *item) {
	var id string
	if it.verdict != nil && it.outcome != DryRun {
		id = r.Register.judge(it)
	}
	if it.outcome != "" {
		c := changeOf(it, id)
		r.metrics.change(it)
		r.Journal.add(c)
	}
}

// turned tells of a turn. It runs under the register's lock: what it calls must not block.
func (r *Recorder) turned(u Update, on admission.Object) {
	r.metrics.turn(u)
	logTurn(r.log, u, on)
	r.events.tell(u, on)
}
