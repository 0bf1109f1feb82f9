package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/truce-dev/truce/certs"
)

// pipes is a listener for connections in memory, whose deadlines are virtual.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// An API server keeps a connection for 90 s, whether it has used it or not, and then lets go of it. It does not repeat a
// request that meets the server's closing.
func TestConnectionsAreKeptForLongerThanAnAPIServerKeepsThem(t *testing.T) {
	const apiServer = 90 * time.Second
	synctest.Test(t, func(t *testing.T) {
		hosts, err := certs.ParseHosts([]string{"truce"})
		if err != nil {
			t.Fatal(err)
		}
		b, err := certs.New(hosts, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(b.Cert, b.Key)
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		mux.HandleFunc("/validate", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "seen") })
		listener := make(pipes)
		r := &reviews{listener: listener, DefaultServer: &ctrlwebhook.DefaultServer{Options: ctrlwebhook.Options{
			WebhookMux: mux, TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.Certificates = []tls.Certificate{pair} }},
		}}}
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- r.Start(ctx) }()

		near, far := net.Pipe()
		listener <- far
		client := tls.Client(near, &tls.Config{InsecureSkipVerify: true})
		if err := client.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		answers := bufio.NewReader(client)
		for _, idle := range []string{"never used", "used once"} {
			<-time.After(apiServer)
			if _, err := fmt.Fprint(client, "GET /validate HTTP/1.1\r\nHost: truce\r\n\r\n"); err != nil {
				t.Fatalf("%s: %v", idle, err)
			}
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatalf("%s: %v", idle, err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", idle, resp.Status)
			}
		}
		near.Close() // or the server's farewell would wait for somebody to read it
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("stopped with %v", err)
		}
		synctest.Wait()
	})
}
