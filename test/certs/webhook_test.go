package certs

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	truce "github.com/truce-dev/truce/certs"
)

// trusted returns an error unless the caBundles of both configurations are what the Secret says.
func (s *scene) trusted() error {
	want := s.ring().Trust()
	for i, bundle := range s.caBundles() {
		if !truce.SameTrust(bundle, want) {
			return fmt.Errorf("caBundle %d is not the Secret's", i)
		}
	}
	return nil
}

func TestTwoReplicasThatStartAtOnceMakeOneAuthority(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.allow()
	var a, b *replica
	var errA, errB error
	var starting sync.WaitGroup
	starting.Go(func() { a, errA = s.tryStart() })
	starting.Go(func() { b, errB = s.tryStart() })
	starting.Wait()
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	s.register(a.port(), b.port())
	s.works()
	if err := s.trusted(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(a.log.String()+b.log.String(), `"step":"authority made"`); n != 1 {
		t.Errorf("%d authorities were made", n)
	}
	if n := len(s.caBundles()); n != 4 {
		t.Fatalf("%d webhooks", n)
	}
	cert := parse(t, s.ring().Cert)
	if got := time.Until(cert.NotAfter); got < 89*24*time.Hour || got > 91*24*time.Hour {
		t.Errorf("the certificate lasts %v", got)
	}
	lease, err := kube.CoordinationV1().Leases(s.name).Get(t.Context(), s.name, metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		t.Errorf("nobody holds the Lease: %v, %v", lease, err)
	}
	if leaders := strings.Count(a.log.String()+b.log.String(), "this replica looks after the certificates"); leaders != 1 {
		t.Errorf("%d replicas look after the certificates", leaders)
	}
	for _, r := range []*replica{a, b} {
		status, body, err := get("http://" + r.OpsAddress + "/readyz")
		if err != nil || status != 200 {
			t.Errorf("not ready: %d %s %v", status, body, err)
		}
		for _, problem := range []string{"not watched", "not looked after", "forbidden"} {
			if strings.Contains(r.log.String(), problem) {
				t.Errorf("the rules of the documentation do not do:\n%s", r.log.String())
			}
		}
	}
}

func TestARemovedCABundleIsPutBack(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.allow()
	r := s.start()
	s.register(r.port())
	s.works()
	eventually(t, "both have the caBundle", s.trusted)
	for name, bundle := range map[string][]byte{"removed": nil, "somebody else's": apiServer.PEM} {
		at := time.Now()
		s.reset(bundle)
		eventually(t, name+" is put right", s.trusted)
		t.Logf("%s: put right after %s", name, time.Since(at).Round(time.Millisecond))
		s.works()
	}
	eventually(t, "the log says so", func() error {
		return r.log.says("somebody reset the caBundle; it is put back", `"by":"gitops-tool"`, "ValidatingWebhookConfiguration "+s.name)
	})
	// What else is in the configuration is left alone.
	c, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), s.name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if w := c.Webhooks[0]; *w.TimeoutSeconds != 20 || len(w.Rules) != 1 || w.ClientConfig.Service.Name != "truce" {
		t.Errorf("the webhook is %v", w)
	}
}

// A GitOps tool that resets the caBundle as soon as it is there. Truce does not join in.
func TestAToolThatResetsTheCABundleAgainAndAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.allow()
	r := s.start()
	s.register(r.port())
	s.works()
	eventually(t, "both have the caBundle", s.trusted)

	restored := 0
	const length = 25 * time.Second
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(length); time.Now().Before(end); <-tick.C {
		if s.trusted() == nil {
			restored++
			for s.tryReset(apiServer.PEM) != nil { // a conflict
			}
		}
	}
	// At once, after 5 s, after 10 more; the next one would be 20 s later. The first one is before all that.
	if restored < 3 || restored > 5 {
		t.Errorf("in %s it was put back %d times, want 3 or 4", length, restored)
	}
	events := func() []corev1.Event {
		t.Helper()
		list, err := kube.CoreV1().Events(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{
			FieldSelector: "involvedObject.name=" + s.name,
		})
		if err != nil {
			t.Fatal(err)
		}
		return list.Items
	}
	// On a busy machine the third time is later than the tool has patience for.
	eventually(t, "there is an Event", func() error {
		if len(events()) == 0 {
			return errNotYet
		}
		return nil
	})
	e := events()[0]
	if e.Type != corev1.EventTypeWarning || e.Reason != "CABundleReset" || e.InvolvedObject.Kind != "ValidatingWebhookConfiguration" {
		t.Errorf("the Event is %s %s on a %s", e.Type, e.Reason, e.InvolvedObject.Kind)
	}
	for _, part := range []string{"field manager: gitops-tool", "3 times", "docs/certificates.md"} {
		if !strings.Contains(e.Message, part) {
			t.Errorf("the Event does not say %q: %s", part, e.Message)
		}
	}
	eventually(t, "the log says so", func() error {
		return r.log.says("somebody reset the caBundle again; it is put back later", "gitops-tool")
	})
	if n := strings.Count(r.log.String(), "reset the caBundle"); n > 10 {
		t.Errorf("%d lines in the log", n)
	}
	// The other configuration, which nobody contests, is not affected; and once the tool is gone, all is well again.
	eventually(t, "the caBundle is put back when the tool stops", s.trusted)
	s.works()
	if n := len(events()); n != 1 {
		t.Errorf("%d Events, want 1; log:\n%s", n, r.log.String())
	}
}

func TestWhatTheSecretHoldsAtTheStart(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	tests := []struct {
		name string
		made time.Duration // when, from now
		want []string      // steps
	}{
		{"a serving certificate that expired is replaced under the same authority", -100 * day, []string{"certificate made"}},
		{"everything expired: the cluster was off for long", -400 * day, []string{"authority made", "certificate made"}},
		{"everything is from the future: the clock was wrong when it was made", 400 * day, []string{"authority made", "certificate made"}},
		{"what is fit is kept", -10 * day, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.allow()
			old, _, err := truce.InCluster.Rotate(truce.Keyring{}, s.hosts(), false, time.Now().Add(test.made))
			if err != nil {
				t.Fatal(err)
			}
			s.put(old)
			r := s.start()
			s.register(r.port())
			s.works()
			var steps []string
			for line := range strings.Lines(r.log.String()) {
				if _, rest, ok := strings.Cut(line, `"step":"`); ok {
					step, _, _ := strings.Cut(rest, `"`)
					steps = append(steps, step)
				}
			}
			if fmt.Sprint(steps) != fmt.Sprint(test.want) {
				t.Errorf("steps %q, want %q", steps, test.want)
			}
			if same := string(old.CA) == string(s.ring().CA); same != (len(test.want) < 2) {
				t.Errorf("the same authority: %t", same)
			}
		})
	}
}

func TestSomebodyElsesSecretIsNotOverwritten(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.allow()
	s.put(truce.Keyring{Bundle: truce.Bundle{CA: apiServer.PEM}})
	ops, log := s.startUnready()
	eventually(t, "it says whose it is", func() error {
		status, body, err := get("http://" + ops + "/readyz")
		if err != nil || status != 503 || !strings.Contains(body, "was not made by Truce") {
			return fmt.Errorf("status %d, body %q, %v", status, body, err)
		}
		return log.says("was not made by Truce", "serve with a certificate of your own")
	})
	if string(s.ring().CA) != string(apiServer.PEM) {
		t.Error("it was overwritten")
	}
}

// Without its rights it is not ready, says which it lacks, and goes on trying: when it gets them, it serves.
func TestWithoutRightsItIsNotReadyAndSaysSo(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ops, log := s.startUnready()
	eventually(t, "it says what it may not", func() error {
		status, body, err := get("http://" + ops + "/readyz")
		if err != nil || status != 503 || !strings.Contains(body, "no certificate yet") || !strings.Contains(body, "forbidden") ||
			!strings.Contains(body, "docs/security.md") {
			return fmt.Errorf("status %d, body %q, %v", status, body, err)
		}
		return nil
	})
	if status, _, err := get("http://" + ops + "/healthz"); err != nil || status != 200 {
		t.Errorf("not healthy (%d, %v): it would be killed again and again", status, err)
	}
	s.allow()
	eventually(t, "it serves once it has its rights", func() error {
		status, body, err := get("http://" + ops + "/readyz")
		if err != nil || status != 200 {
			return errors.Join(err, errors.New(body))
		}
		return nil
	})
	if n := strings.Count(log.String(), "certificates not looked after"); n == 0 || n > 6 {
		t.Errorf("%d lines about it in the log:\n%s", n, log.String())
	}
}

// What docs/certificates.md says of tools that apply on the server's side: they leave the caBundle alone.
func TestAServerSideApplyLeavesTheCABundleAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.allow()
	r := s.start()
	s.register(r.port())
	s.works()
	eventually(t, "both have the caBundle", s.trusted)
	yes := true
	for _, timeout := range []string{"19", "18"} {
		manifest := fmt.Sprintf(`{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration",
			"metadata":{"name":%q},"webhooks":[{"name":"replica-0.truce.dev","timeoutSeconds":%s,"sideEffects":"None",
			"admissionReviewVersions":["v1"],"clientConfig":{"service":{"namespace":%q,"name":"truce","path":"/validate","port":%d}}}]}`,
			s.name, timeout, s.name, r.port())
		_, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Patch(t.Context(), s.name, types.ApplyPatchType,
			[]byte(manifest), metav1.PatchOptions{FieldManager: "kustomize-controller", Force: &yes})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.trusted(); err != nil {
			t.Errorf("after a server-side apply: %v", err)
		}
	}
	if err := r.log.says("reset the caBundle"); err == nil {
		t.Errorf("somebody reset it:\n%s", r.log.String())
	}
}
