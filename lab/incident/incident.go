// Package incident plays what Truce was made for: a controller that fights with itself over an annotation of
// ServiceAccounts (package archetype), and the network policy engine that suffers from it (package victim), so that new
// Pods cannot be reached.
package incident

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/truce-dev/truce/lab/archetype"
	"github.com/truce-dev/truce/lab/measure"
	"github.com/truce-dev/truce/lab/stage"
	"github.com/truce-dev/truce/lab/victim"
)

// How big it is.
const (
	services   = 4
	components = 2 // of a service, which share its ServiceAccount
	podsEach   = 120
	policyEach = 24
)

// shortestOutset is how long a run has just begun. Truce sees a fight only when there has been one: about ten writes of
// each object, which the policy engine has to work off whatever comes then. Where that takes longer, on a slow machine, so
// does the outset. Latencies are those of Pods made later; the longest of those before is a number of its own.
const shortestOutset = 4 * time.Second

// asGoodAsEmpty is a depth of the queue that nobody notices.
const asGoodAsEmpty = 20

// threads is how many more threads of Go there are than cores.
const threads = 8

var nodes = []string{"node-1", "node-2"}

// Names of what is measured.
const (
	Attempted   = "fight writes attempted"
	Stored      = "fight writes stored"
	DepthP99    = "queue depth, p99"
	DepthMax    = "queue depth, max"
	LatencyP50  = "new Pod to route, p50"
	LatencyP99  = "new Pod to route, p99"
	LatencyMax  = "new Pod to route, max"
	LatencyOut  = "max in the outset"
	Outset      = "outset"
	Pods        = "new Pods"
	PodsLater   = "new Pods after the outset"
	Dead        = "new Pods dead"
	DeadLater   = "new Pods dead after the outset"
	DeadJobs    = "of these CronJobs'"
	Dropped     = "connections dropped"
	Found       = "last fight found after"
	StoredFirst = "stored by then"
	StoredLater = "stored from then on"
	Recovered   = "queue empty again after"

	// Series.
	Depth   = "queue depth"
	Latency = "new Pod to route"
)

// Actions are those that it is played with.
var Actions = []stage.Action{
	stage.Calm, stage.Without, stage.Warn, stage.Throttle, stage.Reject, stage.Hold, stage.Late,
}

// play is one run.
type play struct {
	*stage.Stage
	action   stage.Action
	ns       string
	audience stage.Audience

	tally    measure.Tally
	engine   *victim.Engine
	workload *workload
	sampler  measure.Sampler

	began time.Time
	mu    sync.Mutex
	run   measure.Run
	found int           // fights
	after time.Duration // the last was found
	first int           // writes stored by then
}

// Play plays it for a time, in a namespace of its own. When ctx ends before, the run is what there is until then.
func Play(ctx context.Context, st *stage.Stage, a stage.Action, length time.Duration, audience stage.Audience) (measure.Run, error) {
	// In a cluster the controller, the engine's agents and all else are processes of their own. Here they are one, and with as
	// many threads as there are cores the agents, which are busy, would hold up the controller, and so the fight.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + threads))

	p := &play{Stage: st, action: a, ns: "incident-" + string(a), audience: audience}
	p.run = measure.Run{Scene: "incident", Action: string(a), Title: a.Title()}
	// The engine's informers outlive ctx, and with them all else is stopped in good order.
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	wait, err := p.prepare(ctx, background)
	if err != nil {
		return p.run, err
	}
	defer wait()
	defer cancel()
	return p.run, p.perform(ctx, length)
}

// prepare makes everything and waits until all is quiet.
func (p *play) prepare(ctx, background context.Context) (wait func(), err error) {
	p.audience.Status(0, "preparing a fresh namespace …")
	if err := p.Use(ctx, p.action); err != nil {
		return nil, err
	}
	if err := p.CreateNamespace(ctx, p.ns); err != nil {
		return nil, err
	}
	share := components
	if !p.action.Fights() {
		share = 1 // each component has its ServiceAccount to itself
	}
	list := archetype.Shared(services, share)
	var accounts []string
	for _, s := range list {
		accounts = append(accounts, s.Name)
	}
	if err := archetype.Deploy(ctx, p.Admin, p.ns, list); err != nil {
		return nil, err
	}
	population := victim.Population{Namespace: p.ns, Accounts: accounts, Nodes: nodes, Pods: podsEach, Policies: policyEach}
	if err := population.Create(ctx, p.Admin); err != nil {
		return nil, fmt.Errorf("making Pods and NetworkPolicies: %w", err)
	}

	config := rest.CopyConfig(p.Cluster.Config)
	config.UserAgent = "policy-engine"
	config.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	p.workload = newWorkload(client, p.ns, accounts, nodes)
	if p.engine, err = victim.New(client, p.ns, nodes, p.workload.reach); err != nil {
		return nil, err
	}
	if wait, err = p.engine.Start(background); err != nil {
		return nil, err
	}
	done := -1
	err = stage.Await(ctx, "the policy engine has taken in what is there", func() (bool, error) {
		before := done
		done = p.engine.Done()
		return p.engine.Depth() == 0 && done == before && done > 0, nil
	})
	return wait, err
}

// perform lets everything run and measures.
func (p *play) perform(ctx context.Context, length time.Duration) error {
	config := rest.CopyConfig(p.As(stage.ControllerNamespace, "archetype"))
	config.WarningHandler = &p.tally
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	controller, err := archetype.New(client, p.ns, p.tally.Wrote)
	if err != nil {
		return err
	}
	before, err := p.Count(ctx)
	if err != nil {
		return err
	}
	p.began, p.run.Began = time.Now(), time.Now()
	p.OnFight(p.heed)
	defer p.OnFight(nil)
	p.sampler.Gauge(Depth, "", func() float64 { return float64(p.engine.Depth()) })
	p.sampler.Gauge(Latency, "s", func() float64 { return p.workload.longest().Seconds() })
	p.sampler.Rate(Attempted, func() float64 { return float64(p.tally.Now().Attempted) })
	p.sampler.Rate(Stored, func() float64 { return float64(p.tally.Now().Stored) })

	if p.action == stage.Late {
		length *= 3 // at most: it ends when the queue has been worked off
	}
	running, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var all sync.WaitGroup
	var failure, late error
	all.Go(func() { failure = controller.Run(running) })
	all.Go(func() { p.workload.run(running, services*podsEach) })
	var sampling sync.WaitGroup
	sampling.Go(func() { p.sampler.Run(running) })
	all.Go(func() { p.report(running) })
	if p.action == stage.Late {
		late = p.switchOn(running, length/12)
		p.recover(running)
		cancel()
	}
	<-running.Done()
	sampling.Wait() // it is at once
	outset, over := p.outset()
	outcome := p.workload.outcome(outset)
	outcome.over = over
	all.Wait()
	p.run.Seconds = time.Since(p.began).Seconds()
	// What there is can be counted although ctx has ended.
	after, err := p.Count(context.WithoutCancel(ctx))
	if err = errors.Join(err, late); err == nil && ctx.Err() == nil {
		err = errors.Join(failure, outcome.failed)
	}
	if err != nil && ctx.Err() == nil {
		return err
	}
	p.sum(before, after, outcome, p.sampler.Seen(Depth))
	if w := p.tally.Now(); w.Attempted == 0 && ctx.Err() == nil {
		return errors.New("the controller wrote nothing")
	}
	return nil
}

// switchOn registers Truce after a while.
func (p *play) switchOn(ctx context.Context, after time.Duration) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(after):
	}
	if err := p.Enforce(ctx, p.action); err != nil {
		return err
	}
	p.mark("Truce is switched on")
	p.audience.Say(time.Since(p.began), "TRUCE IS SWITCHED ON", "The webhook is registered from now on.")
	return nil
}

// recover waits until the queue is as good as empty, and a little longer, so that one sees that it stays so.
func (p *play) recover(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for p.engine.Depth() >= asGoodAsEmpty {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(shortestOutset):
	}
}

// outset returns how long the outset lasted, and false if it was not over at the end. Only where Truce acts does the end
// of it depend on anything.
func (p *play) outset() (length time.Duration, over bool) {
	if !p.action.Enforced() {
		return shortestOutset, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found < services {
		return shortestOutset, false
	}
	return endOfOutset(p.sampler.Series()[0], p.after)
}

// endOfOutset returns the first moment after the shortest outset, and after the last fight was found, when the queue is as
// good as empty, and whether there is one.
func endOfOutset(depth measure.Series, found time.Duration) (time.Duration, bool) {
	for i, highest := range depth.Points {
		at := time.Duration(float64(i+1) * depth.Step * float64(time.Second))
		if at >= max(shortestOutset, found) && highest < asGoodAsEmpty {
			return at, true
		}
	}
	return shortestOutset, false
}

func (p *play) mark(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run.Marks = append(p.run.Marks, measure.Mark{Seconds: time.Since(p.began).Seconds(), Text: text})
}

// heed hears of fights.
func (p *play) heed(e stage.Entry) {
	if e.Namespace != p.ns {
		return
	}
	since := time.Since(p.began)
	if e.Turn == "Started" && e.Kind == "fight" {
		p.mu.Lock()
		p.found++
		p.after, p.first = since, p.tally.Now().Stored
		first := p.found == 1
		p.mu.Unlock()
		if !first {
			return // the others are like it
		}
	}
	p.audience.Fight(since, e)
}

// report tells the audience how it goes.
func (p *play) report(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, told := range p.tally.Untold() {
			p.audience.Told(told)
		}
		w := p.tally.Now()
		p.audience.Status(time.Since(p.began), fmt.Sprintf("%d writes attempted, %d stored; %d updates wait, and a new Pod for %.1f s",
			w.Attempted, w.Stored, p.engine.Depth(), p.workload.oldest().Seconds()))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sum fills in what was measured.
func (p *play) sum(before, after stage.Counts, o outcome, depths []float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, w := &p.run, p.tally.Now()
	add := func(name, unit string, v float64) {
		r.Values = append(r.Values, measure.Value{Name: name, Unit: unit, Number: v})
	}
	rate := func(name string, n float64) { add(name, "/s", n/r.Seconds) }
	rate(Attempted, float64(w.Attempted))
	rate(Stored, float64(w.Stored))
	add(DepthP99, "", measure.Quantile(depths, 0.99))
	add(DepthMax, "", measure.Quantile(depths, 1))
	for _, q := range []struct {
		name string
		q    float64
	}{{LatencyP50, 0.5}, {LatencyP99, 0.99}, {LatencyMax, 1}} {
		add(q.name, "s", measure.Quantile(o.latencies, q.q))
		last := &r.Values[len(r.Values)-1]
		last.AtLeast = o.youngest > 0 && last.Number >= o.youngest
	}
	add(LatencyOut, "s", o.first)
	add(Outset, "s", o.outset.Seconds())
	r.Values[len(r.Values)-1].Absent = !o.over
	add(Pods, "", float64(o.made))
	add(PodsLater, "", float64(len(o.latencies)))
	add(Dead, "", float64(o.dead))
	add(DeadLater, "", float64(o.deadLater))
	add(DeadJobs, "", float64(o.deadJobs))
	add(Dropped, "", float64(p.engine.Dropped()))
	there := p.action.Registered() || p.action == stage.Late
	truce := func(name, unit string, v float64, known bool) {
		add(name, unit, v)
		r.Values[len(r.Values)-1].Absent = !known
	}
	r.Values = append(r.Values, after.Usage(before, r.Seconds, there)...)
	all := p.found >= services
	truce(Found, "s", p.after.Seconds(), all)
	truce(StoredFirst, "", float64(p.first), all)
	truce(StoredLater, "", float64(w.Stored-p.first), all)
	r.Series = p.sampler.Series()
	if p.action == stage.Late && len(r.Marks) > 0 {
		seconds, ok := recovered(r.Series[0], r.Marks[0].Seconds)
		truce(Recovered, "s", seconds, ok)
	}
	if there && p.found < services {
		r.Notes = append(r.Notes, fmt.Sprintf("Truce found %d of %d fights.", p.found, services))
	}
	if w.Busy > max(1, w.Attempted/10) {
		r.Notes = append(r.Notes, fmt.Sprintf("%d of %d writes failed because the API server or the machine was too busy.",
			w.Busy, w.Attempted))
	}
	if w.Failed > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%d writes failed for other reasons, the last with: %v",
			w.Failed, strings.TrimSpace(w.Failure.Error())))
	}
}

// recovered returns how long after a moment the queue was as good as empty for the first time.
func recovered(depth measure.Series, moment float64) (float64, bool) {
	for i, v := range depth.Points {
		if at := float64(i+1) * depth.Step; at > moment && v < asGoodAsEmpty {
			return at - moment, true
		}
	}
	return 0, false
}
