package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// tail is a writer that another goroutine reads.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// eventually waits for what another goroutine does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("not within 30 s: " + what)
		}
	}
}

func TestAuditServe(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var stdout, stderr tail
	done := make(chan error, 1)
	go func() {
		f := sinkFlags{listen: "127.0.0.1:0", ops: "127.0.0.1:0", queue: 64}
		done <- f.serve(ctx, &stdout, &stderr)
	}()
	said := regexp.MustCompile(`events at (\S+)\n[^\n]*http://(\S+)\n`)
	eventually(t, "it serves", func() bool { return said.MatchString(stderr.String()) })
	at := said.FindStringSubmatch(stderr.String())
	log, err := os.ReadFile(busyLog(t))
	if err != nil {
		t.Fatal(err)
	}
	list := `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[` + strings.ReplaceAll(strings.TrimSpace(string(log)), "\n", ",") + `]}`
	resp, err := http.Post("http://"+at[1], "application/json", strings.NewReader(list))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	eventually(t, "it prints the fight", func() bool { return strings.Contains(stdout.String(), `"field":"spec.replicas"`) })
	for path, want := range map[string]string{
		"/healthz": "ok", "/": "<html", "/api/v1/changes": `"reversal":true`, "/api/v1/fights": `"field":"spec.replicas"`, "/metrics": "truce_audit_events_total 147",
	} {
		resp, err := http.Get("http://" + at[2] + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(string(body), want) {
			t.Errorf("%s has no %q:\n%s", path, want, body)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAuditServeThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		flags sinkFlags
		says  string
	}{
		{sinkFlags{listen: "0.0.0.0:9444"}, "which others can reach: give --tls-cert, --tls-key and --client-ca"},
		{sinkFlags{listen: ":9444", cert: "a", key: "b"}, "which others can reach"},
		{sinkFlags{listen: "nowhere"}, "--listen: address nowhere: missing port"},
		{sinkFlags{listen: "127.0.0.1:0", queue: -1}, "--queue is -1, it must be at least 1"},
		{sinkFlags{listen: "127.0.0.1:0", cert: "a"}, "--tls-cert and --tls-key go together"},
		{sinkFlags{listen: "127.0.0.1:0", cert: "none", key: "none"}, "loading the certificate: open none"},
		{sinkFlags{listen: "127.0.0.1:0", policy: "none"}, "reading the policy: open none"},
		{sinkFlags{listen: "127.0.0.1:0", ops: "nowhere"}, "listening for operations (--ops-listen)"},
	} {
		if c.flags.queue == 0 {
			c.flags.queue = 64
		}
		if err := c.flags.serve(context.Background(), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.flags, err, c.says)
		}
	}
}
