package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// scene is a Guard and a Recorder in virtual time.
type scene struct {
	t        *testing.T
	guard    *admission.Guard
	recorder *Recorder
	registry *prometheus.Registry
	log      *lines
	clock    sync.Mutex // for what reads the time on its own: the API
	now      time.Time
	n        int
	version  int

	namespace, name, resource, kind string
	stored                          string
	dryRun                          bool
}

const policyText = "apiVersion: truce.dev/v1alpha1\nkind: Policy\nmode: %s\npresets: []\nrules:\n- name: all\n  action: %s\n"

func newScene(t *testing.T, mode policy.Mode, action string, o Options) *scene {
	t.Helper()
	p, err := policy.Load(fmt.Appendf(nil, policyText, mode, action), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{
		t: t, now: noon, registry: prometheus.NewRegistry(), log: new(lines), namespace: "shop", name: "web",
		resource: "serviceaccounts", kind: "ServiceAccount", stored: "none",
	}
	o.Store = history.New(admission.Bounds(p))
	o.Registry = s.registry
	o.Log = slog.New(slog.NewJSONHandler(s.log, nil))
	o.Now = func() time.Time {
		s.clock.Lock()
		defer s.clock.Unlock()
		return s.now
	}
	s.guard = admission.NewGuard(p, o.Store, history.NewHasher())
	s.guard.Journal = true
	s.recorder = New(o)
	return s
}

// lines is a log to look at.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// entries returns the values of a key in all lines.
func (l *lines) entries(key string) (all []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(l.b.Bytes()) {
		var m map[string]any
		if json.Unmarshal(line, &m) == nil {
			all = append(all, m[key])
		}
	}
	return all
}

const field = "metadata.annotations[k]"

func (s *scene) object(value string) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": s.kind, "metadata": map[string]any{
		"name": s.name, "namespace": s.namespace, "uid": "uid-" + s.name, "resourceVersion": fmt.Sprint(1 + s.version),
		"annotations": map[string]any{"k": value},
	}}
}

// review sends a write to the webhook of a phase, has it recorded, and returns the answer.
func (s *scene) review(phase admission.Phase, by, from, to string) *admission.Response {
	s.t.Helper()
	s.n++
	body, err := json.Marshal(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": map[string]any{
		"uid": fmt.Sprint("review-", s.n), "operation": "UPDATE", "name": s.name, "namespace": s.namespace, "dryRun": s.dryRun,
		"kind":     map[string]any{"group": "", "version": "v1", "kind": s.kind},
		"resource": map[string]any{"group": "", "version": "v1", "resource": s.resource},
		"userInfo": map[string]any{"username": "system:serviceaccount:shop:" + by},
		"object":   s.object(to), "oldObject": s.object(from), "options": map[string]any{"fieldManager": by},
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := s.guard.Review(s.now, phase, body)
	if err != nil {
		s.t.Fatal(err)
	}
	s.recorder.Reviewed(phase, &resp, 70*time.Microsecond)
	return &resp
}

// write sets the annotation d later, through both webhooks as the API server would, and records it.
func (s *scene) write(d time.Duration, by, to string) *admission.Response {
	s.t.Helper()
	s.clock.Lock()
	s.now = s.now.Add(d)
	s.clock.Unlock()
	resp := s.review(admission.Mutating, by, s.stored, to)
	if resp.Patch != nil {
		s.review(admission.Validating, by, s.stored, s.stored) // held: nothing is left of it
	} else {
		resp = s.review(admission.Validating, by, s.stored, to)
		if resp.Allowed && !s.dryRun {
			s.stored = to
			s.version++
		}
	}
	s.drain()
	return resp
}

// fight has red and blue write in turns, a second apart.
func (s *scene) fight(writes int) {
	s.t.Helper()
	for i := range writes {
		by := []string{"red", "blue"}[i%2]
		s.write(time.Second, by, by)
	}
}

// drain records what is queued.
func (s *scene) drain() {
	for {
		select {
		case it := <-s.recorder.queue:
			s.recorder.record(&it)
		default:
			return
		}
	}
}

func (s *scene) fights() []Fight { return s.recorder.Register.Fights(s.now, FightQuery{}) }

func (s *scene) only() Fight {
	s.t.Helper()
	all := s.fights()
	if len(all) != 1 {
		s.t.Fatalf("%d fights: %+v", len(all), all)
	}
	return all[0]
}

func (s *scene) keyOf() history.Key {
	return history.Key{Resource: s.resource, Namespace: s.namespace, Name: s.name}
}
