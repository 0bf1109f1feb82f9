package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// shortTruce is how long the first truce of these tests lasts.
const shortTruce = 3 * time.Second

var actionsThatStop = []struct{ name, policy string }{
	{"Hold", rule("action: Hold", "truce: {length: 3s, max: 1h}")},
	{"Reject", rule("action: Reject", "truce: {length: 3s, max: 1h}")},
	{"Throttle", rule("action: Throttle", "throttle: {every: 1h, burst: 1}", "truce: {length: 3s, max: 1h}")},
}

// stopped reports whether err is a denial by Truce, and fails the test if it is another error.
func stopped(t *testing.T, err error) bool {
	t.Helper()
	if err == nil {
		return false
	}
	if !apierrors.IsForbidden(err) && !apierrors.IsTooManyRequests(err) {
		t.Fatal(err)
	}
	return true
}

func TestWhenOnePartyGoesAwayTheOtherOneGetsItsWay(t *testing.T) {
	t.Parallel()
	for _, tt := range actionsThatStop {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, tt.policy)
			red, blue := quarrel(t, s, "settings")
			began := s.hook.fight(s.ns).Detected
			w := s.watch(configMaps, "settings")
			// What is stored now depends on what became of the write that the fight was found with.
			stays, before := red, blue.name
			if signatureOf(s.get(configMaps, "settings")) == red.name {
				stays, before = blue, red.name
			}
			lap, last := time.Duration(0), began
			tries := until(t, patience, 100*time.Millisecond, func(int) bool {
				stopped(t, stays.signs("settings"))
				done, now := w.writes() > 0, time.Now()
				lap, last = max(lap, now.Sub(last)), now
				return done
			})
			// The first write that is made after the truce is let through: the next one but the one that is under way at its end.
			if late := last.Sub(began); late < shortTruce || late > shortTruce+2*lap {
				t.Errorf("its value was let through %s after the truce began, in laps of up to %s; want %s", late, lap, shortTruce)
			}
			t.Logf("%s tried %d times until its value was let through", stays.name, tries)

			// It stays, and what comes after that is nobody's business.
			until(t, shortTruce+500*time.Millisecond, 100*time.Millisecond, func(int) bool {
				stays.must(stays.signs("settings"))
				return false
			})
			heard := len(stays.heard.truce())
			stays.must(stays.signsWith("settings", "third"))
			if n := len(stays.heard.truce()) - heard; n != 0 {
				t.Errorf("the fight is over, but the next write got a warning: %q", stays.heard.truce()[heard:])
			}
			var values []string
			for _, o := range w.history() {
				values = append(values, signatureOf(o))
			}
			if diff := cmp.Diff([]string{before, stays.name, "third"}, values); diff != "" {
				t.Errorf("what was stored over time (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"Started", "Probed", "Ended"}, kinds(s.hook.awaitTurns(3))); diff != "" {
				t.Errorf("the fight's turns (-want +got):\n%s", diff)
			}
		})
	}
}

func kinds(turns []turn) []string {
	var all []string
	for _, tn := range turns {
		all = append(all, tn.Turn)
	}
	return all
}

func TestWhenBothGoOnEachTruceLetsOneChangeThroughAndGrows(t *testing.T) {
	t.Parallel()
	for _, tt := range actionsThatStop {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, tt.policy)
			red, blue := quarrel(t, s, "settings")
			w := s.watch(configMaps, "settings")
			write := func(i int) { stopped(t, []*party{red, blue}[i%2].signs("settings")) }
			// 3 s, one probe, 6 s, one probe, 12 s.
			next := until(t, patience, 50*time.Millisecond, func(i int) bool {
				write(i)
				return len(s.hook.turns("Resumed")) >= 2
			})
			turns := s.hook.fight(s.ns).Turns
			// Both go on, well within the third truce.
			end := turns[len(turns)-1].Until.Add(-3 * time.Second)
			until(t, time.Until(end), 50*time.Millisecond, func(i int) bool {
				write(next + i)
				return i >= 20
			})
			logged := s.hook.turns()
			if diff := cmp.Diff([]string{"Started", "Probed", "Resumed", "Probed", "Resumed"}, kinds(logged)); diff != "" {
				t.Fatalf("the fight's turns (-want +got):\n%s", diff)
			}
			if n := w.writes(); n != 2 {
				t.Errorf("%d writes stored in two truces and the beginning of a third, want 2: one probe each", n)
			}
			for i, want := range map[int]time.Duration{0: shortTruce, 2: 2 * shortTruce, 4: 4 * shortTruce} {
				if length := turns[i].Until.Sub(turns[i].Time).Round(time.Second); length != want {
					t.Errorf("truce %d lasts %s, want %s", i/2+1, length, want)
				}
			}
			if logged[4].Count <= logged[2].Count || logged[2].Count <= logged[0].Count {
				t.Errorf("the fight's counts are %d, %d, %d: want more each time", logged[0].Count, logged[2].Count, logged[4].Count)
			}
		})
	}
}

func TestThePreferredPartyPasses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, action string }{{"Reject", "action: Reject"}, {"Hold", "action: Hold"}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, rule(tt.action, `prefer: {users: ["system:serviceaccount:*:blue"]}`))
			red, blue := quarrel(t, s, "settings")
			if red.name == "blue" {
				red, blue = blue, red
			}
			w := s.watch(configMaps, "settings")
			laps(t, 20, 30*time.Millisecond, func(i int) {
				if i%2 == 0 {
					err := red.signs("settings")
					if tt.name == "Reject" && !apierrors.IsForbidden(err) {
						t.Errorf("red got %v, want Forbidden", err)
					}
					return
				}
				blue.must(blue.signsWith("settings", fmt.Sprint("blue-", i)))
			})
			if n := w.writes(); n != 10 {
				t.Errorf("%d writes stored, want 10: all of blue's and none of red's", n)
			}
			if heard := blue.heard.truce(); len(heard) != 0 {
				t.Errorf("the preferred party was warned: %q", heard)
			}
			eventually(t, "the audit log says that blue passed as the preferred party", func() bool {
				return contains(verdictsOf(t, s), "Preferred")
			})
		})
	}
}

// verdictsOf returns the verdicts in the audit log on writes in the scene's namespace.
func verdictsOf(t *testing.T, s *scene) []string {
	t.Helper()
	var all []string
	for _, e := range auditTrail.of(t, s.ns) {
		all = append(all, e.truce("verdict"))
	}
	return all
}

func TestExemptWritersPass(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, exempt string
		manager      string
		sent         bool // to the webhook: a match condition cannot tell
	}{
		{name: "by user", exempt: `users: ["system:serviceaccount:NAMESPACE:green"]`},
		{name: "by wildcard", exempt: `users: ["system:*:gr*n"]`},
		{name: "by group", exempt: `groups: ["e2e-exempt"]`},
		{name: "by manager", exempt: `managers: ["green-manager"]`, manager: "green-manager", sent: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, exempt(tt.exempt, rule("action: Reject")))
			red, _ := quarrel(t, s, "settings")
			green := s.partyIn("green", "e2e-exempt")
			green.manager = tt.manager
			w := s.watch(configMaps, "settings")
			before, _ := s.hook.reached()
			laps(t, 10, 20*time.Millisecond, func(i int) {
				green.must(green.signsWith("settings", []string{"red", "blue"}[i%2]))
			})
			after, _ := s.hook.reached()
			if n := w.writes(); n != 10 {
				t.Errorf("%d of the exempt writer's 10 writes were stored", n)
			}
			if heard := green.heard.truce(); len(heard) != 0 {
				t.Errorf("an exempt writer was warned: %q", heard)
			}
			want := 0
			if tt.sent {
				want = 10
			}
			// One that the API server tried with an old object first is reviewed again.
			if n := after - before; n < want || (n > 0) != tt.sent {
				t.Errorf("%d of its writes were sent to the webhook, want %d", after-before, want)
			}
			if err := red.signs("settings"); !apierrors.IsForbidden(err) {
				t.Errorf("red, who is not exempt, got %v, want Forbidden", err)
			}
		})
	}
}

func TestExemptNamespacesAreLeftAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, exempt string }{
		{"by name", `namespaces: ["NAMESPACE-exempt"]`},
		{"by wildcard", `namespaces: ["*-exempt"]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, exempt(tt.exempt, rule("action: Reject")))
			other := s.namespace(s.ns + "-exempt")
			quarrel(t, s, "settings") // one that is not exempt, to see that fights are found at all
			before, _ := s.hook.reached()
			inside := *s
			inside.ns = other
			inside.create(configMaps, object("v1", "ConfigMap", "settings"))
			red, blue := inside.party("red"), inside.party("blue")
			laps(t, 20, 20*time.Millisecond, func(i int) {
				p := []*party{red, blue}[i%2]
				p.must(p.signs("settings"))
			})
			if after, _ := s.hook.reached(); after != before {
				t.Errorf("%d reviews of writes in the exempt namespace, want none", after-before)
			}
		})
	}
}

func TestBreakGlass(t *testing.T) {
	t.Parallel()
	s := newScene(t, rule("action: Reject"))
	red, blue := quarrel(t, s, "settings")
	operator := s.partyAs("operator", "operator@example.com", "")
	exemptUntil := func(when string) {
		operator.must(operator.patch(configMaps, "settings", types.MergePatchType,
			fmt.Sprintf(`{"metadata":{"annotations":{"truce.dev/exempt-until":%q}}}`, when)))
	}
	// Each tries to undo the other: one of the two does, whatever is stored.
	rejected := func() bool { return stopped(t, red.signs("settings")) || stopped(t, blue.signs("settings")) }

	for _, when := range []string{"tomorrow", time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)} {
		exemptUntil(when)
		if !rejected() {
			t.Fatalf("exempt-until %q let a write through", when)
		}
	}
	exemptUntil(time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	w := s.watch(configMaps, "settings")
	laps(t, 10, 20*time.Millisecond, func(i int) {
		p := []*party{red, blue}[i%2]
		p.must(p.signs("settings"))
	})
	if n := w.writes(); n != 10 {
		t.Errorf("%d of 10 writes of an exempt object were stored", n)
	}
	if heard := append(red.heard.truce(), blue.heard.truce()...); len(heard) != 0 {
		t.Errorf("somebody was warned about an exempt object: %q", heard)
	}
	eventually(t, "the audit log says why they passed", func() bool { return contains(verdictsOf(t, s), "BreakGlass") })
	end := time.Now().Add(3 * time.Second).UTC().Truncate(time.Second)
	exemptUntil(end.Format(time.RFC3339))
	eventually(t, "writes are rejected again once the time is over", rejected)
	if now := time.Now(); now.Before(end) {
		t.Errorf("a write was rejected %s before the time that the annotation names", end.Sub(now))
	}
}
