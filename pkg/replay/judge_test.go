package replay

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/pkg/history"
)

// judged is a story to be judged; what is played does not matter here.
func judged(expect string) string {
	return "expect: " + expect + `
objects: {a: null}
writers:
  argo: {user: "system:serviceaccount:argocd:argo", manager: argocd}
  hpa: {user: "system:serviceaccount:kube-system:hpa"}
  pod-1: {user: "system:serviceaccount:db:op", extra: {authentication.kubernetes.io/pod-name: [op-1]}}
  pod-2: {user: "system:serviceaccount:db:op", extra: {authentication.kubernetes.io/pod-name: [op-2]}}
  red: {user: shared, manager: red}
  blue: {user: shared, manager: blue}
steps: [{at: 0s, by: hpa, object: a, merge: {}}]
`
}

var (
	argo = history.Writer{User: "system:serviceaccount:argocd:argo", Manager: "argocd"}
	hpa  = history.Writer{User: "system:serviceaccount:kube-system:hpa"}
	red  = history.Writer{User: "shared", Manager: "red"}
)

func flags(kind, path string, at time.Duration, parties ...history.Writer) (out []Flag) {
	for _, p := range parties {
		out = append(out, Flag{At: at, Kind: kind, Path: path, Party: p})
	}
	return out
}

func TestJudge(t *testing.T) {
	const fight = `{verdict: fight, fields: [spec.replicas], parties: [argo, hpa], within: 2m}`
	both := func(at time.Duration) []Flag { return flags(VerdictFight, "spec.replicas", at, argo, hpa) }
	for _, c := range []struct {
		name   string
		expect string
		record Record
		want   string // verdict
		why    string // all of it, joined; "" if ok
	}{
		{"a fight in time", fight, Record{Flags: both(time.Minute)}, VerdictFight, ""},
		{"a millisecond before the bound", fight, Record{Flags: both(2*time.Minute - time.Millisecond)}, VerdictFight, ""},
		{"at the bound", fight, Record{Flags: both(2 * time.Minute)}, VerdictFight, ""},
		{"a millisecond after the bound", fight, Record{Flags: both(2*time.Minute + time.Millisecond)}, VerdictFight,
			"flagged after 2m0.001s, later than 2m0s; spec.replicas named after 2m0.001s, later than 2m0s; " +
				"party argo named after 2m0.001s, later than 2m0s; party hpa named after 2m0.001s, later than 2m0s"},
		{"a fight that nobody saw", fight, Record{}, VerdictNone, "none instead of fight"},
		{"a fight taken for a loop", fight, Record{Flags: flags(VerdictLoop, "spec.replicas", 0, argo, hpa)}, VerdictLoop,
			"loop instead of fight"},
		{"a loop first, then a fight", fight, Record{Flags: append(flags(VerdictLoop, "spec.paused", 0, argo), both(time.Minute)...)},
			VerdictFight, ""},
		{"a second party that is named too late", fight,
			Record{Flags: append(flags(VerdictFight, "spec.replicas", 0, argo),
				flags(VerdictFight, "spec.replicas", 3*time.Minute, hpa)...)},
			VerdictFight, "party hpa named after 3m0s, later than 2m0s"},
		{"a party that is never named", fight, Record{Flags: flags(VerdictFight, "spec.replicas", 0, argo)}, VerdictFight,
			"party hpa not named"},
		{"another field", fight, Record{Flags: flags(VerdictFight, "spec.paused", 0, argo, hpa)}, VerdictFight,
			"spec.replicas not named"},
		{"a path that nobody can read", fight, Record{Flags: flags(VerdictFight, "spec..x", 0, argo, hpa)}, VerdictFight,
			"spec.replicas not named"},
		{"the field above", fight, Record{Flags: flags(VerdictFight, "spec", 0, argo, hpa)}, VerdictFight, ""},
		{"further fields and parties", fight, Record{Flags: append(both(0), flags(VerdictFight, "status.replicas", 0, red)...)},
			VerdictFight, ""},
		{"denied and held in a fight", fight, Record{Flags: both(0), Denied: 5, Held: 6, Warned: 7}, VerdictFight, ""},

		{"a loop", `{verdict: loop, parties: [hpa], within: 1m}`,
			Record{Flags: flags(VerdictLoop, "", time.Minute, hpa), Warned: 1}, VerdictLoop, ""},
		{"a loop that was acted on", `{verdict: loop, parties: [hpa], within: 1m}`,
			Record{Flags: flags(VerdictLoop, "", 0, hpa), Denied: 1}, VerdictLoop,
			"1 writes denied and 0 held without a fight"},
		{"a loop instead of a fight, which is right too", `{verdict: fight, or: loop, fields: [spec.a], parties: [hpa], within: 1m}`,
			Record{Flags: flags(VerdictLoop, "spec.a.b", 0, hpa)}, VerdictLoop, ""},
		{"a loop that is right too, acted on", `{verdict: fight, or: loop, fields: [spec.a], parties: [hpa], within: 1m}`,
			Record{Flags: flags(VerdictLoop, "spec.a", 0, hpa), Held: 2}, VerdictLoop, "0 writes denied and 2 held without a fight"},
		{"silence that is right too", `{verdict: loop, or: none, parties: [hpa], within: 1m}`, Record{}, VerdictNone, ""},
		{"a warning in a silence that is right too", `{verdict: loop, or: none, parties: [hpa], within: 1m}`,
			Record{Warned: 1}, VerdictNone, "1 writes warned about, though nothing was flagged"},

		{"silence", `{verdict: none}`, Record{Writes: 7, Stored: 7}, VerdictNone, ""},
		{"a look-alike taken for a fight", `{verdict: none}`, Record{Flags: both(0)}, VerdictFight,
			"fight instead of none; named spec.replicas"},
		{"a look-alike with an advisory", `{verdict: none}`, Record{Flags: flags(VerdictLoop, "spec.a", 0, hpa)}, VerdictLoop,
			"loop instead of none; named spec.a"},
		{"an advisory that is right too", `{verdict: none, or: loop}`,
			Record{Flags: flags(VerdictLoop, "spec.a", time.Hour, hpa)}, VerdictLoop, ""},
		{"a look-alike denied without a word", `{verdict: none}`, Record{Denied: 1}, VerdictNone,
			"1 writes denied and 0 held without a fight"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Judge(parse(t, judged(c.expect)), c.record)
			if got.Verdict != c.want {
				t.Errorf("verdict %s, want %s", got.Verdict, c.want)
			}
			if why := strings.Join(got.Why, "; "); why != c.why {
				t.Errorf("why:  %s\nwant: %s", why, c.why)
			}
			if got.OK != (c.why == "") {
				t.Errorf("ok is %v", got.OK)
			}
		})
	}
}

func TestJudgeReportsTheVerdictsThatCount(t *testing.T) {
	story := parse(t, judged(`{verdict: fight, fields: [b], parties: [hpa], within: 2m}`))
	record := Record{
		Flags: append(append(flags(VerdictFight, "b", 2500*time.Millisecond, hpa, argo), flags(VerdictFight, "a", 1500*time.Millisecond, hpa)...),
			flags(VerdictLoop, "c", 0, red)...),
		Writes: 9, Stored: 8, Warned: 7, Denied: 6, Held: 5, Failed: 4,
	}
	at := 1.5
	want := Result{
		ID: "x", Visible: "admission", Expect: "fight", Verdict: "fight", Fields: []string{"a", "b"}, Parties: []string{"argo", "hpa"},
		FlaggedAtSeconds: &at, Writes: 9, Stored: 8, Warned: 7, Denied: 6, Held: 5, Failed: 4, OK: true,
	}
	if diff := cmp.Diff(want, Judge(story, record)); diff != "" {
		t.Errorf("result differs (-want +got):\n%s", diff)
	}
}

func TestPartiesAreTheStorysWriters(t *testing.T) {
	story := parse(t, judged(`{verdict: none}`))
	const op = "system:serviceaccount:db:op"
	for _, c := range []struct {
		why   string
		party history.Writer
		want  []string
	}{
		{"user and manager", argo, []string{"argo"}},
		{"the user alone", history.Writer{User: argo.User}, []string{"argo"}},
		{"the manager from the user agent", history.Writer{User: hpa.User, Manager: "hpa"}, []string{"hpa"}},
		{"another manager is another writer", history.Writer{User: argo.User, Manager: "kubectl"}, nil},
		{"the pod tells replicas apart", history.Writer{User: op, Pod: "op-2"}, []string{"pod-2"}},
		{"a replica without its pod is none in particular", history.Writer{User: op}, nil},
		{"another pod", history.Writer{User: op, Pod: "op-3"}, nil},
		{"two managers of a user whose manager is not known", history.Writer{User: "shared"}, []string{"red", "blue"}},
		{"one of them", history.Writer{User: "shared", Manager: "blue"}, []string{"blue"}},
		{"a manager that one writer has", history.Writer{Manager: "argocd"}, []string{"argo"}},
		{"a manager that several have", history.Writer{Manager: "op"}, nil},
		{"who set the story up", history.Writer{Manager: setupManager}, nil},
		{"nobody", history.Writer{}, nil},
	} {
		t.Run(c.why, func(t *testing.T) {
			if diff := cmp.Diff(c.want, story.parties(c.party)); diff != "" {
				t.Errorf("%+v is (-want +got):\n%s", c.party, diff)
			}
		})
	}
}
