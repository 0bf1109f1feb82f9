package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truce-dev/truce/pkg/report"
)

func TestTheOperationsPortTellsOfChangesThatSurviveARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	var before report.Changes
	ask := func(p *process) (c report.Changes) {
		t.Helper()
		a := p.operations("/api/v1/changes")
		if err := json.Unmarshal([]byte(a.body), &c); err != nil || a.status != http.StatusOK {
			t.Fatalf("%d %v: %s", a.status, err, a.body)
		}
		return c
	}
	t.Run("first", func(t *testing.T) {
		p := start(t, "--journal-dir", dir)
		mustDo(t, client(t, p.caBundle), http.MethodPost, "https://"+p.address+"/validate", review)
		p.waitMetric("truce_journal_changes", 1)
		before = ask(p)
		if len(before.Items) != 1 || before.Items[0].Field != "data[a]" || before.Items[0].Outcome != report.Stored || before.Key == "" {
			t.Errorf("%+v", before)
		}
		p.stop()
	})
	t.Run("again", func(t *testing.T) {
		after := ask(start(t, "--journal-dir", dir))
		if len(after.Items) != 1 || after.Items[0] != before.Items[0] || after.Key != before.Key {
			t.Errorf("before %+v\nafter %+v", before, after)
		}
	})
}

func TestReportingFlagsAreChecked(t *testing.T) {
	for _, c := range []struct{ flag, want string }{
		{"--top-fights=101", `--top-fights: "101" is out of bounds: give a number from 0 to 100`},
		{"--top-fights=-1", `--top-fights: "-1" is out of bounds`},
		{"--journal-size=15Mi", `--journal-size: "15Mi" is out of bounds: give a size from 16Mi to 64Gi`},
		{"--journal-size=many", `--journal-size: "many" is out of bounds`},
		{"--journal-age=59m", `--journal-age: "59m" is out of bounds: give a time from 1h to 8784h, a year`},
		{"--journal-dir=", "--journal-dir is empty"},
	} {
		var out strings.Builder
		if _, _, err := parseFlags([]string{c.flag}, &out); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.flag, err)
		}
	}
}

func TestTheKeyOfValues(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write := func(n int) {
		if err := os.WriteFile(file, []byte(strings.Repeat("k", n)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(minKey)
	a, err := newHasher(file, "")
	if err != nil {
		t.Fatal(err)
	}
	b, err := newHasher(file, t.TempDir())
	if err != nil || a.id != b.id || a.Sum([]byte("x")) != b.Sum([]byte("x")) {
		t.Errorf("the same key: %v, %v, %v", a, b, err)
	}
	write(minKey - 1)
	if _, err := newHasher(file, ""); err == nil || !strings.Contains(err.Error(), "has 15 bytes, it must have at least 16") {
		t.Errorf("%v", err)
	}
	if _, err := newHasher(filepath.Join(t.TempDir(), "none"), ""); err == nil {
		t.Error("a file that is not there")
	}
	c, _ := newHasher("", "")
	d, _ := newHasher("", "")
	if c.id == d.id || c.id == "" {
		t.Error("random keys differ")
	}
}

func TestABadKubeconfigKeepsTheServerFromStarting(t *testing.T) {
	var stdout, stderr buffer
	code := run(t.Context(), []string{"--kubeconfig", filepath.Join(t.TempDir(), "none"), "--self-cert-dir", t.TempDir(),
		"--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0"}, &stdout, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "--kubeconfig") {
		t.Error(fmt.Sprint(code), stderr.String())
	}
}
