package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/truce-dev/truce/certs"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

const review = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{
	"uid":"0b4cbd1e","kind":{"group":"","version":"v1","kind":"ConfigMap"},
	"resource":{"group":"","version":"v1","resource":"configmaps"},"name":"web","namespace":"shop",
	"operation":"UPDATE","userInfo":{"username":"alice"},
	"object":{"metadata":{"name":"web","namespace":"shop","uid":"1","resourceVersion":"7"},"data":{"a":"2"}},
	"oldObject":{"metadata":{"name":"web","namespace":"shop","uid":"1","resourceVersion":"7"},"data":{"a":"1"}}}}`

func TestServesWithACertificateOfItsOwn(t *testing.T) {
	p := start(t)
	if want := "CA bundle: " + p.caBundle + "\n"; p.stdout.String() != want {
		t.Errorf("stdout is %q, want %q", p.stdout.String(), want)
	}
	c := client(t, p.caBundle)

	for _, path := range []string{"/validate", "/mutate"} {
		t.Run(path+" answers reviews over HTTP/2", func(t *testing.T) {
			a := mustDo(t, c, http.MethodPost, "https://"+p.address+path, review)
			if a.status != http.StatusOK || !strings.Contains(a.body, `"uid":"0b4cbd1e","allowed":true`) {
				t.Errorf("status %d, body %s", a.status, a.body)
			}
			if a.proto != 2 {
				t.Errorf("HTTP/%d, want HTTP/2", a.proto)
			}
		})
	}
	t.Run("what is no review is refused by the handler", func(t *testing.T) {
		if a := mustDo(t, c, http.MethodGet, "https://"+p.address+"/validate", ""); a.status != http.StatusMethodNotAllowed {
			t.Errorf("status %d", a.status)
		}
		if got := p.metric(`truce_reviews_refused_total{phase="validating",status="405"}`); got != 1 {
			t.Errorf("counted %v times", got)
		}
	})
	t.Run("there is nothing else on that port", func(t *testing.T) {
		for _, path := range []string{"/", "/metrics", "/readyz", "/validate/more"} {
			if a := mustDo(t, c, http.MethodPost, "https://"+p.address+path, review); a.status != http.StatusNotFound {
				t.Errorf("%s: status %d", path, a.status)
			}
		}
	})
	t.Run("clients without HTTP/2 are served too", func(t *testing.T) {
		old := client(t, p.caBundle)
		old.Transport.(*http.Transport).ForceAttemptHTTP2 = false
		old.Transport.(*http.Transport).TLSClientConfig.NextProtos = []string{"http/1.1"}
		if a := mustDo(t, old, http.MethodPost, "https://"+p.address+"/validate", review); a.status != 200 || a.proto != 1 {
			t.Errorf("status %d over HTTP/%d", a.status, a.proto)
		}
	})
	t.Run("TLS older than 1.3 is refused", func(t *testing.T) {
		conn, err := tls.Dial("tcp", p.address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
		if err == nil {
			conn.Close()
			t.Error("accepted")
		} else if !strings.Contains(err.Error(), "protocol version") {
			t.Error(err)
		}
	})
	t.Run("a client that refuses the certificate shows in the log", func(t *testing.T) {
		if _, err := tls.Dial("tcp", p.address, &tls.Config{ServerName: "localhost"}); err == nil {
			t.Fatal("accepted without its authority")
		}
		p.stderr.wait(t, "a client refused the certificate: is its caBundle the authority of this server?", 1)
	})
	t.Run("the next start serves under the same authority", func(t *testing.T) {
		again := start(t, "--self-cert-dir", filepath.Dir(p.caBundle))
		if a := mustDo(t, c, http.MethodPost, "https://"+again.address+"/validate", review); a.status != http.StatusOK {
			t.Errorf("status %d", a.status)
		}
	})
}

func TestCertificateIsReloaded(t *testing.T) {
	dir := t.TempDir()
	first := makePair(t, dir)
	p := start(t, "--cert-dir", dir)
	url := "https://" + p.address + "/validate"

	old := client(t, p.caBundle)
	before := mustDo(t, old, http.MethodPost, url, review)

	hosts, err := certs.ParseHosts([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := first.Renew(hosts, time.Now().Add(-24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	putPair(t, dir, renewed)
	p.stderr.wait(t, "certificate loaded", 2)

	if a := mustDo(t, client(t, p.caBundle), http.MethodPost, url, review); a.serial == before.serial {
		t.Error("a new connection still gets the old certificate")
	}
	if got, want := p.metric("truce_certificate_expiry_timestamp_seconds"), expiry(t, renewed); got != want {
		t.Errorf("the metric says that it expires at %v, want %v", got, want)
	}

	var reused bool
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(review))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := old.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if !reused || resp.StatusCode != http.StatusOK {
		t.Errorf("the old connection: reused %t, status %d", reused, resp.StatusCode)
	}

	t.Run("one that cannot be read is not taken", func(t *testing.T) {
		replace(t, filepath.Join(dir, certs.CertFile), []byte("broken"))
		eventually(t, "the failure being counted", func() error {
			if p.metric("certwatcher_read_certificate_errors_total") == 0 {
				return errors.New("none yet")
			}
			return nil
		})
		if a := mustDo(t, client(t, p.caBundle), http.MethodPost, url, review); a.status != http.StatusOK {
			t.Errorf("status %d", a.status)
		}
	})
}

// controlled is a server whose reviews and waits are the test's to end.
type controlled struct {
	*process
	arrived chan *http.Request  // reviews that arrived
	release chan struct{}       // closed: they are answered
	waits   chan chan time.Time // the waits of a shutdown, in their order
	result  chan error          // what Run returned
}

func startControlled(t *testing.T, changes ...func(*Server)) *controlled {
	t.Helper()
	c := &controlled{
		process: &process{t: t}, arrived: make(chan *http.Request, 8), release: make(chan struct{}),
		waits: make(chan chan time.Time, 2), result: make(chan error, 1),
	}
	cfg, _, err := parseFlags([]string{
		"--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--self-cert-dir", t.TempDir(),
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.arrived <- r
		<-c.release
		if err := r.Context().Err(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "finished")
	})
	fake := func(Config, *policy.Policy, prometheus.Registerer, *slog.Logger) (guard, error) {
		return guard{
			setPolicy: func(*policy.Policy) {}, validate: slow, mutate: slow, report: func(context.Context) {},
			api: http.NotFoundHandler(), guarded: func(net.Addr) func(http.Handler) http.Handler { return report.Local },
		}, nil
	}
	s, err := New(cfg, newLogger(&c.stderr, formatJSON, slog.LevelDebug), fake)
	if err != nil {
		t.Fatal(err)
	}
	s.after = func(time.Duration) <-chan time.Time {
		ch := make(chan time.Time, 1)
		c.waits <- ch
		return ch
	}
	for _, change := range changes {
		change(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c.stop = cancel
	go func() { c.result <- s.Run(ctx) }()
	serving := c.stderr.wait(t, "serving", 1)
	c.address, c.ops, c.caBundle = serving["address"].(string), serving["ops_address"].(string), s.CABundle()
	return c
}

// over ends the next wait of a shutdown.
func (c *controlled) over() {
	c.t.Helper()
	select {
	case ch := <-c.waits:
		ch <- time.Time{}
	case <-time.After(patience):
		c.t.Fatalf("nothing waits; log:\n%s", c.stderr.String())
	}
}

func (c *controlled) wait() error {
	c.t.Helper()
	select {
	case err := <-c.result:
		return err
	case <-time.After(patience):
		c.t.Fatalf("it does not stop; log:\n%s", c.stderr.String())
		return nil
	}
}

func (c *controlled) post() <-chan answer {
	answers := make(chan answer, 1)
	apiServer := client(c.t, c.caBundle)
	go func() {
		a, err := do(apiServer, http.MethodPost, "https://"+c.address+"/validate", review)
		if err != nil {
			a.body = err.Error()
		}
		answers <- a
	}()
	return answers
}

func TestShutdown(t *testing.T) {
	c := startControlled(t)
	if a := c.operations("/readyz"); a.status != http.StatusOK {
		t.Fatalf("not ready: %s", a.body)
	}
	early := c.post()
	inFlight := <-c.arrived

	c.stop()
	eventually(t, "not being ready", func() error {
		if a := c.operations("/readyz"); a.status != http.StatusServiceUnavailable || a.body != "not ready: stopping\n" {
			return fmt.Errorf("status %d, body %q", a.status, a.body)
		}
		return nil
	})
	if a := c.operations("/healthz"); a.status != http.StatusOK {
		t.Errorf("not healthy while stopping: it would be killed before it is done")
	}
	late := c.post() // whoever has not heard of it yet still gets an answer
	<-c.arrived

	c.over() // the delay
	eventually(t, "no new connections", func() error {
		conn, err := net.Dial("tcp", c.address)
		if err == nil {
			conn.Close()
			return errors.New("connected")
		}
		return nil
	})
	select {
	case err := <-c.result:
		t.Fatalf("stopped with reviews in flight: %v", err)
	default:
	}
	if err := inFlight.Context().Err(); err != nil {
		t.Errorf("the context of a review in flight ended: %v", err)
	}
	close(c.release)
	for name, answers := range map[string]<-chan answer{"before": early, "after": late} {
		if a := <-answers; a.status != http.StatusOK || a.body != "finished" {
			t.Errorf("the review that came %s the signal: status %d, %s", name, a.status, a.body)
		}
	}
	if err := c.wait(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	if _, err := net.Dial("tcp", c.ops); err == nil {
		t.Error("the operations port is still open")
	}
}

// Whoever has a connection to a server that stops is asked to leave it before it is closed.
func TestConnectionsAreHandedOverWhileStopping(t *testing.T) {
	c := startControlled(t)
	close(c.release)
	apiServer := client(t, c.caBundle)
	reused := func() bool {
		t.Helper()
		var reused bool
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
		})
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.address+"/validate", strings.NewReader(review))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := apiServer.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
			t.Fatalf("HTTP/%d, status %d: %v", resp.ProtoMajor, resp.StatusCode, err)
		}
		<-c.arrived
		return reused
	}
	reused()
	if !reused() {
		t.Error("a connection is given up while nothing stops")
	}
	c.stop()
	c.stderr.wait(t, "stopping", 1)
	if !reused() {
		t.Error("the first review after the signal did not come over the old connection")
	}
	// GOAWAY comes right after the answer.
	eventually(t, "another connection", func() error {
		if reused() {
			return errors.New("still the old one")
		}
		return nil
	})
	c.over()
	if err := c.wait(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}

func TestShutdownDoesNotWaitForEver(t *testing.T) {
	c := startControlled(t)
	c.post()
	<-c.arrived
	c.stop()
	c.over() // the delay
	c.over() // the timeout
	err := c.wait()
	if want := "reviews not finished within 20s (--shutdown-timeout): 1"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	close(c.release)
}

func TestPortsThatAreTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, flag := range []string{"--listen", "--ops-listen"} {
		t.Run(flag, func(t *testing.T) {
			args := []string{"--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--self-cert-dir", t.TempDir()}
			code, _, stderr := runToEnd(t, append(args, flag, taken.Addr().String())...)
			if log := stderr.String(); code != exitFailed || !strings.Contains(log, "("+flag+")") ||
				!strings.Contains(log, "address already in use") {
				t.Errorf("exit code %d, log %s", code, log)
			}
		})
	}
}

func TestWithoutACertificateItDoesNotStart(t *testing.T) {
	tests := []struct {
		name, want string
		args       func(t *testing.T) []string
	}{
		{
			"an empty --cert-dir", "tls.crt: no such file or directory",
			func(t *testing.T) []string { return []string{"--cert-dir", t.TempDir()} },
		},
		{
			"somebody else's files in --self-cert-dir", "tls.crt is not a certificate",
			func(t *testing.T) []string {
				dir := t.TempDir()
				replace(t, filepath.Join(dir, certs.CertFile), []byte("precious"))
				return []string{"--self-cert-dir", dir}
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, _, stderr := runToEnd(t, append(test.args(t), "--ops-listen", "127.0.0.1:0")...)
			if code != exitFailed || !strings.Contains(stderr.String(), test.want) {
				t.Errorf("exit code %d, log %s", code, stderr.String())
			}
		})
	}
}
