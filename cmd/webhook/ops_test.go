package main

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestOperations(t *testing.T) {
	ready := errors.New("not serving reviews yet")
	handler := opsServer(operations{
		registry: newRegistry(), ready: func(*http.Request) error { return ready }, log: slog.New(slog.DiscardHandler),
		api: http.NotFoundHandler(), guarded: func(h http.Handler) http.Handler { return h },
	}).Handler
	get := func(method, path string) (int, string) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		body, _ := io.ReadAll(w.Result().Body)
		return w.Code, string(body)
	}

	code, body := get(http.MethodGet, "/readyz")
	if code != http.StatusServiceUnavailable || body != "not ready: not serving reviews yet\n" {
		t.Errorf("not ready: status %d, body %q", code, body)
	}
	if code, body := get(http.MethodGet, "/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("alive though not ready: status %d, body %q", code, body)
	}
	ready = nil
	if code, body := get(http.MethodGet, "/readyz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("ready: status %d, body %q", code, body)
	}
	if code, _ := get(http.MethodPost, "/healthz"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", code)
	}
	if code, _ := get(http.MethodGet, "/validate"); code != http.StatusNotFound {
		t.Errorf("reviews on the operations port: status %d", code)
	}
	if code, body := get(http.MethodGet, "/"); code != http.StatusOK || !strings.Contains(body, "<title>Truce") {
		t.Errorf("the page: status %d, body %q", code, body)
	}
}

func TestMetrics(t *testing.T) {
	p := start(t)
	body := p.operations("/metrics").body
	for _, want := range []string{
		"truce_build_info{", "truce_policy_loaded_timestamp_seconds", "truce_certificate_expiry_timestamp_seconds",
		"certwatcher_read_certificate_errors_total", "go_goroutines", "process_start_time_seconds",
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	for _, useless := range []string{"controller_runtime_", "workqueue_", "rest_client_", "leader_election_"} {
		if strings.Contains(body, useless) {
			t.Errorf("it shows metrics %s…, which count nothing here", useless)
		}
	}
}

func TestNotReadyBeforeItServes(t *testing.T) {
	s := &Server{cert: &fileCertificate{}}
	if err := s.ready(nil); err == nil || err.Error() != "not serving reviews yet" {
		t.Errorf("error %v", err)
	}
}
