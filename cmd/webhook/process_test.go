package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truce-dev/truce/certs"
)

// patience is how long a test waits for what must happen; a test that passes takes a small part of it.
const patience = 30 * time.Second

// eventually waits until check reports no error.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// entries returns the log lines with a message.
func (b *buffer) entries(message string) []map[string]any {
	var found []map[string]any
	lines := bufio.NewScanner(strings.NewReader(b.String()))
	for lines.Scan() {
		var entry map[string]any
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry["msg"] == message {
			found = append(found, entry)
		}
	}
	return found
}

// wait waits until there are n log lines with a message, and returns the last one.
func (b *buffer) wait(t *testing.T, message string, n int) map[string]any {
	t.Helper()
	var found []map[string]any
	eventually(t, fmt.Sprintf("log line %q", message), func() error {
		if found = b.entries(message); len(found) < n {
			return fmt.Errorf("seen %d times, want %d, in\n%s", len(found), n, b.String())
		}
		return nil
	})
	return found[len(found)-1]
}

// process is a server under test.
type process struct {
	t              *testing.T
	stdout, stderr buffer
	stop           context.CancelFunc // as SIGTERM does
	exit           chan int
	address, ops   string
	caBundle       string
}

// start runs the whole program but for its signals, on free ports, and waits until it serves. It is stopped when the
// test ends, if not before. Unless told otherwise, it makes its own certificate.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	args = append([]string{"--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--shutdown-delay", "0s"}, args...)
	if !strings.Contains(strings.Join(args, " "), "cert-dir") {
		args = append(args, "--self-cert-dir", t.TempDir())
	}
	p := &process{t: t, exit: make(chan int, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	p.stop = cancel
	go func() { p.exit <- run(ctx, args, &p.stdout, &p.stderr) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-p.exit:
		case <-time.After(patience):
			t.Errorf("it does not stop; log:\n%s", p.stderr.String())
		}
	})
	eventually(t, "serving", func() error {
		select {
		case code := <-p.exit:
			p.exit <- code
			t.Fatalf("exit code %d; log:\n%s", code, p.stderr.String())
		default:
		}
		if len(p.stderr.entries("serving")) == 0 {
			return errors.New(p.stderr.String())
		}
		return nil
	})
	serving := p.stderr.entries("serving")[0]
	p.address, p.ops = serving["address"].(string), serving["ops_address"].(string)
	p.caBundle = serving["ca_bundle"].(string)
	return p
}

// runToEnd runs the program with arguments with which it is to end by itself.
func runToEnd(t *testing.T, args ...string) (code int, stdout, stderr *buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stdout, stderr = &buffer{}, &buffer{}
	code = run(ctx, args, stdout, stderr)
	if ctx.Err() != nil {
		t.Fatalf("it runs on; log:\n%s", stderr.String())
	}
	return code, stdout, stderr
}

// exitCode waits for the end.
func (p *process) exitCode() int {
	p.t.Helper()
	select {
	case code := <-p.exit:
		p.exit <- code // for the cleanup
		return code
	case <-time.After(patience):
		p.t.Fatalf("it does not stop; log:\n%s", p.stderr.String())
		return -1
	}
}

// client returns a client as the API server is one: HTTP/2, trusting the CA bundle alone.
func client(t *testing.T, caBundle string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(caBundle)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", caBundle)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// answer is what came back for a request.
type answer struct {
	status int
	body   string
	proto  int
	serial string // of the certificate
}

func do(c *http.Client, method, url, body string) (answer, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	a := answer{status: resp.StatusCode, body: string(data), proto: resp.ProtoMajor}
	if resp.TLS != nil {
		a.serial = resp.TLS.PeerCertificates[0].SerialNumber.String()
	}
	return a, err
}

func mustDo(t *testing.T, c *http.Client, method, url, body string) answer {
	t.Helper()
	a, err := do(c, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// operations asks the operations port.
func (p *process) operations(path string) answer {
	p.t.Helper()
	return mustDo(p.t, http.DefaultClient, http.MethodGet, "http://"+p.ops+path, "")
}

// metric returns a metric as the operations port shows it, such as `truce_policy_reloads_total{result="loaded"}`.
func (p *process) metric(name string) float64 {
	p.t.Helper()
	for line := range strings.Lines(p.operations("/metrics").body) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return value
		}
	}
	p.t.Fatalf("no metric %s", name)
	return 0
}

// waitMetric waits until a metric has a value.
func (p *process) waitMetric(name string, want float64) {
	p.t.Helper()
	eventually(p.t, name, func() error {
		if got := p.metric(name); got != want {
			return fmt.Errorf("it is %v, want %v; log:\n%s", got, want, p.stderr.String())
		}
		return nil
	})
}

// makePair fills a directory with a certificate of an authority made for it.
func makePair(t *testing.T, dir string) certs.Bundle {
	t.Helper()
	hosts, err := certs.ParseHosts([]string{"127.0.0.1", "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := certs.New(hosts, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	putPair(t, dir, b)
	return b
}

// expiry is when the certificate of b expires, as a metric has it.
func expiry(t *testing.T, b certs.Bundle) float64 {
	t.Helper()
	block, _ := pem.Decode(b.Cert)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return float64(cert.NotAfter.Unix())
}

func putPair(t *testing.T, dir string, b certs.Bundle) {
	t.Helper()
	replace(t, filepath.Join(dir, certs.CAFile), b.CA)
	replace(t, filepath.Join(dir, certs.KeyFile), b.Key)
	replace(t, filepath.Join(dir, certs.CertFile), b.Cert)
}

// replace writes a file in one step, as careful programs do.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
