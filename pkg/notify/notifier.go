package notify

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/truce-dev/truce/pkg/report"
)

// FightSource is where fights are looked up: a report.Register.
type FightSource interface {
	Fights(now time.Time, q report.FightQuery) []report.Fight
}

// ChangeSource is where changes are looked up: a report.Journal.
type ChangeSource interface {
	Since(n uint64, q report.ChangeQuery) ([]report.Change, uint64)
}

// Options say whom to tell, and of what.
type Options struct {
	File     *File
	Register FightSource
	Journal  ChangeSource
	// Claims keeps replicas from telling the same twice; nil if there is but one, or if each is to tell what it sees.
	Claims *Claims
	// Replica names this one in summaries.
	Replica    string
	Log        *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
	// Transport is what requests go through; nil for the usual one, which minds HTTPS_PROXY.
	Transport http.RoundTripper
}

// Notifier tells the receivers. Each has a goroutine of its own, so that none waits for another.
type Notifier struct {
	teller []*teller
}

// New returns a Notifier. Its Run has to be running for anything to be told.
func New(o Options) (*Notifier, error) {
	n := &Notifier{}
	client := newClient(o.Transport)
	var types []string
	for i := range o.File.Receivers {
		r := &o.File.Receivers[i]
		to, err := newTarget(r, o.File.Cluster)
		if err != nil {
			return nil, err
		}
		types = append(types, to.kind)
		t := &teller{
			o: o, name: r.Name, to: to, client: client, changes: r.Changes, seen: math.MaxUint64,
			remind: rate.Sometimes{First: 1, Interval: remindEvery},
		}
		if r.Fights != nil {
			t.tracker = newTracker(*r.Fights)
		}
		n.teller = append(n.teller, t)
	}
	results := newMetrics(o.Registerer, types)
	for _, t := range n.teller {
		t.results = results.MustCurryWith(prometheus.Labels{"type": t.to.kind})
	}
	return n, nil
}

// lookEvery is how often the register is looked at.
const lookEvery = time.Second

// remindEvery is how often a problem that stays is logged.
const remindEvery = 5 * time.Minute

// Run tells until ctx ends. What is being told then is given up.
func (n *Notifier) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, t := range n.teller {
		all.Go(func() { t.run(ctx) })
	}
	all.Wait()
}

// teller tells one receiver. Only its run's goroutine touches it.
type teller struct {
	o       Options
	name    string
	to      target
	client  *http.Client
	results *prometheus.CounterVec

	tracker *tracker // nil: it is told of no fights

	changes  *Changes // nil: it gets no summaries
	digester *digester
	seen     uint64    // changes
	summary  []Message // that it has yet to get

	backoff   backoff
	notBefore time.Time
	remind    rate.Sometimes
	dropped   int // of the tracker's, those that were counted
}

func (t *teller) run(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		t.look(ctx, t.o.Now())
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look takes note of how things stand, and tells what is due.
func (t *teller) look(ctx context.Context, now time.Time) {
	t.sum(now)
	if t.tracker != nil {
		t.tracker.see(now, t.o.Register.Fights(now, report.FightQuery{}))
	}
	if now.Before(t.notBefore) {
		return
	}
	for len(t.summary) > 0 {
		if !t.tell(ctx, &t.summary[0], now) {
			return
		}
		t.summary = t.summary[1:]
	}
	if t.tracker == nil {
		return
	}
	t.tellFights(ctx, now)
	if n := t.tracker.forgotten; n > t.dropped {
		t.results.WithLabelValues(resultDropped).Add(float64(n - t.dropped))
		t.dropped = n
	}
}

// maxSummaries is how many summaries wait for a receiver that is gone; the oldest is dropped.
const maxSummaries = 4

func (t *teller) tellFights(ctx context.Context, now time.Time) {
	for _, some := range batches(t.tracker.due(now), t.to.many) {
		some = t.claim(ctx, some, now)
		if len(some) == 0 {
			continue
		}
		groups := make([]Group, len(some))
		for i := range some {
			groups[i] = newGroup(some[i].id, some[i].phase, some[i].fights)
		}
		m := about(groups, t.o.File.Cluster, now)
		if !t.tell(ctx, &m, now) {
			return
		}
		for i := range some {
			some[i].tell(now)
		}
		if t.o.Now().Sub(now) > lookEvery {
			return // a slow receiver: look how things stand before it is told more
		}
	}
}

// batches parts groups into messages: those of one phase together or, unless many may be in one, each for itself.
func batches(all []due, many bool) (out [][]due) {
	open := map[Phase]int{}
	for _, d := range all {
		if i, ok := open[d.phase]; ok && many {
			out[i] = append(out[i], d)
			continue
		}
		open[d.phase] = len(out)
		out = append(out, []due{d})
	}
	return out
}

// claim returns the groups that this replica is to tell of. If the API server cannot say, it tells: twice is better than
// never.
func (t *teller) claim(ctx context.Context, all []due, now time.Time) []due {
	if t.o.Claims == nil {
		return all
	}
	claims := make([]claim, len(all))
	for i := range all {
		claims[i] = claim{
			key: t.name + "." + all[i].id, phase: all[i].phase,
			every: time.Duration(t.tracker.which.Every), pause: time.Duration(t.tracker.which.Pause),
		}
	}
	mine, err := t.o.Claims.take(ctx, now, claims)
	if err != nil {
		if ctx.Err() == nil {
			t.remind.Do(func() {
				t.o.Log.Warn("replicas cannot agree on who notifies, so each one does", "receiver", t.name, "error", err)
			})
		}
		return all
	}
	var some []due
	for i := range all {
		if mine[i] {
			some = append(some, all[i])
			continue
		}
		all[i].tell(now)
		t.results.WithLabelValues(resultShared).Inc()
	}
	return some
}

// tell tells a message, and reports whether that is settled: it got there, or never will.
func (t *teller) tell(ctx context.Context, m *Message, now time.Time) bool {
	f := t.to.post(ctx, t.client, m, now)
	switch {
	case f == nil:
		t.backoff.reset()
		t.results.WithLabelValues(resultSent).Inc()
		t.o.Log.Debug("notified", "receiver", t.name, "phase", string(m.Phase), "key", m.Key)
		return true
	case ctx.Err() != nil:
		return false
	case !f.again:
		t.results.WithLabelValues(resultFailed).Inc()
		t.o.Log.Error("a notification was refused and is given up", "receiver", t.name, "phase", string(m.Phase), "error", f)
		return true
	}
	wait := t.backoff.fail()
	if f.wait > 0 {
		wait = f.wait
	}
	t.notBefore = t.o.Now().Add(wait)
	t.results.WithLabelValues(resultRetried).Inc()
	t.remind.Do(func() {
		t.o.Log.Warn("a receiver cannot be notified, trying again", "receiver", t.name, "phase", string(m.Phase), "error", f,
			"in", wait.Round(time.Second).String())
	})
	return false
}

// sum adds to the receiver's summary what changed, and closes it when it is due.
func (t *teller) sum(now time.Time) {
	if t.changes == nil {
		return
	}
	if t.digester == nil {
		t.digester = newDigester(*t.changes, t.o.Replica, now)
	}
	var some []report.Change
	some, t.seen = t.o.Journal.Since(t.seen, report.ChangeQuery{})
	t.digester.add(some)
	if !t.digester.due(now) {
		return
	}
	if t.digester.total > 0 {
		if len(t.summary) == maxSummaries {
			t.summary = t.summary[1:]
			t.results.WithLabelValues(resultDropped).Inc()
		}
		t.summary = append(t.summary, t.digester.message(t.o.File.Cluster, now))
	}
	t.digester.reset(now.UTC().Truncate(time.Duration(t.changes.Every)))
}
