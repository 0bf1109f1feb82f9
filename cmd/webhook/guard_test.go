package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/policy"
)

// The whole server: two controllers undo each other, first under a policy that warns, then under one that enforces.
func TestAFightIsFoundAndStopped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	rejecting := func(mode policy.Mode) []byte {
		return append(policyIn(mode), "  action: Reject\n"...)
	}
	replace(t, path, rejecting(policy.Warn))
	told := make(chan string, 16)
	slack := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- r.URL.Path + " " + string(body)
	}))
	defer slack.Close()
	receivers, secret := filepath.Join(t.TempDir(), "notify.yaml"), filepath.Join(t.TempDir(), "url")
	replace(t, secret, []byte(slack.URL+"/services/T0/B0/s3cret\n"))
	replace(t, receivers, []byte("apiVersion: truce.dev/v1alpha1\nkind: Notifications\nreceivers:\n"+
		"- name: on-call\n  slack: {urlFile: "+secret+"}\n"))
	p := start(t, "--policy", path, "--notify", receivers)
	c := client(t, p.caBundle)

	values := [2]string{"apps", "tenants"}
	version := 0
	write := func() string { // by whoever's turn it is
		t.Helper()
		version++
		now, before := values[version%2], values[(version+1)%2]
		object := func(value string) string {
			return fmt.Sprintf(`{"metadata":{"name":"web","namespace":"shop","uid":"1","resourceVersion":"%d",`+
				`"annotations":{"example.com/owner":%q}}}`, version, value)
		}
		a := mustDo(t, c, http.MethodPost, "https://"+p.address+"/validate", fmt.Sprintf(
			`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u%d",
			"kind":{"group":"","version":"v1","kind":"ServiceAccount"},"operation":"UPDATE","name":"web","namespace":"shop",
			"resource":{"group":"","version":"v1","resource":"serviceaccounts"},
			"userInfo":{"username":"system:serviceaccount:%s:controller"},"object":%s,"oldObject":%s}}`,
			version, now, object(now), object(before)))
		if a.status != http.StatusOK {
			t.Fatalf("status %d: %s", a.status, a.body)
		}
		return a.body
	}

	var last string
	for range 12 {
		if last = write(); !strings.Contains(last, `"allowed":true`) {
			t.Fatalf("stopped in mode Warn: %s", last)
		}
	}
	if !strings.Contains(last, `"warnings":["truce: `) {
		t.Errorf("no warning: %s", last)
	}
	p.stderr.wait(t, "fight", 1)
	if !strings.Contains(p.operations("/metrics").body, "\ntruce_verdicts_total{") {
		t.Errorf("the fight is not counted:\n%s", p.stderr.String())
	}
	select {
	case message := <-told:
		for _, want := range []string{"/services/T0/B0/s3cret ", "apps:controller and tenants:controller fight over serviceaccounts/shop/web",
			"metadata.annotations[example.com/owner]", "Enforce would reject their writes"} {
			if !strings.Contains(message, want) {
				t.Errorf("Slack was not told %q: %s", want, message)
			}
		}
	case <-time.After(patience):
		t.Errorf("Slack was told nothing:\n%s", p.stderr.String())
	}
	p.waitMetric(`truce_notifications_total{result="sent",type="slack"}`, 1)
	if strings.Contains(p.stderr.String(), "s3cret") {
		t.Errorf("the URL of Slack is logged:\n%s", p.stderr.String())
	}

	replace(t, path, rejecting(policy.Enforce))
	p.waitMetric(`truce_policy_reloads_total{result="loaded"}`, 1)
	if last = write(); !strings.Contains(last, `"allowed":false`) || !strings.Contains(last, `"code":403`) {
		t.Errorf("not stopped under the new policy: %s", last)
	}
}
