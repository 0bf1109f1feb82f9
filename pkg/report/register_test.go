package report

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

func writer(name string) Writer {
	return Writer{User: "system:serviceaccount:shop:" + name, Manager: name}
}

func TestAFightFromItsStartToItsEnd(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	s.fight(4)
	if all := s.fights(); len(all) != 0 {
		t.Fatalf("after two reversals: %+v", all)
	}
	s.write(time.Second, "red", "red") // the third one
	start := noon.Add(5 * time.Second)
	want := Fight{
		ID: IDOf(history.Key{Resource: "serviceaccounts", Namespace: "shop", Name: "web"}, field), Kind: "fight",
		Object: Object{Resource: "serviceaccounts", Namespace: "shop", Name: "web"}, Field: field, Signal: "Reversal", Rule: "all",
		Mode: policy.Enforce, Action: policy.ActionReject, Parties: []Writer{writer("red"), writer("blue")}, State: Open,
		Reversals: 3, Writes: 3, Prevented: Prevented{Rejected: 1}, FirstSeen: noon.Add(2 * time.Second), Detected: start,
		LastSeen: start, Until: start.Add(5 * time.Minute),
		Turns: []Turn{{Time: start, Turn: policy.Started, Until: start.Add(5 * time.Minute)}},
	}
	got := s.only()
	if got.RatePerMinute < 1 {
		t.Errorf("%v writes per minute", got.RatePerMinute)
	}
	got.RatePerMinute = 0
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}

	for range 10 {
		s.write(time.Second, "red", "red")
	}
	if got = s.only(); got.Writes != 13 || got.Reversals != 13 || got.Prevented.Rejected != 11 {
		t.Errorf("after ten more writes: %+v", got)
	}
	if !got.Until.Equal(want.Until) || len(got.Turns) != 1 {
		t.Errorf("the truce is as it was: %+v", got)
	}

	s.write(5*time.Minute, "red", "red") // the probe
	if got = s.only(); got.State != Probing {
		t.Errorf("after the truce: %+v", got)
	}
	s.write(time.Second, "blue", "blue") // undoes it
	if got = s.only(); got.State != Open || !got.Until.Equal(at(s.now.Add(10*time.Minute))) {
		t.Errorf("after the probe was undone: %+v", got)
	}
	turns := []policy.Turn{}
	for _, x := range got.Turns {
		turns = append(turns, x.Turn)
	}
	if diff := cmp.Diff([]policy.Turn{policy.Started, policy.Probed, policy.Resumed}, turns); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{"Started", "Probed", "Resumed"}, s.log.entries("turn")); diff != "" {
		t.Errorf("the log has one line per turn: %s", diff)
	}
}

func TestAFightThatNobodyWritesToEndsByItself(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{Retention: time.Hour})
	s.fight(5)
	end := s.now.Add(10 * time.Minute) // the truce, and as long again
	for _, c := range []struct {
		at   time.Time
		want State
	}{{end.Add(-time.Millisecond), Open}, {end, Ended}} {
		s.now = c.at
		s.recorder.Register.sweep(s.now)
		if f := s.only(); f.State != c.want || (f.Ended == at(end)) != (c.want == Ended) || f.Until.IsZero() != (c.want == Ended) {
			t.Errorf("at %v: %+v", c.at, f)
		}
	}
	s.now = end.Add(time.Hour - time.Millisecond)
	s.recorder.Register.sweep(s.now)
	s.only()
	s.now = end.Add(time.Hour)
	s.recorder.Register.sweep(s.now)
	if all := s.fights(); len(all) != 0 {
		t.Errorf("after its retention: %+v", all)
	}
}

func TestAProbeThatStandsEndsTheFight(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	s.fight(5)
	s.write(5*time.Minute, "red", "red")
	for _, c := range []struct {
		after time.Duration
		want  State
	}{{5*time.Minute - time.Millisecond, Probing}, {time.Millisecond, Ended}} {
		s.now = s.now.Add(c.after)
		s.recorder.Register.sweep(s.now)
		if f := s.only(); f.State != c.want {
			t.Errorf("%+v", f)
		}
	}
	// The next write learns that it is over, which the register knows.
	s.write(time.Second, "blue", "blue")
	if f := s.only(); f.State != Ended || len(f.Turns) != 3 {
		t.Errorf("%+v", f)
	}
}

func TestAFightThatBeginsAgainIsTheSameOneAnew(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	s.fight(9)
	first := s.only()
	s.now = s.now.Add(time.Hour)
	s.recorder.Register.sweep(s.now)
	s.stored = "green"
	s.version++
	s.fight(6)
	again := s.only()
	if again.ID != first.ID || again.State != Open || again.Reversals != 4 || !again.Ended.IsZero() || len(again.Turns) != 3 {
		t.Errorf("%+v", again)
	}
	if !again.Detected.After(first.Detected) || !again.FirstSeen.After(first.LastSeen) {
		t.Errorf("first %+v\nagain %+v", first, again)
	}
}

func TestHeldWritesCountOnce(t *testing.T) {
	s := newScene(t, policy.Enforce, "Hold", Options{})
	s.fight(5)
	writes := s.only().Writes
	other := map[string]string{"red": "blue", "blue": "red"}[s.stored]
	for range 10 {
		s.write(time.Second, other, other)
	}
	if f := s.only(); f.Prevented.Held != 11 || f.Writes != writes+10 {
		t.Errorf("%d writes before, now %+v", writes, f)
	}
}

func TestADryRunLeavesNoTraceButInTheJournal(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	s.fight(5)
	before := s.only()
	s.dryRun = true
	s.write(time.Second, "red", "red")
	after := s.only()
	after.RatePerMinute = before.RatePerMinute
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	changes := s.recorder.Journal.Changes(ChangeQuery{}).Items
	if last := changes[len(changes)-1]; last.Outcome != DryRun || last.Fight != "" {
		t.Errorf("%+v", last)
	}
}

func TestAFightWhoseStartWasDroppedStartsWithWhatIsSeen(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	s.fight(4)
	s.now = s.now.Add(time.Second)
	for len(s.recorder.queue) < cap(s.recorder.queue) {
		s.recorder.queue <- item{}
	}
	s.review(1, "red", s.stored, "red") // finds the fight, and no room
	for len(s.recorder.queue) > 0 {
		<-s.recorder.queue
	}
	if n := s.metric("truce_dropped_total", "where", "queue"); n != 1 {
		t.Errorf("%v drops", n)
	}
	s.write(time.Second, "red", "red")
	f := s.only()
	if f.State != Open || len(f.Turns) != 1 || f.Turns[0].Turn != policy.Started || f.Prevented.Rejected != 1 || f.Reversals != 4 {
		t.Errorf("%+v", f)
	}
}

func TestTooManyFightsForgetTheEndedFirst(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{Fights: 3})
	fight := func(name string) {
		s.name, s.stored = name, "none"
		s.fight(5)
	}
	fight("a")
	fight("b")
	fight("c")
	b := s.recorder.Register.Fights(s.now, FightQuery{Object: "serviceaccounts/b"})[0]
	if _, err := s.recorder.Register.Release(s.guard, s.now, b.ID, "me"); err != nil {
		t.Fatal(err)
	}
	names := func() (all []string) {
		for _, f := range s.fights() {
			all = append(all, f.Object.Name)
		}
		return all
	}
	if diff := cmp.Diff([]string{"c", "a", "b"}, names()); diff != "" {
		t.Errorf("active ones come first, then the latest: %s", diff)
	}
	fight("d")
	if diff := cmp.Diff([]string{"d", "c", "a"}, names()); diff != "" {
		t.Error(diff)
	}
	fight("e")
	if diff := cmp.Diff([]string{"e", "d", "c"}, names()); diff != "" {
		t.Error(diff)
	}
	if n := len(s.recorder.Register.ids); n != 3 {
		t.Errorf("%d ids", n)
	}
}

func TestTurnsAreBounded(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	s.fight(5)
	f := s.only()
	for range 2 * maxTurns {
		if _, err := s.recorder.Register.Hold(s.guard, s.now, s.now.Add(time.Hour), f.ID, "me"); err != nil {
			t.Fatal(err)
		}
	}
	f = s.only()
	if len(f.Turns) != maxTurns || f.Turns[0].Turn != policy.Started || f.Turns[1].Turn != policy.Pinned {
		t.Errorf("%d turns: %+v", len(f.Turns), f.Turns)
	}
}

// A write of a fight waits in the queue while somebody ends it. It does not begin it again.
func TestAWriteThatWaitedDoesNotBeginAFightAgain(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	s.fight(5)
	f := s.only()
	s.now = s.now.Add(time.Second)
	s.review(admission.Validating, "red", s.stored, "red") // not recorded yet
	r := s.recorder.Register
	if _, err := r.Release(s.guard, s.now.Add(time.Nanosecond), f.ID, ""); err != nil {
		t.Fatal(err)
	}
	s.drain()
	g := s.only()
	if g.State != Ended || len(g.Turns) != len(f.Turns)+1 {
		t.Errorf("%+v", g)
	}
	if g.Writes != f.Writes+1 || g.Prevented.Rejected != f.Prevented.Rejected+1 {
		t.Errorf("%d writes, %d rejected; the one that waited counts", g.Writes, g.Prevented.Rejected)
	}
}

func TestPeopleReleaseAndHold(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	s.fight(5)
	id := s.only().ID
	r := s.recorder.Register
	f, err := r.Hold(s.guard, s.now, s.now.Add(time.Hour), id[:8], "ann@example.com")
	if err != nil || !f.Until.Equal(s.now.Add(time.Hour)) || f.Turns[1].By != "ann@example.com" || f.Turns[1].Turn != policy.Pinned {
		t.Errorf("%v: %+v", err, f)
	}
	if resp := s.write(59*time.Minute, "red", "red"); resp.Allowed {
		t.Error("the truce lasts still")
	}
	f, err = r.Release(s.guard, s.now, id, "ann@example.com")
	if err != nil || f.State != Ended || f.Turns[2].Turn != policy.Released {
		t.Errorf("%v: %+v", err, f)
	}
	if resp := s.write(time.Second, "red", "red"); !resp.Allowed {
		t.Error("the truce was ended")
	}
	for _, c := range []struct {
		name string
		do   func() (Fight, error)
		want string
	}{
		{"one that ended is not released", func() (Fight, error) { return r.Release(s.guard, s.now, id, "") }, ErrNotFoughtFor.Error()},
		{"one that ended is not held", func() (Fight, error) { return r.Hold(s.guard, s.now, s.now.Add(1), id, "") }, ErrNotFoughtFor.Error()},
		{"an id nobody has", func() (Fight, error) { return r.Release(s.guard, s.now, "f-000000000000", "") }, ErrNoFight.Error()},
		{"an id that is too short", func() (Fight, error) { return r.Release(s.guard, s.now, id[:minPrefix-1], "") }, ErrNoFight.Error()},
		{"not at all", func() (Fight, error) { return r.Hold(s.guard, s.now, s.now, id, "") }, "a truce can be held for up to 168h0m0s, not for 0s"},
		{"too long", func() (Fight, error) { return r.Hold(s.guard, s.now, s.now.Add(MaxHold+1), id, "") },
			"a truce can be held for up to 168h0m0s, not for 168h0m0.000000001s"},
	} {
		if _, err := c.do(); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestSubscribersGetTurnsAndNeverHoldUp(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	quick, slow := s.recorder.Register.Subscribe(10), s.recorder.Register.Subscribe(1)
	s.fight(5)
	id := s.only().ID
	if _, err := s.recorder.Register.Release(s.guard, s.now, id, "me"); err != nil {
		t.Fatal(err)
	}
	quick.Close()
	quick.Close()
	var got []string
	for u := range quick.C {
		got = append(got, fmt.Sprint(u.Turn, " ", u.Fight.State))
	}
	if diff := cmp.Diff([]string{"Started Open", "Released Ended"}, got); diff != "" {
		t.Error(diff)
	}
	if u := <-slow.C; u.Turn != policy.Started || slow.Lost() != 1 || quick.Lost() != 0 {
		t.Errorf("%v, %d lost", u.Turn, slow.Lost())
	}
}

func TestChangedFightsSinceARevision(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	r := s.recorder.Register
	s.fight(5)
	all, revision := r.Since(s.now, 0, FightQuery{})
	if len(all) != 1 {
		t.Fatalf("%+v", all)
	}
	if again, same := r.Since(s.now, revision, FightQuery{}); len(again) != 0 || same != revision {
		t.Errorf("%+v", again)
	}
	s.write(time.Second, "red", "red")
	if all, _ := r.Since(s.now, revision, FightQuery{}); len(all) != 1 {
		t.Errorf("%+v", all)
	}
	if all, _ := r.Since(s.now, revision, FightQuery{Namespace: "other"}); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestIDsDifferInEveryPart(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range []history.Key{
		{Group: "a", Resource: "b", Namespace: "c", Name: "d"}, {Group: "ab", Resource: "", Namespace: "c", Name: "d"},
		{Group: "a", Resource: "bc", Namespace: "", Name: "d"}, {Group: "a", Resource: "b", Namespace: "cd"},
	} {
		for _, path := range []string{"x", "y"} {
			seen[IDOf(k, path)] = true
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d different ids: %v", len(seen), seen)
	}
}

func TestAFamilyIsNamedByWhatItsNamesAreGeneratedFrom(t *testing.T) {
	if o := ObjectOf(history.Key{Resource: "pods", Namespace: "shop", Name: "~uid-1/web-"}); o.Name != "web-*" {
		t.Errorf("%+v", o)
	}
}
