package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/truce-dev/truce/pkg/history"
)

// Finding is what the ledger of a field says about its newest state. The zero Finding: nothing to see.
type Finding struct {
	Signal history.Signal
	// Count is how many reversals, alternations or repeated writes make the finding.
	Count int
	// Evidence are the field's states whose writers are its parties: bit i is the state before the newest by i.
	Evidence uint64
}

// Found reports whether there is anything to say.
func (f Finding) Found() bool { return f.Signal != history.NoSignal }

// maxPeriod is the longest cycle of one writer that is recognised: five components that share one object.
const maxPeriod = 5

// How steady one writer's alternation must be to be a machine's: the mean difference between gaps of the same phase of
// the cycle, as a part of the mean gap. It is 1 for events at random (a flapping readiness probe), a third for gaps
// that scatter evenly by half, and 0 for clockwork.
const (
	steady     = 0.4
	verySteady = 0.25
)

// hotFor is the time within which a whole ledger of reversals by one writer needs no steadiness: nothing that reports
// changing facts in spec or metadata returns to earlier values that often, but several workers of one controller that
// fights itself do, in random order.
const hotFor = 30 * time.Second

// An object is replaced if it is made anew within replacedWithin of its deletion. More than replacedEvery apart, that may be a
// timetable.
const (
	replacedWithin = 5 * time.Second
	replacedEvery  = 10 * time.Minute
)

// Context is what detection has to know besides a field's ledger.
type Context struct {
	Now time.Time
	// Memory is how long a state counts.
	Memory time.Duration
	// OneWriterSilent: the field is a known look-alike as long as one writer alone writes it.
	OneWriterSilent bool
	// Numerous: the field is the existence of objects that are made by the number: of all of one owner and generated name, or
	// of one with an ordinal.
	Numerous bool
	// Company: another field that changed in the same write is fought over. One reversal less is enough then: fields
	// of one fight flip together, but need not have begun together.
	Company bool
	// Widespread: the same parties undo each other on many objects. One reversal less is enough at a slow pace.
	Widespread bool
}

// lower returns a threshold for reversals, 0 if its signal is switched off. One reversal alone is never a fight.
func (c *Context) lower(threshold *int) int {
	if !c.Company || *threshold <= 2 {
		return *threshold
	}
	return *threshold - 1
}

func (c *Context) lowerSlow(threshold *int) int {
	lowered := *c
	lowered.Company = c.Company || c.Widespread
	return lowered.lower(threshold)
}

// Detect judges the newest state of f, a field of o. It does not change them.
func (r *CompiledRule) Detect(c Context, o *history.Object, f *history.Field) Finding {
	d := &r.Rule.Detect
	now := c.Now
	counted := f.Counted(now, c.Memory)
	n := len(counted)
	if n == 0 {
		return Finding{}
	}
	last := counted[n-1]
	a := areaOf(f.Path())
	if found := d.twoWriters(c, o, f, counted, a); found.Found() {
		return found
	}
	if c.OneWriterSilent || last.Any(history.ByPerson|history.ByScript) {
		return Finding{}
	}
	if found := d.oneWriter(c, o, f, counted, a); found.Found() {
		return found
	}
	return d.loop(f, a)
}

// twoWriters finds writers who certainly are different parties and undo each other.
func (d *Detect) twoWriters(c Context, o *history.Object, f *history.Field, counted []history.State, a area) Finding {
	states := f.States()
	template := strings.HasPrefix(f.Path(), "spec.template.") // it takes no requests: to change it is to roll out
	var fast, slow, people tally
	n, first := len(counted), len(states)-len(counted)
	for i, s := range counted {
		if !s.Any(history.Reversal) || s.Any(history.ByPerson) || !crosses(o, states, first+i, a) || leftByItself(states, first+i) {
			continue
		}
		age := c.Now.Sub(s.At())
		if s.Any(history.OverPerson) {
			// Who clears away what is done undoes no person.
			if age <= d.PeopleReversals.within() && !s.Any(history.Spent) {
				people.add(n - 1 - i)
			}
			continue
		}
		lap := roundLap(states, first+i, a)
		if age <= d.Reversals.within() && lap <= d.Reversals.within() {
			fast.add(n - 1 - i)
		}
		if bringsBack(states, first+i) && !takenBack(states, first+i) && !daily(states, first+i) &&
			(template || !answersRequest(states, first+i)) && lap == 0 {
			slow.add(n - 1 - i)
		}
	}
	switch {
	case !counted[n-1].Any(history.Reversal):
	case fast.reaches(c.lower(d.Reversals.Count)):
		return fast.finding(history.TwoWriters)
	case slow.reaches(c.lowerSlow(d.SlowReversals.Count)):
		return slow.finding(history.SlowTwoWriters)
	case people.reaches(c.lower(d.PeopleReversals.Count)):
		return people.finding(history.PeopleAndMachine)
	default:
		if period, turns := cycle(counted, c.Memory); turns >= *d.SlowReversals.Count && !d.SlowReversals.off() &&
			allCross(o, states, len(states)-turns, a) && !duet(states[len(states)-period:]) && (a != inStatus || period < 3) {
			return Finding{history.SlowTwoWriters, turns, newest(turns + period)}
		}
	}
	return d.alternation(c.Now, o, states, first, a)
}

// duet reports whether two parties take turns in a cycle of four or more values. Neither brings back what was there before
// the other came: each puts its own entry into a list, and takes that out again.
func duet(cycle []history.State) bool {
	for i := 2; i < len(cycle); i++ {
		if !history.SameWriter(cycle[i], cycle[i-2]) {
			return false
		}
	}
	return len(cycle) > 3
}

// crosses reports whether the state at i certainly is of another party than the one before it.
func crosses(o *history.Object, states []history.State, i int, a area) bool {
	return states[i].Any(history.Cross) && !oneController(o, states, i, a)
}

// allCross reports whether the states from i on are each of another party than the one before it.
func allCross(o *history.Object, states []history.State, i int, a area) bool {
	for ; i < len(states); i++ {
		if !crosses(o, states, i, a) {
			return false
		}
	}
	return true
}

// oneController reports whether the parties of a reversal in status are parts of one controller: the same user under
// two field managers. One sets a condition and the other clears it when the work is done.
func oneController(o *history.Object, states []history.State, i int, a area) bool {
	if a != inStatus || i == 0 {
		return false
	}
	w, x := o.WriterOf(states[i]), o.WriterOf(states[i-1])
	return w.User == x.User && (w.Pod == "" || x.Pod == "" || w.Pod == x.Pod)
}

// bringsBack reports whether the state at i brings back what was there before the party it undoes came. At a slow pace only
// that tells a fight: two autoscalers who share the work, one from zero and one above, return to earlier values too.
func bringsBack(states []history.State, i int) bool {
	came := cameAt(states, i-1)
	if came > 0 {
		return states[came-1].Value == states[i].Value
	}
	if i == 0 || slices.ContainsFunc(states[:i], func(s history.State) bool { return s.Value == states[i].Value }) {
		return false
	}
	// What was there before is forgotten. Where a lap has many steps a ledger holds few laps, and the oldest is told by the
	// others: there the same party brings the same back.
	for k := i + 1; k < len(states); k++ {
		if states[k].Value == states[i].Value && history.SameWriter(states[k], states[i]) {
			came := cameAt(states, k-1)
			return came > 0 && states[came-1].Value == states[k].Value
		}
	}
	return false
}

// cameAt returns the first of the states that one party wrote in a row up to the one at i.
func cameAt(states []history.State, i int) int {
	for i > 0 && history.SameWriter(states[i-1], states[i]) {
		i--
	}
	return i
}

// leftByItself reports whether the value at i was left by the very writer that comes back to it, and what it had left it
// for is still there: two who take a lock by turns, each giving it back, undo nobody.
func leftByItself(states []history.State, i int) bool {
	left := i - 1
	for left > 0 && states[left-1].Value != states[i].Value {
		left--
	}
	if left <= 0 { // forgotten; does it leave it by itself again?
		return i > 0 && i+1 < len(states) && history.SameWriter(states[i+1], states[i]) && states[i+1].Value == states[i-1].Value
	}
	if !history.SameWriter(states[left], states[i]) {
		return false
	}
	for left < i-1 && history.SameWriter(states[left+1], states[i]) {
		left++
	}
	return states[left].Value == states[i-1].Value
}

// putBackWithin is how soon who wants a value there puts it back.
const putBackWithin = 15 * time.Minute

// answersRequest reports whether the state at i takes a request away that was answered: a value that was there this once,
// such as the time of the request. If it was put there within minutes, and sooner than it was taken away, putting it there may
// have been the answer.
func answersRequest(states []history.State, i int) bool {
	if states[i].Value != history.Absent || i < 2 {
		return false
	}
	request := states[i-1]
	for j, s := range states {
		if j != i-1 && s.Value == request.Value {
			return false
		}
	}
	after := request.At().Sub(states[i-2].At())
	return after > putBackWithin || after >= states[i].At().Sub(request.At())
}

// How much a timetable of every day is early or late at most, and how soon who is undone answers at the latest.
const (
	dailyScatter = 10 * time.Minute
	answerWithin = time.Hour
)

// daily reports whether the state at i is on a timetable: its writer wrote the same a day before or after, and neither does
// it answer what it undoes, nor is it answered.
func daily(states []history.State, i int) bool {
	s := states[i]
	if i == 0 || s.At().Sub(states[i-1].At()) <= answerWithin || i+1 < len(states) && states[i+1].At().Sub(s.At()) <= answerWithin {
		return false
	}
	return slices.ContainsFunc(states, func(t history.State) bool {
		apart := s.At().Sub(t.At()).Abs()
		return t.Value == s.Value && history.SameWriter(s, t) && (apart-24*time.Hour).Abs() <= dailyScatter
	})
}

// roundLap returns how long it took for the value at i to come about again, in a round of at least three values, each of
// them set by a party of its own: Ready, Allocated, RequestReady. In status that is a state that is handed on from one to
// the next, unless the round is a rush. Without such a round, and elsewhere, it returns 0.
func roundLap(states []history.State, i int, a area) time.Duration {
	if a != inStatus {
		return 0
	}
	for back := i - 1; back >= 0; back-- {
		if states[back].Value != states[i].Value {
			continue
		}
		round := states[back:i]
		for j, s := range round {
			for _, t := range round[:j] {
				if s.Value == t.Value || history.SameWriter(s, t) {
					return 0
				}
			}
		}
		if len(round) < 3 {
			return 0
		}
		return max(states[i].At().Sub(states[back].At()), 1)
	}
	return 0
}

// takenBack reports whether the party that made the state at i then came round by itself to what it had undone there: a
// delivery from Git that undoes a release until the release is in Git. Nobody gives in in a fight.
func takenBack(states []history.State, i int) bool {
	for j := i + 1; j < len(states) && history.SameWriter(states[j], states[i]); j++ {
		if states[j].Value == states[i-1].Value {
			return true
		}
	}
	return false
}

// alternation finds two or more parties who take turns, in the states from first on, with values that need not come back.
func (d *Detect) alternation(now time.Time, o *history.Object, states []history.State, first int, a area) Finding {
	n := 0
	for i := len(states) - 1; i >= first; i-- {
		s := states[i]
		if !crosses(o, states, i, a) || s.Any(history.ByPerson|history.OverPerson|history.Clock) ||
			now.Sub(s.At()) > d.Alternations.within() || roundLap(states, i, a) > d.Reversals.within() {
			break
		}
		n++
	}
	if d.Alternations.off() || n < *d.Alternations.Count {
		return Finding{}
	}
	return Finding{history.Alternation, n, newest(n + 1)}
}

// oneWriter finds a writer that fights itself. It is the hard case: a controller that reports changing facts returns
// to earlier values all the time. A flipping owner settles it; otherwise only a machine's steady back and forth does.
func (d *Detect) oneWriter(c Context, o *history.Object, f *history.Field, counted []history.State, a area) Finding {
	last := counted[len(counted)-1]
	if !last.Any(history.Reversal) {
		return Finding{}
	}
	var owners tally
	for i, s := range counted {
		if s.Is(history.Reversal|history.Owner) && !s.Any(history.ByPerson|history.ByScript|history.Cross) {
			owners.add(len(counted) - 1 - i)
		}
	}
	if last.Any(history.Owner) && owners.reaches(c.lower(d.OwnerReversals.Count)) {
		return owners.finding(history.OneWriterOwners)
	}
	if d.SelfReversals.off() {
		return Finding{}
	}
	counted = alone(counted)
	if a == inStatus {
		return d.churningStatus(o, f, counted)
	}
	want := *d.SelfReversals.Count
	if len(counted) >= want+want/2 && c.Now.Sub(counted[0].At()) <= hotFor && all(counted, history.Reversal) {
		return Finding{history.OneWriter, len(counted), newest(len(counted))}
	}
	period, cycles := cycle(counted, d.SelfReversals.within())
	// The ledger may be too short to hold as many returns of a long cycle: then all of it has to be one.
	enough := cycles >= want || cycles+period == len(f.States()) && cycles >= want*3/4 && period > 2
	tail := counted[len(counted)-cycles-period:]
	switch scatter := scatter(tail, period); {
	case c.Numerous && enough && scatter <= steady && allVain(tail) && c.Now.Sub(tail[0].At()) > hotFor: // or it may be hot yet
		return Finding{history.ChurnLoop, cycles, newest(len(tail))}
	case allSpent(tail): // to clear away what is done and to do it anew, as hooks do, is a job after another, too
	case c.Numerous: // to create and delete them, one after another, is the work of whoever runs jobs, scales, and rolls out
	case wandered(counted[:len(counted)-len(tail)], tail):
	case enough && scatter <= steady, cycles >= want*3/4 && scatter <= verySteady:
		return Finding{history.OneWriter, cycles, newest(len(tail))}
	}
	if f.Path() == history.Exists && !c.Numerous {
		return d.replacing(counted)
	}
	return Finding{}
}

// replacing finds one writer that deletes an object and makes it anew at once, in every one of its rounds: it does so where
// it need not, and whoever watches or relies on the object is without it each time.
func (d *Detect) replacing(counted []history.State) Finding {
	period, returns := cycle(counted, replacedEvery)
	tail := counted[len(counted)-returns-period:]
	if period != 2 || returns < *d.SelfReversals.Count || scatter(tail, period) > steady || allSpent(tail) {
		return Finding{}
	}
	for i, s := range tail[1:] {
		if s.Value == history.Present && s.At().Sub(tail[i].At()) > replacedWithin {
			return Finding{}
		}
	}
	return Finding{history.ChurnLoop, returns, newest(len(tail))}
}

// allSpent reports whether nothing was deleted that had not served its purpose.
func allSpent(states []history.State) bool { return allDeleted(states, history.Spent) }

// allVain reports whether nothing was deleted that was ready.
func allVain(states []history.State) bool { return allDeleted(states, history.Vain) }

// allDeleted reports whether something was deleted, and all of it with a flag.
func allDeleted(states []history.State, flag history.Flags) bool {
	deleted := false
	for _, s := range states {
		if s.Value != history.Absent {
			continue
		}
		if !s.Any(flag) {
			return false
		}
		deleted = true
	}
	return deleted
}

// wandered reports whether the writer had other values before than those that it goes round in now. A value that wanders
// goes back and forth for a while too, so that all that is remembered has to be the cycle then.
func wandered(before, cycle []history.State) bool {
	for _, s := range before {
		if s.Any(history.Unseen) || s.Any(history.Cross) {
			continue // somebody else's
		}
		if !slices.ContainsFunc(cycle, func(t history.State) bool { return t.Value == s.Value }) {
			return true
		}
	}
	return false
}

// alone returns the newest states that one party may have written by itself.
func alone(counted []history.State) []history.State {
	i := len(counted) - 1
	for i > 0 && !counted[i].Any(history.Cross) {
		i--
	}
	return counted[i:]
}

// churningStatus finds one writer that alternates a status. Reporting is a status's job, so that is a loop at most,
// unless it is so hot that the writer can only be answering its own writes, and not known to be one process.
func (d *Detect) churningStatus(o *history.Object, f *history.Field, counted []history.State) Finding {
	if !d.Loops.reachedBy(f.Run) {
		return Finding{}
	}
	period, cycles := cycle(counted, d.Loops.within())
	if cycles+period != len(counted) || cycles < *d.SelfReversals.Count || scatter(counted, period) > steady {
		return Finding{}
	}
	hot := f.Run.Span() < time.Duration(f.Run.Count-1)*time.Second
	switch {
	case hot && f.Run.Span() >= hotFor/2 && o.WriterOf(counted[len(counted)-1]).Pod == "":
		return Finding{history.OneWriter, int(f.Run.Count), newest(1)}
	case sustained(f.Run, d.Loops.within()):
		return Finding{history.ChurnLoop, int(f.Run.Count), newest(1)}
	}
	return Finding{}
}

// loop finds one writer that churns a field, undoing nobody.
func (d *Detect) loop(f *history.Field, a area) Finding {
	run := f.Run
	if !d.Loops.reachedBy(run) || !sustained(run, d.Loops.within()) {
		return Finding{}
	}
	if run.All&(history.OrderOnly|history.QuantityOnly) != 0 {
		return Finding{history.ChurnLoop, int(run.Count), newest(1)}
	}
	// Minting new values: a desired state that never settles, or bookkeeping that runs away. Reporting is a status's
	// job, and the time of day a heartbeat's.
	pace := run.Span() / time.Duration(run.Count-1)
	clock := run.All&history.Clock != 0
	switch {
	case !run.Fresh:
		return Finding{}
	case run.All&history.Retimed != 0: // that is no heartbeat: it says that a condition changed, and none did
	case a == inStatus && !alarming(f.Path()),
		a != inSpec && clock,
		a == elsewhere && run.All&history.Growing == 0 && pace > d.Loops.within()*2/5:
		return Finding{}
	}
	return Finding{history.MintingLoop, int(run.Count), newest(1)}
}

// Idle judges the writes to an object that changed nothing.
func (r *CompiledRule) Idle(run history.Run) Finding {
	d := &r.Rule.Detect
	if !d.Loops.reachedBy(run) || !sustained(run, d.Loops.within()) {
		return Finding{}
	}
	return Finding{Signal: history.IneffectiveLoop, Count: int(run.Count)}
}

// sustained reports whether a run went on for longer than a burst: an object's initialisation is over by then.
func sustained(r history.Run, gap time.Duration) bool { return r.Span() >= 6*gap }

// alarming reports whether a field of status counts failures: when it climbs, something is wrong.
// Kubernetes counts hash collisions there, which hardly ever happen unless somebody changes what a controller creates.
func alarming(path string) bool { return path == "status.collisionCount" }

// area is the part of an object that a field is in.
type area uint8

const (
	elsewhere area = iota
	inSpec
	inStatus
)

func areaOf(path string) area {
	switch {
	case strings.HasPrefix(path, "spec"):
		return inSpec
	case strings.HasPrefix(path, "status"):
		return inStatus
	}
	return elsewhere
}

// cycle returns the shortest period in which the newest states repeat, and how many of them bring back the value of a
// period before, none more than gap after the one before it.
func cycle(states []history.State, gap time.Duration) (period, returns int) {
	for p := 2; p <= maxPeriod; p++ {
		n := 0
		for i := len(states) - 1; i >= p && states[i].Value == states[i-p].Value &&
			!states[i].Any(history.ByPerson) && states[i].At().Sub(states[i-1].At()) <= gap; i-- {
			n++
		}
		if n > returns {
			period, returns = p, n
		}
	}
	return period, returns
}

// scatter returns how far the gaps of a cycle are from steady; see steady.
func scatter(states []history.State, period int) float64 {
	if period == 0 || len(states) < 2*period {
		return 1
	}
	gap := func(i int) time.Duration { return states[i].At().Sub(states[i-1].At()) }
	var sum, diff time.Duration
	n := 0
	for i := 1; i < len(states); i++ {
		sum += gap(i)
		if i > period {
			diff += (gap(i) - gap(i-period)).Abs()
			n++
		}
	}
	if sum <= 0 || n == 0 {
		return 0
	}
	return float64(diff) / float64(n) / (float64(sum) / float64(len(states)-1))
}

func all(states []history.State, f history.Flags) bool {
	for _, s := range states {
		if !s.Is(f) {
			return false
		}
	}
	return true
}

// tally counts reversals and remembers whose they are: who undid, and who was undone.
type tally struct {
	n        int
	evidence uint64
}

// add counts the state that is back states before the newest.
func (t *tally) add(back int) {
	t.n++
	t.evidence |= 3 << back
}

func (t *tally) reaches(threshold int) bool { return threshold > 0 && t.n >= threshold }

func (t *tally) finding(s history.Signal) Finding { return Finding{s, t.n, t.evidence} }

// newest is the evidence of the n newest states.
func newest(n int) uint64 { return 1<<n - 1 }

func (c *CountWithin) within() time.Duration { return time.Duration(c.Within) }

func (c *Count) off() bool { return c.Count == nil || *c.Count == 0 }

func (c *CountWithin) off() bool { return c.Count == nil || *c.Count == 0 }

// reachedBy reports whether a run is long enough and at the pace of the threshold.
func (c *CountWithin) reachedBy(r history.Run) bool {
	return !c.off() && int(r.Count) >= *c.Count && r.Span() <= time.Duration(r.Count-1)*c.within()
}
