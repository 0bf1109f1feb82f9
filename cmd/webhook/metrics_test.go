package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/truce-dev/truce/pkg/policy"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const metricsDoc = "../../docs/metrics.md"

// described returns a line of the document for each metric of the server that is not of the Go runtime or the process:
// those that it always has, and those that come with a flag.
func described(t *testing.T) (lines []string) {
	t.Helper()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := []string{"--self-cert-dir", filepath.Join(dir, "certs")}
	kubeconfig := file("kubeconfig", "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: "+
		"'https://127.0.0.1:1'}}]\nusers: [{name: c, user: {}}]\ncontexts: [{name: c, context: {cluster: c, user: c}}]\n")
	notify := file("notify", "apiVersion: truce.dev/v1alpha1\nkind: Notifications\nreceivers: [{name: r, http: {url: 'http://127.0.0.1:1'}}]\n")
	known := map[string]bool{}
	for _, with := range []struct {
		flag string
		args []string
	}{
		{"", own},
		{"client-ca", append(own, "--client-ca", filepath.Join(dir, "certs", "ca.crt"))},
		{"notify", append(own, "--notify", notify)},
		{"cert-secret", []string{
			"--kubeconfig", kubeconfig, "--cert-secret", "truce/tls", "--webhook-config", "validating/truce", "--service", "truce/truce",
		}},
	} {
		for _, m := range metricsOf(t, with.args) {
			if known[m.name] {
				continue
			}
			known[m.name] = true
			if with.flag != "" {
				m.help += " Only with `--" + with.flag + "`."
			}
			lines = append(lines, fmt.Sprintf("| `%s` | %s | %s |", m.name, m.labels, m.help))
		}
	}
	slices.Sort(lines)
	return lines
}

type metricDoc struct{ name, labels, help string }

// metricsOf returns what a server that is started with the flags registers.
func metricsOf(t *testing.T, args []string) (all []metricDoc) {
	t.Helper()
	cfg, _, err := parseFlags(append([]string{"--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var registry *prometheus.Registry
	s, err := New(cfg, slog.New(slog.DiscardHandler),
		func(cfg Config, p *policy.Policy, reg prometheus.Registerer, log *slog.Logger) (guard, error) {
			registry = reg.(*prometheus.Registry)
			return newGuard(cfg, p, reg, log)
		})
	if err != nil {
		t.Fatal(err)
	}
	defer s.opsListener.Close()
	descs := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(descs)
		close(descs)
	}()
	parts := regexp.MustCompile(`^Desc\{fqName: "(.*?)", help: "(.*?)"(?:, unit: ".*?")?, constLabels: \{.*?\}, variableLabels: \{(.*)\}\}$`)
	for d := range descs {
		m := parts.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("not as this test expects it: %s", d)
		}
		name, help, labels := m[1], m[2], m[3]
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		if labels != "" {
			labels = "`" + strings.ReplaceAll(labels, ",", "`, `") + "`"
		}
		all = append(all, metricDoc{name, labels, help})
	}
	return all
}

func TestEveryMetricIsDocumented(t *testing.T) {
	want := "# Metrics\n\n" +
		"Made by `go test ./cmd/webhook -run TestEveryMetricIsDocumented -update`; do not edit. Names that end in `_total`\n" +
		"are counters, `truce_review_duration_seconds` is a histogram, all others are gauges. Beside these, `/metrics` has those\n" +
		"of the Go runtime (`go_…`) and the process (`process_…`). Labels are closed sets; only `truce_fight_writes_per_minute`,\n" +
		"which `--top-fights` switches on, names objects.\n\n" +
		"| metric | labels | meaning |\n|---|---|---|\n" + strings.Join(described(t), "\n") + "\n"
	if *update {
		if err := os.WriteFile(metricsDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(metricsDoc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not what is registered (-registered +documented):\n%s", metricsDoc, diff)
	}
}

// Dashboard and alerts ask for metrics that there are, and every alert has its section in the runbook.
func TestDashboardAndAlertsAskForWhatThereIs(t *testing.T) {
	read := func(path string) string {
		b, err := os.ReadFile("../../" + path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	documented, runbook := read("docs/metrics.md"), read("docs/runbook.md")
	dashboard, alerts := read("charts/truce/files/dashboard.json"), read("charts/truce/files/alerts.yaml")
	names := regexp.MustCompile(`\btruce_[a-z_]+`)
	for _, name := range append(names.FindAllString(dashboard, -1), names.FindAllString(alerts, -1)...) {
		if base := strings.TrimSuffix(name, "_bucket"); !strings.Contains(documented, "`"+base+"`") {
			t.Errorf("there is no metric %s", name)
		}
	}
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(alerts, -1) {
		if !strings.Contains(runbook, "\n## "+m[1]+"\n") || !strings.Contains(alerts, "docs/runbook.md#"+strings.ToLower(m[1])) {
			t.Errorf("%s has no section in the runbook, or no link to it", m[1])
		}
	}
	var d struct {
		UID, Title    string
		SchemaVersion int
		Panels        []struct {
			ID                       int
			Type, Title, Description string
			GridPos                  struct{ X, Y, W, H int }
			Targets                  []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal([]byte(dashboard), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 30 || len(d.Panels) < 20 {
		t.Errorf("no dashboard: %+v", d)
	}
	ids := map[int]bool{}
	for i, p := range d.Panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.H == 0 {
			t.Errorf("%s: id %d, at %+v", p.Title, p.ID, p.GridPos)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, q := range d.Panels[:i] {
			if p.GridPos.Y < q.GridPos.Y+q.GridPos.H && q.GridPos.Y < p.GridPos.Y+p.GridPos.H &&
				p.GridPos.X < q.GridPos.X+q.GridPos.W && q.GridPos.X < p.GridPos.X+p.GridPos.W {
				t.Errorf("%s lies on %s", p.Title, q.Title)
			}
		}
	}
}
