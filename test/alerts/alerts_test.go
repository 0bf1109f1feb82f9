// Package alerts has promtool test the alerting rules and check the dashboard's queries.
package alerts

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const files = "../../charts/truce/files/"

// promtool returns the path of promtool, as tools/promtool pins it, without the service discoveries that make it large.
// Built once, it is kept in the user's cache.
func promtool(t *testing.T) string {
	t.Helper()
	sum, err := os.ReadFile("../../tools/promtool/go.sum")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	version := sha256.Sum256(append(sum, runtime.Version()...))
	path := filepath.Join(cache, "truce", "tools", "promtool-"+hex.EncodeToString(version[:6]), "promtool")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	made := path + "." + strconv.Itoa(os.Getpid()) // renamed when it is whole: another process may build it, too
	cmd := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-tags=remove_all_sd", "-o", made,
		"github.com/prometheus/prometheus/cmd/promtool")
	cmd.Dir = "../../tools/promtool"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building promtool: %v\n%s", err, out)
	}
	if err := os.Rename(made, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(promtool(t), args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %q: %v\n%s", args, err, out)
	}
}

func TestAlerts(t *testing.T) {
	run(t, "check", "rules", "--lint=all", "--lint-fatal", files+"alerts.yaml")
	run(t, "test", "rules", "alerts_test.yaml")
}

// Every alert is in the tests.
func TestEveryAlertIsTested(t *testing.T) {
	tests, err := os.ReadFile("alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range alerts(t) {
		if !strings.Contains(string(tests), "alertname: "+name+"\n") {
			t.Errorf("%s is not tested", name)
		}
	}
}

func alerts(t *testing.T) (names []string) {
	t.Helper()
	data, err := os.ReadFile(files + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct{ Rules []struct{ Alert string } }
	}
	if err := yaml.Unmarshal(data, &rules); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			names = append(names, r.Alert)
		}
	}
	return names
}

// Every query of the dashboard is PromQL: promtool checks them as if they were recording rules.
func TestTheDashboardsQueries(t *testing.T) {
	data, err := os.ReadFile(files + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
		Annotations struct{ List []struct{ Expr string } }
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	type rule struct {
		Record string            `json:"record"`
		Expr   string            `json:"expr"`
		Labels map[string]string `json:"labels"`
	}
	var rules []rule
	add := func(expr string) {
		expr = strings.NewReplacer("$__rate_interval", "5m", "$namespace", ".*").Replace(expr)
		rules = append(rules, rule{"truce:query", expr, map[string]string{"n": string(rune('a'+len(rules)/26)) + string(rune('a'+len(rules)%26))}})
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			add(q.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		add(a.Expr)
	}
	if len(rules) < 25 {
		t.Fatalf("%d queries", len(rules))
	}
	file := filepath.Join(t.TempDir(), "rules.json") // JSON is YAML
	b, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "check", "rules", file)
}
