package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	certmetrics "sigs.k8s.io/controller-runtime/pkg/certwatcher/metrics"

	"github.com/truce-dev/truce/certs"
)

// certificate is what the server serves with.
type certificate interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Run follows changes, and makes them if that is the server's to do, until ctx ends.
	Run(ctx context.Context)
	// Ready is closed once there is one.
	Ready() <-chan struct{}
	// Check says why there is none, or none of use.
	Check() error
	// caBundle returns the path of the authority's certificate, if it lies in a file.
	caBundle() string
	// from says where it comes from, for the log.
	from() string
}

func newCertificate(cfg Config, reg prometheus.Registerer, log *slog.Logger) (certificate, error) {
	var c certificate
	var err error
	if cfg.inCluster.secret.Name != "" {
		c, err = newClusterCertificate(cfg, reg, log)
	} else {
		c, err = newFileCertificate(cfg, reg, log)
	}
	if err != nil {
		return nil, err
	}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "truce_certificate_expiry_timestamp_seconds",
		Help: "When the serving certificate in use expires, in seconds since 1970.",
	}, func() float64 {
		current, err := c.GetCertificate(nil)
		if err != nil {
			return 0
		}
		return float64(current.Leaf.NotAfter.Unix())
	}))
	return c, nil
}

// fileCertificate is the pair in a directory, read again when it changes, and, if the server made it itself, made anew
// in time.
type fileCertificate struct {
	*certwatcher.CertWatcher
	dir  string
	self *selfCert // nil: somebody else sees to the files
	poll time.Duration
	log  *slog.Logger
}

func newFileCertificate(cfg Config, reg prometheus.Registerer, log *slog.Logger) (*fileCertificate, error) {
	c := &fileCertificate{dir: cfg.certDir, poll: 10 * time.Second, log: log}
	if c.dir == "" {
		self, err := newSelfCert(cfg, log)
		if err != nil {
			return nil, err
		}
		c.self, c.dir = self, self.dir
	}
	watcher, err := certwatcher.New(filepath.Join(c.dir, certs.CertFile), filepath.Join(c.dir, certs.KeyFile))
	if err != nil {
		return nil, fmt.Errorf("reading the certificate in %s: %w", c.dir, err)
	}
	c.CertWatcher = watcher
	watcher.RegisterCallback(func(loaded tls.Certificate) {
		log.Info("certificate loaded", "dir", c.dir, "serial", loaded.Leaf.SerialNumber.String(),
			"not_after", loaded.Leaf.NotAfter.Format(time.RFC3339))
	})
	reg.MustRegister(certmetrics.ReadCertificateErrors)
	return c, nil
}

// Ready is closed: without a pair there is no fileCertificate.
func (c *fileCertificate) Ready() <-chan struct{} {
	ready := make(chan struct{})
	close(ready)
	return ready
}

// Check does not mind the time: that is this machine's, and the API server's counts.
func (c *fileCertificate) Check() error { return nil }

func (c *fileCertificate) from() string { return c.dir }

// caBundle returns the path of the authority's certificate, if it lies beside the pair.
func (c *fileCertificate) caBundle() string {
	path := filepath.Join(c.dir, certs.CAFile)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// Run follows the files until ctx ends.
func (c *fileCertificate) Run(ctx context.Context) {
	if c.self != nil {
		go c.self.Run(ctx)
	}
	err := c.Start(ctx)
	if ctx.Err() != nil {
		return
	}
	// controller-runtime's watcher gives up altogether when it gets no notices.
	c.log.Warn("no notices of changes of the certificate, reading it again and again instead", "dir", c.dir,
		"every", c.poll.String(), "error", err)
	c.readAgain(ctx)
}

// readAgain reads the files every now and then until ctx ends.
func (c *fileCertificate) readAgain(ctx context.Context) {
	ticker := time.NewTicker(c.poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := c.ReadCertificate(); err != nil {
				c.log.Error("certificate not read, the one in use stays", "dir", c.dir, "error", err)
			}
		}
	}
}

// selfCert keeps the server's own certificate fit.
type selfCert struct {
	dir   string
	hosts certs.Hosts
	log   *slog.Logger
	every time.Duration // how often to look; much less than certs.RenewBefore
}

func newSelfCert(cfg Config, log *slog.Logger) (*selfCert, error) {
	s := &selfCert{dir: cfg.selfCertDir, hosts: cfg.selfHosts, log: log, every: 12 * time.Hour}
	if s.dir == "" {
		dir, err := defaultSelfCertDir()
		if err != nil {
			return nil, fmt.Errorf("finding a directory for the certificate (--self-cert-dir names one): %w", err)
		}
		s.dir = dir
	}
	return s, s.ensure(time.Now())
}

func (s *selfCert) ensure(now time.Time) error {
	out, err := certs.Ensure(s.dir, s.hosts, now)
	if err != nil {
		return fmt.Errorf("making a certificate (--self-cert-dir, --cert-dir): %w", err)
	}
	switch {
	case out.Authority == certs.Missing:
		s.log.Info("certificate authority made", "ca_bundle", out.CAPath)
	case out.Authority != certs.Fit:
		s.log.Warn("certificate authority made anew, register its caBundle again", "ca_bundle", out.CAPath,
			"old", string(out.Authority))
	}
	if out.Serving != certs.Fit {
		s.log.Info("certificate made", "dir", s.dir, "old", string(out.Serving),
			"not_after", out.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// Run looks after the certificate until ctx ends.
func (s *selfCert) Run(ctx context.Context) {
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := s.ensure(time.Now()); err != nil {
				s.log.Error("certificate not looked after", "error", err)
			}
		}
	}
}
