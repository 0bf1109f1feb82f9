package policy

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/pkg/history"
)

// decision is one write and what it gets.
type decision struct {
	at    time.Duration
	write string // `writer=value`
	pass  Reason
	hold  bool
	lost  bool
	// What is wanted: the verdict, and the fight afterwards.
	want  Reason
	turn  Turn
	until time.Duration // since t0; 0: the verdict has none
	count int
}

// dispute is a table test of a fight over one field, which three turns have prepared.
type dispute struct {
	name, why string
	rule      string
	decisions []decision
	check     func(*testing.T, *scene)
}

// threeTurns are the writes before a fight: the next reversal, `hpa=3` at 3s, makes it one.
func (s *scene) threeTurns() []write {
	s.stored = valueOf("3")
	return turns(3, time.Second, "argo=0", "hpa=3")
}

func settle(t *testing.T, disputes []dispute) {
	t.Helper()
	for _, d := range disputes {
		t.Run(d.name, func(t *testing.T) {
			s := newScene(t, "", d.rule)
			for _, w := range s.threeTurns() {
				if v := s.play(w); v.Reason != ReasonNone || v.Turn != NoTurn {
					t.Fatalf("before the fight: %+v", v)
				}
			}
			for i, c := range d.decisions {
				w := paced(at(c.at), c.write)[0]
				w.pass, w.hold, w.lost = c.pass, c.hold, c.lost
				got := s.play(w)
				want := Verdict{Reason: c.want, Turn: c.turn, Rule: s.rule, Count: c.count}
				if c.until != 0 {
					want.Until, want.Signal = t0.Add(c.until), history.TwoWriters
				}
				got.RetryAfter = 0 // see TestThrottle
				if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b *CompiledRule) bool { return a == b })); diff != "" {
					t.Fatalf("decision %d, %s at %v: verdict (-want +got):\n%s(%s)", i+1, c.write, c.at, diff, d.why)
				}
			}
			if d.check != nil {
				d.check(t, s)
			}
		})
	}
}

func TestAFightOpens(t *testing.T) {
	const s, m = time.Second, time.Minute
	start := decision{at: 3 * s, write: "hpa=3", want: ReasonRejected, turn: Started, until: 5*m + 3*s, count: 3}
	settle(t, []dispute{
		{
			name: "with the third reversal", rule: "action: Reject", why: "the write that makes it a fight is the first to be stopped",
			decisions: []decision{start},
			check: func(t *testing.T, s *scene) {
				want := history.Fight{
					Phase: history.Open, Signal: history.TwoWriters, Count: 3, Stopped: 1, Since: t0.Add(3 * time.Second),
					Last: t0.Add(3 * time.Second), Until: t0.Add(303 * time.Second), Length: 5 * time.Minute,
				}
				if diff := cmp.Diff(want, s.fight, cmp.AllowUnexported(history.Fight{}, history.Probe{}), ignoreParties); diff != "" {
					t.Errorf("the fight (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]string{"argo", "hpa"}, s.parties); diff != "" {
					t.Errorf("its parties (-want +got):\n%s", diff)
				}
			},
		},
		{
			name: "and stops whoever changes the field", rule: "action: Reject", why: "a reversal counts, another change does not; both are stopped",
			decisions: []decision{
				start,
				{at: 10 * s, write: "hpa=3", want: ReasonRejected, until: 5*m + 3*s, count: 4},
				{at: 11 * s, write: "hpa=7", want: ReasonRejected, until: 5*m + 3*s, count: 4},
				{at: 12 * s, write: "late=9", want: ReasonRejected, until: 5*m + 3*s, count: 4},
				{at: 13 * s, write: "jane@example.com=9", want: ReasonRejected, until: 5*m + 3*s, count: 4},
			},
			check: func(t *testing.T, s *scene) {
				if diff := cmp.Diff([]string{"argo", "hpa", "jane@example.com", "late"}, s.parties); diff != "" || s.fight.Stopped != 5 {
					t.Errorf("%d writes were stopped, want 5; parties (-want +got):\n%s", s.fight.Stopped, diff)
				}
			},
		},
		{
			name: "with a length of its own", rule: "action: Reject, truce: {length: 1h, max: 2h}", why: "the rule says how long",
			decisions: []decision{{at: 3 * s, write: "hpa=3", want: ReasonRejected, turn: Started, until: 3603 * s, count: 3}},
		},
		{
			name: "and the clock jumps back", rule: "action: Reject", why: "a truce ends when it was said to end",
			decisions: []decision{start, {at: -time.Hour, write: "hpa=3", want: ReasonRejected, until: 5*m + 3*s, count: 4}},
		},
	})
}

var ignoreParties = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".parties" }, cmp.Ignore())

func TestATruceEnds(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	const end = 5*m + 3*s
	start := decision{at: 3 * s, write: "hpa=3", want: ReasonRejected, turn: Started, until: end, count: 3}
	probe := decision{at: end, write: "hpa=3", want: ReasonProbe, turn: Probed, until: end + 5*m, count: 4}
	const rule = "action: Reject"
	settle(t, []dispute{
		{
			name: "not a moment too early", rule: rule, why: "a millisecond is left",
			decisions: []decision{start, {at: end - ms, write: "hpa=3", want: ReasonRejected, until: end, count: 4}},
		},
		{name: "on time", rule: rule, why: "one change is let through", decisions: []decision{start, probe}},
		{
			name: "a moment later", rule: rule, why: "the probe has to stand from when it was let through",
			decisions: []decision{start, {at: end + ms, write: "hpa=3", want: ReasonProbe, turn: Probed, until: end + ms + 5*m, count: 4}},
		},
		{
			name: "the probe need undo nothing", rule: rule, why: "any change of the field will do",
			decisions: []decision{start, {at: end, write: "late=9", want: ReasonProbe, turn: Probed, until: end + 5*m, count: 3}},
		},
		{
			name: "the probe is tried again", rule: rule, why: "it was let through; that it was not stored is no news",
			decisions: []decision{
				start,
				{at: end, write: "hpa=3", lost: true, want: ReasonProbe, turn: Probed, until: end + 5*m, count: 4},
				{at: end + s, write: "hpa=3", want: ReasonProbe, until: end + 5*m, count: 5},
			},
		},
		{
			name: "another value is no reversal of the probe", rule: rule, why: "it undoes nothing",
			decisions: []decision{start, probe, {at: end + s, write: "late=9", want: ReasonProbe, until: end + 5*m, count: 4}},
		},
		{
			name: "the probe is undone", rule: rule, why: "a truce of twice the length begins with the write that undoes it",
			decisions: []decision{
				start, probe,
				{at: end + s, write: "argo=0", want: ReasonRejected, turn: Resumed, until: end + s + 10*m, count: 5},
				{at: end + 2*s, write: "argo=0", want: ReasonRejected, until: end + s + 10*m, count: 6},
			},
		},
		{
			name: "the probe is undone at the last moment", rule: rule, why: "it had to stand for as long as the truce was",
			decisions: []decision{
				start, probe, {at: end + 5*m - ms, write: "argo=0", want: ReasonRejected, turn: Resumed, until: end + 15*m - ms, count: 5},
			},
		},
		{
			name: "the probe has stood", rule: rule, why: "exactly as long as the truce was: the fight is over, and this write passes",
			decisions: []decision{start, probe, {at: end + 5*m, write: "argo=0", turn: EndedNow}},
			check: func(t *testing.T, s *scene) {
				if diff := cmp.Diff(history.Fight{}, s.fight, cmp.AllowUnexported(history.Fight{}, history.Probe{})); diff != "" {
					t.Errorf("the fight goes on:\n%s", diff)
				}
			},
		},
		{
			name: "truces grow up to the longest", rule: "action: Reject, truce: {length: 5m, max: 15m}", why: "5, 10, 15 and 15 minutes",
			decisions: []decision{
				start, probe,
				{at: end + s, write: "argo=0", want: ReasonRejected, turn: Resumed, until: end + s + 10*m, count: 5},
				{at: 16 * m, write: "argo=0", want: ReasonProbe, turn: Probed, until: 26 * m, count: 6},
				{at: 17 * m, write: "hpa=3", want: ReasonRejected, turn: Resumed, until: 32 * m, count: 7},
				{at: 32 * m, write: "hpa=3", want: ReasonProbe, turn: Probed, until: 47 * m, count: 8},
				{at: 47*m - ms, write: "argo=0", want: ReasonRejected, turn: Resumed, until: 62*m - ms, count: 9},
			},
		},
		{
			name: "what came before its end does not count", rule: rule, why: "another fight takes three reversals of its own",
			decisions: []decision{
				start, probe,
				{at: h, write: "argo=0", turn: EndedNow},
				{at: h + 1*s, write: "hpa=3"},
				{at: h + 2*s, write: "argo=0"},
				{at: h + 3*s, write: "hpa=3", want: ReasonRejected, turn: Started, until: h + 5*m + 3*s, count: 3},
			},
		},
		{
			name: "a moment before nobody has tried for as long", rule: rule, why: "the next change is the probe",
			decisions: []decision{
				start, {at: end + 5*m - ms, write: "hpa=3", want: ReasonProbe, turn: Probed, until: end + 10*m - ms, count: 4},
			},
		},
		{
			name: "nobody has tried for as long again", rule: rule, why: "a fight that nobody feeds any more ends by itself",
			decisions: []decision{
				start,
				{at: end + 5*m, write: "hpa=3", turn: EndedNow},
				{at: end + 5*m + s, write: "argo=0"},
			},
		},
		{
			name: "somebody has tried since", rule: rule, why: "it is not quiet yet: the last try was one of an exempt writer",
			decisions: []decision{
				start,
				{at: end + ms, write: "hpa=3", pass: ReasonExempt, want: ReasonExempt, until: end, count: 4},
				{at: end + 5*m, write: "argo=0", want: ReasonProbe, turn: Probed, until: end + 10*m, count: 5},
			},
		},
		{
			name: "somebody tried long enough ago", rule: rule, why: "as long as the truce was, inclusive",
			decisions: []decision{
				start,
				{at: end, write: "hpa=3", pass: ReasonExempt, want: ReasonExempt, until: end, count: 4},
				{at: end + 5*m, write: "argo=0", turn: EndedNow},
			},
		},
	})
}

func TestThePreferredPartyAndTheProbe(t *testing.T) {
	const s, m = time.Second, time.Minute
	const end = 5*m + 3*s
	start := decision{at: 3 * s, write: "hpa=3", want: ReasonRejected, turn: Started, until: end, count: 3}
	settle(t, []dispute{
		{
			name: "it wins while the truce lasts", rule: "action: Reject", why: "nothing stops it",
			decisions: []decision{
				start,
				{at: 4 * s, write: "argo=5", pass: ReasonPreferred, want: ReasonPreferred, until: end, count: 3},
				{at: 5 * s, write: "hpa=3", want: ReasonRejected, until: end, count: 4},
			},
		},
		{
			name: "its own write is no probe", rule: "action: Reject", why: "it says nothing about the other party",
			decisions: []decision{
				start,
				{at: end + s, write: "argo=5", pass: ReasonPreferred, want: ReasonPreferred, until: end, count: 3},
				{at: end + 2*s, write: "hpa=3", want: ReasonProbe, turn: Probed, until: end + 5*m + 2*s, count: 4},
			},
		},
		{
			name: "it undoes the probe", rule: "action: Reject", why: "it may, and the other party is held back for longer",
			decisions: []decision{
				start,
				{at: end, write: "hpa=3", want: ReasonProbe, turn: Probed, until: end + 5*m, count: 4},
				{at: end + s, write: "argo=0", pass: ReasonPreferred, want: ReasonPreferred, turn: Resumed, until: end + s + 10*m, count: 5},
				{at: end + 2*s, write: "hpa=3", want: ReasonRejected, until: end + s + 10*m, count: 6},
			},
			check: func(t *testing.T, s *scene) {
				if s.fight.Stopped != 2 {
					t.Errorf("%d writes were stopped, want 2", s.fight.Stopped)
				}
			},
		},
		{
			name: "a fight that only passing writers feed", rule: "action: Reject", why: "begins as any other, and stops nobody",
			decisions: []decision{
				{at: 3 * s, write: "hpa=3", pass: ReasonExempt, want: ReasonExempt, turn: Started, until: end, count: 3},
				{at: 4 * s, write: "argo=0", pass: ReasonPreferred, want: ReasonPreferred, until: end, count: 4},
			},
			check: func(t *testing.T, s *scene) {
				if s.fight.Stopped != 0 {
					t.Errorf("%d writes were stopped, want none", s.fight.Stopped)
				}
			},
		},
	})
}

// Every action under every mode, for writers who pass and who do not.
func TestWhatIsDone(t *testing.T) {
	passes := []Reason{ReasonExempt, ReasonBreak, ReasonCleanup, ReasonPreferred}
	for _, c := range []struct {
		name, rule, path string
		hold, drained    bool
		want             map[Mode]Reason
	}{
		{
			name: "Warn", rule: "action: Warn", hold: true,
			want: map[Mode]Reason{Audit: ReasonObserved, Warn: ReasonWarned, Enforce: ReasonWarned},
		},
		{
			name: "Throttle with a token left", rule: "action: Throttle", hold: true,
			want: map[Mode]Reason{Audit: ReasonObserved, Warn: ReasonWarned, Enforce: ReasonBucket},
		},
		{
			name: "Throttle without", rule: "action: Throttle", hold: true, drained: true,
			want: map[Mode]Reason{Audit: ReasonObserved, Warn: ReasonWarned, Enforce: ReasonThrottled},
		},
		{
			name: "Reject", rule: "action: Reject", hold: true,
			want: map[Mode]Reason{Audit: ReasonObserved, Warn: ReasonWarned, Enforce: ReasonRejected},
		},
		{
			name: "Hold in the mutating webhook", rule: "action: Hold", hold: true,
			want: map[Mode]Reason{Audit: ReasonObserved, Warn: ReasonWarned, Enforce: ReasonHeld},
		},
		{
			name: "Hold in the validating webhook", rule: "action: Hold",
			want: map[Mode]Reason{Audit: ReasonObserved, Warn: ReasonWarned, Enforce: ReasonUnheld},
		},
		{
			name: "Hold of an object's existence, with a token left", rule: "action: Hold", path: history.Exists,
			want: map[Mode]Reason{Audit: ReasonObserved, Warn: ReasonWarned, Enforce: ReasonBucket},
		},
		{
			name: "Hold of an object's existence, without", rule: "action: Hold", path: history.Exists, drained: true, hold: true,
			want: map[Mode]Reason{Audit: ReasonObserved, Warn: ReasonWarned, Enforce: ReasonThrottled},
		},
	} {
		for _, mode := range []Mode{Audit, Warn, Enforce} {
			for _, pass := range append([]Reason{ReasonNone}, passes...) {
				name := c.name + " in mode " + string(mode)
				want := c.want[mode]
				if pass != ReasonNone {
					name, want = name+" passing by "+string(pass), pass
				}
				t.Run(name, func(t *testing.T) {
					s := newScene(t, c.path, c.rule)
					all := turns(6, time.Second, "one=+", "two=-")
					s.stored, s.mode = history.Absent, Audit
					for _, w := range all[:4] {
						s.play(w)
					}
					if c.drained {
						s.mode = Enforce
						if v := s.play(all[4]); v.Reason != ReasonBucket {
							t.Fatalf("the first token: %+v", v)
						}
					}
					before := s.stored
					s.mode = mode
					w := all[4]
					if c.drained {
						w = all[5]
					}
					w.pass, w.hold = pass, c.hold
					v := s.play(w)
					if v.Reason != want || v.Turn != NoTurn {
						t.Errorf("the verdict is %q, want %q", v.Reason, want)
					}
					if stopped := s.stored == before; stopped != v.Reason.Stops() || stopped != (s.fight.Stopped == 1) {
						t.Errorf("it is stopped: %v, its reason says %v, the fight counts %d", stopped, v.Reason.Stops(), s.fight.Stopped)
					}
					if left := s.fight.Bucket == nil; left != (mode != Enforce || pass != ReasonNone || s.rule.Action != ActionThrottle &&
						c.path != history.Exists) && !c.drained {
						t.Errorf("it has not touched the bucket: %v", left)
					}
				})
			}
		}
	}
}

func TestReasonsThatStop(t *testing.T) {
	stops := []Reason{ReasonThrottled, ReasonRejected, ReasonHeld}
	for _, r := range []Reason{
		ReasonNone, ReasonLoop, ReasonObserved, ReasonWarned, ReasonExempt, ReasonBreak, ReasonCleanup, ReasonPreferred, ReasonProbe,
		ReasonBucket, ReasonUnheld, ReasonThrottled, ReasonRejected, ReasonHeld,
	} {
		if r.Stops() != slices.Contains(stops, r) {
			t.Errorf("%q stops a write: %v", r, r.Stops())
		}
	}
}

func TestThrottle(t *testing.T) {
	const s, m = time.Second, time.Minute
	type try struct {
		at   time.Duration
		want Reason
	}
	for _, c := range []struct {
		name, why, rule string
		tries           []try
	}{
		{
			name: "one now and one a minute later", why: "exactly then there is a token again; trying takes none",
			tries: []try{
				{3 * s, ReasonBucket}, {4 * s, ReasonThrottled}, {5 * s, ReasonThrottled}, {63*s - ms, ReasonThrottled}, {63 * s, ReasonBucket},
				{64 * s, ReasonThrottled}, {123*s - ms, ReasonThrottled}, {123*s + ms, ReasonBucket},
			},
		},
		{
			name: "a burst of three", rule: "throttle: {burst: 3, every: 10s}", why: "and then one by one",
			tries: []try{
				{3 * s, ReasonBucket}, {3 * s, ReasonBucket}, {3 * s, ReasonBucket}, {3 * s, ReasonThrottled}, {13*s - ms, ReasonThrottled},
				{13 * s, ReasonBucket}, {22 * s, ReasonThrottled}, {33 * s, ReasonBucket}, {33 * s, ReasonBucket}, {33 * s, ReasonThrottled},
			},
		},
		{
			name: "a time that has no exact rate", rule: "throttle: {burst: 1, every: 49s}", why: "49 times a 49th is less than one",
			tries: []try{{3 * s, ReasonBucket}, {52*s - ms, ReasonThrottled}, {52 * s, ReasonBucket}, {101 * s, ReasonBucket}},
		},
		{
			name: "the longest time", rule: "throttle: {burst: 1, every: 24h}, truce: {length: 24h, max: 48h}", why: "a day",
			tries: []try{{3 * s, ReasonBucket}, {24 * time.Hour, ReasonThrottled}, {24*time.Hour + 3*s, ReasonProbe}},
		},
		{
			name: "the clock jumps back", why: "no token grows before its time",
			tries: []try{{3 * s, ReasonBucket}, {-m, ReasonThrottled}, {4 * s, ReasonThrottled}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, retry := range []string{"", "retryAfterSeconds: 7"} {
				rule := c.rule
				if retry != "" {
					rule = "throttle: {" + retry + "}"
					if c.rule != "" {
						continue
					}
				}
				sc := newScene(t, "", rule)
				for _, w := range sc.threeTurns() {
					sc.play(w)
				}
				next := "hpa=3"
				for i, try := range c.tries {
					v := sc.play(paced(at(try.at), next)[0])
					if v.Reason != try.want {
						t.Fatalf("try %d at %v: %q, want %q (%s)", i+1, try.at, v.Reason, try.want, c.why)
					}
					wait := time.Duration(0)
					if retry != "" && v.Reason == ReasonThrottled {
						wait = 7 * s
					}
					if v.RetryAfter != wait {
						t.Errorf("try %d at %v: told to wait %v, want %v", i+1, try.at, v.RetryAfter, wait)
					}
					if !v.Reason.Stops() {
						next = map[string]string{"hpa=3": "argo=0", "argo=0": "hpa=3"}[next]
					}
				}
			}
		})
	}
	t.Run("a new policy fills the bucket anew", func(t *testing.T) {
		sc := newScene(t, "", "")
		for _, w := range turns(5, s, "hpa=3", "argo=0") {
			sc.play(w)
		}
		for _, change := range []struct {
			rule string
			want Reason
		}{{"", ReasonThrottled}, {"throttle: {every: 30s}", ReasonBucket}, {"throttle: {burst: 2, every: 30s}", ReasonBucket}} {
			sc.rule = ruleOf(t, change.rule)
			w := paced(at(5*s), "hpa=3")[0]
			w.lost = true
			if v := sc.play(w); v.Reason != change.want {
				t.Errorf("with %q: %q, want %q", change.rule, v.Reason, change.want)
			}
		}
	})
}

func TestLoopsAreSaidAndNeverActedOn(t *testing.T) {
	for _, action := range []string{"Warn", "Throttle", "Reject", "Hold"} {
		for _, mode := range []Mode{Audit, Warn, Enforce} {
			for signal := history.IneffectiveLoop; signal <= history.ChurnLoop; signal++ {
				for _, pass := range []Reason{ReasonNone, ReasonExempt} {
					q := Question{Now: t0, Mode: mode, Rule: ruleOf(t, "action: "+action), Writer: writerOf("app"), CanHold: true, Pass: pass}
					want := Verdict{Reason: ReasonLoop, Signal: signal, Rule: q.Rule, Count: 20}
					if pass != ReasonNone {
						want.Reason = pass
					}
					f := &history.Field{}
					if got := Decide(q, Finding{Signal: signal, Count: 20}, &history.Object{}, f); got != want || f.Fight != nil {
						t.Errorf("%v, action %s, mode %s: %+v, want %+v; fight %v", signal, action, mode, got, want, f.Fight)
					}
				}
			}
		}
	}
	t.Run("less and less often", func(t *testing.T) {
		q, noticed := Question{Now: t0, Rule: ruleOf(t, "")}, []int(nil)
		for n := 20; n <= 300; n++ {
			if Decide(q, Finding{Signal: history.MintingLoop, Count: n}, &history.Object{}, &history.Field{}).Turn == Noticed {
				noticed = append(noticed, n)
			}
		}
		if diff := cmp.Diff([]int{32, 64, 128, 256}, noticed); diff != "" {
			t.Errorf("noticed at (-want +got):\n%s", diff)
		}
	})
	t.Run("not while there is a fight", func(t *testing.T) {
		s := newScene(t, "", "action: Warn")
		for _, w := range turns(4, time.Second, "hpa=3", "argo=0") {
			s.play(w)
		}
		for _, w := range turns(30, 4*time.Second, "argo=#") {
			w.at += 4 * time.Second
			if v := s.play(w); v.Reason != ReasonWarned || v.Signal != history.TwoWriters {
				t.Fatalf("at %v: %+v", w.at, v)
			}
		}
	})
}

// With values that never come back, a probe is undone by whoever is another party.
func TestAFightOfAlternatingWriters(t *testing.T) {
	const s, m = time.Second, time.Minute
	const end = 10*s + 5*m
	begin := func(t *testing.T) *scene {
		sc := newScene(t, "", "action: Reject")
		for i, w := range turns(11, s, "one=#", "two=#") {
			v := sc.play(w)
			if started := v.Turn == Started; started != (i == 10) || started && (v.Signal != history.Alternation || v.Count != 10) {
				t.Fatalf("write %d: %+v", i+1, v)
			}
		}
		return sc
	}
	for _, c := range []struct {
		name, why string
		writes    []decision
	}{
		{
			name: "every try counts", why: "no value comes back by which to tell a reversal",
			writes: []decision{{at: 20 * s, write: "two=a", want: ReasonRejected, count: 11}, {at: 21 * s, write: "one=b", want: ReasonRejected, count: 12}},
		},
		{
			name: "the other party undoes the probe", why: "whatever it writes",
			writes: []decision{
				{at: end, write: "one=a", want: ReasonProbe, turn: Probed, count: 11},
				{at: end + s, write: "two=b", want: ReasonRejected, turn: Resumed, count: 12},
			},
		},
		{
			name: "whoever was probed may go on", why: "it undoes nobody",
			writes: []decision{
				{at: end, write: "one=a", want: ReasonProbe, turn: Probed, count: 11},
				{at: end + s, write: "one=b", want: ReasonProbe, count: 11},
			},
		},
		{
			name: "one who is not known undoes nothing", why: "it may be the one that was probed",
			writes: []decision{
				{at: end, write: "one=a", want: ReasonProbe, turn: Probed, count: 11},
				{at: end + s, write: "=b", want: ReasonProbe, count: 11},
			},
		},
		{
			name: "a value that does come back", why: "is a reversal after all, even by the same writer",
			writes: []decision{
				{at: end, write: "one=a", want: ReasonProbe, turn: Probed, count: 11},
				{at: end + s, write: "one=new-9", want: ReasonRejected, turn: Resumed, count: 12},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc := begin(t)
			for i, d := range c.writes {
				v := sc.play(paced(at(d.at), d.write)[0])
				if v.Reason != d.want || v.Turn != d.turn || v.Count != d.count {
					t.Fatalf("decision %d: %q %q of %d, want %q %q of %d (%s)", i+1, v.Reason, v.Turn, v.Count, d.want, d.turn, d.count, c.why)
				}
			}
		})
	}
}

// In half-open state an update passes the mutating webhook first. It takes the probe, and the validating one lets it by.
func TestAProbePassesBothWebhooks(t *testing.T) {
	s := newScene(t, "", "action: Hold")
	for _, w := range s.threeTurns() {
		s.play(w)
	}
	for i, c := range []struct {
		at   time.Duration
		hold bool
		want Reason
		turn Turn
	}{
		{3 * time.Second, true, ReasonHeld, Started},
		{4 * time.Second, true, ReasonHeld, NoTurn},
		{5 * time.Second, false, ReasonUnheld, NoTurn},
		{303 * time.Second, true, ReasonProbe, Probed},
		{303 * time.Second, false, ReasonProbe, NoTurn},
	} {
		w := paced(at(c.at), "hpa=3")[0]
		w.hold, w.lost = c.hold, true
		if v := s.play(w); v.Reason != c.want || v.Turn != c.turn {
			t.Errorf("visit %d: %q %q, want %q %q", i+1, v.Reason, v.Turn, c.want, c.turn)
		}
	}
}
