package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/registration"
	"github.com/truce-dev/truce/pkg/report"
	"github.com/truce-dev/truce/test/cluster"
)

// background is for what is done when a test's own context has ended.
var background = context.Background()

// hook is a webhook process.
type hook struct {
	t *testing.T
	*cluster.Webhook
	log     *cluster.Log
	certDir string
	gone    bool
}

// startHook starts a webhook with the scene's policy. It is stopped when the test ends.
func (s *scene) startHook(args ...string) *hook {
	s.t.Helper()
	return s.startHookIn(fmt.Sprintf("%s/certs-%d", s.dir, scenes.Add(1)), args...)
}

// startHookIn starts a webhook whose certificate is in certDir, or will be.
func (s *scene) startHookIn(certDir string, args ...string) *hook {
	s.t.Helper()
	h, err := s.tryHookIn(certDir, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

// tryHookIn is startHookIn, which may fail.
func (s *scene) tryHookIn(certDir string, args ...string) (*hook, error) {
	s.t.Helper()
	h := &hook{t: s.t, log: &cluster.Log{}, certDir: certDir}
	var err error
	args = append([]string{"--policy=" + s.file}, args...)
	if h.Webhook, err = cluster.StartWebhook(webhookBin, certDir, h.log, args...); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, h.log.String())
	}
	s.t.Cleanup(func() {
		h.stop()
		if text := h.log.String(); strings.Contains(text, "DATA RACE") {
			s.t.Errorf("the webhook has a data race:\n%s", text)
		} else if s.t.Failed() {
			s.t.Logf("the webhook's log:\n%s", text)
		}
	})
	return h, nil
}

// stop ends the webhook as a cluster would.
func (h *hook) stop() {
	h.t.Helper()
	if h.gone {
		return
	}
	h.gone = true
	if err := h.Stop(); err != nil {
		h.t.Errorf("the webhook did not end in good order: %v", err)
	}
}

// kill ends the webhook without warning.
func (h *hook) kill() {
	h.t.Helper()
	h.gone = true
	h.signal(syscall.SIGKILL)
	_ = h.Stop() // waits until it is gone; that it was killed is known
}

func (h *hook) signal(s syscall.Signal) {
	h.t.Helper()
	if err := h.Cmd.Process.Signal(s); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hook) endpoint() registration.Endpoint {
	return registration.Endpoint{URL: "https://" + h.Address, CABundle: h.CABundle}
}

// reached tells how many reviews the webhook answered.
func (h *hook) reached() (validating, mutating int) {
	return int(h.metric("truce_reviews_total", "phase", "validating")), int(h.metric("truce_reviews_total", "phase", "mutating"))
}

// metric returns the sum of a metric's samples that have the label values, given in pairs.
func (h *hook) metric(name string, labels ...string) float64 {
	h.t.Helper()
	resp, err := http.Get("http://" + h.OpsAddress + "/metrics")
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	var sum float64
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		sample, value, _ := strings.Cut(lines.Text(), " ")
		if sample != name && !strings.HasPrefix(sample, name+"{") {
			continue
		}
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && strings.Contains(sample, fmt.Sprintf("%s=%q", labels[i], labels[i+1]))
		}
		if !fits {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			h.t.Fatal(err)
		}
		sum += n
	}
	if err := lines.Err(); err != nil {
		h.t.Fatal(err)
	}
	return sum
}

// turn is a line of the webhook's log about a fight.
type turn struct {
	Time                                                     time.Time
	Msg, Turn, Kind, Fight, Resource, Group, Namespace, Name string
	Field, Signal, Rule, Reason, Mode                        string
	Parties                                                  []string
	Count                                                    int
	Until                                                    time.Time
}

// turns returns what the webhook logged about fights so far, of the given kinds or all.
func (h *hook) turns(kinds ...string) []turn {
	h.t.Helper()
	var all []turn
	for _, line := range strings.Split(h.log.String(), "\n") {
		var tn turn
		if !strings.Contains(line, `"fight"`) || json.Unmarshal([]byte(line), &tn) != nil || tn.Msg != "fight" {
			continue
		}
		if len(kinds) == 0 || slices.Contains(kinds, tn.Turn) {
			all = append(all, tn)
		}
	}
	return all
}

// awaitTurns is turns once there are n of them, or patience is at its end: the log follows the webhook's answers. What
// they should be is for the caller to say.
func (h *hook) awaitTurns(n int, kinds ...string) []turn {
	h.t.Helper()
	return h.awaitTurnsFor(patience, n, kinds...)
}

func (h *hook) awaitTurnsFor(most time.Duration, n int, kinds ...string) (all []turn) {
	h.t.Helper()
	until(h.t, most, 10*time.Millisecond, func(int) bool {
		all = h.turns(kinds...)
		return len(all) >= n
	})
	return all
}

// starts returns the fights that were found, of which there are at most n. A verdict is counted before it is given, and
// then it is logged: the lines of those that were given are waited for, but not for long, since verdicts upon an object
// that the API server's cache had too old are counted and never logged.
func (h *hook) starts(n int) []turn {
	h.t.Helper()
	if found := h.turns("Started"); h.gone || len(found) >= n {
		return found
	}
	return h.awaitTurnsFor(3*time.Second, min(n, int(h.metric("truce_verdicts_total"))), "Started")
}

// guessed tells whether the webhook had to guess who made some write, from its manager, which is everybody's here. On a busy
// machine the API server may give up on a review, or have the write reviewed with an old object first.
func (h *hook) guessed() bool {
	h.t.Helper()
	return h.metric("truce_changes_total", "outcome", "Unseen") > 0
}

// unheld returns how many writes came past the mutating webhook, the only one that can hold. On a busy machine the API
// server may try a write upon an old object first, and not ask it again.
func (h *hook) unheld() int {
	h.t.Helper()
	return int(h.metric("truce_verdicts_total", "reason", "HoldMissed"))
}

// started returns the fight over a field, and false if none was found yet.
func (h *hook) started(field string) (turn, bool) {
	h.t.Helper()
	for _, tn := range h.starts(1) {
		if tn.Field == field {
			return tn, true
		}
	}
	return turn{}, false
}

// fight returns the only fight in a namespace, as the webhook's API tells of it: its times are those of the decisions,
// which its log follows.
func (h *hook) fight(namespace string) report.Fight {
	h.t.Helper()
	var fights report.Fights
	_, body := get(h.t, "GET", "http://"+h.OpsAddress+"/api/v1/fights?kind=fight&namespace="+namespace, "")
	if err := json.Unmarshal([]byte(body), &fights); err != nil || len(fights.Items) != 1 {
		h.t.Fatalf("%d fights in %s, want one; %v: %s", len(fights.Items), namespace, err, body)
	}
	return fights.Items[0]
}
