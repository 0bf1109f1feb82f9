package certs

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	truce "github.com/truce-dev/truce/certs"
	"github.com/truce-dev/truce/certs/incluster"
	"github.com/truce-dev/truce/test/cluster"
)

// The authority in the Secret is due when two replicas start. While 200 writes per second need the consent of both, the
// next one is announced, and signs once it is trusted; no call fails.
//
// It runs alone, and without the race detector, for the sake of the rate. Two cores do 450 writes a second, with the API
// server at most of the work.
func TestRotationUnderLoad(t *testing.T) {
	s := newScene(t)
	var err error
	if s.webhook, err = cluster.BuildWebhook(t.Context(), s.dir); err != nil {
		t.Fatal(err)
	}
	s.allow()
	// Made as long ago as it takes to be due.
	age := truce.InCluster.Authority - truce.InCluster.RenewAuthority + time.Hour
	old, _, err := truce.InCluster.Rotate(truce.Keyring{}, s.hosts(), false, time.Now().Add(-age))
	if err != nil {
		t.Fatal(err)
	}
	s.put(old)
	a, b := s.start(), s.start()
	s.register(a.port(), b.port())
	s.works()
	const atLeast = 200
	stop := s.load(atLeast + 50)
	began := time.Now()
	var announced, changed time.Time
	eventually(t, "the next authority is announced", func() (err error) {
		announced, err = a.log.when(b.log, `"step":"authority announced"`)
		return err
	})
	if got := s.ring(); string(got.CA) != string(old.CA) {
		t.Error("the next authority signs before it was trusted")
	}
	eventually(t, "the next authority signs", func() (err error) {
		changed, err = a.log.when(b.log, `"step":"authority changed"`)
		return err
	})
	serial := parse(t, s.ring().Cert).SerialNumber.String()
	for _, r := range []*replica{a, b} {
		eventually(t, "both replicas serve with it", func() error { return r.log.says("certificate loaded", serial) })
	}
	eventually(t, "both authorities are in every caBundle", s.trusted)
	pauseFor(t, 3*time.Second)
	writes, failures := stop()
	took := time.Since(began)
	t.Logf("%d writes in %s (%.0f/s), %d failed; the next authority signed %s after it was announced",
		writes, took.Round(time.Second), float64(writes)/took.Seconds(), failures, changed.Sub(announced).Round(time.Second))
	if failures > 0 || writes < 1000 {
		t.Errorf("%d of %d writes failed, want none of at least 1000", failures, writes)
	}
	if float64(writes) < atLeast*took.Seconds() {
		t.Logf("this machine is too slow or too busy for %d writes a second", atLeast)
	}
	// The minute counts from the beginning of the look that announces it, by what the API server said then of the time. The
	// line in the log comes when the look has written everything, which takes 20 s at most.
	if after := changed.Sub(announced); after < incluster.Settle-25*time.Second {
		t.Errorf("it signed %s after it was announced, before the slowest API server has heard of it", after)
	}
	ring := s.ring()
	if string(ring.CA) == string(old.CA) || !truce.SameTrust(ring.Trust(), append(old.CA, ring.CA...)) {
		t.Error("the old authority is not trusted beside the new one")
	}
}

// Who deletes the Secret gets a new authority, and no failed call.
func TestADeletedSecretUnderLoad(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.allow()
	a, b := s.start(), s.start()
	s.register(a.port(), b.port())
	s.works()
	old := s.ring()
	stop := s.load(40)
	if err := kube.CoreV1().Secrets(s.name).Delete(t.Context(), s.name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"was deleted or emptied", `"step":"authority changed"`} {
		eventually(t, "it is put back and a new authority signs", func() error {
			_, err := a.log.when(b.log, part)
			return err
		})
	}
	pauseFor(t, 3*time.Second)
	writes, failures := stop()
	if failures > 0 {
		t.Errorf("%d of %d writes failed", failures, writes)
	}
	if string(s.ring().CA) == string(old.CA) {
		t.Error("it is the old authority")
	}
}

// pauseFor goes on with what runs in the background for a while.
func pauseFor(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
