package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/test/golden"
)

// scripted flags the writes that the stories under testdata/stories mark for it with a label.
func scripted(t *testing.T) *reviewer {
	r := quiet(t)
	r.answer = func(_ time.Time, phase admission.Phase, in *admissionv1.AdmissionRequest) admission.Response {
		out := admission.Response{Allowed: true}
		var o struct {
			Metadata struct{ Labels map[string]string }
		}
		if err := json.Unmarshal(in.Object.Raw, &o); err != nil {
			t.Error(err)
		}
		writer := history.Writer{User: in.UserInfo.Username}
		switch o.Metadata.Labels["say"] {
		case "fight":
			out.Verdicts = []admission.Verdict{finding(VerdictFight, "data[k]", writer), finding(VerdictFight, "data[l]")}
			out.Warnings = []string{"a fight"}
		case "loop":
			out.Verdicts = []admission.Verdict{finding(VerdictLoop, "", writer)}
		case "hush":
			quiet := finding(VerdictFight, "data[k]", writer)
			quiet.Reason = policy.ReasonNone
			out.Verdicts = []admission.Verdict{quiet}
		case "hold":
			if phase == admission.Mutating {
				out.Patch = []byte(`[{"op":"remove","path":"/data/k"}]`)
			}
		case "deny":
			out = deny(429)
		}
		return out
	}
	return r
}

func runScripted(t *testing.T, paths ...string) Report {
	return Run(paths, Options{Reviewer: func() Reviewer { return scripted(t) }})
}

func TestRunPlaysFilesAndFolders(t *testing.T) {
	report := runScripted(t, "testdata/stories", "testdata/stories/silent.yaml", "testdata/bad/tabs.yaml", "testdata/nowhere")
	var ids []string
	for _, r := range report.Results {
		ids = append(ids, r.ID)
	}
	want := []string{"denied", "fought", "held", "looked-at", "looped", "missed", "silent"}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("stories differ (-want +got):\n%s", diff)
	}
	var errs []string
	for _, err := range report.Errors {
		errs = append(errs, err.Error())
	}
	wantErrs := []string{
		"looking for stories: stat testdata/nowhere: no such file or directory",
		"playing a story: testdata/stories/deeper/impossible.yaml:7: lap 0: update of ConfigMap web/a: " +
			"apiVersion, kind, name and namespace cannot be changed; delete and create",
		"testdata/bad/tabs.yaml:2:1: found a tab character that violates indentation",
	}
	if diff := cmp.Diff(wantErrs, errs); diff != "" {
		t.Errorf("errors differ (-want +got):\n%s", diff)
	}
	if report.OK() {
		t.Error("the report is ok")
	}
}

func TestTheReport(t *testing.T) {
	report := runScripted(t, "testdata/stories")
	var table, lines bytes.Buffer
	if err := errors.Join(report.WriteTable(&table), report.WriteJSON(&lines)); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/report.txt", table.String())
	golden.Check(t, "testdata/report.json", lines.String())
}

func TestRecallAndPrecision(t *testing.T) {
	r := Report{Results: []Result{
		{Expect: VerdictFight, Verdict: VerdictFight, OK: true},
		{Expect: VerdictFight, Verdict: VerdictFight}, // too late
		{Expect: VerdictLoop, Verdict: VerdictNone},
		{Expect: VerdictNone, Verdict: VerdictLoop},
		{Expect: VerdictNone, Verdict: VerdictNone, OK: true},
	}}
	if got := r.Recall(); got != (Share{1, 3}) {
		t.Errorf("recall %s, want 1 of 3", got)
	}
	if got := r.Precision(); got != (Share{2, 3}) {
		t.Errorf("precision %s, want 2 of 3", got)
	}
}

func TestAReportWithoutStories(t *testing.T) {
	var out bytes.Buffer
	if err := (Report{}).WriteTable(&out); err != nil || !strings.Contains(out.String(), "recall     none of none") {
		t.Errorf("%v\n%s", err, out.String())
	}
	if !(Report{}).OK() || (Report{Errors: []error{errors.New("x")}}).OK() || (Report{Results: []Result{{}}}).OK() {
		t.Error("OK is wrong")
	}
}

// full is a writer that takes so many writes only.
type full int

func (f *full) Write(p []byte) (int, error) {
	if *f--; *f < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

func TestAReportThatCannotBeWritten(t *testing.T) {
	report := Report{Results: []Result{{}}}
	for room := range 2 {
		f := full(room)
		if err := report.WriteTable(&f); err == nil && room == 0 {
			t.Error("a table that could not be written: no error")
		}
	}
	var f full
	if err := report.WriteJSON(&f); err == nil {
		t.Error("lines that could not be written: no error")
	}
	tail := Report{}
	one := full(1) // the head of the table
	if err := tail.WriteTable(&one); err == nil {
		t.Error("a summary that could not be written: no error")
	}
}

func TestFoldersWithoutStoriesAreAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "FORMAT.md"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".git", "a.yaml"), []byte("id: a"), 0o644); err != nil {
		t.Fatal(err)
	}
	report := runScripted(t, dir)
	if len(report.Errors) != 1 || !strings.HasSuffix(report.Errors[0].Error(), "no .yaml file in it") {
		t.Errorf("errors are %v", report.Errors)
	}
}

func TestEveryStoryHasAReviewerOfItsOwn(t *testing.T) {
	made := make(chan bool, 100)
	report := Run([]string{"testdata/stories"}, Options{Parallel: 3, Reviewer: func() Reviewer {
		made <- true
		return quiet(t)
	}})
	if len(made) != len(report.Results)+1 { // and one for the story that cannot be played
		t.Errorf("%d reviewers for %d stories", len(made), len(report.Results))
	}
}

type broken struct{}

func (broken) Review(time.Time, admission.Phase, []byte) (admission.Response, error) {
	return admission.Response{}, errors.New("cannot read this")
}

func TestAReviewerThatFailsFailsTheStory(t *testing.T) {
	report := Run([]string{"testdata/stories/silent.yaml"}, Options{Reviewer: func() Reviewer { return broken{} }})
	want := "playing a story: testdata/stories/silent.yaml:9: lap 0: reviewing update of ConfigMap web/a: cannot read this"
	if len(report.Errors) != 1 || report.Errors[0].Error() != want {
		t.Errorf("errors are %v, want %s", report.Errors, want)
	}
}

func TestTwoKeysForOneObject(t *testing.T) {
	s := parse(t, `
expect: {verdict: none}
objects:
  a: {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}
  b: {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}
writers: {w: {user: w}}
steps: [{at: 0s, by: w, object: a, merge: {}}]
`)
	if _, err := Play(s, quiet(t)); err == nil || !strings.Contains(err.Error(), "x.yaml: objects.b: ConfigMap x is objects.a already") {
		t.Errorf("error %v", err)
	}
	s.Objects[1].State = map[string]any{"kind": "X"}
	if _, err := Play(s, quiet(t)); err == nil || !strings.Contains(err.Error(), "needs apiVersion") {
		t.Errorf("error %v", err)
	}
}

// Goroutines share the field managers; the results must not depend on who comes first.
func TestStoriesPlayTheSameEveryTime(t *testing.T) {
	files, err := filepath.Glob(corpus + "/h*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d stories, %v", len(files), err)
	}
	play := func(parallel int) Report {
		return Run(files, Options{Parallel: parallel, Reviewer: func() Reviewer { return allow{} }})
	}
	if diff := cmp.Diff(play(1), play(8)); diff != "" {
		t.Errorf("reports differ (-one at a time +many):\n%s", diff)
	}
}

// allow allows everything without a look.
type allow struct{}

func (allow) Review(time.Time, admission.Phase, []byte) (admission.Response, error) {
	return admission.Response{Allowed: true}, nil
}

// BenchmarkCorpus plays every story, with a reviewer that costs nothing.
func BenchmarkCorpus(b *testing.B) {
	var stories []*Story
	files, _ := filepath.Glob(corpus + "/*.yaml")
	for _, file := range files {
		story, err := Load(file)
		if err != nil {
			b.Fatal(err)
		}
		stories = append(stories, story)
	}
	b.ReportAllocs()
	writes := 0
	for b.Loop() {
		for _, story := range stories {
			record, err := Play(story, allow{})
			if err != nil {
				b.Fatal(err)
			}
			writes += record.Writes
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(writes), "µs/write")
}
