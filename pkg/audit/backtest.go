package audit

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

// Backtest is what a policy would have done to the writes of a log.
type Backtest struct {
	Policy string      `json:"policy"`
	Mode   policy.Mode `json:"mode"`
	From   time.Time   `json:"from,omitzero"`
	To     time.Time   `json:"to,omitzero"`
	// Recorded are the writes that were judged; Stored those that would have changed what is stored, in which Held and
	// Warned ones are included.
	Recorded  int64 `json:"recorded"`
	Stored    int64 `json:"stored"`
	Warned    int64 `json:"warned"`
	Throttled int64 `json:"throttled"`
	Rejected  int64 `json:"rejected"`
	Held      int64 `json:"held"`
	// Moot are writes that would have had nothing to do any more, since the one that they undid had been stopped, or their
	// object would not have been there.
	Moot     int64       `json:"moot"`
	Writers  []WriterHit `json:"writers"`
	Fights   []*Fight    `json:"fights"`
	Coverage Coverage    `json:"coverage"`
}

// WriterHit is a writer whose writes would have been warned about or stopped.
type WriterHit struct {
	report.Writer
	Writes int64 `json:"writes"`
	Warned int64 `json:"warned"`
	report.Prevented
	Fights []string `json:"fights"`
}

// NamedPolicy is a policy and what to call it.
type NamedPolicy struct {
	Name   string
	Policy *policy.Policy
	Mode   policy.Mode
}

// RunBacktests reads the input once, and takes every write through the code of the webhook under each policy.
//
// Who was denied would have tried again, and who was not undone would have had nothing to undo: what clients would have
// done else, no log can tell. So each recorded write is taken for what its writer meant to change, and is made upon what
// would have been stored by then. Of the users that the input's Filter names, the fights and the writers are returned.
func RunBacktests(ctx context.Context, in *Input, policies ...NamedPolicy) ([]*Backtest, error) {
	users := in.everybody()
	runs := make([][]*backtest, len(policies)) // by policy, then by shard
	fns := make([]func(*Event), shardCount())
	some := len(fns) * len(policies)
	for i := range fns {
		var mine []*backtest
		for j, p := range policies {
			guard, _, err := guardOf(p.Policy, p.Mode, some)
			if err != nil {
				return nil, err
			}
			b := newBacktest(guard, p, some)
			mine, runs[j] = append(mine, b), append(runs[j], b)
		}
		fns[i] = func(e *Event) {
			for _, b := range mine {
				one := *e // playing may change it
				b.play(&one)
			}
		}
	}
	shards := newShards(fns)
	err := in.batches(ctx, func() func(*Event) bool { return tells }, shards.play)
	shards.finish()
	out := make([]*Backtest, len(runs))
	for i, r := range runs {
		for _, b := range r[1:] {
			r[0].merge(b)
		}
		out[i] = r[0].result()
		out[i].Fights = of(users, out[i].Fights)
		out[i].Writers = slices.DeleteFunc(out[i].Writers, func(w WriterHit) bool { return len(users) > 0 && !fits(users, w.User) })
	}
	return out, err
}

// merge adds what a backtest on other resources found.
func (b *backtest) merge(o *backtest) {
	b.finder.merge(&o.finder)
	b.out.Recorded += o.out.Recorded
	b.out.Stored += o.out.Stored
	b.out.Warned += o.out.Warned
	b.out.Throttled += o.out.Throttled
	b.out.Rejected += o.out.Rejected
	b.out.Held += o.out.Held
	b.out.Moot += o.out.Moot
	for key, hit := range o.writers {
		mine := b.writers[key]
		if mine == nil {
			b.writers[key] = hit
			continue
		}
		mine.Writes += hit.Writes
		mine.Warned += hit.Warned
		mine.Throttled += hit.Throttled
		mine.Rejected += hit.Rejected
		mine.Held += hit.Held
		mine.Fights = append(mine.Fights, hit.Fights...)
	}
}

// backtest plays writes through one policy.
type backtest struct {
	finder
	out     Backtest
	writers map[report.Writer]*WriterHit
	differ  admission.Differ
}

// maxHit bounds the writers that are told apart.
const maxHit = 1000

func newBacktest(g *admission.Guard, p NamedPolicy, some int) *backtest {
	b := &backtest{finder: finder{guard: g}, writers: make(map[report.Writer]*WriterHit)}
	b.out.Policy, b.out.Mode = p.Name, p.Mode
	b.player = newPlayer(some, b.judge)
	return b
}

// judge takes a write upon what would have been stored.
func (b *backtest) judge(w *write) {
	s := w.state
	b.out.Recorded++
	was, next, ok := b.meant(w)
	if !ok {
		b.out.Moot++
		return
	}
	recorded := w.Object
	w.OldObject, w.Object = was, next
	w.OldMeta, w.Meta = nil, nil // they are those of what was recorded
	outcome, err := b.review(w)
	if err != nil {
		b.Judged--
		b.Unreadable++
		b.out.Recorded--
		return
	}
	outcome.asRecorded = s.virtual == nil && !outcome.held || sameMemory(outcome.object, recorded)
	if w.Subresource == "scale" {
		b.scaled(w, outcome)
		return
	}
	switch {
	case !outcome.stored:
		b.diverge(s, was)
	case w.Operation == opDelete:
		b.out.Stored++
		s.virtual, s.missing = nil, false
	default:
		b.count(was, outcome.object)
		s.virtual, s.missing = nil, false
		if !outcome.asRecorded {
			s.virtual = setVersion(slices.Clone(outcome.object), versionText(w.version))
		}
	}
}

// count counts a write that would have passed.
func (b *backtest) count(was, is []byte) {
	if changes, _, err := b.differ.Diff(was, is); was != nil && err == nil && len(changes) == 0 {
		b.out.Moot++
	} else {
		b.out.Stored++
	}
}

// scaled does for a Scale, which is a view of the object, what judge does for objects.
func (b *backtest) scaled(w *write, o outcome) {
	s := w.state
	switch {
	case !o.stored:
		if s.virtual == nil {
			s.virtual = slices.Clone(s.object)
		}
		return
	case s.virtual == nil && o.asRecorded:
		b.out.Stored++
		return
	}
	b.count(w.OldObject, o.object)
	base := s.virtual
	if base == nil {
		base = s.object
	}
	replicas := firstMember(firstMember(o.object, "spec"), "replicas")
	next, err := edited(base, map[string][]byte{"replicas": replicas}, "spec")
	if err != nil {
		next = nil // as recorded, then
	}
	s.virtual = next
}

// diverge notes that what is stored stays as it was, unlike what was recorded.
func (b *backtest) diverge(s *state, was []byte) {
	if was == nil {
		s.missing = true
		return
	}
	s.virtual = slices.Clone(was)
}

// meant returns the object before and after a write, if what was recorded as changed is changed in what would have been
// stored. It reports false if that makes no sense any more.
func (b *backtest) meant(w *write) (was, next []byte, ok bool) {
	s := w.state
	switch {
	case w.Operation == opCreate:
		if s.virtual != nil { // its deletion would have been denied
			s.virtual = nil
			return nil, nil, false
		}
		s.missing = false
		return nil, w.Object, true
	case s.missing: // its creation would have been denied
		if w.Operation == opDelete {
			s.missing = false
		}
		return nil, nil, false
	case s.virtual == nil:
		return w.OldObject, w.Object, true
	case w.Operation == opDelete:
		return s.virtual, nil, true
	case w.Subresource == "scale":
		return scaleOf(s.virtual), setVersion(w.Object, versionText(versionOf(s.virtual))), true
	}
	next, ok = b.rebased(w.OldObject, setVersion(w.Object, versionText(versionOf(s.virtual))), s.virtual)
	if !ok { // as recorded, then
		return w.OldObject, w.Object, true
	}
	return s.virtual, next, true
}

// rebased returns an object as a recorded write would have made it of another one: what the write left alone is as it was
// there. It reports false if that cannot be done.
func (b *backtest) rebased(recordedOld, recordedNew, base []byte) (next []byte, ok bool) {
	touched, truncated, err := b.differ.Diff(recordedOld, recordedNew)
	if err != nil || truncated {
		return nil, false
	}
	var paths []string
	for i := range touched {
		paths = append(paths, string(touched[i].Path))
	}
	changes, truncated, err := b.differ.Diff(base, recordedNew)
	if err != nil || truncated {
		return nil, false
	}
	var back []int
	for i := range changes {
		path := string(changes[i].Path)
		mine := slices.ContainsFunc(paths, func(p string) bool { return isBelow(path, p) || isBelow(p, path) })
		if !mine && !slices.ContainsFunc(own, func(o string) bool { return isBelow(path, o) }) {
			back = append(back, i)
		}
	}
	if len(back) == 0 {
		return recordedNew, true
	}
	raw, err := b.differ.Restore(base, recordedNew, changes, back)
	if err != nil {
		return nil, false
	}
	patch, err := jsonpatch.DecodePatch(raw)
	if err != nil {
		return nil, false
	}
	if next, err = patch.Apply(recordedNew); err != nil {
		return nil, false
	}
	return next, true
}

func versionOf(object []byte) uint64 {
	is, _ := identityOf(object)
	return is.version
}

// outcome is what would have become of a write.
type outcome struct {
	stored, held bool
	object       []byte // as stored
	asRecorded   bool
}

// sameMemory reports whether two objects are the same one.
func sameMemory(a, b []byte) bool { return len(a) > 0 && len(a) == len(b) && &a[0] == &b[0] }

// review calls both webhooks, as the API server does.
func (b *backtest) review(w *write) (outcome, error) {
	out := outcome{object: w.Object}
	var verdicts []admission.Verdict
	warned := false
	if w.Operation == opUpdate {
		review := w.Request
		review.UID += "/mutating" // every call of a webhook has its own
		resp, err := b.guard.Judge(when(w.event), admission.Mutating, &review)
		if err != nil {
			return out, err
		}
		verdicts, warned = resp.Verdicts, len(resp.Warnings) > 0
		if !resp.Allowed {
			b.note(w, verdicts, &resp, warned)
			return out, nil
		}
		if len(resp.Patch) > 0 {
			patch, err := jsonpatch.DecodePatch(resp.Patch)
			if err != nil {
				return out, err
			}
			if out.object, err = patch.Apply(w.Object); err != nil {
				return out, err
			}
			w.Object, out.held = out.object, true
		}
	}
	resp, err := b.guard.Judge(when(w.event), admission.Validating, &w.Request)
	if err != nil {
		return out, err
	}
	if out.held {
		b.out.Held++
	}
	b.note(w, append(verdicts, resp.Verdicts...), &resp, warned || len(resp.Warnings) > 0)
	out.stored = resp.Allowed
	return out, nil
}

// note counts what happened to a write, and to its writer.
func (b *backtest) note(w *write, verdicts []admission.Verdict, resp *admission.Response, warned bool) {
	w.key = resp.Key
	if warned {
		b.out.Warned++
	}
	if !resp.Allowed {
		if resp.Code == http.StatusTooManyRequests {
			b.out.Throttled++
		} else {
			b.out.Rejected++
		}
	}
	var hit *WriterHit
	for i := range verdicts {
		v := &verdicts[i]
		if w.worked && v.Path == "" {
			continue
		}
		b.fights.note(w, v)
		if v.Signal == history.NoSignal || !v.Reason.Stops() && !warned {
			continue
		}
		if hit == nil {
			if hit = b.hit(v.Writer); hit == nil {
				continue
			}
			hit.Writes++
			if warned {
				hit.Warned++
			}
		}
		switch v.Reason {
		case policy.ReasonThrottled:
			hit.Throttled++
		case policy.ReasonRejected:
			hit.Rejected++
		case policy.ReasonHeld:
			hit.Held++
		}
		name := nameOf(report.ObjectOf(w.key)) + " " + v.Path
		if len(hit.Fights) < maxParties && !slices.Contains(hit.Fights, name) {
			hit.Fights = append(hit.Fights, name)
		}
	}
}

func (b *backtest) hit(w history.Writer) *WriterHit {
	key := report.WriterOf(w)
	hit := b.writers[key]
	if hit == nil && len(b.writers) < maxHit {
		hit = &WriterHit{Writer: key}
		b.writers[key] = hit
	}
	return hit
}

func (b *backtest) result() *Backtest {
	f := b.finder.result()
	out := b.out
	out.From, out.To, out.Fights, out.Coverage = f.From, f.To, f.Fights, f.Coverage
	out.Writers = []WriterHit{}
	for _, hit := range slices.Collect(maps.Values(b.writers)) {
		out.Writers = append(out.Writers, *hit)
	}
	slices.SortFunc(out.Writers, func(x, y WriterHit) int {
		return cmp.Or(cmp.Compare(y.Total(), x.Total()), cmp.Compare(y.Writes, x.Writes), cmp.Compare(whoIs(x.Writer), whoIs(y.Writer)))
	})
	return &out
}
