package audit

import (
	"context"
	"slices"
	"time"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

// Fights is what FindFights finds.
type Fights struct {
	// From and To are when the first and the last write was made.
	From   time.Time `json:"from,omitzero"`
	To     time.Time `json:"to,omitzero"`
	Fights []*Fight  `json:"fights"`
	// Suspects are objects that several writers wrote by turns, of which the log does not tell what changed.
	Suspects []Suspect `json:"suspects,omitempty"`
	Coverage Coverage  `json:"coverage"`
}

// Found reports whether there is a fight, rather than a loop at most.
func (f *Fights) Found() bool {
	for _, one := range f.Fights {
		if one.Kind == kindFight {
			return true
		}
	}
	return false
}

// maxObjects bounds the history's objects, so that memory stays bounded whatever a policy says.
const maxObjects = 40_000

// guardOf returns a guard of its own for a policy, in a mode, that is one of some, and its history.
func guardOf(p *policy.Policy, mode policy.Mode, some int) (*admission.Guard, *history.Store, error) {
	p, err := p.WithMode(mode)
	if err != nil {
		return nil, nil, err
	}
	bounded := *p
	bounded.File.History.Objects = max(1, min(bounded.File.History.Objects, maxObjects)/some)
	store := history.New(admission.Bounds(&bounded))
	return admission.NewGuard(&bounded, store, history.NewHasher()), store, nil
}

// FindFights reads the input, and takes every write through the code of the webhook, which only looks on. Of the users that
// the input's Filter names, the fights that they are parties of are returned: what others write counts all the same.
func FindFights(ctx context.Context, in *Input, p *policy.Policy) (*Fights, error) {
	all, err := newFinders(p)
	if err != nil {
		return nil, err
	}
	return all.find(ctx, in, func() func(*Event) bool { return tells })
}

// finders find fights side by side.
type finders []*finder

func newFinders(p *policy.Policy) (finders, error) {
	all := make(finders, shardCount())
	for i := range all {
		guard, _, err := guardOf(p, policy.Audit, len(all)) // in no other mode does it cost less to say nothing
		if err != nil {
			return nil, err
		}
		all[i] = newFinder(guard, len(all))
	}
	return all, nil
}

// find reads the input. each is as in Input.batches.
func (all finders) find(ctx context.Context, in *Input, each func() func(*Event) bool) (*Fights, error) {
	users := in.everybody()
	var fns []func(*Event)
	for _, f := range all {
		fns = append(fns, f.play)
	}
	shards := newShards(fns)
	err := in.batches(ctx, each, shards.play)
	shards.finish()
	for _, f := range all[1:] {
		all[0].merge(f)
	}
	found := all[0].result()
	found.Fights = of(users, found.Fights)
	return found, err
}

// everybody makes the Filter pass all users, and returns those that it named. Without the writes of the others nobody
// would know what an object was like before a write.
func (in *Input) everybody() (users []string) {
	users, in.Filter.Users = in.Filter.Users, nil
	return users
}

// of returns the fights that some of the users are parties of; all if none are named.
func of(users []string, all []*Fight) []*Fight {
	if len(users) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(f *Fight) bool {
		return !slices.ContainsFunc(f.Parties, func(w report.Writer) bool { return fits(users, w.User) })
	})
}

// finder finds fights in writes.
type finder struct {
	guard *admission.Guard
	*player
	fights
	suspects
	first, last Micros
	// journal keeps the changes that fights are made of, nil if nobody wants them.
	journal *journal
}

// newFinder returns a finder that is one of some.
func newFinder(g *admission.Guard, some int) *finder {
	f := &finder{guard: g}
	f.player = newPlayer(some, f.judge)
	return f
}

// merge adds what a finder of other resources found.
func (f *finder) merge(o *finder) {
	for key, fight := range o.fights.known {
		if f.fights.known == nil {
			f.fights.known = make(map[fightKey]*Fight)
		}
		f.fights.known[key] = fight
	}
	f.dropped += o.dropped
	if f.journal != nil && o.journal != nil {
		f.journal.changes = append(f.journal.changes, o.journal.changes...)
	}
	f.suspects.found = append(f.suspects.found, o.suspects.list()...)
	if f.first == 0 || o.first != 0 && o.first < f.first {
		f.first = o.first
	}
	f.last = max(f.last, o.last)
	f.Coverage.add(&o.Coverage)
}

func (f *finder) play(e *Event) {
	if f.first == 0 {
		f.first = e.Done
	}
	f.last = max(f.last, e.Done)
	if string(e.Level) == levelMetadata && isWrite(e) {
		f.suspects.note(e)
	}
	f.player.play(e)
}

func (f *finder) judge(w *write) {
	resp, err := f.guard.Judge(when(w.event), admission.Validating, &w.Request)
	if err != nil {
		f.Judged--
		f.Unreadable++
		return
	}
	w.key = resp.Key
	for i := range resp.Verdicts {
		if v := &resp.Verdicts[i]; !w.worked || v.Path != "" { // what was sent once more may have been changed meanwhile
			f.fights.note(w, v)
			if f.journal != nil {
				f.journal.note(w, v)
			}
		}
	}
}

func (f *finder) result() *Fights {
	return &Fights{
		From: f.first.Time(), To: f.last.Time(), Fights: f.fights.list(f.last.Time()), Suspects: f.suspects.list(),
		Coverage: f.Coverage,
	}
}
