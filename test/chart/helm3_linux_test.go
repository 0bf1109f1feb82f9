package chart

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Helm 3 applies at the client's side, and deletes webhook configurations last. Its upgrades leave alone what Truce wrote
// all the same. To uninstall it while Truce is down and failurePolicy is Fail takes the order that docs/install.md says, and
// then nothing is left, even if it was tried in the other order before.
func TestHelm3(t *testing.T) {
	s := startCluster(t)
	s.namespace(t, namespace, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	do := func(values string, args ...string) error {
		if values != "" {
			args = append(args, "--values", "-")
		}
		_, err := run(t, "helm3", values, append(args, "--namespace", namespace, "--kubeconfig", s.Kubeconfig)...)
		return err
	}
	const values = "mode: Enforce\nfailurePolicy: Fail\n" +
		"notifications: {receivers: [{name: a, http: {url: \"http://127.0.0.1:9/\"}}]}\n"
	if err := do(values, "install", release, chartDir()); err != nil {
		t.Fatal(err)
	}
	// What Truce does when it runs.
	bundle := base64.StdEncoding.EncodeToString(s.apiServer.PEM)
	written := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	as := metav1.PatchOptions{FieldManager: "truce-certs"}
	configurations := s.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	_, err := configurations.Patch(t.Context(), release, types.StrategicMergePatchType,
		fmt.Appendf(nil, `{"webhooks":[{"name":"validate.truce.dev","clientConfig":{"caBundle":%q}}]}`, bundle), as)
	written(err)
	_, err = s.kube.CoreV1().Secrets(namespace).Patch(t.Context(), release+"-tls", types.MergePatchType,
		[]byte(`{"data":{"tls.crt":"Zm9v"}}`), as)
	written(err)
	_, err = s.kube.CoreV1().ConfigMaps(namespace).Patch(t.Context(), release+"-notifications", types.MergePatchType,
		[]byte(`{"data":{"a":"b"}}`), as)
	written(err)

	if err := do("", "upgrade", release, chartDir(), "--reset-then-reuse-values", "--set", "mode=Warn"); err != nil {
		t.Fatal(err)
	}
	policy, err := s.kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), release+"-policy", metav1.GetOptions{})
	if err != nil || !strings.Contains(policy.Data["policy.yaml"], "mode: Warn") {
		t.Errorf("it is not upgraded: %v, %v", policy.Data, err)
	}
	configuration, err := configurations.Get(t.Context(), release, metav1.GetOptions{})
	if err != nil || string(configuration.Webhooks[0].ClientConfig.CABundle) != string(s.apiServer.PEM) {
		t.Errorf("an upgrade resets the caBundle: %v", err)
	}
	secret, err := s.kube.CoreV1().Secrets(namespace).Get(t.Context(), release+"-tls", metav1.GetOptions{})
	if err != nil || string(secret.Data["tls.crt"]) != "foo" {
		t.Errorf("an upgrade resets the certificates: %v", err)
	}
	claims, err := s.kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), release+"-notifications", metav1.GetOptions{})
	if err != nil || claims.Data["a"] != "b" {
		t.Errorf("an upgrade resets what replicas agreed on: %v", err)
	}

	if err := do("", "uninstall", release); err == nil {
		t.Error("docs/install.md says that the configurations have to be deleted before")
	}
	if err := configurations.DeleteCollection(t.Context(), metav1.DeleteOptions{},
		metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=truce"}); err != nil {
		t.Fatal(err)
	}
	// The API server stops calling Truce, which is not there, in a moment.
	eventually(t, "it is uninstalled", func() bool { return do("", "uninstall", release) == nil })
	s.nothingIsLeft(t)
}
