package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
)

// keepConnections is how long a connection may lie idle, or wait for its first request. An API server lets go of it after
// 90 s; a server that does so first, as controller-runtime's does, after 32 s for one that was never used, loses the
// request that is sent at that moment: "write: broken pipe", and failurePolicy decides.
const keepConnections = 3 * time.Minute

// maxHeader is how large a request's headers may be, in bytes.
const maxHeader = 1 << 20

// reviews is controller-runtime's webhook server, but for how long it keeps connections and for who binds the port, neither
// of which it lets one choose.
type reviews struct {
	*ctrlwebhook.DefaultServer
	listener net.Listener
}

var _ ctrlwebhook.Server = (*reviews)(nil)

// Start serves until ctx ends and what is in flight is answered, however long that takes.
func (r *reviews) Start(ctx context.Context) error {
	config := &tls.Config{NextProtos: []string{"h2"}}
	for _, option := range r.Options.TLSOpts {
		option(config)
	}
	server := &http.Server{
		Handler:           r.Options.WebhookMux,
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: keepConnections,
		IdleTimeout:       keepConnections,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	finished := make(chan error, 1)
	go func() {
		<-ctx.Done()
		finished <- server.Shutdown(context.WithoutCancel(ctx))
	}()
	if err := server.Serve(tls.NewListener(r.listener, config)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-finished
}

// StartedChecker returns a check that connects to the server, so that a listener that died shows.
func (r *reviews) StartedChecker() healthz.Checker {
	d := &tls.Dialer{
		NetDialer: &net.Dialer{Timeout: 10 * time.Second},
		Config:    &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // it is this process; whose certificate it is matters to clients
	}
	return func(req *http.Request) error {
		conn, err := d.DialContext(req.Context(), r.listener.Addr().Network(), r.listener.Addr().String())
		if err != nil {
			return fmt.Errorf("reviews are not answered: %w", err)
		}
		return conn.Close()
	}
}
