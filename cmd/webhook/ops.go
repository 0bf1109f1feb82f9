package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/truce-dev/truce/pkg/page"
	"github.com/truce-dev/truce/pkg/report"
)

// newRegistry returns the server's metrics: its own registry, because controller-runtime's global one is full of what
// a webhook without controllers never counts.
func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "truce_build_info",
		Help: "Always 1, labelled with version and revision of the server.",
	}, []string{"version", "revision"})
	build.WithLabelValues(buildVersion()).Set(1)
	reg.MustRegister(
		build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return reg
}

// operations is what the operations port serves.
type operations struct {
	registry *prometheus.Registry
	ready    func(*http.Request) error
	log      *slog.Logger
	api      http.Handler
	guarded  func(http.Handler) http.Handler
	// openMetrics: whoever reaches the port may read the metrics.
	openMetrics bool
}

// opsServer is the operations port: for probes, Prometheus and people, not for the API server's reviews. ready says what
// keeps the server from being ready. Whoever reaches the port may ask whether it is alive, and for the metrics and the API
// those whom guarded lets through.
func opsServer(o operations) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := o.ready(r); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	metrics := promhttp.HandlerFor(o.registry, promhttp.HandlerOpts{
		Registry:            o.registry,
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 8,
		ErrorLog:            slog.NewLogLogger(o.log.Handler(), slog.LevelError),
	})
	if !o.openMetrics {
		metrics = o.guarded(metrics)
	}
	mux.Handle("GET /metrics", metrics)
	mux.Handle(report.APIRoot+"/", o.guarded(o.api))
	web := page.Handler() // for everybody: it holds no data, the API does
	mux.Handle("GET /{$}", web)
	mux.Handle("GET /{asset}", web)
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    64 << 10,
	}
}

func listenOps(a address) (net.Listener, error) {
	l, err := net.Listen("tcp", a.String())
	if err != nil {
		return nil, fmt.Errorf("listening for operations (--ops-listen): %w", err)
	}
	return l, nil
}
