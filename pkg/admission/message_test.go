package admission

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

func verdictOf(s history.Signal, r policy.Reason, mode policy.Mode, action policy.Action) Verdict {
	v := Verdict{
		Path: "metadata.annotations[example.com/signature]", Mode: mode,
		Writer: history.Writer{User: "system:serviceaccount:shop:red", Manager: "red-controller"},
		Parties: []history.Writer{
			{User: "system:serviceaccount:shop:red", Manager: "red-controller"},
			{User: "system:serviceaccount:shop:blue"},
		},
	}
	v.Signal, v.Reason, v.Count, v.Rule = s, r, 7, &policy.CompiledRule{Rule: policy.Rule{Name: "all", Action: action}}
	if !s.Loop() {
		v.Until = start.Add(5 * time.Minute)
	}
	return v
}

var account = Object{Operation: "UPDATE", Resource: "serviceaccounts", Namespace: "shop", Name: "web"}

func TestWarnings(t *testing.T) {
	const what = "truce: metadata.annotations[example.com/signature] of serviceaccounts/web is fought over by " +
		"red-controller (shop/red) and shop/blue, 7 reversals: "
	const end = " until 2025-03-01T12:05:00Z"
	for _, c := range []struct {
		name string
		v    Verdict
		want string
	}{
		{"held", verdictOf(history.TwoWriters, policy.ReasonHeld, policy.Enforce, policy.ActionHold), what + "your change of it was held back" + end},
		{"within the bucket", verdictOf(history.TwoWriters, policy.ReasonBucket, policy.Enforce, policy.ActionThrottle), what + "let through, others will be throttled" + end},
		{"unheld", verdictOf(history.TwoWriters, policy.ReasonUnheld, policy.Enforce, policy.ActionHold), what + "let through, it came past the mutating webhook" + end},
		{"action Warn", verdictOf(history.TwoWriters, policy.ReasonWarned, policy.Enforce, policy.ActionWarn), what + "let through" + end},
		{"mode Warn, Throttle", verdictOf(history.TwoWriters, policy.ReasonWarned, policy.Warn, policy.ActionThrottle), what + "enforcing would throttle it" + end},
		{"mode Warn, Reject", verdictOf(history.TwoWriters, policy.ReasonWarned, policy.Warn, policy.ActionReject), what + "enforcing would reject it" + end},
		{"mode Warn, Hold", verdictOf(history.TwoWriters, policy.ReasonWarned, policy.Warn, policy.ActionHold), what + "enforcing would hold it" + end},
		{"mode Warn, Warn", verdictOf(history.TwoWriters, policy.ReasonWarned, policy.Warn, policy.ActionWarn), what + "let through" + end},
		{"an idle loop", verdictOf(history.IneffectiveLoop, policy.ReasonLoop, policy.Warn, policy.ActionHold),
			"truce: red-controller (shop/red) wrote serviceaccounts/web 7 times in a row without changing anything: please check this controller"},
		{"a minting loop", verdictOf(history.MintingLoop, policy.ReasonLoop, policy.Enforce, policy.ActionHold),
			"truce: red-controller (shop/red) wrote a new value to metadata.annotations[example.com/signature] of serviceaccounts/web 7 times in a row: please check this controller"},
		{"a churn", verdictOf(history.ChurnLoop, policy.ReasonLoop, policy.Enforce, policy.ActionHold),
			"truce: red-controller (shop/red) rewrote metadata.annotations[example.com/signature] of serviceaccounts/web 7 times in a row: please check this controller"},
		{"a probe", verdictOf(history.TwoWriters, policy.ReasonProbe, policy.Enforce, policy.ActionHold), ""},
		{"an exempt writer", verdictOf(history.TwoWriters, policy.ReasonExempt, policy.Enforce, policy.ActionHold), ""},
		{"mode Audit", verdictOf(history.TwoWriters, policy.ReasonObserved, policy.Audit, policy.ActionHold), ""},
		{"a loop in mode Audit", verdictOf(history.ChurnLoop, policy.ReasonLoop, policy.Audit, policy.ActionHold), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(warnings(account, []Verdict{c.v}), "\n")
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestLargeCountsAreRounded(t *testing.T) {
	for n, want := range map[int]string{
		0: "0", 3: "3", 16: "16", 17: "over 16", 32: "over 16", 33: "over 32", 64: "over 32", 65: "over 64", 1000000: "over 524288",
	} {
		if got := roughly(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	v := verdictOf(history.TwoWriters, policy.ReasonWarned, policy.Warn, policy.ActionReject)
	said := map[string]bool{}
	for v.Count = range 1 << 14 {
		said[warnings(account, []Verdict{v})[0]] = true
	}
	if len(said) > 30 {
		t.Errorf("a fight of 16,384 writes has %d different warnings", len(said))
	}
}

func TestADenialSaysWhatToDo(t *testing.T) {
	v := verdictOf(history.OneWriter, policy.ReasonRejected, policy.Enforce, policy.ActionReject)
	v.Parties = v.Parties[:1]
	want := "truce: metadata.annotations[example.com/signature] of serviceaccounts/web is fought over by " +
		"red-controller (shop/red) with itself, 7 reversals: this write was rejected until 2025-03-01T12:05:00Z by rule all; " +
		"let one of them own the field, or set the annotation truce.dev/exempt-until to the time until which this object is exempt"
	if got := denial(account, &v); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPartyNames(t *testing.T) {
	w := func(user, manager, pod string) history.Writer {
		return history.Writer{User: user, Manager: manager, Pod: pod}
	}
	for _, c := range []struct {
		parties []history.Writer
		want    string
	}{
		{nil, "unknown writers"},
		{[]history.Writer{{}}, "an unknown writer with itself"},
		{[]history.Writer{w("", "helm", ""), w("jane@example.com", "", "")}, "helm and jane@example.com"},
		{[]history.Writer{w("u", "m", "p-1"), w("u", "m", "p-2")}, "p-1 and p-2"},
		{[]history.Writer{w("u", "m", "p-1"), w("v", "m", "p-2")}, "m (u) and m (v)"},
		{[]history.Writer{w("a", "", ""), w("b", "", ""), w("c", "", "")}, "a, b and c"},
		{[]history.Writer{w("a", "", ""), w("b", "", ""), w("c", "", ""), w("d", "", ""), w("e", "", "")}, "a, b, c and 2 more"},
		{[]history.Writer{w("system:serviceaccount:ns:op", "op", ""), w("x", "", "")}, "ns/op and x"},
	} {
		if got := partyNames(c.parties, 100); got != c.want {
			t.Errorf("%v: %q, want %q", c.parties, got, c.want)
		}
	}
}

func FuzzWarning(f *testing.F) {
	f.Add("serviceaccounts", "web", "metadata.annotations[a/b]", "system:serviceaccount:shop:red", "m", "pod", 7, uint8(1), uint8(3))
	f.Add(strings.Repeat("r", 300), strings.Repeat("ö", 253), strings.Repeat("x.", 500), strings.Repeat("u", 400), strings.Repeat("m", 128), "", 1<<40, uint8(3), uint8(0))
	reasons := []policy.Reason{policy.ReasonHeld, policy.ReasonWarned, policy.ReasonBucket, policy.ReasonLoop, policy.ReasonUnheld}
	f.Fuzz(func(t *testing.T, resource, name, path, user, manager, pod string, count int, signal, why uint8) {
		for _, text := range []string{resource, name, path, user, manager, pod} {
			if !utf8.ValidString(text) {
				return
			}
		}
		v := verdictOf(history.Signal(signal%10), reasons[int(why)%len(reasons)], policy.Warn, policy.ActionThrottle)
		v.Path, v.Count = path, count
		v.Writer = history.Writer{User: user, Manager: manager, Pod: pod}
		v.Parties = []history.Writer{v.Writer, {User: user + "2"}, {Manager: manager}, {Pod: pod}}
		for _, w := range warnings(Object{Resource: resource, Group: name, Name: name}, []Verdict{v}) {
			if n := utf8.RuneCountInString(w); n > maxWarning {
				t.Fatalf("%d characters: %s", n, w)
			}
			if !utf8.ValidString(w) || v.Reason != policy.ReasonLoop && !v.Until.IsZero() && !strings.HasSuffix(w, "Z") {
				t.Fatalf("%q", w)
			}
		}
	})
}
