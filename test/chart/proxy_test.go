package chart

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
)

// serviceProxy does what kube-proxy does on a node: it leads connections to a Service's address to its ready Pods, by
// turns. The API server reaches it as an HTTP CONNECT proxy.
type serviceProxy struct {
	path string

	mu       sync.Mutex
	backends map[string][]string // of a Service's host:port, addresses
	turn     int
}

func newServiceProxy(path string) (*serviceProxy, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	p := &serviceProxy{path: path, backends: map[string][]string{}}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p, nil
}

// add makes a Pod ready, remove makes it unready.
func (p *serviceProxy) add(service, pod string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backends[service] = append(p.backends[service], pod)
}

func (p *serviceProxy) remove(service, pod string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backends[service] = slices.DeleteFunc(slices.Clone(p.backends[service]), func(b string) bool { return b == pod })
}

func (p *serviceProxy) pick(service string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pods := p.backends[service]
	if len(pods) == 0 {
		return "", false
	}
	p.turn++
	return pods[p.turn%len(pods)], true
}

func (p *serviceProxy) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	req, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	pod, ok := p.pick(req.Host)
	if req.Method != http.MethodConnect || !ok {
		fmt.Fprintf(conn, "HTTP/1.1 503 No Pod of %s\r\n\r\n", req.Host)
		return
	}
	out, err := net.Dial("tcp", pod)
	if err != nil {
		fmt.Fprintf(os.Stderr, "chart: %s has the Pod %s, which is not there: %v\n", req.Host, pod, err)
		fmt.Fprint(conn, "HTTP/1.1 503 Pod gone\r\n\r\n")
		return
	}
	defer out.Close()
	fmt.Fprint(conn, "HTTP/1.1 200 Connected\r\n\r\n")
	go func() {
		_, _ = io.Copy(out, in)
		_ = out.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, out)
}
