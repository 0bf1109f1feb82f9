package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/truce-dev/truce/certs"
	"github.com/truce-dev/truce/pkg/admission"
)

// impostor serves something else at a webhook's address, with its certificate.
type impostor struct {
	server  *http.Server
	reached atomic.Int64
	ended   chan struct{}
}

// impersonate takes the place of a webhook that is gone. close ends it.
func (h *hook) impersonate(handler http.Handler) *impostor {
	h.t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(h.certDir, certs.CertFile), filepath.Join(h.certDir, certs.KeyFile))
	if err != nil {
		h.t.Fatal(err)
	}
	return h.impersonateWith(cert, handler)
}

func (h *hook) impersonateWith(cert tls.Certificate, handler http.Handler) *impostor {
	h.t.Helper()
	var l net.Listener
	eventually(h.t, "the webhook's address is free", func() bool {
		var err error
		l, err = net.Listen("tcp", h.Address)
		return err == nil
	})
	i := &impostor{ended: make(chan struct{})}
	i.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			i.reached.Add(1)
			handler.ServeHTTP(w, r)
		}),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // broken connections are what this is about
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				i.reached.Add(1) // one that goes no further than its TLS handshake has been reached as well
			}
		},
	}
	go func() {
		defer close(i.ended)
		_ = i.server.ServeTLS(l, "", "") // it ends with an error in any case: it is closed
	}()
	h.t.Cleanup(i.close)
	return i
}

func (i *impostor) close() {
	_ = i.server.Close()
	<-i.ended
}

// answer is an AdmissionReview whose response is made of the request's uid.
func answer(response func(uid string) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Request struct {
				UID string `json:"uid"`
			} `json:"request"`
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response(review.Request.UID),
		})
	}
}

func says(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// panicking is Truce's own handler over a Guard that panics: there is none.
func panicking(phase admission.Phase, panics *panicCounter) http.Handler {
	return &admission.Handler{Phase: phase, Observer: panics, Now: time.Now}
}

// panicCounter counts what a Handler reports.
type panicCounter struct{ panics, others atomic.Int64 }

var _ admission.Observer = (*panicCounter)(nil)

func (c *panicCounter) Reviewed(admission.Phase, *admission.Response, time.Duration) { c.others.Add(1) }
func (c *panicCounter) Refused(admission.Phase, int)                                 { c.others.Add(1) }
func (c *panicCounter) Panicked(admission.Phase, any, []byte)                        { c.panics.Add(1) }
