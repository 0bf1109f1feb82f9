package replay

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/test/golden"
)

func TestParseReadsEveryPartOfAStory(t *testing.T) {
	got := parse(t, `
title: "a title"
source: https://example.com/issue
shape: two-values
basis: synthetic
visible: watch
tags: [fan-out]
expect: {verdict: fight, or: none, fields: ["metadata.annotations[a.b/c]"], parties: [one], within: 1m6400ms}
tracked: false
objects:
  conf: &conf
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: conf, creationTimestamp: 2020-01-02T03:04:05Z}
    data: {"n": "1"}
    list: [1, 2.5, true, null, yes, 0x10]
  none: null
writers:
  one: {user: "system:serviceaccount:a:b", manager: m, extra: {authentication.kubernetes.io/pod-name: [p]}}
  two: {user: jane@example.com}
steps:
  - {at: 11h42s, by: one, object: conf, op: apply, sub: status, merge: {status: {n: "{lap+1}"}}}
  - {at: 0s, by: two, object: none, op: create, merge: *conf}
  - {at: 3h7m7s, by: two, object: none, op: delete}
repeat: {times: 3, every: 24h}
`)
	conf := map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": "conf", "creationTimestamp": "2020-01-02T03:04:05Z"},
		"data":     map[string]any{"n": "1"},
		"list":     []any{int64(1), 2.5, true, nil, "yes", int64(16)},
	}
	want := &Story{
		File: "x.yaml", ID: "x", Title: "a title", Source: "https://example.com/issue", Shape: "two-values", Basis: "synthetic",
		Visible: VisibleWatch, Tags: []string{"fan-out"},
		Expect: Expect{Verdict: VerdictFight, Or: VerdictNone, Fields: []string{"metadata.annotations[a.b/c]"},
			Parties: []string{"one"}, Within: 66400 * time.Millisecond},
		Objects: []Object{{Key: "conf", State: conf}, {Key: "none"}},
		Writers: []Writer{
			{Name: "one", User: "system:serviceaccount:a:b", Manager: "m",
				Extra: map[string][]string{"authentication.kubernetes.io/pod-name": {"p"}}},
			{Name: "two", User: "jane@example.com"},
		},
		Steps: []Step{
			{Line: 23, At: 11*time.Hour + 42*time.Second, By: "one", Object: "conf", Op: OpApply, Sub: SubStatus,
				Merge: map[string]any{"status": map[string]any{"n": "{lap+1}"}}},
			{Line: 24, By: "two", Object: "none", Op: OpCreate, Merge: conf},
			{Line: 25, At: 3*time.Hour + 7*time.Minute + 7*time.Second, By: "two", Object: "none", Op: OpDelete},
		},
		Laps: 3, Every: 24 * time.Hour,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("story differs (-want +got):\n%s", diff)
	}
}

func TestParseFillsInDefaults(t *testing.T) {
	got := parse(t, `
expect: {verdict: none}
objects: {a: null}
writers: {w: {user: w}}
steps: [{at: 0s, by: w, object: a, merge: {}}]
`)
	if got.Visible != VisibleAdmission || !got.Tracked || got.Laps != 1 || got.Steps[0].Op != OpUpdate {
		t.Errorf("visible %q, tracked %v, laps %d, op %q; want admission, true, 1, update",
			got.Visible, got.Tracked, got.Laps, got.Steps[0].Op)
	}
}

// Every file under testdata/bad has beside it what Parse says of it.
func TestParseReportsEveryProblemAtOnce(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad stories: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			story, err := Load(file)
			if story != nil || err == nil {
				t.Fatalf("story %v, error %v; want an error alone", story, err)
			}
			if _, ok := err.(policy.Problems); !ok {
				t.Errorf("the error is a %T, want policy.Problems", err)
			}
			golden.Check(t, strings.TrimSuffix(file, ".yaml")+".txt", err.Error()+"\n")
		})
	}
}

func TestParseStopsAtAHundredProblems(t *testing.T) {
	story := "id: x\nexpect: {verdict: none}\nobjects: {a: null}\nwriters: {w: {user: w}}\nsteps:\n" +
		strings.Repeat("  - {at: 0s, by: v, object: a, merge: {}}\n", 200)
	_, err := Parse([]byte(story), "x.yaml")
	problems, _ := err.(policy.Problems)
	if len(problems) != 101 || !strings.Contains(problems[100].Message, "and more problems") {
		t.Errorf("%d problems, the last %v; want 101, the last saying that there are more", len(problems), problems)
	}
}

func TestParseRefusesLargeFiles(t *testing.T) {
	if _, err := Parse(slices.Repeat([]byte("# "), maxFile/2), "x.yaml"); err == nil || strings.Contains(err.Error(), "larger") {
		t.Errorf("%d bytes: %v; want it to be read", maxFile, err)
	}
	if _, err := Parse(slices.Repeat([]byte("#\n"), maxFile/2+1), "x.yaml"); err == nil || !strings.Contains(err.Error(), "larger than 8 MiB") {
		t.Errorf("%d bytes: %v; want it to be refused", maxFile+2, err)
	}
}

func TestLoadSaysWhichFileCannotBeRead(t *testing.T) {
	if _, err := Load("testdata/nowhere.yaml"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "nowhere.yaml") {
		t.Errorf("error %v, want one that names the file", err)
	}
	if _, err := Load("testdata"); err == nil {
		t.Error("a folder was read as a story")
	}
}

func TestEveryStoryOfTheCorpusParses(t *testing.T) {
	files, err := filepath.Glob(corpus + "/*.yaml")
	if err != nil || len(files) != 77 {
		t.Fatalf("%d stories, %v; want 77", len(files), err)
	}
	for _, file := range files {
		if _, err := Load(file); err != nil {
			t.Error(err)
		}
	}
}
