package certs

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	truce "github.com/truce-dev/truce/certs"
)

// The replica that holds the Lease is killed. The other one takes over when the Lease has run out, and renews what is
// due: somebody puts back the Secret as it was 70 days ago. No call of the one that is left fails meanwhile.
func TestAReplicaTakesOverFromOneThatWasKilled(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.allow()
	due, _, err := truce.InCluster.Rotate(truce.Keyring{}, s.hosts(), false, time.Now().Add(-70*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s.put(due)
	killed, left := s.start(), s.start()
	eventually(t, "one of them holds the Lease", func() error {
		identity, err := s.holder()
		if err == nil && left.is(identity) {
			killed, left = left, killed
		}
		if err == nil && !killed.is(identity) {
			err = fmt.Errorf("it is %q", identity)
		}
		return err
	})
	eventually(t, "it renews what is due", func() error { return killed.log.says(`"step":"certificate made"`) })
	s.register(left.port())
	s.works()
	stop := s.load(20)

	at := time.Now()
	killed.kill()
	eventually(t, "the other one takes over", func() error {
		return left.log.says("this replica looks after the certificates from now on")
	})
	took := time.Since(at)
	t.Logf("it took over %s after the other one was killed", took.Round(time.Second))
	if took < 15*time.Second {
		t.Error("the Lease was given up: that was no sudden death")
	}
	if identity, err := s.holder(); err != nil || !left.is(identity) {
		t.Errorf("the Lease is held by %q, %v", identity, err)
	}
	s.replace(due)
	eventually(t, "it renews what is due", func() error { return left.log.says(`"step":"certificate made"`) })
	ring := s.ring()
	if string(ring.CA) != string(due.CA) || string(ring.Cert) == string(due.Cert) {
		t.Error("the certificate is not a new one of the same authority")
	}
	serial := parse(t, ring.Cert).SerialNumber.String()
	eventually(t, "it serves with it", func() error { return left.log.says("certificate loaded", serial) })
	eventually(t, "its caBundle is in both configurations", s.trusted)
	if writes, failures := stop(); failures > 0 || writes < 20 {
		t.Errorf("%d of %d writes failed", failures, writes)
	}
}

// holder returns who holds the Lease.
func (s *scene) holder() (string, error) {
	lease, err := kube.CoordinationV1().Leases(s.name).Get(s.t.Context(), s.name, metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		return "", errors.Join(err, errNotYet)
	}
	return *lease.Spec.HolderIdentity, nil
}

// replace gives the Secret another keyring.
func (s *scene) replace(ring truce.Keyring) {
	s.t.Helper()
	eventually(s.t, "the Secret is replaced", func() error { // at once, unless somebody writes it at the same time
		secret, err := kube.CoreV1().Secrets(s.name).Get(s.t.Context(), s.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		ring.Put(secret.Data)
		_, err = kube.CoreV1().Secrets(s.name).Update(s.t.Context(), secret, metav1.UpdateOptions{})
		return err
	})
}

// is reports whether the replica has an identity.
func (r *replica) is(identity string) bool {
	return strings.HasSuffix(identity, fmt.Sprintf("-%d", r.Cmd.Process.Pid))
}

// kill ends the replica without a warning.
func (r *replica) kill() {
	r.t.Helper()
	r.killed = true
	if err := r.Cmd.Process.Kill(); err != nil {
		r.t.Fatal(err)
	}
}
