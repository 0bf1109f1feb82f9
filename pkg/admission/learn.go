package admission

import (
	"math/bits"
	"slices"
	"time"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// learnFrom teaches the history of the request's object and asks for the verdicts. It runs under the history's lock.
func (v *visit) learnFrom(o *history.Object) {
	uid, version := v.old.UID, v.old.ResourceVersion
	if v.family {
		uid, version = "", 0 // those of one object of many
	}
	standing := o.Begin(history.Request{
		Now: v.now, ID: v.id(), UID: uid, Version: version,
	})
	if standing != history.Current {
		// It gets its verdict, but teaches nothing.
		o = o.Clone()
		v.again = true
	}
	if string(v.tracked[0].path) == noop {
		v.idle(o)
		return
	}
	if string(v.tracked[0].path) == history.Exists && !v.counts(o) {
		return
	}
	for i := range v.tracked {
		v.settle(o, &v.tracked[i])
	}
	for i := range v.tracked {
		v.decide(o, &v.tracked[i], false)
	}
	if n := len(v.verdicts); n > 0 && n < len(v.tracked) && slices.ContainsFunc(v.verdicts, contested) {
		for i := range v.tracked {
			v.decide(o, &v.tracked[i], true)
		}
	}
	v.conclude(o)
	v.tell()
}

// existenceMemory is how long a creation or deletion is remembered for the next one to undo it. What lived for longer
// was not created in vain: pods are replaced, environments torn down and built anew.
const existenceMemory = time.Hour

// counts reports whether a creation or deletion counts. Within a family of generated names, others may exist beside the
// object at hand: creating one more changes nothing, and deleting one undoes the last creation only if it is that.
func (v *visit) counts(o *history.Object) bool {
	t := &v.tracked[0]
	f := o.Field(t.path)
	if f == nil {
		return true
	}
	last, ok := f.Last()
	if ok && v.now.Sub(last.At()) > existenceMemory {
		f.Restart()
		ok = false
	}
	switch {
	case !ok || !v.family:
		return true
	case last.Value == t.to:
		if t.to == history.Present {
			o.Touch(v.now, f, v.writer)
		}
		return false
	}
	return t.to == history.Present || !v.old.Created.Before(last.At().Truncate(time.Second))
}

// settle teaches what is stored. Who wrote it is worked out only if that comes as a surprise.
func (v *visit) settle(o *history.Object, t *tracked) {
	stored := history.Stored{Value: t.from}
	var last history.State
	known := false
	if f := o.Field(t.path); f != nil {
		last, known = f.Last()
		if known && last.Value != t.from && t.change >= 0 && t.from != history.Absent { // what is not there has no owner
			stored.Owner.Manager, stored.At = managerOf(v.old.ManagedFields, t.path, v.request.Subresource)
		}
	}
	f := o.Settle(v.now, t.path, stored)
	if known && last.Value != t.from && v.tells() {
		v.tellUnseen(o, f, last)
	}
}

// contested reports whether a verdict is about a fight, rather than a loop or the end of a fight.
func contested(d Verdict) bool { return d.Signal != history.NoSignal && !d.Signal.Loop() }

// decide proposes the change and asks for the verdict on it, unless it has one. In company of a field that is fought
// over, less is enough.
func (v *visit) decide(o *history.Object, t *tracked, company bool) {
	f := o.Field(t.path)
	if f == nil || t.judged {
		return // nil if it is forgotten at once: the write changes more fields than are remembered of an object
	}
	if !t.proposed {
		t.attempt = o.Propose(v.now, f, t.to, v.writer, t.flags)
		last, _ := f.Last()
		t.proposed, t.name, t.reversal = true, f.Path(), last.Is(history.Reversal)
	}
	found := t.rule.Detect(policy.Context{
		Now: v.now, Memory: time.Duration(v.policy.File.History.Memory), OneWriterSilent: t.silent, Company: company,
		Widespread: v.widespread(o, f), Numerous: v.numerous,
	}, o, f)
	before := snapshot(f.Fight)
	verdict := policy.Decide(v.question(t), found, o, f)
	if v.phase == Mutating && verdict.Reason != policy.ReasonHeld && verdict.Turn != policy.Probed &&
		verdict.Turn != policy.EndedNow {
		f.Fight = before // the validating webhook will see this write, and decide
		return
	}
	if verdict.Reason == policy.ReasonHeld {
		v.held = append(v.held, t.change)
	}
	v.note(o, f, t, verdict)
	if verdict.Turn == policy.Started {
		v.verdicts[len(v.verdicts)-1].Since = firstOf(f.States(), found.Evidence)
	}
}

// firstOf returns when the oldest state of the evidence was written.
func firstOf(states []history.State, evidence uint64) time.Time {
	return states[max(len(states)-bits.Len64(evidence), 0)].At()
}

// widespread reports whether the parties of f's newest reversal undo each other on many objects. Those on which they
// did so only once do not count: a new version of a controller visits every object once.
func (v *visit) widespread(o *history.Object, f *history.Field) bool {
	if v.phase == Mutating || v.request.DryRun {
		return false
	}
	states := f.States()
	reversals := 0
	for _, s := range states {
		if s.Is(history.Reversal|history.Cross) && !s.Any(history.ByPerson|history.OverPerson) {
			reversals++
		}
	}
	n := len(states)
	if reversals < 2 || !states[n-1].Is(history.Reversal|history.Cross) {
		return false
	}
	return v.guard.pairs.Note(v.now, history.Pair{
		Group: v.key.Group, Resource: v.key.Resource, Path: f.Path(),
		A: o.WriterOf(states[n-1]), B: o.WriterOf(states[n-2]),
	}, v.key)
}

func snapshot(f *history.Fight) *history.Fight {
	if f == nil {
		return nil
	}
	c := *f
	return &c
}

func (v *visit) question(t *tracked) policy.Question {
	q := policy.Question{
		Now: v.now, Mode: v.mode(), Rule: t.rule, Writer: v.writer, Value: t.to, Pass: v.pass,
		CanHold: v.phase == Mutating && t.change >= 0,
	}
	if q.Pass == policy.ReasonNone && t.rule.Preferred(v.writer.User, v.writer.Manager, v.request.User.Groups) {
		q.Pass = policy.ReasonPreferred
	}
	return q
}

// conclude takes back the proposals if the write is not going to be stored as it stands.
func (v *visit) conclude(o *history.Object) {
	retract := v.phase == Mutating
	for i := range v.verdicts {
		r := v.verdicts[i].Reason
		retract = retract || r == policy.ReasonThrottled || r == policy.ReasonRejected
	}
	if !retract {
		return
	}
	for i := len(v.tracked) - 1; i >= 0; i-- {
		if v.tracked[i].proposed {
			o.Retract(v.tracked[i].attempt)
		}
	}
}

// idle notes a write that changed nothing.
func (v *visit) idle(o *history.Object) {
	for i := range o.Fields() {
		if o.Fields()[i].Fight != nil {
			return // a held write is one that changes nothing
		}
	}
	o.Noop(v.now, v.writer)
	if v.policy.Hand(v.writer.User, v.writer.Manager, v.request.User.Groups) != policy.Machine {
		return
	}
	t := &v.tracked[0]
	found := t.rule.Idle(o.Idle)
	if !found.Found() {
		return
	}
	v.note(o, nil, t, policy.Decide(v.question(t), found, o, &history.Field{}))
}

// note keeps a verdict for the response, if it says anything.
func (v *visit) note(o *history.Object, f *history.Field, t *tracked, d policy.Verdict) {
	if d.Reason == policy.ReasonNone && d.Turn == policy.NoTurn {
		return
	}
	t.judged = true
	out := Verdict{Verdict: d, Mode: v.mode(), Writer: v.writer.Clone()}
	if v.request.DryRun {
		out.Turn = policy.NoTurn // it happened to a copy of the fight
	}
	if string(t.path) != noop {
		out.Path = string(t.path)
	}
	if f != nil && f.Fight != nil {
		out.Parties, out.Length = o.Parties(f.Fight), f.Fight.Length
	} else {
		out.Parties = []history.Writer{out.Writer}
	}
	v.verdicts = append(v.verdicts, out)
}
