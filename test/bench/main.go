// Command bench measures what Truce costs, against baselines in the same run.
//
// Without -latency: the CPU time that the webhook's process uses for each review, over TLS and HTTP/2 as an API server
// sends them, beside those of controller-runtime's stock handler that allows everything without looking (./stock), and
// of net/http that reads and answers (./raw). Servers take turns, so that what else the machine does concerns all alike.
//
// With -latency: how much longer a PATCH takes on a real API server.
//
// With -reporting: how much longer a request takes because fights are reported, beside a webhook that reports nothing
// (./silent).
//
// It prints Markdown.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// options say how much is measured.
type options struct {
	cpu       time.Duration
	rounds    int
	streams   string
	kinds     string
	latency   bool
	reporting bool
	patches   int
}

func run(ctx context.Context) error {
	var o options
	flag.DurationVar(&o.cpu, "cpu", 3*time.Second, "CPU time that each server uses for each number")
	flag.IntVar(&o.rounds, "rounds", 20, "number of turns, which share this time")
	flag.StringVar(&o.streams, "streams", "1,4", "numbers of concurrent streams on the connection")
	flag.StringVar(&o.kinds, "kinds", "", "kinds of objects, separated by commas; empty for all")
	flag.BoolVar(&o.latency, "latency", false, "measure the latency on a real API server instead")
	flag.BoolVar(&o.reporting, "reporting", false, "measure what reporting adds to requests instead")
	flag.IntVar(&o.patches, "patches", 1500, "number of patches for each number, with -latency")
	flag.Parse()

	dir, err := os.MkdirTemp("", "truce-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.latency {
		return benchLatency(ctx, dir, o)
	}
	if o.reporting {
		return benchReporting(ctx, dir, o)
	}
	return benchCPU(ctx, dir, o)
}

func (o *options) streamCounts() ([]int, error) {
	var all []int
	for _, text := range strings.Split(o.streams, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-streams: %q is not a number of streams", text)
		}
		all = append(all, n)
	}
	return all, nil
}

// chosen reports whether a kind is to be measured.
func (o *options) chosen(k *kind) bool {
	return o.kinds == "" || strings.Contains(","+o.kinds+",", ","+k.name+",")
}
