package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/audit"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/replay"
	"github.com/truce-dev/truce/test/golden"
)

const corpus = "../../testdata/corpus"

// recorder is a reviewer that keeps the last review, and what the webhook's code named.
type recorder struct {
	replay.Reviewer
	last  *admissionv1.AdmissionRequest
	found map[string]bool
}

func (r *recorder) Review(now time.Time, phase admission.Phase, body []byte) (admission.Response, error) {
	response, err := r.Reviewer.Review(now, phase, body)
	if phase == admission.Validating {
		var review admissionv1.AdmissionReview
		if err := json.Unmarshal(body, &review); err != nil {
			return response, err
		}
		r.last = review.Request
		for _, v := range response.Verdicts {
			if v.Reason != policy.ReasonNone {
				r.found[v.Kind()+" "+v.Path] = true
			}
		}
	}
	return response, err
}

// played is a story as the API server would have recorded it.
type played struct {
	*replay.Story
	// found is what the webhook's code found, as "fight spec.replicas".
	found map[string]bool
	// before are reads of the objects that are there at the beginning, events the writes.
	before, events []auditv1.Event
}

// play plays a story, and records it at level RequestResponse.
func play(t *testing.T, s *replay.Story) played {
	t.Helper()
	p := policy.Default()
	r := &recorder{
		Reviewer: admission.NewGuard(p, history.New(admission.Bounds(p)), history.NewHasher()), found: make(map[string]bool),
	}
	c, err := replay.NewCluster(replay.Epoch, s, r)
	if err != nil {
		t.Fatal(err)
	}
	out := played{Story: s, found: r.found}
	seen := make(map[string]bool)
	err = s.Writes(func(w replay.Write) error {
		before, err := c.Object(w.Object)
		if err != nil {
			return err
		}
		r.last = nil
		now := replay.Epoch.Add(w.At)
		outcome, err := c.Write(now, replay.Request{
			Writer: w.Writer, Object: w.Object, Op: w.Step.Op, Sub: w.Step.Sub, Merge: w.Merge,
		})
		if err != nil || r.last == nil || outcome.Denied() {
			return err
		}
		after, err := c.Object(w.Object)
		if err != nil {
			return err
		}
		e := eventOf(r.last, now)
		e.ResponseStatus = &metav1.Status{Code: int32(outcome.Code)}
		e.Verb = map[string]string{
			replay.OpUpdate: "patch", replay.OpApply: "patch", replay.OpCreate: "create", replay.OpDelete: "delete",
		}[w.Step.Op]
		if w.Step.Op != replay.OpDelete {
			sent, err := json.Marshal(w.Merge)
			if err != nil {
				return err
			}
			e.RequestObject = &runtime.Unknown{Raw: sent, ContentType: runtime.ContentTypeJSON}
			if w.Step.Sub == replay.SubScale {
				after = []byte(strings.ReplaceAll(string(r.last.Object.Raw),
					`"resourceVersion":"`+versionOf(t, before)+`"`, `"resourceVersion":"`+versionOf(t, after)+`"`))
			}
			e.ResponseObject = &runtime.Unknown{Raw: after, ContentType: runtime.ContentTypeJSON}
		} else {
			e.ResponseObject = &runtime.Unknown{Raw: []byte(`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}`),
				ContentType: runtime.ContentTypeJSON}
		}
		if !seen[w.Object] && before != nil {
			read := eventOf(r.last, replay.Epoch.Add(-time.Minute))
			read.AuditID += "-read"
			read.Verb, read.RequestURI, read.ObjectRef.Subresource = "get", strings.Split(read.RequestURI, "?")[0], ""
			read.ResponseStatus = &metav1.Status{Code: 200}
			read.ResponseObject = &runtime.Unknown{Raw: before, ContentType: runtime.ContentTypeJSON}
			out.before = append(out.before, read)
		}
		seen[w.Object] = true
		out.events = append(out.events, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func versionOf(t *testing.T, object []byte) string {
	t.Helper()
	var meta metav1.PartialObjectMetadata
	if err := json.Unmarshal(object, &meta); err != nil {
		t.Fatal(err)
	}
	return meta.ResourceVersion
}

// eventOf returns the event of a request, but for its verb, objects and outcome.
func eventOf(r *admissionv1.AdmissionRequest, now time.Time) auditv1.Event {
	var options struct {
		FieldManager string `json:"fieldManager"`
	}
	_ = json.Unmarshal(r.Options.Raw, &options)
	uri := "/apis/x"
	if options.FieldManager != "" {
		uri += "?fieldManager=" + options.FieldManager
	}
	namespace := r.Namespace
	user := r.UserInfo
	manager := user.Username[strings.LastIndexByte(user.Username, ':')+1:]
	if strings.Contains(manager, "@") {
		manager = "kubectl"
	}
	return auditv1.Event{
		TypeMeta: metav1.TypeMeta{APIVersion: "audit.k8s.io/v1", Kind: "Event"},
		Level:    auditv1.LevelRequestResponse, AuditID: r.UID, Stage: auditv1.StageResponseComplete,
		RequestURI: uri, User: user, UserAgent: manager + "/v1.2.3",
		ObjectRef: &auditv1.ObjectReference{
			APIGroup: r.Resource.Group, APIVersion: r.Resource.Version, Resource: r.Resource.Resource, Subresource: r.SubResource,
			Namespace: namespace, Name: r.Name,
		},
		RequestReceivedTimestamp: metav1.NewMicroTime(now), StageTimestamp: metav1.NewMicroTime(now),
	}
}

// log writes events as an API server does that records them at a level.
func log(t *testing.T, level auditv1.Level, lists ...[]auditv1.Event) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, events := range lists {
		for _, e := range events {
			e.Level = level
			if level != auditv1.LevelRequestResponse {
				e.ResponseObject = nil
			}
			if level == auditv1.LevelMetadata {
				e.RequestObject = nil
			}
			line, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(append(line, '\n'))
		}
	}
	return b.Bytes()
}

// found returns what the log shows, as "fight spec.replicas".
func found(t *testing.T, text []byte) map[string]bool {
	t.Helper()
	in, err := audit.Open([]string{"-"}, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	f, err := audit.FindFights(context.Background(), in, policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	if in.Problems.Count() > 0 {
		t.Error(in.Problems.String())
	}
	all := make(map[string]bool)
	for _, one := range f.Fights {
		all[one.Kind+" "+one.Field] = true
	}
	return all
}

func stories(t *testing.T) []*replay.Story {
	t.Helper()
	files, err := filepath.Glob(corpus + "/*.yaml")
	if err != nil || len(files) < 70 {
		t.Fatalf("%d stories: %v", len(files), err)
	}
	var all []*replay.Story
	for _, file := range files {
		s, err := replay.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func minus(a, b map[string]bool) []string {
	var out []string
	for k := range a {
		if !b[k] {
			out = append(out, k)
		}
	}
	sort.Strings(out)
	return out
}

// What the webhook finds in a story, the story's log shows, and nothing else. Levels below RequestResponse, and logs that
// begin in the middle, lose some of it; testdata/lost.txt says what.
func TestTheCorpusInAuditLogs(t *testing.T) {
	lost := make(map[string][]string)
	for i, s := range stories(t) {
		// With the race detector, which is ten times as slow, a few will do: all of it is played without.
		if raceEnabled && (i%8 != 0 || len(s.Steps)*s.Laps > 300) {
			continue
		}
		p := play(t, s)
		for _, c := range []struct {
			name  string
			level auditv1.Level
			lists [][]auditv1.Event
		}{
			{"RequestResponse", auditv1.LevelRequestResponse, [][]auditv1.Event{p.before, p.events}},
			{"RequestResponse, from the first write on", auditv1.LevelRequestResponse, [][]auditv1.Event{p.events}},
			{"Request", auditv1.LevelRequest, [][]auditv1.Event{p.events}},
			{"Metadata", auditv1.LevelMetadata, [][]auditv1.Event{p.events}},
		} {
			got := found(t, log(t, c.level, c.lists...))
			if extra := minus(got, p.found); len(extra) > 0 {
				t.Errorf("%s: %s: the log shows what the webhook does not find: %v, besides %v", s.ID, c.name, extra, p.found)
			}
			if missing := minus(p.found, got); len(missing) > 0 {
				lost[c.name] = append(lost[c.name], fmt.Sprintf("  %s: %s", s.ID, strings.Join(missing, ", ")))
			}
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(lost)) {
		fmt.Fprintf(&b, "%s loses\n%s\n", name, strings.Join(lost[name], "\n"))
	}
	if !raceEnabled {
		golden.Check(t, "testdata/lost.txt", b.String())
	}
}
