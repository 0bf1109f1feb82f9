package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/truce-dev/truce/pkg/policy"
)

// A policy file, and one with two problems.
const (
	policyText = `apiVersion: truce.dev/v1alpha1
kind: Policy
mode: MODE
rules:
- name: everything
  match:
    fields: ["metadata.annotations[*]"]
`
	brokenPolicy = `apiVersion: truce.dev/v1alpha1
kind: Policy
mode: Sometimes
rules:
- name: everything
  matches: {}
`
)

func policyIn(mode policy.Mode) []byte {
	return []byte(strings.ReplaceAll(policyText, "MODE", string(mode)))
}

func TestPolicyIsReloaded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	replace(t, path, policyIn(policy.Warn))
	p := start(t, "--policy", path)
	const (
		loaded  = `truce_policy_reloads_total{result="loaded"}`
		refused = `truce_policy_reloads_total{result="refused"}`
		inSync  = `truce_policy_in_sync`
		when    = `truce_policy_loaded_timestamp_seconds`
	)
	if got := p.stderr.entries("serving")[0]; got["policy"] != path || got["mode"] != "Warn" {
		t.Errorf("it says that it serves %v in mode %v", got["policy"], got["mode"])
	}
	first := p.metric(when)
	if age := float64(time.Now().Unix()) - first; age < -2 || age > 60 {
		t.Errorf("loaded %v seconds ago", age)
	}
	if p.metric(loaded) != 0 || p.metric(refused) != 0 || p.metric(inSync) != 1 {
		t.Error("reloads are counted before there was one")
	}

	replace(t, path, policyIn(policy.Enforce))
	p.waitMetric(loaded, 1)
	if got := p.stderr.wait(t, "policy loaded", 1); got["mode"] != "Enforce" || got["rules"] != 1.0 {
		t.Errorf("loaded mode %v, %v rules", got["mode"], got["rules"])
	}
	second := p.metric(when)
	if second <= first {
		t.Error("the time of loading did not change")
	}

	replace(t, path, []byte(brokenPolicy))
	p.waitMetric(refused, 1)
	if last := p.stderr.wait(t, "policy refused, the one in force stays", 1); last["problems"] != 2.0 {
		t.Errorf("%v problems, want 2", last["problems"])
	}
	problems := p.stderr.entries("problem in the policy")
	if len(problems) != 2 || problems[0]["path"] != "mode" || problems[1]["line"] != 6.0 ||
		problems[0]["file"] != path || problems[0]["problem"] == "" {
		t.Errorf("problems logged: %v", problems)
	}
	if p.metric(inSync) != 0 || p.metric(when) != second || p.metric(loaded) != 1 {
		t.Error("the metrics say that the broken policy is in force")
	}
	if a := p.operations("/readyz"); a.status != 200 {
		t.Errorf("not ready because of a broken policy: %s", a.body)
	}

	replace(t, path, policyIn(policy.Audit))
	p.waitMetric(loaded, 2)
	if got := p.stderr.wait(t, "policy loaded", 2); got["mode"] != "Audit" || p.metric(inSync) != 1 {
		t.Errorf("loaded mode %v, in sync %v", got["mode"], p.metric(inSync))
	}
}

func TestModeFlagOutweighsThePolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	replace(t, path, policyIn(policy.Enforce))
	p := start(t, "--policy", path, "--mode", "Audit")
	if got := p.stderr.entries("serving")[0]["mode"]; got != "Audit" {
		t.Errorf("it starts in mode %v", got)
	}
	replace(t, path, policyIn(policy.Warn))
	if got := p.stderr.wait(t, "policy loaded", 1)["mode"]; got != "Audit" {
		t.Errorf("it reloads in mode %v", got)
	}
	if policy.Default().File.Mode == policy.Audit {
		t.Error("the flag changed the built-in policy")
	}
}

// watched is a watcher under test and what it puts into force.
type watched struct {
	*policyWatcher
	log     buffer
	applied chan policy.Mode
}

func watch(t *testing.T, path string, change func(*policyWatcher)) *watched {
	t.Helper()
	out := &watched{applied: make(chan policy.Mode, 8)}
	w, _, err := newPolicyWatcher(policySource{path: path}, newPolicyMetrics(prometheus.NewRegistry()),
		newLogger(&out.log, formatJSON, slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	w.apply = func(p *policy.Policy) { out.applied <- p.File.Mode }
	w.poll, w.settle = time.Hour, time.Millisecond
	change(w)
	out.policyWatcher = w
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	return out
}

func (w *watched) wait(t *testing.T, want policy.Mode) {
	t.Helper()
	select {
	case got := <-w.applied:
		if got != want {
			t.Fatalf("mode %s was put into force, want %s", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("nothing was put into force; log:\n%s", w.log.String())
	}
}

// The kubelet keeps the files of a ConfigMap in a directory of its own and swaps a link to it.
func TestPolicyInAConfigMapIsReloaded(t *testing.T) {
	dir := t.TempDir()
	version := func(name string, mode policy.Mode) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(dir, name, "policy.yaml"), policyIn(mode))
		if err := os.Symlink(name, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", policy.Warn)
	path := filepath.Join(dir, "policy.yaml")
	if err := os.Symlink(filepath.Join("..data", "policy.yaml"), path); err != nil {
		t.Fatal(err)
	}
	w := watch(t, path, func(*policyWatcher) {})
	version("..2", policy.Enforce)
	w.wait(t, policy.Enforce)
	version("..3", policy.Audit)
	w.wait(t, policy.Audit)
}

func TestPolicyIsReadWithoutNoticesToo(t *testing.T) {
	t.Run("when what changes is elsewhere", func(t *testing.T) {
		elsewhere, dir := t.TempDir(), t.TempDir()
		target, path := filepath.Join(elsewhere, "policy.yaml"), filepath.Join(dir, "policy.yaml")
		replace(t, target, policyIn(policy.Warn))
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		w := watch(t, path, func(w *policyWatcher) { w.poll = time.Millisecond })
		replace(t, target, policyIn(policy.Enforce))
		w.wait(t, policy.Enforce)
	})
	t.Run("when it changes between the first loading and the watch", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "policy.yaml")
		replace(t, path, policyIn(policy.Warn))
		w := watch(t, path, func(*policyWatcher) { replace(t, path, policyIn(policy.Enforce)) })
		w.wait(t, policy.Enforce)
	})
	t.Run("when its directory is replaced", func(t *testing.T) {
		parent := t.TempDir()
		path := filepath.Join(parent, "etc", "policy.yaml")
		build := func(name string, mode policy.Mode) {
			if err := os.Mkdir(filepath.Join(parent, name), 0o755); err != nil {
				t.Fatal(err)
			}
			replace(t, filepath.Join(parent, name, "policy.yaml"), policyIn(mode))
		}
		build("etc", policy.Warn)
		build("new", policy.Enforce)
		w := watch(t, path, func(w *policyWatcher) { w.poll = time.Millisecond })
		if err := os.Rename(filepath.Join(parent, "etc"), filepath.Join(parent, "old")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(parent, "new"), filepath.Join(parent, "etc")); err != nil {
			t.Fatal(err)
		}
		w.wait(t, policy.Enforce)
	})
}

// check is called by hand here: how often it is called does not matter to what it says.
func TestEachChangeOfThePolicyIsJudgedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	good, broken := policyIn(policy.Warn), []byte(brokenPolicy)
	const (
		gone    = "policy file is gone, the policy in force stays"
		refused = "policy refused, the one in force stays"
		loaded  = "policy loaded"
	)
	steps := []struct {
		name    string
		content []byte // nil: the file is removed
		says    string // empty: nothing
	}{
		{"unchanged", good, ""},
		{"broken", broken, refused},
		{"broken still", broken, ""},
		{"gone", nil, gone},
		{"gone still", nil, ""},
		{"back, and broken as before", broken, refused},
		{"good again", good, loaded},
		{"good still", good, ""},
		{"gone again", nil, gone},
		{"back as it was", good, loaded},
	}
	replace(t, path, good)
	reg := prometheus.NewRegistry()
	var log buffer
	w, _, err := newPolicyWatcher(policySource{path: path}, newPolicyMetrics(reg),
		newLogger(&log, formatJSON, slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	applied := 0
	w.apply = func(*policy.Policy) { applied++ }
	said := map[string]int{}
	for _, step := range steps {
		if step.content == nil {
			os.Remove(path) // gone still: it is not there
		} else {
			replace(t, path, step.content)
		}
		w.check()
		if step.says != "" {
			said[step.says]++
		}
		for _, message := range []string{gone, refused, loaded} {
			if got := len(log.entries(message)); got != said[message] {
				t.Errorf("%s: %q was said %d times so far, want %d", step.name, message, got, said[message])
			}
		}
	}
	if applied != said[loaded] {
		t.Errorf("put into force %d times, said %d times", applied, said[loaded])
	}
}

func TestOtherFilesBesideThePolicyDoNotMatter(t *testing.T) {
	w := &policyWatcher{source: policySource{path: "/etc/truce/policy.yaml"}}
	for name, want := range map[string]bool{
		"/etc/truce/policy.yaml": true, "/etc/truce/..data": true,
		"/etc/truce/policy.yaml.swp": false, "/etc/truce/log": false, "/etc/truce/..data_tmp": false,
	} {
		if got := w.concerns(fsnotify.Event{Name: name}); got != want {
			t.Errorf("%s: %t, want %t", name, got, want)
		}
	}
}

func TestWithoutAPolicyItDoesNotStart(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "policy.yaml")
	replace(t, broken, []byte(brokenPolicy))
	for _, test := range []struct{ name, path, want string }{
		{"a file that is not there", filepath.Join(t.TempDir(), "none.yaml"), "no such file or directory"},
		{"a broken file", broken, `"problems":2`},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, _, stderr := runToEnd(t, "--policy", test.path, "--self-cert-dir", t.TempDir())
			if code != exitFailed || len(stderr.entries("not started")) != 1 || !strings.Contains(stderr.String(), test.want) {
				t.Errorf("exit code %d, log %s", code, stderr.String())
			}
		})
	}
}
