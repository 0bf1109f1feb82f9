package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"

	"github.com/truce-dev/truce/certs"
	"github.com/truce-dev/truce/test/cluster"
)

// server is a webhook under test, a process of its own.
type server struct {
	name string
	pid  int
	url  string // without a path
	ca   []byte
	ops  string // address of Truce's operations port, empty for others
	stop func() error

	client *http.Client
	dials  atomic.Int64
}

// build builds a command of this repository into dir and returns the binary's path.
func build(ctx context.Context, dir, pkg string) (string, error) {
	bin := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", bin, pkg)
	cmd.Dir = cluster.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w: %s", pkg, err, out)
	}
	return bin, nil
}

// startOther starts stock or raw: -port, -cert-dir.
func startOther(ctx context.Context, dir, name string) (*server, error) {
	bin, err := build(ctx, dir, "./test/bench/"+name)
	if err != nil {
		return nil, err
	}
	hosts, err := certs.ParseHosts([]string{"127.0.0.1", "localhost"})
	if err != nil {
		return nil, err
	}
	certDir := filepath.Join(dir, name+"-certs")
	made, err := certs.Ensure(certDir, hosts, time.Now())
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(made.CAPath)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(bin, "-port", strconv.Itoa(port), "-cert-dir", certDir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s := &server{name: name, pid: cmd.Process.Pid, url: "https://" + address, ca: ca}
	s.stop = func() error {
		_ = cmd.Process.Kill() // there is nothing to finish
		_ = cmd.Wait()
		return nil
	}
	return s, errors.Join(waitFor(address, ca), s.connect())
}

// startTruce starts Truce's webhook with its built-in policy, or with args.
func startTruce(dir, bin, name string, args ...string) (*server, error) {
	hook, err := cluster.StartWebhook(bin, filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+"-certs"), io.Discard, args...)
	if err != nil {
		return nil, err
	}
	s := &server{
		name: name, pid: hook.Cmd.Process.Pid, url: "https://" + hook.Address, ca: hook.CABundle, ops: hook.OpsAddress,
		stop: hook.Stop,
	}
	return s, s.connect()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func waitFor(address string, ca []byte) (err error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for range 200 {
		var conn *tls.Conn
		if conn, err = tls.Dial("tcp", address, &tls.Config{RootCAs: roots}); err == nil {
			return conn.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// connect makes the client, with the transport that the API server's own webhook client has: client-go's.
func (s *server) connect() error {
	config := &rest.Config{
		Host: s.url, TLSClientConfig: rest.TLSClientConfig{CAData: s.ca}, UserAgent: "kube-apiserver-admission",
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			s.dials.Add(1)
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		},
	}
	transport, err := rest.TransportFor(config)
	s.client = &http.Client{Transport: transport}
	return err
}

// review sends a review as an API server does, and reports whether the answer has warnings.
func (s *server) review(ctx context.Context, body []byte, answer *bytes.Buffer) (warned bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/validate?timeout=2s", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, */*")
	resp, err := s.client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	answer.Reset()
	if _, err := answer.ReadFrom(resp.Body); err != nil {
		return false, err
	}
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 || !bytes.Contains(answer.Bytes(), []byte(`"allowed":true`)) {
		return false, fmt.Errorf("%s answered %s (%s): %s", s.name, resp.Status, resp.Proto, answer)
	}
	return bytes.Contains(answer.Bytes(), []byte(`"warnings"`)), nil
}

// cpu returns how much CPU time the process has used, user and system. The kernel counts it in nanoseconds for each
// thread; /proc/PID/stat has the same by hundredths of a second. Go ends no threads, so none is missing.
func (s *server) cpu() (total time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("there is no CPU time of %s in /proc: this needs Linux, and a process that runs", s.name)
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			return 0, fmt.Errorf("reading the CPU time of %s: %w", s.name, err)
		}
		running, _, _ := strings.Cut(string(stat), " ")
		n, err := strconv.ParseInt(running, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s is not as expected: %s", path, stat)
		}
		total += time.Duration(n)
	}
	return total, nil
}

// peakMemory returns the largest resident size so far, in MiB.
func (s *server) peakMemory() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int
	_, err = fmt.Sscanf(rest, "%d kB", &kib)
	return kib / 1024, err
}

// metric returns the sum of one of Truce's metrics.
func (s *server) metric(name string) (sum float64, err error) {
	resp, err := http.Get("http://" + s.ops + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		sample, value, _ := strings.Cut(lines.Text(), " ")
		if sample == name || strings.HasPrefix(sample, name+"{") {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, err
			}
			sum += v
		}
	}
	return sum, lines.Err()
}
