package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/truce-dev/truce/pkg/policy"
)

// policySource says where the policy comes from.
type policySource struct {
	path string      // empty: the built-in policy
	mode policy.Mode // empty: what the policy says
}

func (s policySource) String() string {
	if s.path == "" {
		return "built-in policy"
	}
	return s.path
}

// load returns the policy as it is now. The error is policy.Problems if the file could be read.
func (s policySource) load() (*policy.Policy, error) {
	data, err := s.read()
	if err != nil {
		return nil, err
	}
	return s.parse(data)
}

// read returns what the file holds; of the built-in policy, nothing.
func (s policySource) read() ([]byte, error) {
	if s.path == "" {
		return nil, nil
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxPolicy))
}

// parse returns the policy of a file with these contents.
func (s policySource) parse(data []byte) (*policy.Policy, error) {
	p := policy.Default()
	if s.path != "" {
		var err error
		if p, err = policy.Load(data, s.path); err != nil {
			return nil, err
		}
	}
	if s.mode == "" {
		return p, nil
	}
	return p.WithMode(s.mode)
}

// maxPolicy is how much of a policy file is read, in bytes: more than policy.Load takes, so that it refuses the rest.
const maxPolicy = 2 << 20

// policyMetrics tell of the policy file.
type policyMetrics struct {
	reloads *prometheus.CounterVec
	loaded  prometheus.Gauge
	inSync  prometheus.Gauge
}

// The results of a reload, a metric label.
const (
	resultLoaded  = "loaded"
	resultRefused = "refused"
)

func newPolicyMetrics(reg prometheus.Registerer) *policyMetrics {
	m := &policyMetrics{
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "truce_policy_reloads_total",
			Help: "Changes of the policy file, by whether they were loaded or refused.",
		}, []string{"result"}),
		loaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "truce_policy_loaded_timestamp_seconds",
			Help: "When the policy in force was loaded, in seconds since 1970.",
		}),
		inSync: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "truce_policy_in_sync",
			Help: "1 if the policy in force is what the file says, 0 if the file was refused or is gone.",
		}),
	}
	reg.MustRegister(m.reloads, m.loaded, m.inSync)
	m.reloads.WithLabelValues(resultLoaded)
	m.reloads.WithLabelValues(resultRefused)
	return m
}

// policyWatcher puts changes of the policy file into force. It is driven by one goroutine, that of Run.
type policyWatcher struct {
	source  policySource
	apply   func(*policy.Policy)
	metrics *policyMetrics
	log     *slog.Logger

	// poll is how often the file is read without being told to: notices can get lost, and there are file systems
	// without them.
	poll time.Duration
	// settle is how long the directory must be quiet before the file is read: editors and the kubelet take several
	// steps.
	settle time.Duration

	data []byte // the contents last seen, in force or refused
	gone string // why the file could not be read last; empty: it could
}

// newPolicyWatcher loads the policy for the first time.
func newPolicyWatcher(source policySource, metrics *policyMetrics, log *slog.Logger,
) (*policyWatcher, *policy.Policy, error) {
	w := &policyWatcher{source: source, metrics: metrics, log: log, poll: 10 * time.Second, settle: 100 * time.Millisecond}
	data, err := source.read()
	if err != nil {
		return nil, nil, err
	}
	p, err := source.parse(data)
	if err != nil {
		return nil, nil, err
	}
	w.data = data
	metrics.loaded.SetToCurrentTime()
	metrics.inSync.Set(1)
	return w, p, nil
}

// Run watches until ctx ends. The built-in policy needs no watching.
func (w *policyWatcher) Run(ctx context.Context) {
	if w.source.path == "" {
		return
	}
	// The directory, not the file: whoever replaces a file makes a new one, and in a mounted ConfigMap it is a
	// symbolic link beside the file that changes.
	dir := filepath.Dir(w.source.path)
	var events chan fsnotify.Event
	var lost chan error
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer watcher.Close()
		events, lost = watcher.Events, watcher.Errors
		err = watcher.Add(dir)
	}
	if err != nil {
		w.log.Warn("no notices of changes of the policy file, reading it again and again instead",
			"dir", dir, "every", w.poll.String(), "error", err)
	}

	ticker := time.NewTicker(w.poll)
	defer ticker.Stop()
	settled := time.NewTimer(0) // at once: it may have changed since it was loaded
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if w.concerns(e) {
				settled.Reset(w.settle)
			}
		case err := <-lost: // there were more notices than could be kept; one for this file may be among them
			w.log.Debug("notices of changed files were lost; looking at the policy file", "error", err)
			settled.Reset(w.settle)
		case <-ticker.C:
			if watcher != nil {
				// A directory that was replaced is another one; adding a watched one changes nothing.
				_ = watcher.Add(dir)
			}
			w.check()
		case <-settled.C:
			w.check()
		}
	}
}

// concerns leaves out the other files of the directory, so that one that never rests does not put off reading.
func (w *policyWatcher) concerns(e fsnotify.Event) bool {
	name := filepath.Base(e.Name)
	return name == filepath.Base(w.source.path) || name == "..data" // the kubelet's link to a ConfigMap's contents
}

// check reads the file and, if it changed, puts it into force or refuses it. Each change is judged once.
func (w *policyWatcher) check() {
	data, err := w.source.read()
	if err != nil {
		if w.gone == err.Error() {
			return
		}
		w.gone = err.Error()
		w.refuse(err)
		return
	}
	back := w.gone != ""
	w.gone = ""
	if bytes.Equal(data, w.data) && !back {
		return
	}
	w.data = data
	p, err := w.source.parse(data)
	if err != nil {
		w.refuse(err)
		return
	}
	w.apply(p)
	w.metrics.reloads.WithLabelValues(resultLoaded).Inc()
	w.metrics.loaded.SetToCurrentTime()
	w.metrics.inSync.Set(1)
	w.log.Info("policy loaded", "policy", w.source.path, "mode", p.File.Mode, "rules", len(p.File.Rules))
}

func (w *policyWatcher) refuse(err error) {
	w.metrics.reloads.WithLabelValues(resultRefused).Inc()
	w.metrics.inSync.Set(0)
	message := "policy refused, the one in force stays"
	if errors.Is(err, os.ErrNotExist) {
		message = "policy file is gone, the policy in force stays"
	}
	logFailure(w.log, message, err, "policy", w.source.path)
}
