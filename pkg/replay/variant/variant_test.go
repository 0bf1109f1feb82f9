package variant

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/replay"
)

const story = `
id: x
expect: {verdict: fight, fields: ["metadata.annotations[apps.example.com/signature]", "spec.list[name=a.b/c]"], parties: [one], within: 2m}
objects:
  a: {apiVersion: v1, kind: ConfigMap, metadata: {namespace: web, name: a, annotations: {apps.example.com/signature: "0"}}}
  kube: {apiVersion: v1, kind: ConfigMap, metadata: {namespace: kube-system, name: b}}
  node: {apiVersion: v1, kind: Node, metadata: {name: n}}
  pod: null
writers:
  one: {user: "system:serviceaccount:web:one", manager: one, extra: {authentication.kubernetes.io/pod-name: [one-1]}}
  two: {user: "system:serviceaccount:kube-system:two", manager: two}
  jane: {user: jane@example.com, manager: kubectl-edit}
  ctl: {user: "system:serviceaccount:web:ctl", manager: kubectl-rollout}
steps:
  - {at: 1s, by: one, object: a, merge: {metadata: {annotations: {apps.example.com/signature: "{lap}"}}, list: [{a.b/c: d}]}}
  - {at: 11s, by: two, object: a, merge: {metadata: {annotations: {apps.example.com/signature: "x"}}}}
  - {at: 12s, by: one, object: pod, op: create, merge: {apiVersion: v1, kind: Pod, metadata: {name: p-{lap}, generateName: p-}}}
  - {at: 13s, by: one, object: pod, op: delete}
repeat: {times: 3, every: 20s}
`

func parse(t *testing.T) *replay.Story {
	t.Helper()
	s, err := replay.Parse([]byte(strings.ReplaceAll(story, "p-{lap}", `"p-{lap}"`)), "x.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func of(t *testing.T, s *replay.Story, o Options) *replay.Story {
	t.Helper()
	v, err := Of(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func times(s *replay.Story) (out []time.Duration) {
	for _, step := range s.Steps {
		out = append(out, step.At)
	}
	return out
}

type allow struct{}

func (allow) Review(time.Time, admission.Phase, []byte) (admission.Response, error) {
	return admission.Response{Allowed: true}, nil
}

func TestTheZeroOptionsGiveTheSameStory(t *testing.T) {
	s := parse(t)
	v := of(t, s, Options{})
	want, err := replay.Play(s, allow{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := replay.Play(v, allow{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("it plays differently (-story +variant):\n%s", diff)
	}
	if diff := cmp.Diff(s.Expect, v.Expect); diff != "" {
		t.Errorf("it expects something else (-story +variant):\n%s", diff)
	}
	if v.Laps != 1 || len(v.Steps) != 12 {
		t.Errorf("%d laps of %d steps, want the laps written out", v.Laps, len(v.Steps))
	}
}

func TestTheSameOptionsGiveTheSameVariant(t *testing.T) {
	all := Options{Seed: 7, Jitter: 0.3, Pace: 2, Names: true, Keys: true, Writers: true, Noise: 5}
	s := parse(t)
	one, again := of(t, s, all), of(t, s, all)
	same := cmp.Exporter(func(reflect.Type) bool { return true })
	if diff := cmp.Diff(one, again, same); diff != "" {
		t.Errorf("variants differ:\n%s", diff)
	}
	all.Seed = 8
	if cmp.Equal(one, of(t, s, all), same) {
		t.Error("another seed gives the same variant")
	}
	if diff := cmp.Diff(parse(t), s); diff != "" {
		t.Errorf("the story was changed:\n%s", diff)
	}
}

func TestJitterKeepsTheOrder(t *testing.T) {
	s := parse(t)
	plain := times(of(t, s, Options{}))
	for seed := range uint64(50) {
		v := of(t, s, Options{Seed: seed, Jitter: 0.3})
		got := times(v)
		if !slices.IsSorted(got) {
			t.Fatalf("seed %d: times %v", seed, got)
		}
		for i := range got {
			before, after := time.Duration(0), time.Duration(0)
			if i > 0 {
				before = plain[i] - plain[i-1]
			}
			if i+1 < len(plain) {
				after = plain[i+1] - plain[i]
			}
			if got[i] < plain[i]-before*3/10-1 || got[i] > plain[i]+after*3/10+1 {
				t.Errorf("seed %d: write %d moved from %s to %s, further than 30 %% of its gaps", seed, i, plain[i], got[i])
			}
		}
		if slices.Equal(got, plain) {
			t.Errorf("seed %d: nothing moved", seed)
		}
	}
}

func TestPaceScalesTimesAndTheBoundOfSlowerStories(t *testing.T) {
	s := parse(t)
	for _, c := range []struct {
		pace   float64
		first  time.Duration
		within time.Duration
	}{
		{0.5, 500 * time.Millisecond, 2 * time.Minute},
		{1, time.Second, 2 * time.Minute},
		{2, 2 * time.Second, 4 * time.Minute},
	} {
		v := of(t, s, Options{Pace: c.pace})
		if v.Steps[0].At != c.first || v.Expect.Within != c.within {
			t.Errorf("pace %v: first write at %s, bound %s; want %s and %s", c.pace, v.Steps[0].At, v.Expect.Within, c.first, c.within)
		}
	}
}

func TestRenaming(t *testing.T) {
	s := parse(t)
	v := of(t, s, Options{Seed: 3, Names: true, Keys: true, Writers: true})
	metadata := v.Objects[0].State["metadata"].(map[string]any)
	if metadata["name"] == "a" || metadata["namespace"] == "web" {
		t.Errorf("metadata are %v, want other names", metadata)
	}
	for i, want := range map[int]string{1: "kube-system", 2: "n"} {
		m := v.Objects[i].State["metadata"].(map[string]any)
		if m["namespace"] != want && m["name"] != want {
			t.Errorf("metadata are %v, want %s to stay", m, want)
		}
	}
	created := v.Steps[2].Merge["metadata"].(map[string]any)
	if !strings.HasPrefix(created["name"].(string), created["generateName"].(string)) {
		t.Errorf("metadata are %v, want the name to begin with generateName", created)
	}
	key := strings.TrimSuffix(strings.TrimPrefix(v.Expect.Fields[0], "metadata.annotations["), "]")
	if key == "apps.example.com/signature" || !strings.HasSuffix(key, "/signature") {
		t.Errorf("the field is %s, want another domain", v.Expect.Fields[0])
	}
	if v.Expect.Fields[1] != "spec.list[name=a.b/c]" {
		t.Errorf("a selector became %s", v.Expect.Fields[1])
	}
	for _, place := range []map[string]any{metadata, v.Steps[0].Merge["metadata"].(map[string]any)} {
		if _, has := place["annotations"].(map[string]any)[key]; !has {
			t.Errorf("%v has no %s", place, key)
		}
	}
	one := v.Writers[0]
	if one.User == s.Writers[0].User || !strings.HasPrefix(one.User, "system:serviceaccount:") || one.Manager == "one" ||
		one.Extra["authentication.kubernetes.io/pod-name"][0] == "one-1" {
		t.Errorf("the first writer is %+v", one)
	}
	if diff := cmp.Diff(s.Writers[1:3], v.Writers[1:3]); diff != "" {
		t.Errorf("the cluster's own and people changed (-want +got):\n%s", diff)
	}
	if v.Writers[3].Manager != "kubectl-rollout" || v.Writers[3].User == s.Writers[3].User {
		t.Errorf("the last writer is %+v", v.Writers[3])
	}
}

func TestNoiseLeavesTheStoryAlone(t *testing.T) {
	s := parse(t)
	v := of(t, s, Options{Seed: 1, Noise: 20})
	noise := 0
	keys := make(map[string]bool)
	for _, step := range v.Steps {
		if !strings.HasPrefix(step.By, "bystander-") {
			continue
		}
		noise++
		if step.Object == "pod" {
			t.Error("a bystander writes an object that comes and goes")
		}
		for key := range step.Merge["metadata"].(map[string]any)["annotations"].(map[string]any) {
			keys[key] = true
		}
	}
	if noise != 20 || len(keys) != 20 || !slices.IsSorted(times(v)) {
		t.Errorf("%d writes of %d keys at %v; want 20 and 20, in order", noise, len(keys), times(v))
	}
	if got := of(t, &replay.Story{ID: "y", Laps: 1}, Options{Noise: 3, Jitter: 0.1, Pace: 2}); len(got.Steps) != 0 {
		t.Errorf("a story without objects has %d steps", len(got.Steps))
	}
}

func TestOfFailsWherePlayingWould(t *testing.T) {
	s := parse(t)
	s.Steps[0].By = "nobody"
	if _, err := Of(s, Options{}); err == nil || !strings.Contains(err.Error(), "writing out the laps of x") {
		t.Errorf("error %v", err)
	}
}

// Whatever the variant, each write of the story is as possible as before.
func TestVariantsOfTheCorpusPlay(t *testing.T) {
	files, err := filepath.Glob("../../../testdata/corpus/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d stories, %v", len(files), err)
	}
	for i, file := range files {
		s, err := replay.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Steps)*s.Laps > 200 {
			continue // what is left is enough, and quick
		}
		v := of(t, s, Options{Seed: uint64(i), Jitter: 0.3, Pace: 0.5, Names: true, Keys: true, Writers: true, Noise: 3})
		record, err := replay.Play(v, allow{})
		if err != nil {
			t.Error(err)
		}
		if record.Failed > 0 {
			t.Errorf("%s: %d writes have become impossible", s.ID, record.Failed)
		}
	}
}
