package policy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/history"
)

// FuzzDecide plays any sequence of writes and checks what must hold after each of them. The first three bytes choose the
// rule, the mode and the field; then each write takes four.
func FuzzDecide(f *testing.F) {
	var rules []*CompiledRule
	for _, action := range []string{"Warn", "Throttle", "Reject", "Hold"} {
		for _, truce := range []string{"{}", "{length: 1s, max: 1s}", "{length: 10m, max: 15m}"} {
			rules = append(rules, ruleOf(f, "action: "+action+", truce: "+truce+", throttle: {retryAfterSeconds: 5}"))
		}
	}
	modes := []Mode{Enforce, Warn, Audit}
	paths := []string{replicas, history.Exists, "status.phase", signature}
	writers := []string{"", "hpa", "argo", "app/app/pod-1", "app/app/pod-2", "jane@example.com", "ctl/set/", "ctl/clear/"}
	waits := []time.Duration{
		0, ms, 100 * ms, time.Second, 5 * time.Second, 10 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, time.Hour,
		20 * time.Hour, -time.Second, -time.Hour,
	}
	passes := []Reason{
		ReasonNone, ReasonNone, ReasonNone, ReasonNone, ReasonNone, ReasonPreferred, ReasonExempt, ReasonCleanup,
	}
	flags := []history.Flags{0, history.Owner, history.Clock, history.OrderOnly, history.Growing, history.QuantityOnly, history.Spent, history.Vain, history.Retimed, history.ByScript}

	duel := func(n int, wait byte) (b []byte) {
		for i := range n {
			b = append(b, byte(1+i%2), byte(1+i%2), wait, 0)
		}
		return b
	}
	for rule := range rules {
		f.Add(append([]byte{byte(rule), 0, 0}, duel(30, 3)...))
		f.Add(append([]byte{byte(rule), 0, 1}, duel(30, 7)...))
		f.Add(append([]byte{byte(rule), 1, 2}, duel(40, 2)...))
		f.Add(append([]byte{byte(rule), 0, 3}, append(duel(8, 3), 1, 1, 7, 0, 2, 2, 3, 0, 1, 1, 9, 0, 2, 2, 3, 0)...))
	}

	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 3 {
			return
		}
		s := &scene{
			t: t, store: history.New(history.DefaultBounds), rule: rules[int(b[0])%len(rules)], mode: modes[int(b[1])%len(modes)],
			path: paths[int(b[2])%len(paths)], context: Context{
				Memory: history.DefaultBounds.Memory, Company: b[2]&16 != 0, Widespread: b[2]&32 != 0, OneWriterSilent: b[2]&64 != 0,
			},
		}
		clock := time.Duration(0)
		for i, step := range slices.Collect(slices.Chunk(b[3:min(len(b), 3+4*500)], 4)) {
			if len(step) < 4 {
				return
			}
			clock += waits[int(step[2])%len(waits)]
			w := paced(at(clock), fmt.Sprintf("%s=%d", writers[int(step[0])%len(writers)], step[1]%8))[0]
			switch {
			case step[1]&128 != 0:
				w.to = fmt.Sprint("new-", i)
			case s.path == history.Exists:
				w.to = []string{"-", "+"}[step[1]%2]
			}
			if valueOf(w.to) == s.stored {
				continue // that is no change
			}
			w.flags |= flags[int(step[3]>>3)%len(flags)]
			w.pass, w.hold, w.lost = passes[step[3]&7], step[3]&64 != 0, step[3]&128 != 0
			before := s.fight
			v := s.play(w)
			if problem := s.inconsistent(w, before, v); problem != "" {
				t.Fatalf("write %d, %s=%s at %v: %s\nverdict %+v\nfight before %+v\nand after    %+v", i, w.by, w.to, clock, problem, v,
					before, s.fight)
			}
		}
	})
}

// inconsistent says what is wrong with a verdict on w, given the fight before it.
func (s *scene) inconsistent(w write, before history.Fight, v Verdict) string {
	fought, fights := before.Phase != 0, s.fight.Phase != 0
	action, exists := s.rule.Action, s.path == history.Exists
	stops := v.Reason.Stops()
	was := map[Reason]bool{
		ReasonThrottled: action == ActionThrottle || action == ActionHold && exists,
		ReasonRejected:  action == ActionReject,
		ReasonHeld:      action == ActionHold && !exists && w.hold,
	}
	switch {
	case v.Rule != s.rule:
		return "it names another rule"
	case stops && s.mode != Enforce:
		return "it stops a write in mode " + string(s.mode)
	case stops && w.pass != ReasonNone:
		return "it stops a writer who passes"
	case stops && s.fight.Phase != history.Open:
		return "it stops a write without an open fight"
	case stops && !v.Until.After(s.clock):
		return "it stops a write until a time that has passed"
	case stops && !was[v.Reason]:
		return "that is not the rule's action"
	case stops != (s.fight.Stopped == before.Stopped+1) && (fought || fights) && v.Turn != EndedNow:
		return "the fight does not count what it stopped"
	case v.RetryAfter != 0 && v.Reason != ReasonThrottled:
		return "a client that is not throttled is told to wait"
	case w.pass != ReasonNone && v.Reason != ReasonNone && v.Reason != w.pass && v.Reason != ReasonProbe:
		return "a writer who passes gets another reason"
	case fights && (s.fight.Length > time.Duration(s.rule.Truce.Max) || s.fight.Length < time.Duration(s.rule.Truce.Length)):
		return "the truce has a length that the rule does not allow"
	case fights && (v.Until != s.fight.Until || v.Signal != s.fight.Signal || v.Count != int(s.fight.Count)):
		return "it does not say what the fight is"
	case fights && s.fight.Signal.Loop():
		return "a loop is taken for a fight"
	case !fights && !v.Until.IsZero():
		return "there is no fight that could end"
	case fought && v.Reason == ReasonNone && v.Turn != EndedNow:
		return "nothing is said about a fight that goes on"
	}
	turned := map[Turn]bool{
		NoTurn:   fought == fights && before.Phase == s.fight.Phase,
		Started:  !fought && s.fight.Phase == history.Open && s.detected.Found(),
		Probed:   before.Phase == history.Open && s.fight.Phase == history.Probing && v.Reason == ReasonProbe,
		Resumed:  before.Phase == history.Probing && s.fight.Phase == history.Open && s.fight.Length >= before.Length,
		EndedNow: fought && !fights && v.Reason == ReasonNone,
		Noticed:  !fought && !fights && s.detected.Signal.Loop(),
	}
	if !turned[v.Turn] {
		return "the fight has not taken this turn"
	}
	return ""
}
