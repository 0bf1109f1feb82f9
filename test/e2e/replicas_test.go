package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/truce-dev/truce/pkg/registration"
)

// balancer is the one address in front of several webhooks, as a Service is.
type balancer struct {
	endpoint registration.Endpoint
	// reached counts reviews by path.
	validating, mutating atomic.Int64
}

// pick says which webhook a review goes to, by a number of any size. n counts the reviews of one webhook configuration.
type pick func(path string, review []byte, n int64) int64

// inTurn sends the reviews of each webhook configuration to the webhooks in turn.
func inTurn(_ string, _ []byte, n int64) int64 { return n }

// bySide sends red's writes to one webhook, and what others write to another. It is what happens in turn if red's and
// blue's writes alternate, but a review that the API server repeats does not make them change places.
func bySide(_ string, review []byte, _ int64) int64 {
	var r struct {
		Request struct {
			UserInfo struct{ Username string }
		}
	}
	if json.Unmarshal(review, &r) == nil && strings.HasSuffix(r.Request.UserInfo.Username, ":red") {
		return 0
	}
	return 1
}

// byHalf sends one half of each write to one webhook, the other to another.
func byHalf(path string, _ []byte, _ int64) int64 {
	if path == "/mutate" {
		return 0
	}
	return 1
}

// balance serves the hooks behind one address. which picks one for a review.
func balance(t *testing.T, which pick, hooks ...*hook) *balancer {
	t.Helper()
	b := &balancer{}
	proxies := make([]*httputil.ReverseProxy, len(hooks))
	for i, h := range hooks {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(h.CABundle) {
			t.Fatal("a webhook's CA bundle holds no certificate")
		}
		proxies[i] = httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "https", Host: h.Address})
		proxies[i].Transport = &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		}
		proxies[i].ErrorLog = log.New(io.Discard, "", 0)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := &b.validating
		if r.URL.Path == "/mutate" {
			n = &b.mutating
		}
		review, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(review))
		proxies[which(r.URL.Path, review, n.Add(1))%int64(len(proxies))].ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	b.endpoint = registration.Endpoint{
		URL:      server.URL,
		CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}
	return b
}

func (b *balancer) reached() (validating, mutating int) {
	return int(b.validating.Load()), int(b.mutating.Load())
}

// replicated makes a scene with two webhooks behind one address.
func replicated(t *testing.T, policyYAML string, which pick) (*scene, [2]*hook) {
	t.Helper()
	s := newStage(t, policyYAML)
	hooks := [2]*hook{s.startHook(), s.startHook()}
	b := balance(t, which, hooks[:]...)
	s.register(b.endpoint, b.reached)
	return s, hooks
}

// One replica sees all of red's writes and none of blue's.
func TestTwoReplicasThatSeeOneSideEachFindTheFight(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		gvr  schema.GroupVersionResource
		make map[string]any
		// most is how many writes it may take until both have found it.
		most int
	}{
		{"an object that tracks its fields", configMaps, object("v1", "ConfigMap", "contested"), 12},
		{"an object that does not", serviceAccounts, object("v1", "ServiceAccount", "contested"), 40},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// In mode Warn, so that what one replica finds does not keep the other one from seeing the rest.
			s, hooks := replicated(t, modeRule("Warn", "action: Reject"), bySide)
			if tt.gvr == configMaps {
				tt.make["data"] = map[string]any{"colour": "grey"}
			}
			s.create(tt.gvr, tt.make)
			red, blue := s.party("red"), s.party("blue")
			counts := func() (n [2]float64) {
				for i, h := range hooks {
					n[i] = h.metric("truce_reviews_total")
				}
				return n
			}
			before := counts()
			found := [2]int{}
			n := until(t, patience, 100*time.Millisecond, func(i int) bool {
				p := []*party{red, blue}[i%2]
				p.must(p.patch(tt.gvr, "contested", types.MergePatchType,
					`{"metadata":{"annotations":{"`+signature+`":"`+p.name+`"}}}`))
				for r, h := range hooks {
					if _, ok := h.started(signatureField); ok && found[r] == 0 {
						found[r] = i + 1
					}
				}
				return found[0] > 0 && found[1] > 0
			})
			after := counts()
			t.Logf("found with write %d by one, %d by the other", found[0], found[1])
			if found[0] == 0 || found[1] == 0 || n > tt.most {
				t.Errorf("after %d writes, found by the replicas with writes %v, want at most %d", n, found, tt.most)
			}
			if a, b := int(after[0]-before[0]), int(after[1]-before[1]); a < (n+1)/2 || b < n/2 {
				t.Errorf("of %d writes, one replica saw %d, the other %d: want red's and blue's", n, a, b)
			}
		})
	}
}

// With enforcement, nothing of the fight is stored any more, whichever replica is asked.
func TestTwoReplicasHoldTheFightDown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, policy string
		gvr          schema.GroupVersionResource
		make         map[string]any
		which        pick
	}{
		{"Reject, tracked", rule("action: Reject"), configMaps, object("v1", "ConfigMap", "contested"), bySide},
		{"Reject, untracked", rule("action: Reject"), serviceAccounts, object("v1", "ServiceAccount", "contested"), bySide},
		{"Hold, tracked", rule("action: Hold"), configMaps, object("v1", "ConfigMap", "contested"), bySide},
		{"Hold, untracked", rule("action: Hold"), serviceAccounts, object("v1", "ServiceAccount", "contested"), bySide},
		// One replica gets the mutating half of each write, the other one the validating half.
		{"Hold, halves of a write apart, tracked", rule("action: Hold"), configMaps, object("v1", "ConfigMap", "contested"), byHalf},
		{"Hold, halves of a write apart, untracked", rule("action: Hold"), serviceAccounts, object("v1", "ServiceAccount", "contested"), byHalf},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, _ := replicated(t, tt.policy, tt.which)
			if tt.gvr == configMaps {
				tt.make["data"] = map[string]any{"colour": "grey"}
			}
			s.create(tt.gvr, tt.make)
			red, blue := s.party("red"), s.party("blue")
			w := s.watch(tt.gvr, "contested")
			attempts := func(n int) {
				laps(t, n, 100*time.Millisecond, func(i int) {
					p := []*party{red, blue}[i%2]
					stopped(t, p.patch(tt.gvr, "contested", types.MergePatchType,
						`{"metadata":{"annotations":{"`+signature+`":"`+p.name+`"}}}`))
				})
			}
			attempts(60)
			before := w.writes()
			attempts(60)
			t.Logf("%d of the first 60 attempts stored", before)
			if n := w.writes() - before; n != 0 {
				t.Errorf("%d of 60 attempts were stored after the first 60, want 0", n)
			}
		})
	}
}
