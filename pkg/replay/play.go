package replay

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/truce-dev/truce/pkg/history"
)

// Epoch is when every story starts, in virtual time.
var Epoch = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// Record is what happened when a story was played.
type Record struct {
	Flags  []Flag // what was named, each once, in the order of time
	Writes int    // that reached the webhooks
	Failed int    // that did not: the object was there already, or no more
	Stored int    // that changed what is stored
	Warned int    // whose client was warned
	Denied int
	Held   int // that a webhook changed
}

// Flag is the first time that a field, or a party of it, was named by a verdict of a kind.
type Flag struct {
	At    time.Duration // from step 1
	Kind  string
	Path  string
	Party history.Writer
}

// Play plays a story through a reviewer that nothing else is played through. Time is virtual: nothing sleeps.
func Play(s *Story, r Reviewer) (Record, error) {
	var record Record
	cluster, err := NewCluster(Epoch, s, r)
	if err != nil {
		return record, err
	}
	seen := make(map[Flag]bool)
	err = s.Writes(func(w Write) error {
		outcome, err := cluster.Write(Epoch.Add(w.At), Request{
			Writer: w.Writer, Object: w.Object, Op: w.Step.Op, Sub: w.Step.Sub, Merge: w.Merge,
		})
		if err != nil {
			return err
		}
		record.add(w.At-s.Steps[0].At, outcome, seen)
		return nil
	})
	if err != nil {
		return record, fmt.Errorf("playing a story: %w", err)
	}
	return record, nil
}

func (r *Record) add(at time.Duration, o Outcome, seen map[Flag]bool) {
	if !o.Reviewed {
		r.Failed++
		return
	}
	r.Writes++
	r.Stored += count(o.Stored)
	r.Warned += count(len(o.Warnings) > 0)
	r.Denied += count(o.Denied())
	r.Held += count(o.Held && !o.Denied())
	for _, v := range o.Findings {
		parties := v.Parties
		if len(parties) == 0 {
			parties = []history.Writer{{}}
		}
		for _, party := range parties {
			flag := Flag{Kind: v.Kind, Path: v.Path, Party: party}
			if !seen[flag] {
				seen[flag] = true
				flag.At = at
				r.Flags = append(r.Flags, flag)
			}
		}
	}
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// parties returns the names of the story's writers that a party of a verdict is. The verdict may not know the field
// manager; where it does not know the user or the pod either, it means the only writer that fits what it knows.
func (s *Story) parties(p history.Writer) []string {
	if !p.Known() {
		return nil
	}
	var fit, exact []string
	for i := range s.Writers {
		w := &s.Writers[i]
		known := history.Writer{User: w.User, Manager: w.manager(), Pod: w.pod()}
		if p.Differs(known) {
			continue
		}
		fit = append(fit, w.Name)
		if p.User == known.User && p.Pod == known.Pod {
			exact = append(exact, w.Name)
		}
	}
	if len(fit) == 1 {
		return fit
	}
	return exact
}

// byTime orders flags as they fell.
func byTime(flags []Flag) []Flag {
	return slices.SortedStableFunc(slices.Values(flags), func(a, b Flag) int { return cmp.Compare(a.At, b.At) })
}
