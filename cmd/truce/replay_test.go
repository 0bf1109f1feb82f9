package main

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truce-dev/truce/test/golden"
)

// corpus returns the paths of some stories.
func corpus(t *testing.T, names ...string) []string {
	t.Helper()
	var paths []string
	for _, name := range names {
		path, err := filepath.Abs(filepath.Join("../../testdata/corpus", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// some are a fight of two, a fight of one, a loop and two look-alikes.
var some = []string{
	"hpa-vs-argocd-replicas", "robinhood-serviceaccount-signature", "redpanda-last-applied", "hpa-scales-up-and-down",
	"node-lease-and-status-heartbeat",
}

func TestReplay(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
	}{
		{"table", nil},
		{"json", []string{"-o", "json"}},
		{"enforce", []string{"--mode", "Enforce"}},
		{"audit", []string{"--mode=Audit", "--output=table"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := truce(append(append([]string{"replay"}, c.args...), corpus(t, some...)...)...)
			if code != 0 || stderr != "" {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			golden.Check(t, "testdata/replay-"+c.name+".golden", stdout)
			if c.name != "json" {
				return
			}
			for line := range strings.Lines(stdout) {
				var story struct {
					ID string
					OK bool
				}
				if err := json.Unmarshal([]byte(line), &story); err != nil || story.ID == "" || !story.OK {
					t.Errorf("%+v, %v: %s", story, err, line)
				}
			}
		})
	}
}

func TestReplayOfWhatIsMissed(t *testing.T) {
	fight := corpus(t, "hpa-vs-argocd-replicas")[0]
	written(t, map[string]string{
		"blind.yaml": "apiVersion: truce.dev/v1alpha1\nkind: Policy\nrules: [{name: a, match: {fields: [metadata.name]}}]\n",
		"bad.yaml":   "apiVersion: truce.dev/v1alpha1\nkind: Policy\nrules: [{name: a, action: Fight}]\n",
		"story.yaml": "id: x\n",
	})
	code, stdout, stderr := truce("replay", "--policy", "blind.yaml", fight)
	if code != 1 || stderr != "" || !strings.Contains(stdout, "missed     1 of 1\n  hpa-vs-argocd-replicas: none instead of fight\n") {
		t.Errorf("exit code %d, stderr %q, stdout:\n%s", code, stderr, stdout)
	}
	code, stdout, stderr = truce("replay", "story.yaml", "none.yaml", fight)
	want := "truce: looking for stories: stat none.yaml: no such file or directory\ntruce: story.yaml:"
	if code != 1 || !strings.HasPrefix(stderr, want) || !strings.Contains(stdout, "missed     0 of 1\nnot played 2\n") {
		t.Errorf("exit code %d, stderr %q, want it to begin with %q; stdout:\n%s", code, stderr, want, stdout)
	}
	try(t, []command{
		{
			name: "in a mode that does not exist", args: []string{"replay", "--mode=enforce", fight}, code: 1,
			stderr: "truce: there is no mode \"enforce\", only Audit, Warn and Enforce\n",
		},
		{
			name: "into a format that does not exist", args: []string{"replay", "-o", "yaml", fight}, code: 1,
			stderr: "truce: --output is \"yaml\", it must be table or json\n",
		},
		{
			name: "by a policy that is not there", args: []string{"replay", "--policy=none.yaml", fight}, code: 1,
			stderr: "truce: reading the policy: open none.yaml: no such file or directory\n",
		},
		{
			name: "by a policy that is none", args: []string{"replay", "--policy=bad.yaml", fight}, code: 1,
			stderr: "truce: bad.yaml:3:27: rules[0].action: must be `Warn`, `Throttle`, `Reject` or `Hold`, not `Fight`\n",
		},
	})
}

// full is where nothing more can be written.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

var errFull = errors.New("disk full")

func TestWhatCannotBePrinted(t *testing.T) {
	for _, args := range [][]string{
		{"replay", corpus(t, "hpa-vs-argocd-replicas")[0]}, {"replay", "-o=json", corpus(t, "hpa-vs-argocd-replicas")[0]},
		{"policy", "default"}, {"policy", "schema"}, {"version"}, {"policy", "webhooks"},
		{"audit", "fights", busyLog(t)}, {"audit", "top", "-o=json", busyLog(t)}, {"audit", "relists", busyLog(t)},
		{"audit", "timeline", "deployment/web-0", busyLog(t)}, {"audit", "replay", busyLog(t)}, {"audit", "query", "true", busyLog(t)},
		{"audit", "query", "true", "-o=table", busyLog(t)}, {"audit", "query", "true", "-o=csv", busyLog(t)},
	} {
		var stderr strings.Builder
		code := run(append([]string{"truce"}, args...), full{}, &stderr)
		if code != 1 || !strings.Contains(stderr.String(), "disk full") {
			t.Errorf("%v: exit code %d, stderr %q", args, code, stderr.String())
		}
	}
}
