package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// told is a message that a receiver was sent, and when.
type told struct {
	text string
	at   time.Time
}

// slackReceiver stands in for Slack's end of an incoming webhook.
func slackReceiver(t *testing.T) (url string, messages chan told) {
	t.Helper()
	messages = make(chan told, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		messages <- told{string(body), time.Now()}
		fmt.Fprint(w, "ok")
	}))
	t.Cleanup(server.Close)
	return server.URL, messages
}

// silentReceiver takes connections, and never answers.
func silentReceiver(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return "http://" + l.Addr().String()
}

// Two controllers fight over several objects, seen by two replicas. Slack is told once, soon, though another receiver never
// answers; and once that it is over.
func TestSlackIsToldOfAFightOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, modeRule("Warn", "action: Reject"))
	url, messages := slackReceiver(t)
	secret := filepath.Join(s.dir, "slack-url")
	config := filepath.Join(s.dir, "notify.yaml")
	for path, content := range map[string]string{
		secret: url + "/services/T0/B0/s3cret\n",
		config: fmt.Sprintf("apiVersion: truce.dev/v1alpha1\nkind: Notifications\ncluster: lab\nreceivers:\n"+
			"- name: silence\n  http: {url: %q}\n- name: on-call\n  slack: {urlFile: %q}\n", silentReceiver(t), secret),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var hooks [2]*hook
	for i := range hooks {
		hooks[i] = s.startHook("--kubeconfig="+shared.Kubeconfig, "--watch=false", "--notify="+config,
			"--notify-claims="+s.ns+"/truce-notifications")
	}
	b := balance(t, inTurn, hooks[:]...)
	s.register(b.endpoint, b.reached)

	names := []string{"web", "worker", "cron"}
	for _, name := range append(names, "other") {
		s.serviceAccount(name)
	}
	red, blue := s.party("red"), s.party("blue")
	var found time.Time
	lap := 0
	eventually(t, "both replicas find all fights", func() bool {
		lap++
		s.annotate(red, "other", "example.com/lap", fmt.Sprint(lap)) // so that the replicas' turns do not fall in with the fight's
		for _, p := range []*party{red, blue} {
			for _, name := range names {
				s.annotate(p, name, "example.com/owner", p.name)
			}
		}
		n := 0
		for _, h := range hooks {
			starts := h.turns("Started")
			n += len(starts)
			if len(starts) > 0 && (found.IsZero() || starts[0].Time.Before(found)) {
				found = starts[0].Time
			}
		}
		return n == len(hooks)*len(names)
	})

	started, wanted := nextMessage(t, messages), 2.0
	t.Logf("Slack was told %v after the first fight was found", started.at.Sub(found))
	if d := started.at.Sub(found); d > toldWithin {
		t.Errorf("Slack was told after %v", d)
	}
	for _, want := range []string{"Controllers fight in lab", `"blocks"`, "serviceaccounts/" + s.ns, red.name, blue.name} {
		if !strings.Contains(started.text, want) {
			t.Errorf("the message does not say %q: %s", want, started.text)
		}
	}
	if claims, err := s.kube.CoreV1().ConfigMaps(s.ns).Get(t.Context(), "truce-notifications", metav1.GetOptions{}); err != nil {
		t.Error(err)
	} else if len(claims.Data) == 0 {
		t.Error("no replica noted that it tells")
	}

	for _, h := range hooks {
		for _, turn := range h.turns("Started") {
			if status, body := get(t, "POST", "http://"+h.OpsAddress+"/api/v1/fights/"+turn.Fight+"/release", ""); status != http.StatusOK {
				t.Fatalf("%d %s", status, body)
			}
		}
	}
	// On a slow machine a fight may be found when the message about the others is out already.
	toldOf := started.text
	for ended := ""; ended == ""; {
		switch m := nextMessage(t, messages); {
		case strings.Contains(m.text, "A fight has ended in lab"):
			ended = m.text
		case strings.Contains(m.text, "Controllers fight in lab"):
			for _, name := range names {
				if object := "serviceaccounts/" + s.ns + "/" + name; strings.Contains(m.text, object) && strings.Contains(toldOf, object) {
					t.Errorf("of %s Slack is told once more: %s", name, m.text)
				}
			}
			toldOf += m.text
			wanted++
		default:
			t.Fatalf("the next message is: %s", m.text)
		}
	}
	sent := func() float64 {
		return hooks[0].metric("truce_notifications_total", "type", "slack", "result", "sent") +
			hooks[1].metric("truce_notifications_total", "type", "slack", "result", "sent")
	}
	eventually(t, "all messages are counted", func() bool { return sent() >= wanted })
	if n := sent(); n != wanted || len(messages) != 0 {
		t.Errorf("%v messages were sent, want %v; %d more came", n, wanted, len(messages))
	}
}

func nextMessage(t *testing.T, messages chan told) told {
	t.Helper()
	select {
	case m := <-messages:
		return m
	case <-time.After(time.Minute):
		t.Fatal("Slack is told nothing")
		return told{}
	}
}
