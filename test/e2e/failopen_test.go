package e2e

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/admission"
)

// goOn has both parties write in turn while Truce is out of order: each write must be stored. It returns how long
// they took, and how long writes took beside that concern no webhook.
func goOn(t *testing.T, s *scene, n int, red, blue *party) (took, without []time.Duration) {
	t.Helper()
	both, aside := s.inTurn(red, blue), s.aside(red)
	w := s.watch(configMaps, "settings")
	for i := range n {
		p := both[i%2]
		at := time.Now()
		if err := p.signs("settings"); err != nil {
			t.Errorf("write %d by %s: %v", i+1, p.name, err)
		}
		took = append(took, time.Since(at))
		at = time.Now()
		aside.must(aside.signsWith("settings", fmt.Sprint(i)))
		without = append(without, time.Since(at))
	}
	if got := w.writes(); got != n {
		t.Errorf("%d of %d writes were stored", got, n)
	}
	return took, without
}

// inTurn returns both parties, first the one whose value is not stored.
func (s *scene) inTurn(red, blue *party) [2]*party {
	s.t.Helper()
	if signatureOf(s.get(configMaps, "settings")) == red.name {
		return [2]*party{blue, red}
	}
	return [2]*party{red, blue}
}

// aside returns the party in a namespace of no scene, for which no webhook is registered, with something to write to.
func (s *scene) aside(p *party) *party {
	s.t.Helper()
	elsewhere := *s
	elsewhere.id = fmt.Sprintf("%s-aside-%d", s.id, scenes.Add(1))
	elsewhere.ns = elsewhere.namespace(elsewhere.id)
	elsewhere.create(configMaps, object("v1", "ConfigMap", "settings"))
	there := *p
	there.ns = elsewhere.ns
	return &there
}

// foundAgain restarts the webhook at the address it had, and has the parties go on until it finds their fight anew. It
// returns with how many writes.
func foundAgain(t *testing.T, s *scene, old *hook, red, blue *party) (*hook, int) {
	t.Helper()
	var h *hook
	// Somebody else may have taken the port meanwhile, for a connection.
	eventually(t, "the webhook serves at the address it had", func() bool {
		var err error
		if h, err = s.tryHookIn(old.certDir, "--listen="+old.Address); err != nil {
			t.Log(err)
		}
		return err == nil
	})
	if string(h.CABundle) != string(old.CABundle) {
		t.Fatal("the webhook made itself another authority: what is registered would not trust it")
	}
	// The API server may have to notice first that connecting is worth it again.
	eventually(t, "the API server reaches the webhook again", func() bool {
		s.probe()
		v, _ := h.reached()
		return v > 0
	})
	both := s.inTurn(red, blue)
	n := until(t, patience, 50*time.Millisecond, func(i int) bool {
		err := both[i%2].signs("settings")
		_, found := h.started(signatureField)
		if err != nil && !found {
			t.Fatalf("write %d after the restart: %v", i+1, err)
		}
		return found
	})
	return h, n
}

// relearned is the most writes it may take: the webhook knows nothing but what the stored object tells, which is the
// first of the two values. Each write from the second on is a reversal, and 3 are a fight.
const relearned = 4

func TestWritesGoOnWhileTheWebhookIsDead(t *testing.T) {
	t.Parallel()
	for _, tt := range actionsThatStop {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, strings.ReplaceAll(tt.policy, "3s", "5m"))
			red, blue := quarrel(t, s, "settings")
			first := s.inTurn(red, blue)[0]
			if stopped(t, first.signs("settings")); signatureOf(s.get(configMaps, "settings")) == first.name {
				t.Fatal("the fight is not held down: this test proves nothing")
			}
			s.hook.kill()
			took, without := goOn(t, s, 20, red, blue)
			if typical, usual := median(took), median(without); typical > usual+time.Second {
				t.Errorf("a write took %s, others %s, but nobody listens at the webhook's address", typical, usual)
			}
			_, n := foundAgain(t, s, s.hook, red, blue)
			t.Logf("found again with write %d after the restart", n)
			if n > relearned {
				t.Errorf("found again with write %d after the restart, want at most %d", n, relearned)
			}
		})
	}
}

// A stopped process takes connections and never answers: each write waits for the webhook's timeout, and goes through. It
// waits twice if the API server had an old object in its cache and asks again about the newer one.
func TestWritesGoOnWhileTheWebhookIsStopped(t *testing.T) {
	t.Parallel()
	s := newStage(t, rule("action: Reject"))
	s.timeout = 0
	s.raise()
	red, blue := quarrel(t, s, "settings")
	s.hook.signal(syscall.SIGSTOP)
	defer s.hook.signal(syscall.SIGCONT)
	const timeout = 2 * time.Second // see pkg/registration
	took, without := goOn(t, s, 4, red, blue)
	if slices.Min(took) < timeout || median(took) > 2*timeout+median(without)+time.Second {
		t.Errorf("the writes took %s, want the webhook's timeout of %s each, or twice that", took, timeout)
	}
	s.hook.signal(syscall.SIGCONT)
	// It has forgotten nothing: the truce lasts. One of the two undoes what is stored.
	eventually(t, "the webhook answers again", func() bool {
		return stopped(t, red.signs("settings")) || stopped(t, blue.signs("settings"))
	})
}

// A restart in good order: nobody gets an error, and what the old process knew is known to the new one within a lap.
func TestTheWebhookIsRestarted(t *testing.T) {
	t.Parallel()
	s := newScene(t, rule("action: Reject"))
	red, blue := quarrel(t, s, "settings") // blue's value is stored
	s.hook.stop()
	goOn(t, s, 4, red, blue)
	_, n := foundAgain(t, s, s.hook, red, blue)
	t.Logf("found again with write %d after the restart", n)
	if n > relearned {
		t.Errorf("found again with write %d after the restart, want at most %d", n, relearned)
	}
}

// What is served in the webhook's place is no verdict, so failurePolicy decides. The policy holds, so that both of its
// webhooks are called.
func TestWritesGoOnWhenGarbageIsServed(t *testing.T) {
	t.Parallel()
	s := newStage(t, rule("action: Hold"))
	s.timeout = 0
	s.raise()
	red, blue := quarrel(t, s, "settings")
	s.hook.kill()

	panics := &panicCounter{}
	mux := http.NewServeMux()
	mux.Handle("/validate", panicking(admission.Validating, panics))
	mux.Handle("/mutate", panicking(admission.Mutating, panics))
	stranger := httptest.NewUnstartedServer(nil)
	stranger.StartTLS()
	defer stranger.Close()

	const timeout = 2 * time.Second
	for _, tt := range []struct {
		name    string
		handler http.Handler
		cert    *tls.Certificate
		slow    bool
		panics  bool
	}{
		{name: "Truce's handler panics", handler: mux, panics: true},
		{name: "500", handler: says(500, "text/plain", "internal error")},
		{name: "404", handler: http.NotFoundHandler()},
		{name: "200 with a page", handler: says(200, "text/html", "<html>It works!</html>")},
		{name: "200 with nothing", handler: says(200, "application/json", "")},
		{name: "200 with null", handler: says(200, "application/json", "null")},
		{name: "200 with half an answer", handler: says(200, "application/json",
			`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"allowed":fal`)},
		{name: "a denial of another request", handler: answer(func(string) any {
			return map[string]any{"uid": "00000000-0000-0000-0000-000000000000", "allowed": false}
		})},
		{name: "a denial without uid", handler: answer(func(string) any { return map[string]any{"allowed": false} })},
		{name: "no response in the review", handler: answer(func(string) any { return nil })},
		{name: "a connection cut off", handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		})},
		{name: "an answer that never comes", slow: true, handler: http.HandlerFunc(
			func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })},
		{name: "another authority's certificate", cert: &stranger.TLS.Certificates[0], handler: http.NotFoundHandler()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var i *impostor
			if tt.cert != nil {
				i = s.hook.impersonateWith(*tt.cert, tt.handler)
			} else {
				i = s.hook.impersonate(tt.handler)
			}
			// The API server may use the connection to the one before, until it notices that it is dead.
			eventually(t, "the API server reaches the impostor", func() bool {
				s.probe()
				return i.reached.Load() > 0
			})
			reached, panicked := i.reached.Load(), panics.panics.Load()
			took, without := goOn(t, s, 4, red, blue)
			i.close()
			if i.reached.Load() == reached {
				t.Error("nothing reached the impostor: this test proves nothing")
			}
			if n := panics.panics.Load() - panicked; tt.panics && n < 8 {
				t.Errorf("the handler panicked %d times in 4 writes with two webhooks each", n)
			}
			typical, most := median(took), median(without)+time.Second
			if !tt.slow && typical > most {
				t.Errorf("a write took %s, want less than %s", typical, most)
			} else if tt.slow && (typical < timeout || typical > 4*timeout+most) {
				t.Errorf("a write took %s, want the timeouts of two webhooks, %s each, or twice that", typical, timeout)
			}
		})
	}
	if n := panics.others.Load(); n != 0 {
		t.Errorf("the handler that panics reported %d other outcomes", n)
	}
	s.setTimeout(15) // as in newStage: none of the writes that it takes is to be one unseen
	_, n := foundAgain(t, s, s.hook, red, blue)
	t.Logf("found again with write %d after the restart", n)
	if n > relearned {
		t.Errorf("found again with write %d after the restart, want at most %d", n, relearned)
	}
}

// Why Truce answers its own faults with an HTTP error, and spells out `allowed` in every verdict: to the API server, an
// answer without it is a denial, which failurePolicy Ignore does not cover.
func TestAnAnswerWithoutAllowedIsADenialToTheAPIServer(t *testing.T) {
	t.Parallel()
	s := newScene(t, rule("action: Reject"))
	tracked(s)
	red := s.party("red")
	red.must(red.signs("settings"))
	s.hook.kill()
	i := s.hook.impersonate(answer(func(uid string) any { return map[string]any{"uid": uid} }))
	defer i.close()
	blue := s.party("blue")
	// While it uses the connection to the webhook that is dead, failurePolicy lets writes through.
	eventually(t, "the API server takes an answer without `allowed` for a denial", func() bool {
		return blue.signs("settings") != nil && i.reached.Load() > 0
	})
}
