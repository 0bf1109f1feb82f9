package audit

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/truce-dev/truce/pkg/report"
)

// Suspect is an object that several writers wrote by turns, at level Metadata. Whether they undid each other cannot be
// told: the level leaves out what they wrote.
type Suspect struct {
	Object report.Object `json:"object"`
	// Status: what was written is the status. Who writes that does not undo who writes the rest.
	Status bool `json:"status,omitzero"`
	// Writers are users, each with the program, and the pod if the log tells.
	Writers []string `json:"writers"`
	Writes  int      `json:"writes"`
	// Turns are how often one writer came after another.
	Turns     int       `json:"turns"`
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen"`
}

func (s *Suspect) name() string {
	if s.Status {
		return nameOf(s.Object) + " status"
	}
	return nameOf(s.Object)
}

// What makes a suspect, and bounds.
const (
	minTurns    = 6
	suspectGap  = 10 * 60 * 1_000_000 // microseconds between two turns
	maxSuspects = 20_000
	maxListed   = 50
)

type suspectKey struct {
	id
	status bool
}

// suspects counts turns. Its zero value is ready for use.
type suspects struct {
	in    interner
	lru   *simplelru.LRU[suspectKey, *Suspect]
	found []Suspect // by others
}

// note counts an update that is recorded without what it changed.
func (s *suspects) note(e *Event) {
	if operation(e) != opUpdate {
		return
	}
	if s.lru == nil {
		lru, err := simplelru.NewLRU[suspectKey, *Suspect](maxSuspects, nil)
		if err != nil {
			panic(err) // of a size below 1
		}
		s.lru = lru
	}
	o := &e.Object
	key := suspectKey{
		id{s.in.text(o.Group), s.in.text(o.Resource), s.in.text(o.Namespace), s.in.text(o.Name)}, string(o.Subresource) == "status",
	}
	one, ok := s.lru.Get(key)
	if !ok {
		one = &Suspect{Object: report.Object{Group: key.group, Resource: key.resource, Namespace: key.namespace, Name: key.name}, Status: key.status, FirstSeen: when(e)}
		s.lru.Add(key, one)
	}
	user := s.in.user(e.as())
	writer := whoIs(report.Writer{User: user.Username, Manager: s.in.text(e.agent()), Pod: user.Pod})
	if n := len(one.Writers); n > 0 && one.Writers[n-1] != writer && At(when(e))-At(one.LastSeen) <= suspectGap {
		one.Turns++
	}
	one.Writers = slices.DeleteFunc(one.Writers, func(w string) bool { return w == writer })
	one.Writers = append(one.Writers, writer) // the last one to write is the last one
	if len(one.Writers) > maxParties {
		one.Writers = one.Writers[1:]
	}
	one.Writes++
	one.LastSeen = when(e)
}

// list returns those that are suspect, with the most turns first.
func (s *suspects) list() []Suspect {
	all := s.found
	var mine []*Suspect
	if s.lru != nil {
		mine = s.lru.Values()
	}
	for _, one := range mine {
		if one.Turns >= minTurns {
			c := *one
			c.Writers = slices.Sorted(slices.Values(one.Writers))
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Suspect) int {
		return cmp.Or(cmp.Compare(b.Turns, a.Turns), strings.Compare(a.name(), b.name()))
	})
	return all[:min(len(all), maxListed)]
}
