package notify

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/truce-dev/truce/pkg/report"
)

// How fights are gathered.
const (
	// settle is how long fights of the same writers that begin or end together may take to do so. Fifty objects that a
	// controller writes one after the other are one message.
	settle = 3 * time.Second
	// owed is how long after the end of a fight somebody who could not be told of it still is.
	owed = time.Hour
	// maxGroups bounds what is kept for one receiver.
	maxGroups = 2000
)

// tracker knows what one receiver was told of fights, and says what it is to be told. It is not safe for concurrent use.
type tracker struct {
	which  Fights
	groups map[string]*group
	of     map[string]*group // a fight's group, by the fight's id
	// forgotten counts groups that nobody was told of, for want of room.
	forgotten int
}

// group is what a receiver knows of the fights of the same writers.
type group struct {
	id     string
	active map[string]report.Fight
	over   map[string]report.Fight // those that ended since it was told last
	// changed is when one of them began or ended last.
	changed time.Time
	// told is the phase that it was told of last; empty: none. wanted is one that it could not be told of yet.
	told, wanted Phase
	at           time.Time // when it was told
}

func newTracker(which Fights) *tracker {
	return &tracker{which: which, groups: map[string]*group{}, of: map[string]*group{}}
}

func (t *tracker) follows(f *report.Fight) bool {
	return slices.Contains(t.which.Kinds, f.Kind) && fits(t.which.Namespaces, f.Object.Namespace) &&
		fits(t.which.Resources, resourceOf(f.Object))
}

// see takes note of how all fights stand.
func (t *tracker) see(now time.Time, all []report.Fight) {
	active := map[string]bool{}
	for i := range all {
		f := &all[i]
		g := t.of[f.ID]
		switch {
		case !t.follows(f):
		case f.State.Active():
			active[f.ID] = true
			if g == nil {
				if g = t.group(f); g == nil {
					continue
				}
				t.of[f.ID] = g
			}
			if _, known := g.active[f.ID]; !known {
				g.changed = now
				delete(g.over, f.ID)
			}
			g.active[f.ID] = *f
		case g != nil:
			g.end(now, *f)
		}
	}
	for id, g := range t.of {
		if f, ok := g.active[id]; ok && !active[id] { // the register forgot it
			f.State, f.Ended = report.Ended, now
			g.end(now, f)
		}
		if _, ok := g.active[id]; !ok {
			delete(t.of, id)
		}
	}
	t.sweep(now)
}

func (g *group) end(now time.Time, f report.Fight) {
	if _, ok := g.active[f.ID]; !ok {
		return
	}
	delete(g.active, f.ID)
	g.over[f.ID] = f
	g.changed = now
}

// group returns the group of a fight, a new one if need be, or nil if there are too many.
func (t *tracker) group(f *report.Fight) *group {
	id := groupID(f.Kind, partiesOf(f))
	if g := t.groups[id]; g != nil {
		return g
	}
	if len(t.groups) >= maxGroups {
		var oldest *group
		for _, g := range t.groups {
			if len(g.active) == 0 && (oldest == nil || g.changed.Before(oldest.changed)) {
				oldest = g
			}
		}
		if oldest == nil {
			t.forgotten++
			return nil
		}
		t.forget(oldest)
	}
	g := &group{id: id, active: map[string]report.Fight{}, over: map[string]report.Fight{}}
	t.groups[id] = g
	return g
}

func (t *tracker) forget(g *group) {
	if g.wanted != "" {
		t.forgotten++
	}
	delete(t.groups, g.id)
}

// sweep forgets groups whose end was told, or that nobody needs to be told of any more.
func (t *tracker) sweep(now time.Time) {
	for _, g := range t.groups {
		if len(g.active) > 0 {
			continue
		}
		since := now.Sub(g.changed)
		switch {
		case g.told == Ended:
			if now.Sub(g.at) >= time.Duration(t.which.Pause) {
				t.forget(g)
			}
		case g.told == "" && g.wanted == "":
			// It ended during the pause, before it was due.
			if since >= settle {
				t.forget(g)
			}
		case since >= owed:
			t.forget(g)
		}
	}
}

// due is a group that a receiver is to be told of.
type due struct {
	*group
	phase  Phase
	fights []report.Fight
}

// due returns the groups of which the receiver is to be told now, those that changed first coming first.
func (t *tracker) due(now time.Time) []due {
	var all []due
	for _, g := range t.groups {
		phase := t.phase(g, now)
		if phase == "" {
			continue
		}
		g.wanted = phase
		fights := slices.Collect(maps.Values(g.active))
		if phase == Ended {
			fights = slices.Collect(maps.Values(g.over))
		}
		all = append(all, due{g, phase, fights})
	}
	slices.SortFunc(all, func(a, b due) int { return cmp.Or(a.changed.Compare(b.changed), cmp.Compare(a.id, b.id)) })
	return all
}

// phase says what a receiver is to be told of a group; nothing, if it is empty.
func (t *tracker) phase(g *group, now time.Time) Phase {
	settled := now.Sub(g.changed) >= settle
	switch {
	case len(g.active) > 0 && (g.told == "" || g.told == Ended):
		// Whoever goes on starting fights does not put it off: the first one counts.
		if !settled && now.Sub(g.began()) < settle || g.told == Ended && now.Sub(g.at) < time.Duration(t.which.Pause) {
			return ""
		}
		return Started
	case len(g.active) > 0:
		if now.Sub(g.at) < time.Duration(t.which.Every) {
			return ""
		}
		return Ongoing
	case len(g.over) > 0 && settled && (g.told == Started || g.told == Ongoing || g.told == "" && g.wanted != ""):
		return Ended
	}
	return ""
}

// began returns when the first of the fights that go on was found.
func (g *group) began() (first time.Time) {
	for _, f := range g.active {
		if first.IsZero() || f.Detected.Before(first) {
			first = f.Detected
		}
	}
	return first
}

// tell notes that the receiver was told, or that it never will be.
func (d *due) tell(now time.Time) {
	d.told, d.wanted, d.at = d.phase, "", now
	if d.phase == Ended {
		clear(d.over)
	}
}
