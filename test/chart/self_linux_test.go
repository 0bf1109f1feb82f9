package chart

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// With the chart's defaults, Truce makes its certificate and tells the API server its CA, with no more rights than the
// chart gives it; an upgrade resets neither.
func TestACertificateOfItsOwn(t *testing.T) {
	s := startCluster(t)
	s.namespace(t, namespace, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	s.namespace(t, "shop", nil)
	r := s.release(map[string]any{
		"replicas":          1,
		"timeoutSeconds":    patientSeconds,
		"ports":             map[string]any{"webhook": freePort(t), "ops": freePort(t)},
		"shutdownDelay":     "0s",
		"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": "shop"}},
	})
	r.helm(t, "install", nil)
	p := s.runNewPod(t)
	validating := func() string {
		v, err := s.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), release, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return string(v.Webhooks[0].ClientConfig.CABundle)
	}
	eventually(t, "the configuration has a CA", func() bool { return validating() != "" })
	// A rule that holds comes later, and with it the other configuration.
	r.helm(t, "upgrade", map[string]any{"ruleOverrides": map[string]any{"everything": map[string]any{"action": "Hold"}}})
	p.sync(t)
	bundles := func() []string {
		m, err := s.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), release, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return []string{validating(), string(m.Webhooks[0].ClientConfig.CABundle)}
	}
	eventually(t, "both configurations have a CA", func() bool {
		b := bundles()
		return b[0] != "" && b[0] == b[1]
	})
	if pods := s.pods(t); len(pods) != 1 || pods[0].UID != p.UID {
		t.Errorf("a rule that holds takes other Pods: %d are there", len(pods))
	}
	s.configMap(t, "cheese")
	red, blue := s.party(t, "red"), s.party(t, "blue")
	before := s.answered(t, 2, func() { red.mustWrite("cheese") })
	eventually(t, "the fight over cheese is found", func() bool {
		red.mustWrite("cheese")
		blue.mustWrite("cheese")
		return strings.Contains(p.log.String(), `"turn":"Started"`)
	})
	secret := func() string {
		o, err := s.kube.CoreV1().Secrets(namespace).Get(t.Context(), release+"-tls", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return string(o.Data["tls.crt"])
	}
	made, told := secret(), bundles()
	if made == "" {
		t.Error("the Secret holds no certificate")
	}
	r.helm(t, "upgrade", nil)
	if secret() != made || bundles()[0] != told[0] || bundles()[1] != told[1] {
		t.Error("an upgrade resets the Secret or the caBundle")
	}
	red.mustWrite("cheese")
	if after := s.failedCalls(t); after != before {
		t.Errorf("%d calls of the webhook failed", after-before)
	}
	for line := range strings.Lines(p.log.String()) {
		if strings.Contains(line, "forbidden") {
			t.Errorf("it lacks a right: %s", line)
		}
	}
	s.uninstall(t)
	p.die(t)
}
