package history

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// t0 is when every story begins: a whole second, as managedFields have no finer ones.
var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	replicas  = "spec.replicas"
	signature = "metadata.annotations[apps.example.com/signature]"
)

// How stories write the value of a field that is not there, and of one that is the empty string.
const (
	absent = "-"
	empty  = `""`
)

// hidden is a writer of whom nothing is known.
var hidden = Writer{}

func writer(name string) Writer {
	if name == "" {
		return hidden
	}
	return Writer{User: "system:serviceaccount:ops:" + name, Manager: name}
}

// value is the Value of a story's value: one that can be read back.
func value(s string) Value {
	switch s {
	case absent:
		return Absent
	case "here":
		return Present
	}
	if s == empty {
		s = ""
	}
	v := Value(len(s)) + 2
	for i := range len(s) {
		v = v<<8 | Value(s[i])
	}
	return v
}

// step is one request to the webhook.
type step struct {
	at    time.Duration // since t0; the clock may jump back
	id    string        // the request's uid
	uid   string        // the object's; "uid-1" if empty, unknown if "?"
	rv    uint64        // the stored object's resourceVersion
	path  string        // spec.replicas if empty
	sees  string        // what is stored
	owner string        // who owns it as managedFields tell
	since time.Duration // and since when: t0+since, if owner is set
	by    string        // who writes; nobody if sets is empty
	sets  string
	flags Flags
	deny  bool // the proposal is taken back

	standing Standing
	want     string // the ledger afterwards
}

// story is a table test of requests for one object.
type story struct {
	name   string
	why    string
	bounds func(*Bounds)
	steps  []step
}

func tell(t *testing.T, stories []story) {
	t.Helper()
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			b := DefaultBounds
			if s.bounds != nil {
				s.bounds(&b)
			}
			o := &Object{bounds: &b}
			for i, st := range s.steps {
				standing := st.take(o)
				if standing != st.standing {
					t.Fatalf("step %d: standing %d, want %d (%s)", i, standing, st.standing, s.why)
				}
				if diff := cmp.Diff(st.want, ledger(o, o.Field([]byte(st.on())))); diff != "" {
					t.Fatalf("step %d: ledger (-want +got):\n%s(%s)", i, diff, s.why)
				}
			}
		})
	}
}

func (s step) on() string {
	if s.path == "" {
		return replicas
	}
	return s.path
}

func (s step) take(o *Object) Standing {
	now := t0.Add(s.at)
	uid := s.uid
	switch uid {
	case "":
		uid = "uid-1"
	case "?":
		uid = ""
	}
	if standing := o.Begin(Request{Now: now, ID: s.id, UID: uid, Version: s.rv}); standing != Current {
		return standing
	}
	stored := Stored{Value: value(s.sees)}
	if s.owner != "" {
		stored.Owner, stored.At = writer(s.owner), t0.Add(s.since)
	}
	f := o.Settle(now, []byte(s.on()), stored)
	if s.sets == "" {
		return Current
	}
	a := o.Propose(now, f, value(s.sets), writer(s.by), s.flags)
	if s.deny {
		o.Retract(a)
	}
	return Current
}

// ledger writes a field's states as a story does: value@writer/flags, with p for pending, u for unseen, R for reversal,
// X for cross, o for over a person.
func ledger(o *Object, f *Field) string {
	if f == nil {
		return ""
	}
	var words []string
	for _, s := range f.States() {
		word := name(s.Value)
		if w := o.WriterOf(s); w.Known() {
			word += "@" + w.Manager
		}
		marks := ""
		for _, m := range []struct {
			flag Flags
			mark string
		}{{Pending, "p"}, {Unseen, "u"}, {Reversal, "R"}, {Cross, "X"}, {OverPerson, "o"}} {
			if s.Is(m.flag) {
				marks += m.mark
			}
		}
		if marks != "" {
			word += "/" + marks
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func name(v Value) string {
	switch v {
	case Absent:
		return absent
	case Present:
		return "here"
	}
	var b []byte
	for ; v > 255; v >>= 8 {
		b = append([]byte{byte(v)}, b...)
	}
	if len(b) == 0 {
		return empty
	}
	return string(b)
}
