package chart

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/truce-dev/truce/pkg/notify"
)

// A receiver in the values is told of a fight: the URL comes from a Secret, the receivers and what replicas agree by are
// ConfigMaps of the chart, and the rights to it are those that the chart gives. Another receiver takes another Pod.
func TestAReleaseNotifies(t *testing.T) {
	s := startCluster(t)
	s.namespace(t, namespace, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	s.namespace(t, "shop", nil)
	posts := make(chan string, 100)
	const secret = "/services/T0/B0/not-to-be-shown"
	slack := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != secret || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %s: %v", r.Method, r.URL, r.Header, err)
		}
		posts <- string(body)
	}))
	t.Cleanup(slack.Close)
	s.secret(t, "chat", map[string][]byte{"slack-url": []byte(slack.URL + secret + "\n")})
	receiver := map[string]any{"name": "on-call", "slack": map[string]any{"urlFile": "/etc/truce/notify/slack-url"}}
	notifications := map[string]any{"cluster": "test", "receivers": []any{receiver}, "existingSecret": "chat"}
	r := s.release(map[string]any{
		"replicas":          1,
		"ports":             map[string]any{"webhook": freePort(t), "ops": freePort(t)},
		"shutdownDelay":     "0s",
		"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": "shop"}},
		"notifications":     notifications,
	})
	r.helm(t, "install", nil)
	p := s.runNewPod(t)

	s.configMap(t, "olives")
	red, blue := s.party(t, "red"), s.party(t, "blue")
	eventually(t, "the fight over olives is found", func() bool {
		red.mustWrite("olives")
		blue.mustWrite("olives")
		return strings.Contains(p.log.String(), `"turn":"Started"`)
	})
	var post string
	eventually(t, "it is told", func() bool {
		select {
		case post = <-posts:
			return true
		default:
			return false
		}
	})
	var message struct {
		Text   string
		Blocks []struct{ Type string }
	}
	if err := json.Unmarshal([]byte(post), &message); err != nil || !strings.Contains(message.Text, "configmaps") || len(message.Blocks) < 3 {
		t.Errorf("that is no message for Slack: %v\n%s", err, post)
	}
	for _, part := range []string{"Controllers fight in test", "shop/olives", "shop:red", "shop:blue"} {
		if !strings.Contains(post, part) {
			t.Errorf("the message does not say %q:\n%s", part, post)
		}
	}
	claims, err := s.kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), release+"-notifications", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, claim := range claims.Data {
		if strings.HasPrefix(claim, string(notify.Started)+" ") {
			told++
		}
	}
	if told != 1 || len(claims.Data) != 1 {
		t.Errorf("other replicas read that %v was told", claims.Data)
	}
	for _, bad := range []string{"forbidden", "not-to-be-shown"} {
		if strings.Contains(p.log.String(), bad) {
			t.Errorf("the log says %s", bad)
		}
	}

	t.Log("another URL does not take another Pod, another receiver does")
	s.secret(t, "chat", map[string][]byte{"slack-url": []byte(slack.URL + "/elsewhere")})
	notifications["claims"] = true // which it is
	r.helm(t, "upgrade", nil)
	if pods := s.pods(t); len(pods) != 1 || pods[0].UID != p.UID {
		t.Errorf("nothing changed, and there are %d Pods", len(pods))
	}
	receiver["fights"] = map[string]any{"every": "8h"}
	r.helm(t, "upgrade", nil)
	eventually(t, "the deployment controller makes another Pod", func() bool { return len(s.pods(t)) == 2 })
	after, err := s.kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), release+"-notifications", metav1.GetOptions{})
	if err != nil || len(after.Data) != 1 {
		t.Errorf("an upgrade resets what replicas agreed on: %v, %v", after.Data, err)
	}
	s.uninstall(t)
	p.die(t)
}

// secret makes a Secret, or gives it other contents.
func (s *shared) secret(t *testing.T, name string, data map[string][]byte) {
	t.Helper()
	o := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data,
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.kube.CoreV1().Secrets(namespace).Patch(t.Context(), name, types.ApplyPatchType, text, metav1.PatchOptions{FieldManager: "test"}); err != nil {
		t.Fatal(err)
	}
}
