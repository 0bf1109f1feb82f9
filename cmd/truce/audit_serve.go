package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/truce-dev/truce/pkg/audit"
	"github.com/truce-dev/truce/pkg/page"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

// sinkFlags say where and how to listen for events.
type sinkFlags struct {
	listen, ops, cert, key, clientCA, policy string
	queue                                    int // MiB
}

func newAuditServe() *cobra.Command {
	var f sinkFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Take audit events from the API server as they come: an audit webhook backend",
		Long: `Take audit events from the API server as they come, and print every fight and loop as a line of JSON when it is found.
The API server sends them with --audit-webhook-config-file, whose kubeconfig has this server's address; give it
--audit-webhook-mode=batch, and --audit-webhook-truncate-enabled=false, since a truncated object tells nothing.

Every batch is answered at once. What finds no room in the queue (--queue) is shed and counted, so that an API server never
waits for Truce. Beyond loopback it needs a certificate and a CA for the API server's one (--client-ca).

The address of --ops-listen serves what the webhook's does: /metrics, /healthz, the API below /api/v1 and the page of fights
at /, without authentication: keep it on loopback.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(parent(cmd), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return f.serve(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:9444", "`address` for the API server's events")
	cmd.Flags().StringVar(&f.ops, "ops-listen", "127.0.0.1:9445", "`address` for metrics and what was found; empty for none")
	cmd.Flags().StringVar(&f.cert, "tls-cert", "", "`file` with the serving certificate")
	cmd.Flags().StringVar(&f.key, "tls-key", "", "`file` with its key")
	cmd.Flags().StringVar(&f.clientCA, "client-ca", "", "`file` with the CA that the API server's certificate must be of")
	cmd.Flags().IntVar(&f.queue, "queue", 64, "how many `MiB` of events may wait to be looked at")
	cmd.Flags().StringVar(&f.policy, "policy", "", "policy `file`; the built-in policy if left out")
	return cmd
}

// tlsConfig returns how to serve, nil for without TLS.
func (f *sinkFlags) tlsConfig() (*tls.Config, error) {
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	ip := net.ParseIP(host)
	local := host == "localhost" || ip != nil && ip.IsLoopback()
	if !local && (f.cert == "" || f.clientCA == "") {
		return nil, fmt.Errorf("--listen is %s, which others can reach: give --tls-cert, --tls-key and --client-ca, or anybody "+
			"could send false events", f.listen)
	}
	if (f.cert == "") != (f.key == "") {
		return nil, errors.New("--tls-cert and --tls-key go together")
	}
	if f.cert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("loading the certificate: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if f.clientCA != "" {
		pem, err := os.ReadFile(f.clientCA)
		if err != nil {
			return nil, fmt.Errorf("reading --client-ca: %w", err)
		}
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--client-ca: there is no certificate in %s", f.clientCA)
		}
	}
	return c, nil
}

func (f *sinkFlags) serve(ctx context.Context, stdout, stderr io.Writer) error {
	p, err := loadPolicy(f.policy, "")
	if err != nil {
		return err
	}
	config, err := f.tlsConfig()
	if err != nil {
		return err
	}
	if f.queue < 1 {
		return fmt.Errorf("--queue is %d, it must be at least 1", f.queue)
	}
	reg := prometheus.NewRegistry()
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	sink, err := audit.NewSink(p, report.Options{Registry: reg, Log: log, Now: time.Now}, int64(f.queue)<<20)
	if err != nil {
		return err
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(auditMemory + int64(f.queue)<<20)) // the queue comes on top
	events, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listening for events (--listen): %w", err)
	}
	if config != nil {
		events = tls.NewListener(events, config)
	}
	servers := []server{{&http.Server{Handler: sink, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}, events}}
	fmt.Fprintf(stderr, "truce: taking audit events at %s\n", events.Addr())
	if f.ops != "" {
		ops, err := net.Listen("tcp", f.ops)
		if err != nil {
			events.Close()
			return fmt.Errorf("listening for operations (--ops-listen): %w", err)
		}
		servers = append(servers, server{&http.Server{Handler: opsOf(sink, reg), ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second}, ops})
		fmt.Fprintf(stderr, "truce: metrics and fights at http://%s\n", ops.Addr())
	}
	return serveAll(ctx, sink, servers, stdout)
}

type server struct {
	*http.Server
	listener net.Listener
}

// serveAll serves until ctx ends or a server fails, and prints what is found.
func serveAll(ctx context.Context, sink *audit.Sink, servers []server, stdout io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var tasks, printing sync.WaitGroup
	turns := sink.Recorder().Register.Subscribe(1024)
	out := json.NewEncoder(stdout)
	printing.Go(func() {
		for u := range turns.C {
			if u.Turn != policy.Started && u.Turn != policy.Noticed {
				continue
			}
			if err := out.Encode(u.Fight); err != nil {
				cancel(fmt.Errorf("printing a fight: %w", err))
			}
		}
	})
	tasks.Go(func() { sink.Run(ctx) })
	for _, s := range servers {
		tasks.Go(func() {
			if err := s.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("serving: %w", err))
			}
		})
	}
	<-ctx.Done()
	for _, s := range servers {
		end, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		if s.Shutdown(end) != nil { // clients that listen to events stay for as long as they are let
			_ = s.Close()
		}
		stop()
	}
	tasks.Wait()
	turns.Close()
	printing.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// opsOf serves what operators look at: metrics, the API and the page of the webhook.
func opsOf(sink *audit.Sink, reg *prometheus.Registry) http.Handler {
	for name, m := range map[string]struct {
		help string
		of   func(audit.SinkStats) int64
	}{
		"truce_audit_batches_total":      {"Batches of audit events that came.", func(s audit.SinkStats) int64 { return s.Batches }},
		"truce_audit_events_total":       {"Audit events that were looked at.", func(s audit.SinkStats) int64 { return s.Events }},
		"truce_audit_shed_batches_total": {"Batches that were answered and not looked at, since too much was waiting.", func(s audit.SinkStats) int64 { return s.ShedBatches }},
		"truce_audit_shed_bytes_total":   {"Bytes of the batches that were shed.", func(s audit.SinkStats) int64 { return s.ShedBytes }},
		"truce_audit_refused_total":      {"Requests that were no batch of audit events.", func(s audit.SinkStats) int64 { return s.Refused }},
	} {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: m.help}, func() float64 { return float64(m.of(sink.Stats())) }))
	}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "truce_audit_queue_bytes", Help: "Bytes that wait to be looked at.",
	}, func() float64 { return float64(sink.Stats().QueuedBytes) }))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	// Like the webhook's on loopback: who may connect may see, and nobody can act upon fights.
	mux.Handle(report.APIRoot+"/", report.Local(report.NewAPI(sink.Recorder(), nil)))
	web := page.Handler()
	mux.Handle("GET /{$}", web)
	mux.Handle("GET /{asset}", web)
	return mux
}
