package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/truce-dev/truce/test/cluster"
)

// forge sends a review with a client certificate, or without.
func (s *scene) forge(r *replica, certificate ...tls.Certificate) (status int, err error) {
	return cluster.Forge(r.Address, "truce."+s.name+".svc", s.ring().Trust(), certificate...)
}

func issued(t *testing.T, a cluster.Authority, name string) tls.Certificate {
	t.Helper()
	certificate, err := a.Certificate(name)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// The API server is started with --admission-control-config-file, whose kubeconfig holds a client certificate for
// webhooks; see TestMain.
func TestOnlyTheAPIServerMaySendReviews(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.allow()
	other, err := cluster.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.dir, "client-ca.crt")
	if err := os.WriteFile(file, apiServer.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	r := s.start("--client-ca="+file, "--client-name=front-proxy", "--client-name=kube-apiserver")
	s.register(r.port())
	s.works() // the API server's own calls

	began := time.Now()
	if status, err := s.forge(r, issued(t, apiServer, "kube-apiserver")); err != nil || status != http.StatusOK {
		t.Fatalf("with the API server's certificate: status %d, %v; the cases below show nothing", status, err)
	}
	for name, certificate := range map[string][]tls.Certificate{
		"no certificate":                           nil,
		"another name of the same authority":       {issued(t, apiServer, "system:node:a")},
		"the right name of another authority":      {issued(t, other, "kube-apiserver")},
		"a name with the right one in it":          {issued(t, apiServer, "kube-apiserver.evil")},
		"the authority's own name, not a client's": {issued(t, other, "clients")},
	} {
		if status, err := s.forge(r, certificate...); err == nil || !strings.Contains(err.Error(), "bad certificate") {
			t.Errorf("%s: status %d, %v", name, status, err)
		}
	}
	eventually(t, "the log says so", func() error { return r.log.says("a client was turned away") })
	if n := strings.Count(r.log.String(), "a client was turned away"); n > 1+int(time.Since(began)/time.Minute) {
		t.Errorf("%d lines about strangers in the log, want 1 a minute", n)
	}
	t.Run("readiness does not need one", func(t *testing.T) {
		status, body, err := get("http://" + r.OpsAddress + "/readyz")
		if err != nil || status != http.StatusOK {
			t.Errorf("%d %s %v", status, body, err)
		}
	})
	t.Run("another authority in the file is taken over", func(t *testing.T) {
		if err := os.WriteFile(file+".new", append(other.PEM, apiServer.PEM...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		eventually(t, "its certificates are accepted", func() error {
			status, err := s.forge(r, issued(t, other, "kube-apiserver"))
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("status %d", status)
			}
			return err
		})
		s.works()
	})
}

// An API server that shows nothing is turned away: failurePolicy decides, and both sides say what is wrong.
func TestAnAPIServerWithoutTheRightNameIsTurnedAway(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.allow()
	file := filepath.Join(s.dir, "client-ca.crt")
	if err := os.WriteFile(file, apiServer.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	r := s.start("--client-ca="+file, "--client-name=another")
	s.register(r.port())
	eventually(t, "the caBundle is there", s.trusted)
	var said error
	eventually(t, "a write fails for it", func() error {
		if said = s.write(kube, 0); said == nil || !strings.Contains(said.Error(), "bad certificate") {
			return errors.Join(errors.New("it said"), said)
		}
		return nil
	})
	eventually(t, "the log says so", func() error {
		return r.log.says("a client was turned away", `its certificate is for \"kube-apiserver\", which --client-name does not list`)
	})
}
