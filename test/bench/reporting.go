package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/truce-dev/truce/test/cluster"
)

const (
	// reportedFights go on while reporting is measured, at reviewsPerSecond reviews together.
	reportedFights   = 1_000
	reviewsPerSecond = 2_000
	// senders is how many reviews may be under way at once. More would wait for the processors anyway.
	senders = 16
	// reportingTurn is how long one server is measured before it is the other one's turn.
	reportingTurn = 3 * time.Second
)

// benchReporting measures how long requests take while many fights go on, with nothing reported and with everything:
// metrics, the top fights among them, the journal in memory and on disk, notifications to a receiver that never answers,
// Events for an API server that is gone.
func benchReporting(ctx context.Context, dir string, o options) (err error) {
	silent, err := startOther(ctx, dir, "silent")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, silent.stop()) }()
	bin, err := cluster.BuildWebhook(ctx, dir)
	if err != nil {
		return err
	}
	flags, hangUp, err := everythingReported(dir)
	if err != nil {
		return err
	}
	defer hangUp()
	reporting, err := startTruce(dir, bin, "reporting", flags...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reporting.stop()) }()

	servers := []*server{silent, reporting}
	m := &match{servers: servers}
	for range servers {
		t, err := newTraffic(&kinds[0], reportedFights, true)
		if err != nil {
			return err
		}
		m.traffic = append(m.traffic, t)
	}
	for i := range servers {
		if _, err := m.send(ctx, i, 1, contestedLaps*reportedFights); err != nil { // until all of them are fights
			return err
		}
	}
	var took [2][][]time.Duration
	for range o.rounds {
		for i := range servers {
			turn, err := m.paced(ctx, i)
			if err != nil {
				return err
			}
			took[i] = append(took[i], turn)
		}
	}
	if err := printReporting(took); err != nil {
		return err
	}
	return checkReporting(reporting)
}

// everythingReported returns the flags of a webhook that reports all that it can, mostly to nobody, and what ends it.
func everythingReported(dir string) (flags []string, hangUp func(), err error) {
	// It takes connections, and never answers.
	receiver, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	notify := filepath.Join(dir, "notify.yaml")
	kubeconfig := filepath.Join(dir, "kubeconfig")
	write := func(path, content string) {
		err = errors.Join(err, os.WriteFile(path, []byte(content), 0o600))
	}
	write(notify, fmt.Sprintf("apiVersion: truce.dev/v1alpha1\nkind: Notifications\nreceivers:\n"+
		"- name: silence\n  http: {url: http://%s/}\n", receiver.Addr()))
	write(kubeconfig, "apiVersion: v1\nkind: Config\ncurrent-context: gone\n"+
		"clusters: [{name: gone, cluster: {server: 'https://127.0.0.1:1'}}]\n"+
		"users: [{name: gone, user: {}}]\ncontexts: [{name: gone, context: {cluster: gone, user: gone}}]\n")
	flags = []string{
		"--kubeconfig=" + kubeconfig, "--watch=false", "--top-fights=100", "--journal-dir=" + filepath.Join(dir, "journal"),
		"--notify=" + notify,
	}
	return flags, func() { _ = receiver.Close() }, err
}

// paced sends reviews to server i at reviewsPerSecond for a turn, whether or not earlier ones are answered, and returns how
// long each took.
func (m *match) paced(ctx context.Context, i int) ([]time.Duration, error) {
	s, t := m.servers[i], m.traffic[i]
	total := int(reportingTurn.Seconds() * reviewsPerSecond)
	due := make(chan struct{}, total)
	took := make([][]time.Duration, senders)
	errs := make([]error, senders)
	var all sync.WaitGroup
	for n := range senders {
		all.Go(func() {
			body := bytes.Clone(t.template)
			var answer bytes.Buffer
			for range due {
				t.next(body)
				start := time.Now()
				if _, err := s.review(ctx, body, &answer); err != nil {
					errs[n] = err
					return
				}
				took[n] = append(took[n], time.Since(start))
			}
		})
	}
	start := time.Now()
	for n := range total {
		time.Sleep(time.Until(start.Add(time.Duration(n) * time.Second / reviewsPerSecond)))
		due <- struct{}{}
	}
	close(due)
	all.Wait()
	return slices.Concat(took...), errors.Join(errs...)
}

func printReporting(took [2][][]time.Duration) error {
	fmt.Printf("Time of a request, µs, while %d fights go on and %d reviews come per second: medians of %d turns of %v; the "+
		"ratio of each turn to the silent webhook's in the same round: median, and the middle half. %s, %d CPUs, %s.\n\n",
		reportedFights, reviewsPerSecond, len(took[0]), reportingTurn, cpuModel(), runtime.NumCPU(), runtime.Version())
	fmt.Println("| of requests | nothing is reported | everything is | ratio | middle half | all turns together |")
	fmt.Println("|---|--:|--:|--:|:-:|--:|")
	for _, part := range []struct {
		name  string
		n, of int
	}{{"half are faster", 1, 2}, {"99 % are faster", 99, 100}, {"99.9 % are faster", 999, 1000}} {
		var micros [2][]float64
		var ratios []float64
		for round := range took[0] {
			for i := range took {
				micros[i] = append(micros[i], quantile(inMicros(took[i][round]), part.n, part.of))
			}
			ratios = append(ratios, micros[1][round]/micros[0][round])
		}
		together := quantile(inMicros(slices.Concat(took[1]...)), part.n, part.of) /
			quantile(inMicros(slices.Concat(took[0]...)), part.n, part.of)
		fmt.Printf("| %s | %.0f | %.0f | **%.2f** | %.2f–%.2f | %.2f |\n", part.name, median(micros[0]), median(micros[1]),
			median(ratios), quantile(ratios, 1, 4), quantile(ratios, 3, 4), together)
	}
	return nil
}

func inMicros(all []time.Duration) []float64 {
	micros := make([]float64, len(all))
	for i, d := range all {
		micros[i] = float64(d.Nanoseconds()) / 1e3
	}
	return micros
}

// checkReporting sees to it that what was measured is what it is called.
func checkReporting(s *server) error {
	fights, err := s.metric("truce_fights")
	if err != nil {
		return err
	}
	dropped, err := s.metric("truce_dropped_total")
	if err != nil {
		return err
	}
	memory, err := s.peakMemory()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%.0f fights, %.0f reports dropped, %d MiB at most\n", fights, dropped, memory)
	if fights != reportedFights {
		return fmt.Errorf("there are %.0f fights, not %d", fights, reportedFights)
	}
	return nil
}
