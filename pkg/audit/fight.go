package audit

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

// Fight is a fight or a loop that a log shows: as the register of a running webhook has it, and by the same id, with the
// damage added. Its counts are those of all of the log, where a register's begin anew when the fight does, and its rate is
// Writes over the time from FirstSeen, which is the object's first write in the log, to LastSeen.
type Fight struct {
	report.Fight

	// Bytes are what its writes put into etcd and sent to every watcher: the object's size, once per write.
	Bytes int64 `json:"bytes"`
	// Agents are the programs that made the writes.
	Agents []string `json:"agents,omitempty"`
	// Doubt says why a person should look at it before anything is enforced; empty if nothing does.
	Doubt string `json:"doubt,omitzero"`

	after    int // reversals since it was found
	series   series
	interval Micros
}

// nameOf names an object: resource.group/namespace/name.
func nameOf(o report.Object) string {
	s := o.Resource
	if o.Group != "" {
		s += "." + o.Group
	}
	if o.Namespace != "" {
		s += "/" + o.Namespace
	}
	return s + "/" + o.Name
}

// whoIs names a writer.
func whoIs(w report.Writer) string {
	s := cmp.Or(w.User, "?")
	if w.Manager != "" {
		s += " as " + w.Manager
	}
	if w.Pod != "" {
		s += " in " + w.Pod
	}
	return s
}

// Bounds of what is kept of fights.
const (
	maxFights  = 10_000
	maxTurns   = 20
	maxAgents  = 4
	maxParties = 16
	maxSpark   = 128 // intervals
)

// fightKey tells fights apart. A fight and a loop over one field have the same id, and are told of beside each other.
type fightKey struct {
	key  history.Key
	path string
	kind string
}

// fights collects verdicts.
type fights struct {
	known map[fightKey]*Fight
	// dropped counts verdicts on fights that found no room.
	dropped int
}

// note adds what was said about a write.
func (f *fights) note(w *write, v *admission.Verdict) {
	if v.Signal == history.NoSignal && v.Turn != policy.EndedNow {
		return
	}
	key := keyOf(w, v)
	fight := f.known[key]
	if fight == nil {
		if v.Signal == history.NoSignal {
			return
		}
		if len(f.known) >= maxFights {
			f.dropped++
			return
		}
		if f.known == nil {
			f.known = make(map[fightKey]*Fight)
		}
		fight = newFight(key, w, v)
		f.known[key] = fight
	}
	fight.note(w, v)
}

// keyOf returns the key of the fight that a verdict is about.
func keyOf(w *write, v *admission.Verdict) fightKey { return fightKey{w.key, v.Path, v.Kind()} }

func newFight(key fightKey, w *write, v *admission.Verdict) *Fight {
	return &Fight{
		Fight: report.Fight{
			ID: report.IDOf(key.key, key.path), Kind: key.kind, Object: report.ObjectOf(key.key), Field: key.path,
			Rule: v.Rule.Name, Mode: v.Mode, Action: v.Rule.Action, FirstSeen: w.state.first.Time(), Detected: when(w.event),
			ObservedOnly: unseenByAdmission(w.id.group, w.id.resource), Writes: v.Count - 1, Reversals: v.Count,
		},
		interval: 1_000_000, Bytes: int64(v.Count-1) * int64(max(len(w.Object), len(w.OldObject))),
	}
}

func (f *Fight) note(w *write, v *admission.Verdict) {
	now := when(w.event)
	f.LastSeen = now
	if v.Turn != policy.NoTurn && (f.Kind == kindFight || len(f.Turns) == 0) {
		f.Turns = append(f.Turns, report.Turn{Time: now, Turn: v.Turn, Until: v.Until})
		if len(f.Turns) > maxTurns {
			f.Turns = slices.Delete(f.Turns, 1, 2) // the first one tells when it began
		}
	}
	if v.Signal == history.NoSignal { // it ended before this write
		f.State, f.Ended = report.Ended, now
		return
	}
	f.Ended = time.Time{}
	if v.Turn == policy.Started && len(f.Turns) > 1 {
		f.Reversals += v.Count // it began anew
	} else if v.Count > f.Reversals {
		f.after += v.Count - f.Reversals
		f.Reversals = v.Count
	}
	f.Writes++
	f.Bytes += int64(max(len(w.Object), len(w.OldObject)))
	f.Signal, f.Until = v.Signal.String(), v.Until
	for _, p := range v.Parties {
		party := report.WriterOf(p)
		if !slices.Contains(f.Parties, party) && len(f.Parties) < maxParties {
			f.Parties = append(f.Parties, party)
		}
	}
	if agent := w.event.UserAgent; len(agent) > 0 && len(f.Agents) < maxAgents && !slices.Contains(f.Agents, string(agent)) {
		f.Agents = append(f.Agents, string(agent))
	}
	switch v.Reason {
	case policy.ReasonThrottled:
		f.Prevented.Throttled++
	case policy.ReasonRejected:
		f.Prevented.Rejected++
	case policy.ReasonHeld:
		f.Prevented.Held++
	}
	f.tick(w.event.Done)
}

// tick counts a write in its interval.
func (f *Fight) tick(now Micros) {
	for f.series.growth(int64(now/f.interval))+len(f.series.counts) > maxSpark {
		f.series.halve()
		f.interval *= 2
	}
	f.series.add(int64(now/f.interval), 1)
}

// The kinds.
const (
	kindFight = "fight"
	kindLoop  = "loop"
)

// finish works out how the fight stands at the end of the log.
func (f *Fight) finish(end time.Time) {
	f.RatePerMinute = float64(f.Writes) / max(f.LastSeen.Sub(f.FirstSeen).Minutes(), 1.0/60)
	switch {
	case f.Kind == kindLoop:
		f.State = report.Noticed
	case f.Ended.IsZero() && end.After(f.Until) && end.Sub(f.LastSeen) > f.Until.Sub(f.LastSeen):
		f.State, f.Ended = report.Ended, f.Until
	case !f.Ended.IsZero():
	default:
		f.State = report.Open
		for _, t := range f.Turns {
			switch t.Turn {
			case policy.Probed:
				f.State = report.Probing
			case policy.Started, policy.Resumed:
				f.State = report.Open
			}
		}
	}
	f.Doubt = f.doubt()
}

// doubt says why a person should look before anything is enforced.
func (f *Fight) doubt() string {
	switch {
	case f.Kind == kindLoop:
		return ""
	case f.after <= 0:
		return "nobody undid anything after it was found: it was over by itself"
	case f.Signal == history.OneWriter.String():
		return "one writer alternates: it may report what it sees"
	case f.Signal == history.PeopleAndMachine.String():
		return "people take part"
	}
	return ""
}

// list returns the fights, those that did the most damage first: fights before loops, then by bytes written.
func (f *fights) list(end time.Time) []*Fight {
	all := make([]*Fight, 0, len(f.known))
	for _, one := range f.known {
		one.finish(end)
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b *Fight) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Writes, a.Writes),
			strings.Compare(nameOf(a.Object), nameOf(b.Object)), strings.Compare(a.Field, b.Field))
	})
	return all
}
