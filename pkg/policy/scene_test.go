package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/pkg/history"
)

// t0 is when every story begins.
var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	ms       = time.Millisecond
	replicas = "spec.replicas"
)

// write is one write of a field. In words it is `writer=value`: see writes.
type write struct {
	at    time.Duration // since t0
	by    string        // see writerOf
	to    string        // see valueOf
	flags history.Flags
	pass  Reason // why the writer passes
	hold  bool   // the request can be changed: it is at the mutating webhook
	lost  bool   // it is not stored, even if it is let through
}

// writerOf returns the writer of a name: a service account `name`, a person `name@example.com`, nobody knows who (“),
// or all parts of one: `user/manager/pod`.
func writerOf(name string) history.Writer {
	switch parts := strings.Split(name, "/"); {
	case name == "":
		return history.Writer{}
	case len(parts) == 3:
		return history.Writer{User: parts[0], Manager: parts[1], Pod: parts[2]}
	case strings.Contains(name, "@"):
		return history.Writer{User: name, Manager: "kubectl-edit"}
	}
	return history.Writer{User: "system:serviceaccount:ops:" + name, Manager: name}
}

var hasher = history.KeyedHasher([16]byte{})

// valueOf returns the hash of a value; `-` is a field that is not there, `+` an object that is.
func valueOf(s string) history.Value {
	switch s {
	case "-":
		return history.Absent
	case "+":
		return history.Present
	}
	return hasher.Sum([]byte(s))
}

// turns returns n writes, gap apart: the words by turns. See paced.
func turns(n int, gap time.Duration, words ...string) []write {
	times := make([]time.Duration, n)
	for i := range times {
		times[i] = time.Duration(i) * gap
	}
	return paced(times, words...)
}

// gaps returns writes that begin at 0 and are so far apart; the gaps repeat until there are n writes.
func gaps(n int, pattern []time.Duration, words ...string) []write {
	times := make([]time.Duration, n)
	for i := 1; i < n; i++ {
		times[i] = times[i-1] + pattern[(i-1)%len(pattern)]
	}
	return paced(times, words...)
}

// paced returns a write at each of the times: the words by turns. A word is `writer=value`; a `#` in the
// value makes it a new one every time. People are flagged as such.
func paced(times []time.Duration, words ...string) []write {
	all := make([]write, len(times))
	for i, at := range times {
		by, to, ok := strings.Cut(words[i%len(words)], "=")
		if !ok {
			panic("not `writer=value`: " + words[i%len(words)])
		}
		to = strings.ReplaceAll(to, "#", fmt.Sprint("new-", i))
		all[i] = write{at: at, by: by, to: to}
		if strings.Contains(by, "@") {
			all[i].flags = history.ByPerson
		}
	}
	return all
}

// flagged sets flags on all of the writes.
func flagged(f history.Flags, all []write) []write {
	for i := range all {
		all[i].flags |= f
	}
	return all
}

// then joins stories, each beginning so long after the last write of the one before.
func then(first []write, pause time.Duration, second []write) []write {
	shift := pause
	if len(first) > 0 {
		shift += first[len(first)-1].at
	}
	all := slices.Clone(first)
	for _, w := range second {
		w.at += shift
		all = append(all, w)
	}
	return all
}

// scene is one field of one object, its history and its API server.
type scene struct {
	t       *testing.T
	store   *history.Store
	rule    *CompiledRule
	mode    Mode
	path    string
	context Context // but for the time
	stored  history.Value
	version uint64

	clock    time.Time
	detected Finding       // by the last write
	fight    history.Fight // after the last write; the zero Fight if there is none
	parties  []string
}

// ruleOf returns a rule whose keys, other than its name, are those given.
func ruleOf(t testing.TB, keys string) *CompiledRule {
	t.Helper()
	if keys != "" {
		keys = ", " + keys
	}
	return &load(t, "rules: [{name: a"+keys+"}]").Rules()[0]
}

// newScene returns a field that is "0", since nobody knows when.
func newScene(t *testing.T, path, rule string) *scene {
	t.Helper()
	return sceneUnder(t, path, ruleOf(t, rule))
}

func sceneUnder(t *testing.T, path string, rule *CompiledRule) *scene {
	t.Helper()
	if path == "" {
		path = replicas
	}
	return &scene{
		t: t, store: history.New(history.DefaultBounds), rule: rule, mode: Enforce, path: path,
		context: Context{Memory: history.DefaultBounds.Memory}, stored: valueOf("0"),
	}
}

var sceneKey = history.Key{Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web"}

// play takes w as an admission webhook does: what is stored teaches first, then the proposal is judged, and taken back
// if it is stopped. Otherwise it is stored.
func (s *scene) play(w write) Verdict {
	s.t.Helper()
	s.clock = t0.Add(w.at)
	s.version++
	var v Verdict
	s.store.Update(sceneKey, func(o *history.Object) {
		if o.Begin(history.Request{Now: s.clock, UID: "uid", Version: s.version}) != history.Current {
			s.t.Fatalf("%v: the request does not go on from what is known", w)
		}
		f := o.Settle(s.clock, []byte(s.path), history.Stored{Value: s.stored})
		attempt := o.Propose(s.clock, f, valueOf(w.to), writerOf(w.by), w.flags)
		c := s.context
		c.Now = s.clock
		s.detected = s.rule.Detect(c, o, f)
		v = Decide(Question{
			Now: s.clock, Mode: s.mode, Rule: s.rule, Writer: writerOf(w.by), Value: valueOf(w.to), Pass: w.pass, CanHold: w.hold,
		}, s.detected, o, f)
		switch {
		case v.Reason.Stops():
			o.Retract(attempt)
		case !w.lost:
			s.stored = valueOf(w.to)
		}
		s.keep(o, f)
	})
	return v
}

// watch is play without a decision: nothing is ever stopped, and no fight begins or ends.
func (s *scene) watch(w write) Finding {
	s.t.Helper()
	s.clock = t0.Add(w.at)
	s.version++
	s.store.Update(sceneKey, func(o *history.Object) {
		o.Begin(history.Request{Now: s.clock, UID: "uid", Version: s.version})
		f := o.Settle(s.clock, []byte(s.path), history.Stored{Value: s.stored})
		o.Propose(s.clock, f, valueOf(w.to), writerOf(w.by), w.flags)
		c := s.context
		c.Now = s.clock
		s.detected = s.rule.Detect(c, o, f)
		s.stored = valueOf(w.to)
		fight := &history.Fight{}
		fight.AddParties(f, s.detected.Evidence)
		s.parties = names(o.Parties(fight))
	})
	return s.detected
}

func (s *scene) keep(o *history.Object, f *history.Field) {
	s.fight, s.parties = history.Fight{}, nil
	if f.Fight != nil {
		s.fight = *f.Fight
		s.parties = names(o.Parties(f.Fight))
	}
}

// names returns the names of writers, as writerOf takes them, in order.
func names(writers []history.Writer) []string {
	var all []string
	for _, w := range writers {
		name := w.Manager
		if w != writerOf(name) {
			name = w.User
		}
		if w != writerOf(name) {
			name = w.User + "/" + w.Manager + "/" + w.Pod
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// finding is a table test of what detection makes of a story.
type finding struct {
	name, why string
	path      string // spec.replicas if empty
	starts    string // what is stored at first, since nobody knows when; "0" if empty
	detect    string // the rule's detect, in YAML; the defaults if empty
	context   Context
	bounds    func(*history.Bounds)
	writes    []write
	// found is the first write, from 1, that something is found with; 0: nothing is, ever.
	found   int
	want    history.Signal
	count   int
	parties []string // whoever is named then; not checked if nil
	last    int      // what is counted at the last write; not checked if 0
}

func judge(t *testing.T, cases []finding) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, c.path, "detect: {"+c.detect+"}")
			if c.starts != "" {
				s.stored = valueOf(c.starts)
			}
			c.context.Memory = s.context.Memory
			s.context = c.context
			if c.bounds != nil {
				b := history.DefaultBounds
				c.bounds(&b)
				s.store.SetBounds(b)
			}
			for i, w := range c.writes {
				got := s.watch(w)
				switch {
				case c.found == 0 || i < c.found-1:
					if got.Found() {
						t.Fatalf("write %d of %d: found %v of %d (%s)", i+1, len(c.writes), got.Signal, got.Count, c.why)
					}
				case i == c.found-1:
					if got.Signal != c.want || got.Count != c.count {
						t.Fatalf("write %d: found %v of %d, want %v of %d (%s)", i+1, got.Signal, got.Count, c.want, c.count, c.why)
					}
					if diff := cmp.Diff(c.parties, s.parties); diff != "" && c.parties != nil {
						t.Errorf("parties (-want +got):\n%s(%s)", diff, c.why)
					}
				}
			}
			if len(c.writes) < c.found {
				t.Fatalf("%d writes, too few to be found with number %d", len(c.writes), c.found)
			}
			if c.last != 0 && s.detected.Count != c.last {
				t.Errorf("%d counted at the last write, want %d (%s)", s.detected.Count, c.last, c.why)
			}
		})
	}
}
