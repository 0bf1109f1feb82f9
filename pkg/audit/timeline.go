package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/report"
)

// TimelineOptions say whose history is told.
type TimelineOptions struct {
	// Kind is a kind or a resource, with or without its group: deployment, deployments.apps.
	Kind, Name string
	// Field restricts it to this field and what is below it; empty for all but what the API server alone sets.
	Field string
	// Hash shows hashes instead of values. Those of Secrets are never shown.
	Hash bool
	// Limit is how many changes are kept, the latest ones.
	Limit int
}

// Timeline is the history of an object.
type Timeline struct {
	Changes []Change `json:"changes"`
	// Truncated: there are earlier ones.
	Truncated bool     `json:"truncated,omitzero"`
	Coverage  Coverage `json:"coverage"`
}

// Change is one write of one field, as a journal has it. Its Field is empty for a write that failed or whose change is not
// known.
type Change struct {
	report.Change
	// Code and Message are why a write failed.
	Code    int    `json:"code,omitzero"`
	Message string `json:"message,omitzero"`
}

// Outcomes that only logs tell of.
const (
	outcomeUnknown report.Outcome = "Unknown" // it was stored, but what it changed is not known
	outcomeFailed  report.Outcome = "Failed"
)

// maxValue is how much of a value is kept, in bytes.
const maxValue = 4096

// own are the fields that the API server alone sets, which change with every write.
var own = []string{
	"metadata.managedFields", "metadata.resourceVersion", "metadata.generation", "metadata.uid", "metadata.creationTimestamp",
	"metadata.selfLink",
}

// FindTimeline reads the input and tells the history of an object; of the users that the input's Filter names, their
// changes.
func FindTimeline(ctx context.Context, in *Input, o TimelineOptions) (*Timeline, error) {
	t := &historian{users: in.everybody(), options: o, hasher: history.NewHasher(), seen: make(map[string][]history.Value)}
	t.player = newPlayer(1, t.judge)
	err := in.Ordered(ctx, func(e *Event) bool { return o.about(e) && (tells(e) || isAttempt(e)) }, func(e *Event) {
		if isAttempt(e) {
			t.failed(e)
			return
		}
		judged := t.Judged
		t.play(e)
		if isWrite(e) && t.Judged == judged {
			t.add(t.change(e, outcomeUnknown))
		}
	})
	t.truncate()
	if t.changes == nil {
		t.changes = []Change{}
	}
	return &Timeline{Changes: t.changes, Truncated: t.truncated, Coverage: t.Coverage}, err
}

// about reports whether an event is about the object.
func (o *TimelineOptions) about(e *Event) bool {
	if string(e.Object.Name) != o.Name && (len(e.Object.Name) > 0 || string(textOf(firstMember(e.Response(), "metadata"), "name")) != o.Name) {
		return false
	}
	kind, group, given := strings.Cut(strings.ToLower(o.Kind), ".")
	return (!given || group == string(e.Object.Group)) && isPlural(kind, string(e.Object.Resource))
}

// isPlural reports whether a resource is what a kind, or itself, is called in the plural.
func isPlural(kind, resource string) bool {
	if kind == resource || kind+"s" == resource || kind+"es" == resource {
		return true
	}
	root, ok := strings.CutSuffix(kind, "y")
	return ok && root+"ies" == resource
}

// isAttempt reports whether an event tells of a write that failed.
func isAttempt(e *Event) bool {
	switch string(e.Verb) {
	case "create", "update", "patch", "delete":
		return e.Code >= 400
	}
	return false
}

// historian keeps the history of an object.
type historian struct {
	*player
	users     []string
	options   TimelineOptions
	hasher    history.Hasher
	differ    admission.Differ
	changes   []Change
	truncated bool
	seen      map[string][]history.Value // by field, the values that it had
}

// maxEarlier bounds the values of a field that are remembered, and maxFields the fields.
const (
	maxEarlier = 32
	maxFields  = 4096
)

func (t *historian) judge(w *write) {
	if w.Operation != opUpdate {
		c := t.change(w.event, report.Stored)
		c.Field, c.From, c.To = history.Exists, "absent", "present"
		if w.Operation == opDelete {
			c.From, c.To = c.To, c.From
		}
		if t.shows(c.Field) {
			c.Reversal = t.note(c.Field, history.Value(len(c.To)), history.Value(len(c.From)))
			t.add(c)
		}
		return
	}
	changes, _, err := t.differ.Diff(w.OldObject, w.Object)
	if err != nil {
		return
	}
	for i := range changes {
		field := string(changes[i].Path)
		if !t.shows(field) {
			continue
		}
		c := t.change(w.event, report.Stored)
		c.Field = field
		var from, to history.Value
		c.From, c.FromValue, from = t.value(w, changes[i].Old)
		c.To, c.ToValue, to = t.value(w, changes[i].New)
		c.Reversal = t.note(field, from, to)
		t.add(c)
	}
}

// shows reports whether a field is asked for.
func (t *historian) shows(field string) bool {
	if want := t.options.Field; want != "" {
		return isBelow(field, want)
	}
	return !slices.ContainsFunc(own, func(o string) bool { return isBelow(field, o) })
}

// isBelow reports whether a field is another one, or in it.
func isBelow(field, top string) bool {
	rest, ok := strings.CutPrefix(field, top)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// value returns what stands for a raw value, and the value itself if it may be shown.
func (t *historian) value(w *write, raw []byte) (text, shown string, v history.Value) {
	if raw == nil {
		return "absent", "", history.Absent
	}
	v = t.hasher.Sum(raw)
	if !t.options.Hash && (w.Group != "" || w.Resource != "secrets") {
		shown = string(raw[:min(len(raw), maxValue)])
	}
	return fmt.Sprintf("%016x", uint64(v)), shown, v
}

// note remembers a field's values, and reports whether it is back at an earlier one.
func (t *historian) note(field string, from, to history.Value) (back bool) {
	values, known := t.seen[field]
	if !known && len(t.seen) >= maxFields {
		return false
	}
	if n := len(values); n == 0 || values[n-1] != from {
		values = append(values, from)
	}
	back = slices.Contains(values[:len(values)-1], to)
	values = append(values, to)
	if len(values) > maxEarlier {
		values = slices.Delete(values, 0, len(values)-maxEarlier)
	}
	t.seen[field] = values
	return back
}

func (t *historian) failed(e *Event) {
	c := t.change(e, outcomeFailed)
	c.Code = e.Code
	c.Message = string(textOf(e.Status, "message"))
	if c.Message == "" {
		c.Message = string(textOf(e.Response(), "message"))
	}
	c.Message = c.Message[:min(len(c.Message), maxValue)]
	t.add(c)
}

func (t *historian) change(e *Event, outcome report.Outcome) Change {
	r := t.in.request(e)
	if r.FieldManager == "" {
		r.FieldManager = string(e.agent())
	}
	return Change{Change: report.Change{
		Time: when(e), Verb: r.Operation, Outcome: outcome,
		Object: report.Object{Group: r.Group, Resource: r.Resource, Namespace: r.Namespace, Name: t.options.Name},
		Writer: report.Writer{User: r.User.Username, Manager: r.FieldManager, Pod: r.User.Pod},
	}}
}

func (t *historian) add(c Change) {
	if len(t.users) > 0 && !fits(t.users, c.Writer.User) {
		return
	}
	t.changes = append(t.changes, c)
	if len(t.changes) >= 2*t.options.Limit {
		t.truncate()
	}
}

func (t *historian) truncate() {
	if more := len(t.changes) - t.options.Limit; more > 0 {
		t.changes = slices.Delete(t.changes, 0, more)
		t.truncated = true
	}
}
