package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/truce-dev/truce/test/cluster"
)

const (
	// pool is how many objects are written in turn; contestedPool, how many that are fought over.
	pool, contestedPool = 10_000, 200
	// contestedLaps is how often those are written before anything is measured: each is a fight by then.
	contestedLaps = 10
)

// The servers that are measured.
const (
	raw = iota
	stock
	truce
	truceFights
)

// goals are the largest ratios of Truce to stock, by kind of object.
var goals = map[string]float64{
	"ServiceAccount": 0.85, "Deployment": 0.55, "CustomResourceDefinition": 0.45, "ConfigMap": 0.45,
}

func benchCPU(ctx context.Context, dir string, o options) (err error) {
	streams, err := o.streamCounts()
	if err != nil {
		return err
	}
	servers, err := startAll(ctx, dir)
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
	}()
	if err != nil {
		return err
	}
	fmt.Printf("CPU time of the server's process per review, µs: medians of %d turns that take %v together; the ratio of "+
		"each turn to the stock handler's in the same round: median, and the middle half. %s, %d CPUs, %s.\n\n",
		o.rounds, o.cpu, cpuModel(), runtime.NumCPU(), runtime.Version())
	fmt.Println("| review | streams | net/http reads and answers | stock handler | Truce | Truce / stock | middle half | goal | Truce, every write in a fight | / stock |")
	fmt.Println("|---|--:|--:|--:|--:|--:|:-:|--:|--:|--:|")
	for i := range kinds {
		k := &kinds[i]
		if !o.chosen(k) {
			continue
		}
		m, err := newMatch(ctx, k, servers)
		if err != nil {
			return err
		}
		for _, n := range streams {
			if err := m.measure(ctx, n, o); err != nil {
				return err
			}
			m.print(k, n)
		}
	}
	return check(servers)
}

func startAll(ctx context.Context, dir string) (servers []*server, err error) {
	add := func(s *server, err error) error {
		if s != nil {
			servers = append(servers, s)
		}
		return err
	}
	for _, name := range []string{"raw", "stock"} {
		if err := add(startOther(ctx, dir, name)); err != nil {
			return servers, err
		}
	}
	bin, err := cluster.BuildWebhook(ctx, dir)
	if err != nil {
		return servers, err
	}
	for _, name := range []string{"truce", "truce with fights"} {
		if err := add(startTruce(dir, bin, name)); err != nil {
			return servers, err
		}
	}
	return servers, nil
}

// check sees to it that what was measured is what it is called.
func check(servers []*server) error {
	for _, s := range servers {
		if n := s.dials.Load(); n != 1 {
			return fmt.Errorf("%s was sent reviews on %d connections, not on one", s.name, n)
		}
		memory, err := s.peakMemory()
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: %d MiB at most\n", s.name, memory)
	}
	verdicts, err := servers[truce].metric("truce_verdicts_total")
	if err != nil {
		return err
	}
	if verdicts > 0 {
		return fmt.Errorf("%v verdicts on writes among which there are no fights", verdicts)
	}
	return nil
}

// match is the servers side by side, with one kind of object.
type match struct {
	servers []*server
	traffic []*traffic
	costs   [][]float64 // by server and round, in µs
}

func newMatch(ctx context.Context, k *kind, servers []*server) (*match, error) {
	m := &match{servers: servers}
	for i := range servers {
		objects := pool
		if i == truceFights {
			objects = contestedPool
		}
		t, err := newTraffic(k, objects, i == truceFights)
		if err != nil {
			return nil, err
		}
		m.traffic = append(m.traffic, t)
	}
	for i := range servers {
		if _, err := m.send(ctx, i, 1, 1); err != nil { // one stream first, so that the others find its connection
			return nil, err
		}
	}
	_, err := m.send(ctx, truceFights, 8, contestedLaps*contestedPool)
	return m, err
}

// measure lets the servers take turns.
func (m *match) measure(ctx context.Context, streams int, o options) error {
	turn := o.cpu / time.Duration(o.rounds)
	requests := make([]int, len(m.servers))
	for i := range m.servers {
		const few = 300
		if _, err := m.send(ctx, i, streams, few); err != nil { // warms up
			return err
		}
		cost, err := m.send(ctx, i, streams, few)
		if err != nil {
			return err
		}
		requests[i] = int(few * turn / max(cost, 1))
	}
	m.costs = make([][]float64, len(m.servers))
	for range o.rounds {
		for i := range m.servers {
			cost, err := m.send(ctx, i, streams, requests[i])
			if err != nil {
				return err
			}
			m.costs[i] = append(m.costs[i], float64(cost.Nanoseconds())/1e3/float64(requests[i]))
		}
	}
	return nil
}

// send sends so many reviews to server i and returns the CPU time that it took to answer.
func (m *match) send(ctx context.Context, i, streams, requests int) (time.Duration, error) {
	s, t := m.servers[i], m.traffic[i]
	before, err := s.cpu()
	if err != nil {
		return 0, err
	}
	fights := t.contested && t.sent.Load() >= contestedLaps*contestedPool
	var left, warned atomic.Int64
	left.Store(int64(requests))
	errs := make([]error, streams)
	var all sync.WaitGroup
	for n := range streams {
		all.Go(func() {
			body := bytes.Clone(t.template)
			var answer bytes.Buffer
			for left.Add(-1) >= 0 {
				t.next(body)
				w, err := s.review(ctx, body, &answer)
				if err != nil {
					errs[n] = err
					return
				}
				if w {
					warned.Add(1)
				}
			}
		})
	}
	all.Wait()
	after, err := s.cpu()
	if err := errors.Join(append(errs, err)...); err != nil {
		return 0, err
	}
	if fights && int(warned.Load()) < requests*9/10 { // the others were let through to see whether the fight is over
		return 0, fmt.Errorf("%d of %d writes in a fight got a warning", warned.Load(), requests)
	}
	return after - before, nil
}

func (m *match) print(k *kind, streams int) {
	ratios := func(i int) []float64 {
		r := make([]float64, len(m.costs[i]))
		for n := range r {
			r[n] = m.costs[i][n] / m.costs[stock][n]
		}
		return r
	}
	r := ratios(truce)
	fmt.Printf("| %s, %.1f kB | %d | %.0f | %.0f | **%.0f** | **%.2f** | %.2f–%.2f | %.2f | %.0f | %.2f |\n",
		k.name, float64(len(m.traffic[0].template))/1e3, streams,
		median(m.costs[raw]), median(m.costs[stock]), median(m.costs[truce]), median(r), quantile(r, 1, 4), quantile(r, 3, 4),
		goals[k.name], median(m.costs[truceFights]), median(ratios(truceFights)))
}

func median(values []float64) float64 { return quantile(values, 1, 2) }

// quantile returns the value that a part of n in values is not above, the lower one of two.
func quantile(values []float64, part, n int) float64 {
	return slices.Sorted(slices.Values(values))[(len(values)-1)*part/n]
}
