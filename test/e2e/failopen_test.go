package e2e

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/truce-dev/truce/pkg/admission"
)

// goOn has both parties write in turn while Truce is out of order: each write must be stored. It returns how long
// they took.
func goOn(t *testing.T, s *scene, n int, red, blue *party) (took []time.Duration) {
	t.Helper()
	w := s.watch(configMaps, "settings")
	for i := range n {
		p := []*party{red, blue}[i%2]
		at := time.Now()
		if err := p.signs("settings"); err != nil {
			t.Errorf("write %d by %s: %v", i+1, p.name, err)
		}
		took = append(took, time.Since(at))
	}
	if got := w.writes(); got != n {
		t.Errorf("%d of %d writes were stored", got, n)
	}
	return took
}

// foundAgain restarts the webhook at the address it had, and has the parties go on until it finds their fight anew. It
// returns with how many writes.
func foundAgain(t *testing.T, s *scene, old *hook, red, blue *party) (*hook, int) {
	t.Helper()
	h := s.startHookIn(old.certDir, "--listen="+old.Address)
	if string(h.CABundle) != string(old.CABundle) {
		t.Fatal("the webhook made itself another authority: what is registered would not trust it")
	}
	// The API server may have to notice first that connecting is worth it again.
	eventually(t, "the API server reaches the webhook again", func() bool {
		s.probe()
		v, _ := h.reached()
		return v > 0
	})
	n := until(t, patience, 50*time.Millisecond, func(i int) bool {
		err := []*party{red, blue}[i%2].signs("settings")
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
			if signatureOf(s.get(configMaps, "settings")) == red.name {
				red, blue = blue, red
			}
			if stopped(t, red.signs("settings")); signatureOf(s.get(configMaps, "settings")) == red.name {
				t.Fatal("the fight is not held down: this test proves nothing")
			}
			s.hook.kill()
			if typical := median(goOn(t, s, 20, red, blue)); typical > time.Second {
				t.Errorf("a write took %s, but nobody listens at the webhook's address", typical)
			}
			_, n := foundAgain(t, s, s.hook, red, blue)
			t.Logf("found again with write %d after the restart", n)
			if n > relearned {
				t.Errorf("found again with write %d after the restart, want at most %d", n, relearned)
			}
		})
	}
}

// A stopped process takes connections and never answers: each write waits for the webhook's timeout, and goes through.
func TestWritesGoOnWhileTheWebhookIsStopped(t *testing.T) {
	t.Parallel()
	s := newStage(t, rule("action: Reject"))
	s.timeout = 0
	s.raise()
	red, blue := quarrel(t, s, "settings")
	s.hook.signal(syscall.SIGSTOP)
	defer s.hook.signal(syscall.SIGCONT)
	const timeout = 2 * time.Second // see pkg/registration
	took := goOn(t, s, 4, red, blue)
	if typical := median(took); slices.Min(took) < timeout || typical > timeout+time.Second {
		t.Errorf("the writes took %s, want the webhook's timeout of %s each", took, timeout)
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
	}{
		{name: "Truce's handler panics", handler: mux},
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
			n := 4
			if tt.slow {
				n = 2
			}
			typical := median(goOn(t, s, n, red, blue))
			i.close()
			if i.reached.Load() == 0 {
				t.Error("nothing reached the impostor: this test proves nothing")
			}
			if most := time.Second; !tt.slow && typical > most {
				t.Errorf("a write took %s, want less than %s", typical, most)
			} else if tt.slow && (typical < timeout || typical > 2*timeout+time.Second) {
				t.Errorf("a write took %s, want the timeouts of two webhooks, %s each", typical, timeout)
			}
		})
	}
	if panics.panics.Load() < 8 || panics.others.Load() != 0 {
		t.Errorf("the handler panicked %d times in 4 writes with two webhooks each, and reported %d other outcomes",
			panics.panics.Load(), panics.others.Load())
	}
	if signatureOf(s.get(configMaps, "settings")) == red.name {
		red, blue = blue, red
	}
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
	if err := blue.signs("settings"); !apierrors.IsForbidden(err) && !apierrors.IsBadRequest(err) && err == nil {
		t.Error("the API server took an answer without `allowed` for a permission")
	}
}
