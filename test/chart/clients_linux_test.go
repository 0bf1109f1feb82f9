package chart

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/truce-dev/truce/test/cluster"
)

// The API server has the client certificate and the configuration that docs/install.md tells to give it, and the release
// the values there. Its reviews are answered, and nobody else's are.
func TestForgedReviewsAreTurnedAway(t *testing.T) {
	s := startCluster(t)
	s.namespace(t, namespace, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	s.namespace(t, "shop", nil)
	s.configMapIn(t, namespace, "apiserver-client-ca", map[string]string{"ca.crt": string(s.apiServer.PEM)})
	text, err := documented("clientAuthentication:")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{
		"replicas":          1,
		"timeoutSeconds":    patientSeconds,
		"ports":             map[string]any{"webhook": freePort(t), "ops": freePort(t)},
		"shutdownDelay":     "0s",
		"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": "shop"}},
		// So that a call that fails is a write that fails, and the other configuration's calls are seen too.
		"ruleOverrides": map[string]any{"everything": map[string]any{"action": "Hold"}},
	}
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	s.release(values).helm(t, "install", nil)
	p := s.runNewPod(t)
	var bundle []byte
	eventually(t, "the configuration has a CA", func() bool {
		c, err := s.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), release, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		bundle = c.Webhooks[0].ClientConfig.CABundle
		return len(bundle) > 0
	})
	s.configMap(t, "figs")
	red, blue := s.party(t, "red"), s.party(t, "blue")
	before := s.answered(t, 2, func() { red.mustWrite("figs") })
	eventually(t, "the fight over figs is found", func() bool {
		red.mustWrite("figs")
		blue.mustWrite("figs")
		return strings.Contains(p.log.String(), `"turn":"Started"`)
	})
	if after := s.failedCalls(t); after != before {
		t.Errorf("%d of the API server's calls failed:\n%s", after-before, s.complaints(t))
	}

	other, err := cluster.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	of := func(a cluster.Authority, name string) []tls.Certificate {
		t.Helper()
		certificate, err := a.Certificate(name)
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{certificate}
	}
	forge := func(certificate []tls.Certificate) (int, error) {
		return cluster.Forge(p.address, release+"."+namespace+".svc", bundle, certificate...)
	}
	if status, err := forge(of(s.apiServer, "kube-apiserver")); err != nil || status != http.StatusOK {
		t.Fatalf("with the API server's certificate: status %d, %v; the cases below show nothing", status, err)
	}
	for name, certificate := range map[string][]tls.Certificate{
		"no certificate":                      nil,
		"another name of the same authority":  of(s.apiServer, "system:node:a"),
		"the right name of another authority": of(other, "kube-apiserver"),
	} {
		if status, err := forge(certificate); err == nil || !strings.Contains(err.Error(), "bad certificate") {
			t.Errorf("%s: status %d, %v, want to be turned away", name, status, err)
		}
	}
	s.uninstall(t)
	p.die(t)
}
