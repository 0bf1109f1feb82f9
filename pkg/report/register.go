package report

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// Register keeps the fights and loops that go on, and those that ended lately. It is bounded: if there are too many,
// those that ended are forgotten first, then those that were written the longest ago. It is safe for concurrent use.
type Register struct {
	size      int
	retention time.Duration
	onTurn    func(Update, admission.Object) // called under the lock

	mu       sync.Mutex
	fights   map[place]*entry
	ids      map[string]*entry
	revision uint64
	subs     []*Subscription
}

// place is what is fought over.
type place struct {
	key  history.Key
	path string
}

type entry struct {
	Fight
	place    place
	object   admission.Object // as last written
	length   time.Duration    // of the truce
	rate     rate
	reason   policy.Reason // of the verdict at hand
	over     time.Time     // when it ended
	revision uint64
}

// Update is a turn of a fight, and the fight after it.
type Update struct {
	Turn  policy.Turn
	Fight Fight
	// Reason is that of the verdict that made the turn, if one did.
	Reason policy.Reason
}

// loopEnds is how long a loop that nobody writes to any more is taken to go on.
const loopEnds = 10 * time.Minute

// maxTurns is how many turns of a fight are kept: the first one, and the latest.
const maxTurns = 32

func newRegister(size int, retention time.Duration) *Register {
	return &Register{
		size: size, retention: retention, fights: map[place]*entry{}, ids: map[string]*entry{},
		onTurn: func(Update, admission.Object) {},
	}
}

// judge notes a verdict, and returns the id of the fight it is about, if any.
func (r *Register) judge(it *item) string {
	v := it.verdict
	r.mu.Lock()
	defer r.mu.Unlock()
	p := place{it.key, v.Path}
	e := r.fights[p]
	if v.Signal == history.NoSignal { // the end of a fight, if anything
		if e != nil && v.Turn == policy.EndedNow {
			r.end(e, it.at)
		}
		return ""
	}
	if e == nil {
		e = r.add(it)
	}
	if !e.State.Active() && it.at.Before(e.over) { // it waited in the queue meanwhile
		e.count(it)
		e.revision = r.next()
		return e.ID
	}
	e.object = it.object
	e.revision = r.next()
	e.Signal, e.Rule, e.Mode, e.Action = v.Signal.String(), v.Rule.Name, v.Mode, v.Rule.Action
	e.Parties = writersOf(v.Parties)
	e.ObservedOnly = it.observedOnly && (e.ObservedOnly || e.State == "")
	e.Until = at(v.Until)
	if v.Length > 0 {
		e.length = v.Length
	}
	if it.at.After(e.LastSeen) {
		e.LastSeen = at(it.at)
	}
	turn := e.take(it)
	if !it.held || v.Reason == policy.ReasonHeld {
		e.count(it)
	}
	if turn != policy.NoTurn {
		e.reason = v.Reason
		r.turn(e, it.at, turn, "")
		e.reason = policy.ReasonNone
	}
	return e.ID
}

// count counts a write.
func (e *entry) count(it *item) {
	e.rate.add(it.at)
	e.Writes++
	if !it.verdict.Signal.Loop() {
		e.Reversals = max(e.Reversals, it.verdict.Count)
	}
	switch it.verdict.Reason {
	case policy.ReasonThrottled:
		e.Prevented.Throttled++
	case policy.ReasonRejected:
		e.Prevented.Rejected++
	case policy.ReasonHeld:
		e.Prevented.Held++
	}
}

// take moves the fight on as the verdict says, and returns the turn that this is. A fight whose start was dropped from the queue, or which was taken for
// ended, starts with whatever is seen of it.
func (e *entry) take(it *item) policy.Turn {
	loop := it.verdict.Signal.Loop()
	fresh := !e.State.Active() || loop != (e.State == Noticed)
	turn := it.verdict.Turn
	switch {
	case fresh && loop:
		turn = policy.Noticed
	case fresh && turn == policy.NoTurn:
		turn = policy.Started
	case turn == policy.NoTurn:
		return turn
	}
	if fresh || turn == policy.Started {
		e.begin(it)
	}
	e.Ended = time.Time{}
	switch turn {
	case policy.Noticed:
		e.State = Noticed
	case policy.Probed:
		e.State = Probing
	default:
		e.State = Open
	}
	return turn
}

// begin starts the counts anew.
func (e *entry) begin(it *item) {
	v := it.verdict
	e.Kind = v.Kind()
	e.FirstSeen, e.Detected = at(it.at), at(it.at)
	if !v.Since.IsZero() && v.Since.Before(it.at) {
		e.FirstSeen = at(v.Since)
	}
	e.Reversals, e.Prevented, e.rate = 0, Prevented{}, rate{}
	e.Writes = max(v.Count-1, 0) // this one is yet to be counted
}

// turn notes a turn, and tells of it.
func (r *Register) turn(e *entry, now time.Time, turn policy.Turn, by string) {
	t := Turn{Time: at(now), Turn: turn, By: by}
	if e.State.Active() {
		t.Until = e.Until
	}
	if len(e.Turns) == maxTurns {
		e.Turns = append(e.Turns[:1], e.Turns[2:]...)
	}
	e.Turns = append(slices.Clip(e.Turns), t)
	e.revision = r.next()
	u := Update{turn, e.tell(now), e.reason}
	r.onTurn(u, e.object)
	for _, s := range r.subs {
		s.send(u)
	}
}

func (r *Register) end(e *entry, now time.Time) {
	if !e.State.Active() {
		return
	}
	e.end(now)
	r.turn(e, now, policy.EndedNow, "")
}

func (e *entry) end(now time.Time) {
	e.State, e.over, e.Ended, e.Until = Ended, now, at(now), time.Time{}
}

func (r *Register) next() uint64 {
	r.revision++
	return r.revision
}

// add makes room, and a new entry.
func (r *Register) add(it *item) *entry {
	if len(r.fights) >= r.size {
		r.forget(r.worst())
	}
	// The names may point into a review: those that are kept do not.
	k := it.key
	k = history.Key{
		Group: strings.Clone(k.Group), Resource: strings.Clone(k.Resource), Namespace: strings.Clone(k.Namespace),
		Name: strings.Clone(k.Name),
	}
	p := place{k, strings.Clone(it.verdict.Path)}
	e := &entry{place: p}
	e.ID, e.Object, e.Field = IDOf(k, p.path), ObjectOf(k), p.path
	r.fights[p], r.ids[e.ID] = e, e
	return e
}

func (r *Register) worst() (worst *entry) {
	for _, e := range r.fights {
		if worst == nil || worst.State.Active() && !e.State.Active() ||
			worst.State.Active() == e.State.Active() && e.LastSeen.Before(worst.LastSeen) {
			worst = e
		}
	}
	return worst
}

func (r *Register) forget(e *entry) {
	delete(r.fights, e.place)
	if r.ids[e.ID] == e {
		delete(r.ids, e.ID)
	}
}

// sweep ends what nobody writes to any more, just as a decision would, and forgets what ended long ago.
func (r *Register) sweep(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.fights {
		switch e.State {
		case Ended:
			if now.Sub(e.Ended) >= r.retention {
				r.forget(e)
			}
		case Noticed:
			if now.Sub(e.LastSeen) >= loopEnds {
				r.end(e, now)
			}
		case Probing:
			if !now.Before(e.Until) {
				r.end(e, now)
			}
		case Open:
			if !now.Before(e.Until.Add(e.length)) && now.Sub(e.LastSeen) >= e.length {
				r.end(e, now)
			}
		}
	}
}

// tell returns the fight as it is at now.
func (e *entry) tell(now time.Time) Fight {
	f := e.Fight
	f.RatePerMinute = e.rate.perMinute(now)
	return f // slices are replaced, never changed
}

// Fights returns the fights that fit, the active ones first, then the latest.
func (r *Register) Fights(now time.Time, q FightQuery) []Fight {
	all := []Fight{}
	r.mu.Lock()
	for _, e := range r.fights {
		if q.fits(&e.Fight) {
			all = append(all, e.tell(now))
		}
	}
	r.mu.Unlock()
	slices.SortFunc(all, func(a, b Fight) int {
		if x, y := a.State.Active(), b.State.Active(); x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// Since returns the fights that changed after revision, in the order in which they did, and the revision now.
func (r *Register) Since(now time.Time, revision uint64, q FightQuery) ([]Fight, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if revision == r.revision {
		return nil, revision
	}
	var changed []*entry
	for _, e := range r.fights {
		if e.revision > revision && q.fits(&e.Fight) {
			changed = append(changed, e)
		}
	}
	slices.SortFunc(changed, func(a, b *entry) int { return cmp.Compare(a.revision, b.revision) })
	all := make([]Fight, len(changed))
	for i, e := range changed {
		all[i] = e.tell(now)
	}
	return all, r.revision
}

// Fight returns the fight with this id, or with the only id that begins so.
func (r *Register) Fight(now time.Time, id string) (Fight, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.find(id); e != nil {
		return e.tell(now), true
	}
	return Fight{}, false
}

// minPrefix is how much of an id must be given at least.
const minPrefix = len("f-") + 4

func (r *Register) find(id string) (found *entry) {
	if e := r.ids[id]; e != nil {
		return e
	}
	if len(id) < minPrefix {
		return nil
	}
	for full, e := range r.ids {
		if strings.HasPrefix(full, id) {
			if found != nil {
				return nil
			}
			found = e
		}
	}
	return found
}

// FightQuery says which fights are wanted. Its zero value: all.
type FightQuery struct {
	// Active leaves out those that ended.
	Active    bool
	Namespace string
	Kind      string
	// Object as Object.String writes it.
	Object string
}

func (q *FightQuery) fits(f *Fight) bool {
	return (!q.Active || f.State.Active()) &&
		(q.Namespace == "" || q.Namespace == f.Object.Namespace) &&
		(q.Kind == "" || q.Kind == f.Kind) &&
		(q.Object == "" || q.Object == f.Object.String())
}
