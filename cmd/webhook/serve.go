package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/truce-dev/truce/pkg/policy"
)

// The paths of reviews.
const (
	validatePath = "/validate"
	mutatePath   = "/mutate"
)

// Server answers reviews, and tells how it is on a port of its own.
type Server struct {
	cfg     Config
	log     *slog.Logger
	cert    certificate
	clients *clientCheck // nil: whoever reaches the port may send reviews

	policies *policyWatcher
	report   func(context.Context)
	mode     policy.Mode // at the start, for the log

	ops         *http.Server
	opsListener net.Listener

	reviews  atomic.Pointer[reviews] // nil until reviews are served
	stopping atomic.Bool
	inFlight atomic.Int64
	mux      *http.ServeMux

	// What tests put something else in the place of.
	after func(time.Duration) <-chan time.Time
}

// New makes a server of everything that can be wrong at the start: the policy is loaded, the certificate read or made,
// the operations port bound. Run must follow, once.
func New(cfg Config, log *slog.Logger,
	newGuard func(Config, *policy.Policy, prometheus.Registerer, *slog.Logger) (guard, error),
) (*Server, error) {
	s := &Server{cfg: cfg, log: log, mux: http.NewServeMux(), after: time.After}
	reg := newRegistry()

	watcher, p, err := newPolicyWatcher(cfg.policy, newPolicyMetrics(reg), log)
	if err != nil {
		return nil, fmt.Errorf("loading the policy: %w", err)
	}
	if s.cert, err = newCertificate(cfg, reg, log); err != nil {
		return nil, err
	}
	if s.clients, err = newClientCheck(cfg, reg, log); err != nil {
		return nil, err
	}
	g, err := newGuard(cfg, p, reg, log)
	if err != nil {
		return nil, err
	}
	s.report = g.report
	watcher.apply = g.setPolicy
	s.policies, s.mode = watcher, p.File.Mode
	s.mux.Handle(validatePath, s.finishing(g.validate))
	s.mux.Handle(mutatePath, s.finishing(g.mutate))

	if s.opsListener, err = listenOps(cfg.opsListen); err != nil {
		return nil, err
	}
	if cfg.report.opsTLS {
		s.opsListener = tls.NewListener(s.opsListener, &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: s.cert.GetCertificate, NextProtos: []string{"http/1.1"},
		})
	}
	s.ops = opsServer(operations{
		registry: reg, ready: s.ready, log: log, api: g.api, guarded: g.guarded(s.opsListener.Addr()),
		openMetrics: !cfg.report.metricsAuth,
	})
	return s, nil
}

// CABundle returns the path of what belongs into the caBundle of the webhook configuration, if the server knows it.
func (s *Server) CABundle() string { return s.cert.caBundle() }

// Run serves until ctx ends, and then ends in good order: not ready at once, serving on for the shutdown delay, then
// no new connections, and what is in flight finished. The error says what failed, or how much did not finish in time.
func (s *Server) Run(ctx context.Context) error {
	// Everything beside the reviews lives until the last review is answered.
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	tasks.Go(func() { s.cert.Run(background) })
	tasks.Go(func() { s.policies.Run(background) })
	if s.clients != nil {
		tasks.Go(func() { s.clients.Run(background) })
	}
	tasks.Go(func() { s.report(background) })

	failed := make(chan error, 1)
	tasks.Go(func() {
		if err := s.ops.Serve(s.opsListener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serving operations: %w", err)
		}
	})
	defer s.ops.Close()

	// Until there is a certificate, the operations port says what is missing.
	select {
	case <-s.cert.Ready():
	case <-ctx.Done():
		return nil
	case failure := <-failed:
		return failure
	}
	reviews, stopReviews := context.WithCancel(background)
	defer stopReviews()
	addr, stopped, err := s.startReviews(reviews)
	if err != nil {
		return err
	}
	version, _ := buildVersion()
	s.log.Info("serving", "address", addr.String(), "ops_address", s.opsListener.Addr().String(),
		"ca_bundle", s.CABundle(), "certificate", s.cert.from(), "policy", s.cfg.policy.String(), "mode", s.mode, "version", version)

	var failure error
	select {
	case <-ctx.Done():
	case failure = <-failed:
	case err := <-stopped:
		return fmt.Errorf("serving reviews: %w", err)
	}

	s.stopping.Store(true)
	s.log.Info("stopping", "delay", s.cfg.shutdownDelay.String())
	select {
	case <-s.after(s.cfg.shutdownDelay):
	case err := <-stopped:
		return errors.Join(failure, fmt.Errorf("serving reviews: %w", err))
	}
	stopReviews()
	select {
	case err := <-stopped:
		return errors.Join(failure, err)
	case <-s.after(s.cfg.shutdownTimeout):
		return errors.Join(failure, fmt.Errorf("reviews not finished within %s (--shutdown-timeout): %d",
			s.cfg.shutdownTimeout, s.inFlight.Load()))
	}
}

// startReviews serves reviews until ctx ends. stopped receives what came of it.
func (s *Server) startReviews(ctx context.Context) (addr net.Addr, stopped <-chan error, err error) {
	listener, err := net.Listen("tcp", s.cfg.listen.String())
	if err != nil {
		return nil, nil, fmt.Errorf("listening for reviews (--listen): %w", err)
	}
	r := &reviews{listener: listener, DefaultServer: &ctrlwebhook.DefaultServer{Options: ctrlwebhook.Options{
		// The handlers are on a mux of our own rather than registered, so that they are not wrapped in
		// controller-runtime's metrics, which are paid for with each request and shown nowhere.
		WebhookMux: s.mux,
		TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.MinVersion = tls.VersionTLS13 // the only client is the API server
			c.GetCertificate = s.cert.GetCertificate
			if s.clients != nil {
				s.clients.require(c)
			}
		}},
	}}}
	s.reviews.Store(r)
	end := make(chan error, 1)
	go func() { end <- r.Start(ctx) }()
	return listener.Addr(), end, nil
}

// finishing keeps requests alive through a shutdown. controller-runtime derives their contexts from the one whose end
// makes it shut down, so that a handler that minds its context would give up just when it should finish. During the
// delay before, each answer asks its client to come back over a new connection (GOAWAY): an API server keeps the one
// that it has, whatever readiness says, and a request that meets its closing is lost.
func (s *Server) finishing(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.inFlight.Add(1)
		defer s.inFlight.Add(-1)
		if s.stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r.WithContext(context.WithoutCancel(r.Context())))
	})
}

// ready says what keeps the server from taking reviews. It connects to itself, so that a listener that died shows.
func (s *Server) ready(r *http.Request) error {
	if s.stopping.Load() {
		return errors.New("stopping")
	}
	if err := s.cert.Check(); err != nil {
		return err
	}
	serving := s.reviews.Load()
	if serving == nil {
		return errors.New("not serving reviews yet")
	}
	return serving.StartedChecker()(r)
}
