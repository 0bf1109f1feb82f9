package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/truce-dev/truce/test/golden"
)

// busyLog is what a real API server recorded of a HPA and a GitOps controller that fight over replicas.
func busyLog(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../test/auditbench/testdata/busy.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var hashes = regexp.MustCompile(`": "[0-9a-f]{16}"`)

func TestAudit(t *testing.T) {
	log := busyLog(t)
	for _, c := range []struct {
		name string
		code int
		args []string
	}{
		{"fights", 0, []string{"fights"}},
		{"fights-fail", 2, []string{"fights", "--fail-on=fight", "--resource", "deployments"}},
		{"fights-json", 0, []string{"fights", "-o", "json", "--resource=deployments"}},
		{"fights-yaml", 0, []string{"fights", "-o=yaml", "--resource=deployments"}},
		{"fights-none", 0, []string{"fights", "--fail-on=loop", "--user=nobody"}},
		{"replay", 0, []string{"replay"}},
		{"replay-warn", 0, []string{"replay", "--mode=Warn", "-o=json", "--resource=deployments"}},
		{"top", 0, []string{"top", "--per=1s", "--limit=5"}},
		{"top-json", 0, []string{"top", "--by=code", "-o=json", "--until=2026-11-25T21:35:20Z"}},
		{"relists", 0, []string{"relists", "--per=1s", "--limit=3"}},
		{"timeline", 0, []string{"timeline", "deployment/web-0", "-n=shop", "--field=spec"}},
		{"timeline-json", 0, []string{"timeline", "configmaps/web-1", "-n=shop", "--limit=1", "-o=json"}},
		{"query", 0, []string{"query", `verb == "patch" && objectRef.resource == "deployments"`, "-o=csv", "--limit=3"}},
		{"query-table", 0, []string{"query", `code == 409`, "-o=table", "--limit=2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := truce(append(append([]string{"audit"}, c.args...), log)...)
			if code != c.code || stderr != "" {
				t.Errorf("exit code %d, want %d: %s", code, c.code, stderr)
			}
			stdout = hashes.ReplaceAllString(stdout, `": "a hash"`) // their key is another one every time
			golden.Check(t, "testdata/audit-"+c.name+".golden", stdout)
		})
	}
}

func TestAuditReadsStandardInput(t *testing.T) {
	text, err := os.ReadFile(busyLog(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"audit", "query", "true"}, {"audit", "query", "true", "-"}} {
		var out, problems bytes.Buffer
		root := newRoot("truce")
		root.SetArgs(args)
		root.SetIn(bytes.NewReader(append([]byte("hello\n"), text...)))
		root.SetOut(&out)
		root.SetErr(&problems)
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		for _, line := range lines {
			if !json.Valid([]byte(line)) {
				t.Fatalf("not JSON: %s", line)
			}
		}
		if want := "1 line was left out, since it is no audit event:\n  stdin:1: it is not JSON\n"; problems.String() != want || len(lines) < 100 {
			t.Errorf("%d events; stderr %q, want %q", len(lines), problems.String(), want)
		}
	}
}

// A value of a Secret is never shown, and with --hash no other one is.
func TestAuditTimelineHidesValues(t *testing.T) {
	event := func(resource, value, version string) string {
		return `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"` + version + `","stage":"ResponseComplete","requestURI":"/x","verb":"update",` +
			`"user":{"username":"u"},"objectRef":{"resource":"` + resource + `","namespace":"a","name":"n","apiVersion":"v1"},"responseStatus":{"code":200},` +
			`"responseObject":{"kind":"X","metadata":{"name":"n","uid":"1","resourceVersion":"` + version + `"},"data":{"k":"` + value + `"}},` +
			`"requestReceivedTimestamp":"2025-01-01T00:00:0` + version + `Z","stageTimestamp":"2025-01-01T00:00:0` + version + `Z"}` + "\n"
	}
	log := ""
	for _, resource := range []string{"secrets", "configmaps"} {
		log += event(resource, "hush1", "1") + event(resource, "hush2", "2")
	}
	written(t, map[string]string{"audit.log": log})
	for _, c := range []struct {
		kind  string
		args  []string
		shows bool
	}{
		{"secret", nil, false}, {"configmap", nil, true}, {"configmap", []string{"--hash"}, false},
		{"secret", []string{"-o=json"}, false}, {"configmap", []string{"-o=json"}, true}, {"configmap", []string{"-o=json", "--hash"}, false},
	} {
		code, stdout, stderr := truce(append([]string{"audit", "timeline", c.kind + "/n", "audit.log"}, c.args...)...)
		if code != 0 || !strings.Contains(stdout, "data.k") && !strings.Contains(stdout, "data[k]") || strings.Contains(stdout, "hush") != c.shows {
			t.Errorf("%s %v: exit code %d, %s\n%s", c.kind, c.args, code, stderr, stdout)
		}
	}
}

func TestAuditOfWhatMakesNoSense(t *testing.T) {
	log := busyLog(t)
	written(t, map[string]string{"bad.yaml": "apiVersion: truce.dev/v1alpha1\nkind: Policy\nrules: [{name: a, action: Fight}]\n"})
	for _, c := range []struct {
		says string
		args []string
	}{
		{"truce: looking for audit logs: stat none.log: no such file or directory\n", []string{"fights", "none.log"}},
		{"truce: --output is \"xml\", it must be table, json or yaml\n", []string{"fights", "-o=xml", log}},
		{"truce: --output is \"yaml\", it must be jsonl, table or csv\n", []string{"query", "true", "-o=yaml", log}},
		{"truce: --fail-on is \"war\", it must be fight or loop\n", []string{"fights", "--fail-on=war", log}},
		{"truce: --since: \"yesterday\" is no time: write 2025-01-31T12:00:00Z, 2025-01-31, or 2h for two hours ago\n", []string{"top", "--since=yesterday", log}},
		{"truce: --per must be 1s at least\n", []string{"top", "--per=1ms", log}},
		{"truce: --limit must be 1 at least\n", []string{"relists", "--limit=0", log}},
		{"truce: requests cannot be told apart by \"shoe\", only by user, verb,", []string{"top", "--by=user,shoe", log}},
		{"truce: \"web\" is no object: write KIND/NAME, such as deployment/web\n", []string{"timeline", "web", log}},
		{"truce: the expression does not compile: ERROR: <input>:1:1: undeclared reference to 'verbs'", []string{"query", `verbs == "x"`, log}},
		{"truce: the expression must be true or false, not string", []string{"query", `verb`, log}},
		{"truce: bad.yaml:3:27: rules[0].action: must be", []string{"replay", "--policy=bad.yaml", log}},
		{"truce: there is no mode \"Shout\"", []string{"replay", "--mode=Shout", log}},
	} {
		code, stdout, stderr := truce(append([]string{"audit"}, c.args...)...)
		if code != 1 || stdout != "" || !strings.HasPrefix(stderr, c.says) {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q, want %q", c.args, code, stdout, stderr, c.says)
		}
	}
}

func TestReadTime(t *testing.T) {
	now := time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2025-01-01T10:00:00Z": "2025-01-01T10:00:00Z", "2025-01-01T10:00:00+02:00": "2025-01-01T08:00:00Z",
		"2025-01-01T10:00": "2025-01-01T10:00:00Z", "2025-01-01 10:00:00": "2025-01-01T10:00:00Z", "2025-01-01": "2025-01-01T00:00:00Z",
		"90m": "2025-01-31T10:30:00Z",
	} {
		if got, err := readTime(now, text); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-2h", "noon", "2025-13-01"} {
		if got, err := readTime(now, text); err == nil {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestProgress(t *testing.T) {
	for _, c := range []struct {
		took                time.Duration
		total, read, events int64
		want                string
	}{
		{2 * time.Second, 400e6, 100e6, 1234, "[########......................]  25 % of 400.0 MB, 100.0 MB, 1234 events, 50 MB/s, 6s left"},
		{2 * time.Second, 0, 100e6, 1234, "100.0 MB, 1234 events, 50 MB/s"},
		{0, 400e6, 0, 0, "[..............................]   0 % of 400.0 MB, 0.0 MB, 0 events, 0 MB/s, ? left"},
		{time.Second, 100, 100, 1, "[##############################] 100 % of 0.0 MB, 0.0 MB, 1 events, 0 MB/s, 0s left"},
	} {
		if got := progress(c.took, c.total, c.read, c.events); !strings.HasPrefix(got, c.want[:len(c.want)-7]) || !strings.HasSuffix(got, c.want[len(c.want)-6:]) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestAuditReport(t *testing.T) {
	log := busyLog(t)
	t.Chdir(t.TempDir())
	code, stdout, stderr := truce("audit", "report", "-o", "report.html", log)
	if code != 0 || stdout != "" || stderr != "" {
		t.Fatalf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	html, err := os.ReadFile("report.html")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(html), `id="data">`)
	text, _, _ := strings.Cut(rest, "</script>")
	var data struct {
		Fights []struct {
			ID, Field string
			Reversals int
		}
		Changes []struct {
			Fight, Field, From, To string
			Time                   time.Time
		}
		Sections []struct{ Title string }
	}
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		t.Fatalf("%v: %.200s", err, text)
	}
	if len(data.Fights) != 1 || data.Fights[0].Field != "spec.replicas" || len(data.Changes) < 3 || len(data.Sections) != 6 {
		t.Fatalf("%+v", data)
	}
	for i, c := range data.Changes {
		if c.Fight != data.Fights[0].ID || len(c.From) != 16 || len(c.To) != 16 || i > 0 && c.From != data.Changes[i-1].To {
			t.Errorf("change %d is %+v", i, c)
		}
	}
	code, stdout, _ = truce("audit", "report", "-o", "-", log)
	if code != 0 || !strings.HasPrefix(stdout, "<!doctype html>") && !strings.HasPrefix(stdout, "<!DOCTYPE html>") {
		t.Errorf("exit code %d: %.100s", code, stdout)
	}
	try(t, []command{
		{name: "to nowhere", args: []string{"audit", "report", log}, code: 1, stderr: "truce: --output says which file the report goes to, - for standard output\n"},
		{name: "to a folder that is not there", args: []string{"audit", "report", "-o", "a/b", log}, code: 1, stderr: "truce: writing the report: open a/b: no such file or directory\n"},
	})
}
