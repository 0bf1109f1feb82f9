package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

func indented(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// noon is not at the edge of what keys and summaries round to.
var noon = time.Date(2026, 3, 1, 12, 3, 0, 0, time.UTC)

// register is a register as a test wants it.
type register struct {
	mu     sync.Mutex
	fights map[string]report.Fight
}

func (r *register) Fights(time.Time, report.FightQuery) (all []report.Fight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.fights {
		all = append(all, f)
	}
	return all
}

// start has red and blue, or whoever else, fight over an Ingress.
func (r *register) start(now time.Time, name string, parties ...string) report.Fight {
	f := report.Fight{
		ID: "f-" + name, Kind: "fight",
		Object: report.Object{Group: "networking.k8s.io", Resource: "ingresses", Namespace: "shop", Name: name},
		Field:  "metadata.annotations[ops.tips/signature]", Signal: "Reversal", Rule: "everything",
		Mode: policy.Enforce, Action: policy.ActionHold, State: report.Open, Reversals: 3, Writes: 5, RatePerMinute: 60,
		Prevented: report.Prevented{Held: 1}, FirstSeen: now.Add(-4 * time.Second), Detected: now, LastSeen: now,
		Until: now.Add(10 * time.Minute),
	}
	if parties == nil {
		parties = []string{"red", "blue"}
	}
	for _, p := range parties {
		f.Parties = append(f.Parties, report.Writer{User: "system:serviceaccount:ops:" + p, Manager: p, Pod: p + "-x7k2p"})
	}
	r.put(f)
	return f
}

func (r *register) put(f report.Fight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fights == nil {
		r.fights = map[string]report.Fight{}
	}
	r.fights[f.ID] = f
}

func (r *register) end(now time.Time, names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		f := r.fights["f-"+name]
		f.State, f.Ended, f.Until = report.Ended, now, time.Time{}
		r.fights["f-"+name] = f
	}
}

// journal is a journal as a test wants it.
type journal struct{ changes []report.Change }

func (j *journal) Since(n uint64, _ report.ChangeQuery) ([]report.Change, uint64) {
	if n > uint64(len(j.changes)) {
		return nil, uint64(len(j.changes))
	}
	return j.changes[n:], uint64(len(j.changes))
}

// receiver is what is told.
type receiver struct {
	mu     sync.Mutex
	answer func(w http.ResponseWriter, r *http.Request) // nil: 200
	got    []*http.Request
	bodies [][]byte
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.got, r.bodies = append(r.got, req), append(r.bodies, body)
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		answer(w, req)
	}
}

func (r *receiver) set(answer func(http.ResponseWriter, *http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// take returns the messages since the last call, sent as they are.
func (r *receiver) take(t *testing.T) (all []Message) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.bodies {
		var m Message
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		all = append(all, m)
	}
	r.got, r.bodies = nil, nil
	return all
}

// direct is a transport to a handler in the same process, which virtual time can pass in.
type direct struct{ h http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	done := make(chan *http.Response, 1)
	go func() {
		w := httptest.NewRecorder()
		d.h.ServeHTTP(w, r)
		done <- w.Result()
	}()
	select {
	case resp := <-done:
		return resp, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// scene is one receiver that is told by one replica, in virtual time.
type scene struct {
	t        *testing.T
	now      time.Time
	register register
	journal  journal
	receiver receiver
	log      bytes.Buffer
	metrics  *prometheus.Registry
	notifier *Notifier
}

const head = "apiVersion: truce.dev/v1alpha1\nkind: Notifications\n"

func load(t *testing.T, text string) *File {
	t.Helper()
	f, err := Load([]byte(head+text), "notify.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const plainReceiver = "receivers:\n- name: all\n  http: {url: 'https://receiver.example/hook'}\n"

func newScene(t *testing.T, text string) *scene {
	s := &scene{t: t, now: noon, metrics: prometheus.NewRegistry()}
	s.notifier = s.replica(load(t, text), nil, s.metrics, &s.register)
	return s
}

func (s *scene) replica(f *File, c *Claims, metrics prometheus.Registerer, r *register) *Notifier {
	s.t.Helper()
	n, err := New(Options{
		File: f, Register: r, Journal: &s.journal, Claims: c, Replica: "truce-1", Registerer: metrics,
		Log: slog.New(slog.NewJSONHandler(&s.log, nil)), Now: func() time.Time { return s.now },
		Transport: direct{&s.receiver},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// pass lets time pass, in looks as Run has them.
func (s *scene) pass(d time.Duration) {
	s.t.Helper()
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(lookEvery)
		s.notifier.look(s.t.Context())
	}
}

func (n *Notifier) look(ctx context.Context) {
	for _, t := range n.teller {
		t.look(ctx, t.o.Now())
	}
}

// want compares what was told since the last call, each as phase, number of fights and objects.
func (s *scene) want(want ...string) {
	s.t.Helper()
	got := []string{}
	for _, m := range s.receiver.take(s.t) {
		line := string(m.Phase)
		for _, g := range m.Groups {
			line += fmt.Sprintf(" %d", len(g.Fights)+g.More)
		}
		got = append(got, line)
	}
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("told (-want +got):\n%s", diff)
	}
}

func (s *scene) count(kind, result string) float64 {
	return testutil.ToFloat64(s.notifier.teller[0].results.WithLabelValues(result))
}
