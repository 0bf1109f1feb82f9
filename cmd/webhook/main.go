// Command webhook is Truce's admission webhook: it remembers who wrote which field, finds writers that fight, and
// answers as a policy file says. See --help for its flags.
//
// It serves reviews at /validate and /mutate over TLS, and /healthz, /readyz, /metrics and /api/v1 on a port of its own. It ends
// with 0 after SIGTERM or SIGINT, 1 when something failed, 2 when it was called wrongly.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/truce-dev/truce/pkg/notify"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run(untilSignal(), os.Args[1:], os.Stdout, os.Stderr))
}

// untilSignal returns a context that ends with the first SIGTERM or SIGINT. The second one ends the process at once,
// for whoever does not want to wait.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitFailed)
	}()
	return ctx
}

// run is the whole program but for the process around it: it ends when ctx does, in good order, and returns the exit
// code. Logs go to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, done, err := parseFlags(args, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "%v\nSee webhook --help.\n", err)
		return exitUsage
	}
	if done {
		return exitOK
	}
	if cfg.checkConfig {
		return checkConfig(cfg, stdout, stderr)
	}

	log := newLogger(stderr, cfg.logFormat, cfg.logLevel)
	routeLibraryLogs(log)
	s, err := New(cfg, log, newGuard)
	if err != nil {
		logFailure(log, "not started", err)
		return exitFailed
	}
	if path := s.CABundle(); path != "" {
		fmt.Fprintf(stdout, "CA bundle: %s\n", path)
	}
	if err := s.Run(ctx); err != nil {
		logFailure(log, "stopped by a failure", err)
		return exitFailed
	}
	log.Info("stopped")
	return exitOK
}

// checkConfig loads the policy and the receivers of notifications just as the server would.
func checkConfig(cfg Config, stdout, stderr io.Writer) int {
	p, err := cfg.policy.load()
	if cfg.report.notify != "" {
		_, wrong := notify.LoadFile(cfg.report.notify)
		err = errors.Join(err, wrong)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	fmt.Fprintf(stdout, "OK: %s (mode %s, %d rules)\n", cfg.policy, p.File.Mode, len(p.File.Rules))
	return exitOK
}
