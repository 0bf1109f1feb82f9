package certs

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	truce "github.com/truce-dev/truce/certs"
	"github.com/truce-dev/truce/certs/incluster"
	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

// brief are lifetimes with which an authority is replaced every 20 seconds and a serving certificate every 10. What is
// due has as long until its end as a busy machine may need.
var brief = truce.Lifetimes{
	Authority: 60 * time.Second, Serving: 40 * time.Second, RenewAuthority: 40 * time.Second, RenewServing: 30 * time.Second,
	Backdate: time.Minute, Overlap: 8 * time.Second,
}

// startBrief starts a replica in this process, with these lifetimes, and returns its port and log.
func (s *scene) startBrief(identity string) (port int32, log *logBuffer) {
	s.t.Helper()
	config := rest.CopyConfig(shared.Config)
	config.Impersonate.UserName = s.user()
	clock := &incluster.Clock{}
	config.Wrap(clock.Wrap)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		s.t.Fatal(err)
	}
	log = &logBuffer{}
	keeper := incluster.New(incluster.Config{
		Client: client, Secret: s.secretName(), Hosts: s.hosts(), Identity: identity,
		Targets:   []incluster.Target{{Name: s.name}, {Mutating: true, Name: s.name}},
		Lifetimes: brief, Settle: 3 * time.Second, Poll: 2 * time.Second,
		Now: clock.Now, Log: slog.New(slog.NewJSONHandler(log, nil)), Registerer: prometheus.NewRegistry(),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { keeper.Run(ctx) })

	store := history.New(history.DefaultBounds)
	guard := admission.NewGuard(policy.Default(), store, history.NewHasher())
	observer := report.New(report.Options{
		Store: store, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	mux := http.NewServeMux()
	mux.Handle("/validate", &admission.Handler{Guard: guard, Phase: admission.Validating, Observer: observer, Now: time.Now})
	mux.Handle("/mutate", &admission.Handler{Guard: guard, Phase: admission.Mutating, Observer: observer, Now: time.Now})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelInfo),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: keeper.GetCertificate},
	}
	running.Go(func() { _ = server.ServeTLS(l, "", "") }) // until it is closed
	s.t.Cleanup(func() {
		server.Close()
		cancel()
		running.Wait()
		if s.t.Failed() {
			s.t.Logf("the log of %s:\n%s", identity, log.String())
		}
	})
	return portOf(s.t, l.Addr().String()), log
}

// Several rotations, from the announcement of an authority to its retirement, under load: no call fails.
func TestManyRotationsUnderLoad(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.allow()
	portA, a := s.startBrief("a")
	portB, b := s.startBrief("b")
	s.register(portA, portB)
	s.works()
	stop := s.load(200)
	began := time.Now()
	count := func(step truce.Step) int { return a.count(string(step)) + b.count(string(step)) }
	eventually(t, "two authorities come and go", func() error {
		if count(truce.AuthorityRetired) >= 2 && count(truce.CertificateMade) >= 4 {
			return nil
		}
		return errNotYet
	})
	writes, failures := stop()
	took := time.Since(began)
	t.Logf("%d writes in %s (%.0f/s), %d failed; %d authorities announced, %d changed, %d retired, %d certificates",
		writes, took.Round(time.Second), float64(writes)/took.Seconds(), failures, count(truce.AuthorityAnnounced),
		count(truce.AuthorityChanged), count(truce.AuthorityRetired), count(truce.CertificateMade))
	if failures > 0 || writes < 500 {
		t.Errorf("%d of %d writes failed, want none of at least 500", failures, writes)
	}
	if n := count(truce.AuthorityMade); n != 1 {
		t.Errorf("%d authorities were made without being announced, want only the first", n)
	}
}
