package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// quarrel makes red and blue fight over the signature of a ConfigMap until the webhook says so. It returns first the one
// whose write it was found with, which is the first that the rule's action is applied to; usually red.
func quarrel(t *testing.T, s *scene, name string) (found, other *party) {
	t.Helper()
	o := object("v1", "ConfigMap", name)
	o["data"] = map[string]any{"colour": "grey"}
	s.create(configMaps, o)
	found, other = s.party("red"), s.party("blue")
	for range 10 {
		err := found.signs(name)
		if _, ok := s.hook.started(signatureField); ok {
			return found, other
		}
		if err != nil {
			t.Fatal(err)
		}
		found, other = other, found
	}
	t.Fatalf("5 writes by each side are no fight yet:\n%s", s.hook.log.String())
	return nil, nil
}

// signs writes the party's own name as the signature, by a merge patch without a resourceVersion.
func (p *party) signs(name string) error {
	p.t.Helper()
	return p.signsWith(name, p.name)
}

func (p *party) signsWith(name, value string) error {
	p.t.Helper()
	body := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, signature, value)
	return p.patch(configMaps, name, types.MergePatchType, body)
}

func TestThrottleWithoutRetryAfter(t *testing.T) {
	t.Parallel()
	const every, length = 2 * time.Second, 10 * time.Second
	s := newScene(t, rule("action: Throttle", "throttle: {every: 2s, burst: 1}"))
	red, blue := quarrel(t, s, "settings")
	w := s.watch(configMaps, "settings")
	var answers, passed []time.Duration
	begin := time.Now()
	until(t, patience, 50*time.Millisecond, func(i int) bool {
		p := []*party{blue, red}[i%2]
		at := time.Now()
		err := p.signs("settings")
		if err == nil {
			passed = append(passed, time.Since(at))
			return len(answers) >= 20 && time.Since(begin) >= length && w.writes() >= 4
		}
		answers = append(answers, time.Since(at))
		if !apierrors.IsTooManyRequests(err) {
			t.Errorf("a throttled write got %v, want TooManyRequests", err)
		}
		if seconds, ok := apierrors.SuggestsClientDelay(err); ok && seconds > 0 {
			t.Errorf("a throttled write was told to wait %d s: client-go would sleep inside the call", seconds)
		}
		return t.Failed()
	})
	took := time.Since(begin)
	// Once there is a token, it may take a lap by each side until one has a use for it.
	lap := max(50*time.Millisecond, slices.Max(slices.Concat(answers, passed)))
	n, least, most := w.writes(), int(took/(every+2*lap))-1, 1+int(took/every)
	typical, without := median(answers), median(passed)
	t.Logf("%d writes throttled, %d stored in %s, typical answer %s, of others %s", len(answers), n, took, typical, without)
	if n > most || n < least || n < 4 {
		t.Errorf("%d writes stored in %s, want %d to %d: one at once and one every %s", n, took, least, most, every)
	}
	if len(answers) < 20 {
		t.Errorf("only %d writes were throttled: both sides should have kept trying", len(answers))
	}
	if typical > without+500*time.Millisecond {
		t.Errorf("a throttled client waited %s for its answer, others %s; it should be told at once", typical, without)
	}
}

// With retryAfterSeconds, client-go sleeps inside the call and sends the same body again.
func TestThrottleWithRetryAfter(t *testing.T) {
	t.Parallel()
	t.Run("a throttled write succeeds by itself once there is a token", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, rule("action: Throttle", "throttle: {every: 6s, burst: 1, retryAfterSeconds: 1}"))
		_, blue := quarrel(t, s, "settings") // the other one has taken the token
		w := s.watch(configMaps, "settings")
		at := time.Now()
		blue.must(blue.signs("settings"))
		if took := time.Since(at); took < 900*time.Millisecond || took > patience {
			t.Errorf("the call took %s, want up to 6 s: asleep until there was a token", took)
		}
		if got := signatureOf(s.get(configMaps, "settings")); got != blue.name {
			t.Errorf("the signature is %s, want %s", got, blue.name)
		}
		if n := w.writes(); n != 1 {
			t.Errorf("%d writes stored, want 1", n)
		}
	})
	t.Run("both sides go on, none sees an error, and the bucket holds", func(t *testing.T) {
		t.Parallel()
		const every, length = time.Second, 8 * time.Second
		s := newScene(t, rule("action: Throttle", "throttle: {every: 1s, burst: 1, retryAfterSeconds: 1}"))
		red, blue := quarrel(t, s, "settings")
		w := s.watch(configMaps, "settings")
		begin := time.Now()
		var sides sync.WaitGroup
		var enough atomic.Bool
		defer sides.Wait()
		defer enough.Store(true)
		for _, p := range []*party{red, blue} {
			sides.Go(func() {
				until(t, 2*patience, 100*time.Millisecond, func(int) bool {
					err := p.signs("settings")
					if err != nil {
						t.Errorf("%s: %v", p.name, err)
					}
					return err != nil || enough.Load()
				})
			})
		}
		until(t, patience, 50*time.Millisecond, func(int) bool {
			return t.Failed() || time.Since(begin) >= length && w.changes(signatureOf) >= 2
		})
		enough.Store(true)
		sides.Wait()
		took := time.Since(begin)
		n, most := w.changes(signatureOf), 1+int(took/every)
		t.Logf("%d changes stored in %s", n, took)
		if n > most || n < 2 {
			t.Errorf("%d changes stored in %s, want at most %d and progress", n, took, most)
		}
	})
	t.Run("one throttled for good gives up after 10 replays", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, rule("action: Throttle", "throttle: {every: 5m, burst: 1, retryAfterSeconds: 1}"))
		_, blue := quarrel(t, s, "settings")
		at := time.Now()
		err := blue.signs("settings")
		if !apierrors.IsTooManyRequests(err) {
			t.Errorf("got %v, want TooManyRequests", err)
		}
		if took := time.Since(at); took < 9*time.Second || took > patience {
			t.Errorf("the call took %s, want 10 s: 10 replays a second apart", took)
		}
		// The API server has a write reviewed again if what it had in its cache was old.
		if n := s.hook.metric("truce_verdicts_total", "reason", "Throttled"); n < 11 || n > 22 {
			t.Errorf("the webhook throttled %v requests, want 11: the first and 10 replays", n)
		}
	})
}

// reversals is the count that a message says; a large one is rounded.
var reversals = regexp.MustCompile(`, (?:over )?(\d+) reversals`)

// rfc3339 is the time at which a message says that the truce ends.
var rfc3339 = regexp.MustCompile(`until (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)`)

func TestRejectSaysWhatAndWhoAndUntilWhen(t *testing.T) {
	t.Parallel()
	s := newScene(t, rule("action: Reject"))
	red, _ := quarrel(t, s, "settings")
	w := s.watch(configMaps, "settings")
	counts := []int{}
	for range 3 {
		at := time.Now()
		err := red.signs("settings")
		if !apierrors.IsForbidden(err) {
			t.Fatalf("got %v, want Forbidden", err)
		}
		message := err.Error()
		for _, part := range []string{
			`admission webhook "validate.truce.dev" denied the request: truce: `,
			signatureField + " of configmaps/settings is fought over by ",
			s.ns + "/red", s.ns + "/blue", "by rule e2e", "truce.dev/exempt-until",
		} {
			if !strings.Contains(message, part) {
				t.Errorf("the message does not say %q:\n%s", part, message)
			}
		}
		count := reversals.FindStringSubmatch(message)
		if count == nil {
			t.Fatalf("the message does not say how many reversals there were:\n%s", message)
		}
		n, _ := strconv.Atoi(count[1])
		counts = append(counts, n)
		match := rfc3339.FindStringSubmatch(message)
		if match == nil {
			t.Fatalf("the message does not say until when:\n%s", message)
		}
		end, err := time.Parse(time.RFC3339, match[1])
		if err != nil || end.Before(at) || end.After(at.Add(5*time.Minute)) {
			t.Errorf("the truce ends at %s, want within 5 minutes of %s", match[1], at.UTC())
		}
	}
	if counts[0] < 4 || counts[1] != counts[0]+1 || counts[2] != counts[1]+1 {
		t.Errorf("the messages count %v, want one more reversal each time, after 3", counts)
	}
	if n := w.writes(); n != 0 {
		t.Errorf("%d rejected writes were stored", n)
	}
}

// Names at their longest do not push what matters out of a warning.
func TestWarnReachesTheClientsWarningHandler(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("quite-long-", 18) + "name" // 202 characters
	for _, tt := range []struct {
		name, policy, object, want string
	}{
		{"short names", rule("action: Warn"), "settings", "let through"},
		{"the longest names", rule("action: Warn"), long, "let through"},
		{"mode Warn tells what enforcement would do", modeRule("Warn", "action: Reject"), "settings", "enforcing would reject it"},
		{"a held write", rule("action: Hold"), long, "your change of it was held back"},
		{"a write within the throttle", rule("action: Throttle", "throttle: {every: 1s, burst: 50}"), "settings", "others will be throttled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, tt.policy)
			red, blue := quarrel(t, s, tt.object)
			other := red
			if signatureOf(s.get(configMaps, tt.object)) == red.name {
				other = blue
			}
			before := len(other.heard.truce())
			other.must(other.signs(tt.object))
			heard := other.heard.truce()[before:]
			if len(heard) != 1 {
				t.Fatalf("one write gave %d warnings: %q", len(heard), heard)
			}
			t.Logf("%d characters: %s", utf8.RuneCountInString(heard[0]), heard[0])
			if n := utf8.RuneCountInString(heard[0]); n > 256 {
				t.Errorf("the warning has %d characters, the API server cuts it after 256", n)
			}
			for _, part := range []string{"red", "blue", tt.want, " reversals"} {
				if !strings.Contains(heard[0], part) {
					t.Errorf("the warning does not say %q: %s", part, heard[0])
				}
			}
			if !rfc3339.MatchString(heard[0]) {
				t.Errorf("the warning does not say until when: %s", heard[0])
			}
		})
	}
}

func TestAuditAnnotationsAreInTheAuditLog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, policy, webhook, verdict string
		code                           int
	}{
		{"Reject", rule("action: Reject"), "validate.truce.dev", "Rejected", 403},
		{"Throttle", rule("action: Throttle", "throttle: {every: 1h, burst: 1}"), "validate.truce.dev", "Throttled", 429},
		{"Hold", rule("action: Hold"), "mutate.truce.dev", "Held", 200},
		{"Warn", rule("action: Warn"), "validate.truce.dev", "Warned", 200},
		{"mode Warn", modeRule("Warn", "action: Reject"), "validate.truce.dev", "Warned", 200},
		{"mode Audit", modeRule("Audit", "action: Reject"), "validate.truce.dev", "Observed", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, tt.policy)
			red, blue := quarrel(t, s, "settings")
			_, _ = red.signs("settings"), blue.signs("settings")
			// The API server reviews a write against what it has in its cache first. Was that old, a refusal does not
			// count: it asks again about the object as it is, where the same write may change nothing and succeed. The
			// audit log has the first verdict then, and the last answer.
			var found *auditEvent
			eventually(t, fmt.Sprintf("the audit log has an entry with the verdict %s and the answer %d", tt.verdict, tt.code), func() bool {
				for _, e := range auditTrail.of(t, s.ns) {
					if e.truce("verdict") == tt.verdict && e.ResponseStatus.Code == tt.code {
						found = &e
						return true
					}
				}
				return false
			})
			at := func(key string) string { return found.Annotations[tt.webhook+"/"+key] }
			mode := "Enforce"
			if m, ok := strings.CutPrefix(tt.name, "mode "); ok {
				mode = m
			}
			for key, want := range map[string]string{
				"verdict": tt.verdict, "signal": "Reversal", "rule": "e2e", "mode": mode, "field": signatureField,
			} {
				if at(key) != want {
					t.Errorf("%s/%s is %q, want %q", tt.webhook, key, at(key), want)
				}
			}
			if n, err := strconv.Atoi(at("count")); err != nil || n < 3 {
				t.Errorf("count is %q, want at least 3", at("count"))
			}
			if end, err := time.Parse(time.RFC3339, at("until")); err != nil || end.Before(found.RequestReceivedTimestamp) {
				t.Errorf("until is %q, want a time after %s", at("until"), found.RequestReceivedTimestamp)
			}
			parties := strings.Fields(at("parties"))
			if len(parties) != 2 && !s.hook.guessed() || !contains(parties, red.user) || !contains(parties, blue.user) {
				t.Errorf("parties are %q, want red and blue", parties)
			}
			if tt.verdict == "Observed" {
				if heard := append(red.heard.truce(), blue.heard.truce()...); len(heard) > 0 {
					t.Errorf("mode Audit warned its clients: %q", heard)
				}
			}
		})
	}
}

// median is the shortest duration that half of them do not exceed. What a busy machine does to a few of them does not show.
func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)/2]
}
