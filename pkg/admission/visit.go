package admission

import (
	"bytes"
	"time"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// visit is one review being judged. Visits are pooled: what they hold points into the review's body, and nothing of it
// may be kept.
type visit struct {
	guard  *Guard
	policy *policy.Policy
	now    time.Time
	phase  Phase
	sight  bool // a watch tells of it: see Observe

	request  Request
	old, new Meta
	differ   Differ
	changes  []Change
	// truncated: there are more changes than those.
	truncated bool
	writer    history.Writer
	pass      policy.Reason
	key       history.Key
	family    bool // key names the objects of one owner and generated name
	numerous  bool // it does, or the object of one has an ordinal instead
	tracked   []tracked
	verdicts  []Verdict
	held      []int   // indexes of changes
	again     bool    // the request teaches nothing: it was judged before, or will lose its race
	writes    []Write // the response's

	// The two functions that are handed on, made once.
	learn func(*history.Object)
	label func(string) (string, bool)
}

// tracked is a changed field that a rule watches.
type tracked struct {
	path     []byte
	change   int // index into changes, -1 for $exists
	rule     *policy.CompiledRule
	silent   bool // a known look-alike while one writer alone writes it
	from, to history.Value
	flags    history.Flags
	attempt  history.Attempt
	proposed bool
	judged   bool
	// name is path as the history keeps it, and reversal whether the field was brought back: known once proposed.
	name     string
	reversal bool
}

// noop is the path by which rules are asked who watches writes that change nothing: only `**` fits it.
const noop = "$noop"

func newVisit(g *Guard) *visit {
	v := &visit{guard: g}
	v.learn = v.learnFrom
	v.label = v.lookUpLabel
	return v
}

// reset forgets the review. It reports whether v is small enough to be kept.
func (v *visit) reset() bool {
	clear(v.tracked[:cap(v.tracked)])
	v.tracked, v.verdicts, v.held, v.changes = v.tracked[:0], nil, v.held[:0], nil
	v.policy, v.pass, v.again, v.sight, v.writes = nil, policy.ReasonNone, false, false, nil
	v.family, v.numerous = false, false
	v.writer = history.Writer{}
	v.key = history.Key{}
	v.old = Meta{}
	v.new = Meta{}
	return cap(v.tracked) <= 1024
}

func (v *visit) review(body []byte, resp *Response) error {
	if err := Decode(body, &v.request); err != nil {
		return err
	}
	v.writes = resp.Writes[:0]
	if err := v.judge(); err != nil {
		return err
	}
	v.respond(resp)
	return nil
}

// judge works out the verdicts on the review.
func (v *visit) judge() error {
	r := &v.request
	if !v.wanted() {
		return nil
	}
	if err := v.readMeta(); err != nil {
		return err
	}
	if !v.sight && v.loses() {
		return nil
	}
	target := policy.Target{
		Group: r.Group, Resource: r.Resource, Subresource: r.Subresource, Namespace: r.Namespace, Name: v.name(),
		Label: v.label,
	}
	m := v.policy.Match(&target)
	if m.Empty() || v.phase == Mutating && !m.Holds() {
		return nil
	}
	v.key = history.Key{Group: r.Group, Resource: r.Resource, Namespace: r.Namespace, Name: target.Name}
	if r.Operation == "UPDATE" {
		if err := v.diff(m); err != nil {
			return err
		}
	} else {
		v.existence(m)
	}
	if len(v.tracked) == 0 {
		return nil
	}
	v.pass = v.exempt()
	if r.DryRun {
		v.guard.store.View(v.key, v.learn)
	} else {
		v.guard.store.Update(v.key, v.learn)
	}
	return nil
}

func (v *visit) readMeta() (err error) {
	if m := v.request.OldMeta; m != nil {
		v.old = *m
	} else if v.old, err = metaOf(v.request.OldObject); err != nil {
		return badObject("request.oldObject", err)
	}
	if m := v.request.Meta; m != nil {
		v.new = *m
	} else if v.new, err = metaOf(v.request.Object); err != nil {
		return badObject("request.object", err)
	}
	return nil
}

// loses reports whether the write is made upon another version of the object than the stored one: it is about to be
// refused as a conflict, or tried again upon the right one. What its other version has of fields that somebody changed
// meanwhile is no attempt to change them back. Only the mutating webhook sees such writes.
func (v *visit) loses() bool {
	is, was := v.new.ResourceVersion, v.old.ResourceVersion
	return v.request.Operation == "UPDATE" && is != 0 && was != 0 && is != was
}

// wanted reports whether the request is a write that Truce looks at.
func (v *visit) wanted() bool {
	r := &v.request
	switch r.Operation {
	case "UPDATE":
		return r.Subresource == "" || r.Subresource == "status" || r.Subresource == "scale"
	case "CREATE", "DELETE":
		return v.phase == Validating && r.Subresource == ""
	}
	return false
}

// name returns the object's name. The request has none if the name was generated, or for a deletion of many.
func (v *visit) name() string {
	if v.request.Name != "" {
		return v.request.Name
	}
	if v.new.Name != "" {
		return v.new.Name
	}
	return v.old.Name
}

func (v *visit) lookUpLabel(key string) (string, bool) {
	labels := v.new.Labels
	if v.request.Operation == "DELETE" {
		labels = v.old.Labels
	}
	return mapValue(labels, key)
}

// diff finds the changed fields that rules watch.
func (v *visit) diff(m policy.Matched) error {
	r := &v.request
	var err error
	v.differ.known = [2]extents{v.old.extents, v.new.extents}
	if v.changes, v.truncated, err = v.differ.Diff(r.OldObject, r.Object); err != nil {
		return badObject("request.object", err)
	}
	changes := v.changes
	v.writer = v.identify()
	if len(changes) == 0 {
		if rule := m.Rule([]byte(noop)); rule != nil && v.phase == Validating {
			v.tracked = append(v.tracked, tracked{path: []byte(noop), change: -1, rule: rule})
		}
		return nil
	}
	common := v.commonFlags()
	for i := range changes {
		c := &changes[i]
		if r.Subresource == "scale" && string(c.Path) != "spec.replicas" {
			continue // the other fields of a Scale only mirror the object
		}
		if rule := m.Rule(c.Path); rule != nil && (v.phase == Validating || rule.Action == policy.ActionHold) {
			v.track(m, rule, i, common|flagsOf(c)|v.retimed(i))
		}
	}
	return nil
}

func (v *visit) track(m policy.Matched, rule *policy.CompiledRule, i int, flags history.Flags) {
	c := &v.changes[i]
	silence := m.Silence(c.Path, v.writer.User, v.writer.Manager, v.request.User.Groups)
	if silence == policy.Always {
		return
	}
	v.tracked = append(v.tracked, tracked{
		path: c.Path, change: i, rule: rule, silent: silence == policy.OneWriter,
		from: v.value(c.Old), to: v.value(c.New), flags: flags,
	})
}

func (v *visit) value(raw []byte) history.Value {
	if raw == nil {
		return history.Absent
	}
	return v.guard.hasher.Sum(raw)
}

// commonFlags are those of every change of this write.
func (v *visit) commonFlags() (f history.Flags) {
	switch v.policy.Hand(v.writer.User, v.writer.Manager, v.request.User.Groups) {
	case policy.Person:
		f |= history.ByPerson
	case policy.Script:
		f |= history.ByScript
	}
	for i := range v.changes {
		if namesOwner(v.changes[i].Path) {
			f |= history.Owner
			break
		}
	}
	return f
}

func flagsOf(c *Change) (f history.Flags) {
	switch c.Kind {
	case ChangeOrder:
		f |= history.OrderOnly
	case ChangeQuantity:
		f |= history.QuantityOnly
	}
	if c.Clock {
		f |= history.Clock
	}
	if old := bytes.TrimRight(c.Old, `"]}`); len(old) > 1 && bytes.HasPrefix(c.New, old) && len(c.New) > len(c.Old) {
		f |= history.Growing
	}
	return f
}

// retimed returns Retimed for a condition's lastTransitionTime, if nothing else of the condition changed. By the conventions of
// the Kubernetes API it is the last time that the condition's status changed.
func (v *visit) retimed(i int) history.Flags {
	condition, ok := bytes.CutSuffix(v.changes[i].Path, []byte("lastTransitionTime"))
	if !ok || !bytes.HasPrefix(condition, []byte("status.conditions[")) {
		return 0
	}
	// What else of it changed comes right before or after.
	if i > 0 && bytes.HasPrefix(v.changes[i-1].Path, condition) || i+1 < len(v.changes) && bytes.HasPrefix(v.changes[i+1].Path, condition) {
		return 0
	}
	return history.Retimed
}

// identify returns who writes. A client that sets no field manager is known by the one that the API server made of its
// user agent, which owns what this write changed.
func (v *visit) identify() history.Writer {
	w := history.Writer{User: v.request.User.Username, Manager: v.request.FieldManager, Pod: v.request.User.Pod}
	if w.Manager == "" {
		w.Manager = writeManager(v.old.ManagedFields, v.new.ManagedFields, v.changes)
	}
	return w
}

// exempt returns why the writer passes, whatever is fought over.
func (v *visit) exempt() policy.Reason {
	r := &v.request
	switch {
	case v.policy.Exempt(v.writer.User, v.writer.Manager, r.Namespace, r.User.Groups) != "":
		return policy.ReasonExempt
	case v.cleanup():
		return policy.ReasonCleanup
	case v.glassBroken():
		return policy.ReasonBreak
	}
	return policy.ReasonNone
}

// cleanup reports whether the request is part of a deletion that must not be held up.
func (v *visit) cleanup() bool {
	r := &v.request
	if v.old.Deleting || v.new.Deleting {
		return true
	}
	if r.Operation != "DELETE" {
		return false
	}
	switch r.User.Username {
	case "system:serviceaccount:kube-system:generic-garbage-collector",
		"system:serviceaccount:kube-system:namespace-controller",
		"system:serviceaccount:kube-system:pod-garbage-collector",
		"system:serviceaccount:kube-system:ttl-after-finished-controller",
		"system:kube-controller-manager":
		return true
	}
	return r.Group == "" && r.Resource == "namespaces"
}

// glassBroken reports whether the object's break-glass annotation names a time that is still to come.
func (v *visit) glassBroken() bool {
	annotations := v.new.Annotations
	if v.request.Operation == "DELETE" {
		annotations = v.old.Annotations
	}
	if !bytes.Contains(annotations, []byte(BreakGlass)) {
		return false
	}
	text, ok := mapValue(annotations, BreakGlass)
	until, err := time.Parse(time.RFC3339, text)
	return ok && err == nil && v.now.Before(until)
}
