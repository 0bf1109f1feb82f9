package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// clientCheck turns away clients that do not show a certificate of the right authority and name: whoever is not the API
// server and can reach the port could otherwise send reviews of writes that never were.
type clientCheck struct {
	path  string
	names []string // empty: any
	poll  time.Duration
	log   *slog.Logger

	authorities atomic.Pointer[authorities]
	refused     prometheus.Counter
	tell        rate.Sometimes
}

type authorities struct {
	pem  []byte
	pool *x509.CertPool
}

// newClientCheck returns nil if nobody asked for it.
func newClientCheck(cfg Config, reg prometheus.Registerer, log *slog.Logger) (*clientCheck, error) {
	if cfg.clientCA == "" {
		return nil, nil
	}
	c := &clientCheck{
		path: cfg.clientCA, names: cfg.clientNames, poll: 10 * time.Second, log: log,
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "truce_clients_refused_total",
			Help: "Connections of clients without the certificate that --client-ca and --client-name ask for.",
		}),
		tell: rate.Sometimes{Interval: time.Minute},
	}
	if err := c.read(); err != nil {
		return nil, err
	}
	if len(c.names) == 0 {
		log.Warn("every client with a certificate of this authority may send reviews: if it signs for others than the API "+
			"server, name the API server's certificate with --client-name", "client_ca", c.path)
	}
	reg.MustRegister(c.refused)
	return c, nil
}

// read takes over the file if it is good.
func (c *clientCheck) read() error {
	data, err := os.ReadFile(c.path)
	if err != nil {
		return fmt.Errorf("reading the authority of clients (--client-ca): %w", err)
	}
	if old := c.authorities.Load(); old != nil && bytes.Equal(old.pem, data) {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return fmt.Errorf("reading the authority of clients (--client-ca): %s holds no certificate in PEM", c.path)
	}
	c.authorities.Store(&authorities{data, pool})
	c.log.Info("authority of clients loaded", "client_ca", c.path, "names", c.names)
	return nil
}

// Run follows the file until ctx ends.
func (c *clientCheck) Run(ctx context.Context) {
	ticker := time.NewTicker(c.poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := c.read(); err != nil {
				c.log.Error("authority of clients not read, the one in use stays", "error", err)
			}
		}
	}
}

// require makes a server's TLS configuration check its clients.
func (c *clientCheck) require(config *tls.Config) {
	// Only asked for, and checked here, resumed sessions too: what crypto/tls checks by itself cannot be exchanged while
	// it runs, and cannot say why.
	config.ClientAuth = tls.RequestClientCert
	base := config.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		own := base.Clone()
		own.VerifyConnection = func(state tls.ConnectionState) error {
			err := c.verify(state, time.Now())
			if err != nil && !(len(state.PeerCertificates) == 0 && fromHere(hello.Conn)) {
				c.refused.Inc()
				c.tell.Do(func() {
					c.log.Warn("a client was turned away", "address", hello.Conn.RemoteAddr().String(), "error", err)
				})
			}
			return err
		}
		return own, nil
	}
}

// verify returns why a client may not send reviews.
func (c *clientCheck) verify(state tls.ConnectionState, now time.Time) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("it shows no certificate (--client-ca asks for one)")
	}
	cert := state.PeerCertificates[0]
	options := x509.VerifyOptions{
		Roots: c.authorities.Load().pool, Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, other := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(other)
	}
	if _, err := cert.Verify(options); err != nil {
		return fmt.Errorf("its certificate is not one of --client-ca: %w", err)
	}
	named := slices.Contains(c.names, cert.Subject.CommonName) ||
		slices.ContainsFunc(cert.DNSNames, func(name string) bool { return slices.Contains(c.names, name) })
	if len(c.names) > 0 && !named {
		return fmt.Errorf("its certificate is for %q, which --client-name does not list", cert.Subject.CommonName)
	}
	return nil
}

// fromHere reports whether a connection comes from this machine, as the readiness probe's own does: it only wants to see
// that somebody answers, and shows no certificate.
func fromHere(conn net.Conn) bool {
	remote, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	local, _, err2 := net.SplitHostPort(conn.LocalAddr().String())
	return err == nil && err2 == nil && remote == local
}
