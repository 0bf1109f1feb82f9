package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/pkg/audit"
	"github.com/truce-dev/truce/pkg/policy"
)

// tape records what an API server would, a second after the one before.
type tape struct {
	t     *testing.T
	now   time.Time
	n     int
	lines []string
}

func newTape(t *testing.T) *tape {
	return &tape{t: t, now: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// object is a ConfigMap with one annotation, as it is stored with a resourceVersion.
func object(name, value string, version int) map[string]any {
	return map[string]any{
		"kind": "ConfigMap", "apiVersion": "v1",
		"metadata": map[string]any{
			"name": name, "namespace": "shop", "uid": "uid-" + name, "resourceVersion": fmt.Sprint(version),
			"annotations": map[string]any{"k": value},
		},
	}
}

// add records an event; more changes its members, nil removes one.
func (p *tape) add(user, verb, name string, request, response any, more map[string]any) *tape {
	p.t.Helper()
	p.n++
	p.now = p.now.Add(time.Second)
	e := map[string]any{
		"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse", "auditID": fmt.Sprint("id-", p.n), "stage": "ResponseComplete",
		"requestURI": "/api/v1/namespaces/shop/configmaps/" + name + "?fieldManager=" + user, "verb": verb,
		"user":           map[string]any{"username": "system:serviceaccount:shop:" + user},
		"objectRef":      map[string]any{"resource": "configmaps", "namespace": "shop", "name": name, "apiVersion": "v1"},
		"responseStatus": map[string]any{"code": 200}, "requestObject": request, "responseObject": response,
		"requestReceivedTimestamp": p.now, "stageTimestamp": p.now,
	}
	for k, v := range more {
		e[k] = v
	}
	line, err := json.Marshal(e)
	if err != nil {
		p.t.Fatal(err)
	}
	p.lines = append(p.lines, string(line))
	return p
}

// set records that a user set the annotation.
func (p *tape) set(user, value string, version int) *tape {
	return p.add(user, "patch", "c", map[string]any{"metadata": map[string]any{"annotations": map[string]any{"k": value}}},
		object("c", value, version), nil)
}

func (p *tape) fights() *audit.Fights {
	p.t.Helper()
	in := input(p.t, strings.Join(p.lines, "\n"))
	f, err := audit.FindFights(context.Background(), in, policy.Default())
	if err != nil || in.Problems.Count() > 0 {
		p.t.Fatal(err, in.Problems.String())
	}
	return f
}

func coverage(f *audit.Fights) string {
	c := f.Coverage
	return fmt.Sprintf("%d writes, %d judged, %d first, %d missed, %d late, %d metadata, %d request, %d unreadable",
		c.Writes, c.Judged, c.FirstSeen, c.Missed, c.Late, c.MetadataOnly, c.RequestOnly, c.Unreadable)
}

// What is known of an object before and after a write decides whether the write can be judged.
func TestWhichWritesCanBeJudged(t *testing.T) {
	with := func(name string, v any) map[string]any { return map[string]any{name: v} }
	for _, c := range []struct {
		name   string
		record func(p *tape)
		want   string
	}{
		{"the first write of an object only teaches", func(p *tape) { p.set("red", "a", 1).set("blue", "b", 2) },
			"2 writes, 1 judged, 1 first, 0 missed, 0 late, 0 metadata, 0 request, 0 unreadable"},
		{"a read teaches as well", func(p *tape) {
			p.add("red", "get", "c", nil, object("c", "z", 1), nil).set("red", "a", 2)
		}, "1 writes, 1 judged, 0 first, 0 missed, 0 late, 0 metadata, 0 request, 0 unreadable"},
		{"a creation needs nothing before it", func(p *tape) {
			p.add("red", "create", "c", nil, object("c", "a", 1), with("responseStatus", with("code", 201))).set("blue", "b", 2)
		}, "2 writes, 2 judged, 0 first, 0 missed, 0 late, 0 metadata, 0 request, 0 unreadable"},
		{"an update upon a version that is not in the log", func(p *tape) {
			p.set("red", "a", 1).add("blue", "update", "c", object("c", "b", 5), object("c", "b", 6), nil).set("red", "a", 7)
		}, "3 writes, 1 judged, 1 first, 1 missed, 0 late, 0 metadata, 0 request, 0 unreadable"},
		{"a write recorded after a later one", func(p *tape) { p.set("red", "a", 1).set("blue", "b", 3).set("red", "c", 2) },
			"3 writes, 1 judged, 1 first, 0 missed, 1 late, 0 metadata, 0 request, 0 unreadable"},
		{"the same event twice", func(p *tape) { p.set("red", "a", 1).set("blue", "b", 2).lines = append(p.lines, p.lines[1]) },
			"3 writes, 1 judged, 1 first, 0 missed, 1 late, 0 metadata, 0 request, 0 unreadable"},
		{"a resourceVersion with one digit more", func(p *tape) { p.set("red", "a", 99).set("blue", "b", 100).set("red", "a", 101) },
			"3 writes, 2 judged, 1 first, 0 missed, 0 late, 0 metadata, 0 request, 0 unreadable"},
		{"what was denied, and a dry run, never happened", func(p *tape) {
			p.set("red", "a", 1).add("blue", "patch", "c", nil, nil, with("responseStatus", with("code", 403)))
			p.add("blue", "patch", "c", nil, object("c", "b", 1), with("requestURI", "/x?dryRun=All"))
		}, "1 writes, 0 judged, 1 first, 0 missed, 0 late, 0 metadata, 0 request, 0 unreadable"},
		{"a response that is not the object", func(p *tape) {
			p.set("red", "a", 1).add("blue", "patch", "c", map[string]any{"metadata": map[string]any{"annotations": map[string]any{"k": "b"}}},
				map[string]any{"kind": "PartialObjectMetadata", "metadata": map[string]any{"name": "c"}}, nil)
		}, "2 writes, 1 judged, 1 first, 0 missed, 0 late, 0 metadata, 1 request, 0 unreadable"},
		{"a JSON patch that does not fit", func(p *tape) {
			p.set("red", "a", 1).add("blue", "patch", "c", []any{map[string]any{"op": "remove", "path": "/data/x"}}, nil, with("level", "Request"))
		}, "2 writes, 0 judged, 1 first, 0 missed, 0 late, 0 metadata, 1 request, 1 unreadable"},
		{"a deletion, and the report that it is done", func(p *tape) {
			gone := object("c", "a", 2)
			gone["metadata"].(map[string]any)["deletionTimestamp"] = "2025-01-01T00:00:00Z"
			p.set("red", "a", 1).add("blue", "delete", "c", nil, gone, nil).add("kubelet", "delete", "c", nil, gone, nil)
		}, "3 writes, 1 judged, 1 first, 0 missed, 0 late, 0 metadata, 0 request, 0 unreadable"},
		{"a deletion of many is one of each", func(p *tape) {
			p.add("red", "deletecollection", "", nil, map[string]any{"kind": "ConfigMapList", "items": []any{object("a", "x", 1), object("b", "x", 2)}}, nil)
		}, "2 writes, 2 judged, 0 first, 0 missed, 0 late, 0 metadata, 0 request, 0 unreadable"},
		{"at level Metadata only existence", func(p *tape) {
			meta := with("level", "Metadata")
			p.add("red", "patch", "c", nil, nil, meta).add("red", "delete", "c", nil, nil, meta)
			p.add("red", "create", "c", nil, nil, map[string]any{"level": "Metadata", "responseStatus": with("code", 201)})
		}, "3 writes, 2 judged, 0 first, 0 missed, 0 late, 3 metadata, 0 request, 0 unreadable"},
		{"a name that was generated, at level Metadata", func(p *tape) { p.add("red", "create", "", nil, nil, with("level", "Metadata")) },
			"1 writes, 0 judged, 0 first, 0 missed, 0 late, 0 metadata, 0 request, 1 unreadable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTape(t)
			c.record(p)
			if diff := cmp.Diff(c.want, coverage(p.fights())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Two writers need three reversals within two minutes; the log begins with a write whose change is not known, but
// what it wrote is.
func TestTheThresholdOfAFight(t *testing.T) {
	for writes, want := range map[int]int{4: 0, 5: 1, 6: 1} {
		p := newTape(t)
		for i := range writes {
			p.set([]string{"red", "blue"}[i%2], fmt.Sprint(i%2), i+1)
		}
		f := p.fights()
		if len(f.Fights) != want {
			t.Errorf("%d writes: %d fights, want %d", writes, len(f.Fights), want)
		}
		if want == 0 {
			continue
		}
		one := f.Fights[0]
		if one.Field != "metadata.annotations[k]" || one.Reversals != writes-2 || len(one.Parties) != 2 || one.Object.Name != "c" ||
			one.ObservedOnly || one.FirstSeen.Second() != 1 || one.LastSeen.Second() != writes {
			t.Errorf("%d writes: %+v", writes, one)
		}
	}
}

// At level Metadata objects that two programs write by turns are suspects, not fights.
func TestSuspects(t *testing.T) {
	for turns, want := range map[int]int{5: 0, 6: 1} {
		p := newTape(t)
		for i := range turns + 1 {
			p.add([]string{"red", "blue"}[i%2], "update", "c", nil, nil, map[string]any{"level": "Metadata"})
		}
		f := p.fights()
		if len(f.Fights) != 0 || len(f.Suspects) != want {
			t.Errorf("%d turns: %d fights, suspects %v, want %d", turns, len(f.Fights), f.Suspects, want)
		}
	}
	p := newTape(t)
	for range 20 {
		p.add("red", "update", "c", nil, nil, map[string]any{"level": "Metadata"})
	}
	if f := p.fights(); len(f.Suspects) != 0 {
		t.Errorf("one writer alone: %v", f.Suspects)
	}
	p = newTape(t)
	for i := range 20 { // one writes the object, the other its status
		about := map[string]any{"resource": "configmaps", "namespace": "shop", "name": "c", "apiVersion": "v1", "subresource": []string{"", "status"}[i%2]}
		p.add([]string{"red", "blue"}[i%2], "update", "c", nil, nil, map[string]any{"level": "Metadata", "objectRef": about})
	}
	if f := p.fights(); len(f.Suspects) != 0 {
		t.Errorf("a status and the rest: %v", f.Suspects)
	}
	p = newTape(t)
	for i := range 20 { // one program in two pods
		user := map[string]any{"username": "red", "extra": map[string]any{"authentication.kubernetes.io/pod-name": []any{fmt.Sprint("red-", i%2)}}}
		p.add("red", "update", "c", nil, nil, map[string]any{"level": "Metadata", "user": user})
	}
	if f := p.fights(); len(f.Suspects) != 1 || !slices.Equal(f.Suspects[0].Writers, []string{"red in red-0", "red in red-1"}) {
		t.Errorf("two pods: %v", f.Suspects)
	}
}

// Fights over what no webhook is told of are found, and marked.
func TestFightsThatAdmissionNeverSees(t *testing.T) {
	p := newTape(t)
	for i := range 8 {
		o := object("c", fmt.Sprint(i%2), i+1)
		o["kind"] = "MutatingWebhookConfiguration"
		p.add([]string{"red", "blue"}[i%2], "patch", "c", nil, o, map[string]any{"objectRef": map[string]any{
			"resource": "mutatingwebhookconfigurations", "apiGroup": "admissionregistration.k8s.io", "apiVersion": "v1", "name": "c",
		}})
	}
	if f := p.fights(); len(f.Fights) != 1 || !f.Fights[0].ObservedOnly {
		t.Errorf("%+v", f.Fights)
	}
}

// A backtest makes each write upon what would have been stored: once one side is stopped, the other has nothing to undo.
func TestBacktest(t *testing.T) {
	record := func(writes int) string {
		p := newTape(t)
		p.add("red", "create", "c", nil, object("c", "1", 1), map[string]any{"responseStatus": map[string]any{"code": 201}})
		for i := range writes {
			o := object("c", fmt.Sprint(i%2), i+2)
			o["data"] = map[string]any{"n": fmt.Sprint(i)} // nobody fights over this
			p.add([]string{"red", "blue"}[i%2], "patch", "c", nil, o, nil)
		}
		return strings.Join(p.lines, "\n")
	}
	load := func(action string) *policy.Policy {
		p, err := policy.Load([]byte("apiVersion: truce.dev/v1alpha1\nkind: Policy\nrules: [{name: a, match: {fields: [\"metadata.annotations[*]\"]}, action: "+action+"}]\n"), "p.yaml")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		action string
		mode   policy.Mode
		want   string
	}{
		{"Reject", policy.Warn, "41 judged, 41 stored, 37 warned, 0 rejected, 0 held, 0 moot"},
		{"Reject", policy.Audit, "41 judged, 41 stored, 0 warned, 0 rejected, 0 held, 0 moot"},
		{"Reject", policy.Enforce, "41 judged, 22 stored, 0 warned, 19 rejected, 0 held, 0 moot"},
		{"Hold", policy.Enforce, "41 judged, 41 stored, 19 warned, 0 rejected, 19 held, 0 moot"},
	} {
		in := input(t, record(40))
		runs, err := audit.RunBacktests(context.Background(), in, audit.NamedPolicy{Name: "p", Policy: load(c.action), Mode: c.mode})
		if err != nil {
			t.Fatal(err)
		}
		r := runs[0]
		got := fmt.Sprintf("%d judged, %d stored, %d warned, %d rejected, %d held, %d moot", r.Recorded, r.Stored, r.Warned, r.Rejected, r.Held, r.Moot)
		if got != c.want {
			t.Errorf("%s in mode %s: %s, want %s", c.action, c.mode, got, c.want)
		}
		if len(r.Fights) != 1 || c.mode == policy.Enforce && len(r.Writers) != 1 {
			t.Errorf("%s in mode %s: %d fights, writers %+v", c.action, c.mode, len(r.Fights), r.Writers)
		}
	}
}
