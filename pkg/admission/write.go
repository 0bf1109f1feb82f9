package admission

import (
	"time"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// Write is what one write does to one field that a rule watches.
type Write struct {
	// Path is the field's, which may be kept: the history shares it. Rule is the one that watches it.
	Path   string
	Rule   *policy.CompiledRule
	Writer history.Writer
	At     time.Time
	// From and To stand for the values. FromText and ToText are the values as JSON, if the rule asks for them: cut to
	// MaxValue bytes, and never those of Secrets.
	From, To         history.Value
	FromText, ToText string
	// Reversal: the field is brought back to a value that it had before.
	Reversal bool
	// Unseen: this process did not see the write, only what it left.
	Unseen bool
	// Reason is that of the field's verdict, ReasonNone if it has none.
	Reason policy.Reason
}

// MaxValue is how much of a value is told, in bytes.
const MaxValue = 256

// tells reports whether the response has to tell of writes. The mutating webhook sees those that it holds only; all
// others reach the validating one.
func (v *visit) tells() bool { return v.guard.Journal && !v.again && v.phase == Validating }

// tell notes the writes for the response, once there are verdicts.
func (v *visit) tell() {
	if !v.guard.Journal || v.again {
		return
	}
	for i := range v.tracked {
		t := &v.tracked[i]
		reason := v.reasonFor(t)
		if !t.proposed || v.phase == Mutating && reason != policy.ReasonHeld {
			continue
		}
		w := Write{
			Path: t.name, Rule: t.rule, Writer: v.writer, At: v.now, From: t.from, To: t.to, Reversal: t.reversal, Reason: reason,
		}
		if t.rule.Values == policy.ValuesShown && t.change >= 0 && !v.secret() {
			w.FromText, w.ToText = cutValue(v.changes[t.change].Old), cutValue(v.changes[t.change].New)
		}
		v.writes = append(v.writes, w)
	}
}

// tellUnseen notes a write that changed f from what it was last and passed by here, unless the last one was merely not
// stored.
func (v *visit) tellUnseen(o *history.Object, f *history.Field, before history.State) {
	s, ok := f.Last()
	if !ok || !s.Is(history.Unseen) || s.Value == before.Value {
		return
	}
	v.writes = append(v.writes, Write{
		Path: f.Path(), Writer: o.WriterOf(s), At: s.At(), From: before.Value, To: s.Value, Reversal: s.Is(history.Reversal),
		Unseen: true,
	})
}

func (v *visit) reasonFor(t *tracked) policy.Reason {
	for i := range v.verdicts {
		if v.verdicts[i].Path == t.name {
			return v.verdicts[i].Reason
		}
	}
	return policy.ReasonNone
}

// secret reports whether the object is one whose values are never told.
func (v *visit) secret() bool { return v.request.Resource == "secrets" && v.request.Group == "" }

func cutValue(raw []byte) string {
	if len(raw) <= MaxValue {
		return string(raw)
	}
	return string(raw[:MaxValue]) + "…"
}
