package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A newer chart, with a value that this one does not know: upgraded as docs/install.md says, the release keeps what it was
// given and gets the new default. As it says not to, it does not.
func TestAnUpgradeToANewerChart(t *testing.T) {
	s := startCluster(t)
	s.namespace(t, namespace, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	r := s.release(map[string]any{
		"mode": "Enforce", "replicas": 3,
		"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": "nowhere"}},
	})
	r.helm(t, "install", nil)

	newer := t.TempDir()
	if err := os.CopyFS(newer, os.DirFS(chartDir())); err != nil {
		t.Fatal(err)
	}
	change := func(name string, with func(string) string) {
		t.Helper()
		path := filepath.Join(newer, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(with(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	change("values.yaml", func(text string) string { return text + "\nnovelty: {enabled: true}\n" })
	change("values.schema.json", func(text string) string {
		return strings.Replace(text, `"notifications": {`, `"novelty": {"type": "object"}, "notifications": {`, 1)
	})
	change("templates/configmap.yaml", func(text string) string {
		return text + "\n{{- if .Values.novelty.enabled }}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: novelty\n" +
			"  namespace: {{ .Release.Namespace }}\n  labels:\n    {{- include \"truce.labels\" . | nindent 4 }}\n{{- end }}\n"
	})
	upgrade := func(with string) error {
		_, err := helm(t, "upgrade", release, newer, "--namespace", namespace, "--kubeconfig", s.Kubeconfig, with)
		return err
	}
	if err := upgrade("--reuse-values"); err == nil || !strings.Contains(err.Error(), "nil pointer") {
		t.Errorf("docs/install.md says that --reuse-values lacks new values: %v", err)
	}
	if err := upgrade("--reset-then-reuse-values"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), "novelty", metav1.GetOptions{}); err != nil {
		t.Errorf("the new default is not there: %v", err)
	}
	policy, err := s.kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), release+"-policy", metav1.GetOptions{})
	if err != nil || !strings.Contains(policy.Data["policy.yaml"], "mode: Enforce") {
		t.Errorf("the mode was reset: %v, %v", policy.Data, err)
	}
	deployment, err := s.kube.AppsV1().Deployments(namespace).Get(t.Context(), release, metav1.GetOptions{})
	if err != nil || *deployment.Spec.Replicas != 3 {
		t.Errorf("the number of Pods was reset: %v", err)
	}
	s.uninstall(t)
}
