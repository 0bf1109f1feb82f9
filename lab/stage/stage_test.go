package stage

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/registration"
)

var update = flag.Bool("update", false, "write the golden file")

// TestVerdicts checks what people are told of a webhook's log.
func TestVerdicts(t *testing.T) {
	log, err := os.Open(filepath.Join("testdata", "webhook.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var got strings.Builder
	reader := &logReader{keep: io.Discard, tell: func(e Entry) {
		if e.Msg == msgFight {
			headline, sentence := e.Verdict()
			fmt.Fprintf(&got, "%s: %s\n", headline, sentence)
		}
	}}
	local := time.Local
	time.Local = time.UTC // the golden file has times of day
	defer func() { time.Local = local }()
	// In pieces that end anywhere, as they come through a pipe.
	if _, err := io.CopyBuffer(struct{ io.Writer }{reader}, struct{ io.Reader }{log}, make([]byte, 37)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "fights.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("(-want +got), -update writes it anew:\n%s", diff)
	}
}

func TestParty(t *testing.T) {
	for writer, want := range map[string]string{
		"system:serviceaccount:shop:signer":                                "shop/signer",
		"system:serviceaccount:shop:signer,manager=signer":                 "shop/signer",
		"system:serviceaccount:shop:signer,manager=helm,pod=signer-0":      "shop/signer as helm in pod signer-0",
		"alice@example.com,manager=kubectl-edit":                           "alice@example.com as kubectl-edit",
		"manager=helm":                                                     "helm",
		"unknown":                                                          "unknown",
		"system:serviceaccount:kube-system:horizontal-pod-autoscaler,pod=": "kube-system/horizontal-pod-autoscaler in pod ",
	} {
		if got := party(writer); got != want {
			t.Errorf("party(%q) = %q, want %q", writer, got, want)
		}
	}
}

// TestPolicies checks what each action's policy does about annotations, and which webhooks it needs.
func TestPolicies(t *testing.T) {
	for _, tt := range []struct {
		action   Action
		mode     policy.Mode
		rule     policy.Action
		mutating bool
	}{
		{Warn, policy.Warn, policy.ActionThrottle, false},
		{Throttle, policy.Enforce, policy.ActionThrottle, false},
		{Reject, policy.Enforce, policy.ActionReject, false},
		{Hold, policy.Enforce, policy.ActionHold, true},
		{Late, policy.Enforce, policy.ActionHold, true},
	} {
		t.Run(string(tt.action), func(t *testing.T) {
			p, err := policy.Load([]byte(policyText(tt.action)), "policy.yaml")
			if err != nil {
				t.Fatal(err)
			}
			first := p.File.Rules[0]
			if p.File.Mode != tt.mode || first.Action != tt.rule {
				t.Errorf("mode %s and action %s, want %s and %s", p.File.Mode, first.Action, tt.mode, tt.rule)
			}
			_, mutating := registration.Configurations(p, registration.Endpoint{URL: "https://127.0.0.1"})
			if got := mutating != nil; got != tt.mutating {
				t.Errorf("it wants a mutating webhook: %v, want %v", got, tt.mutating)
			}
		})
	}

	t.Run("a wrong one is not written", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "policy.yaml")
		if err := writePolicy(path, "mode: Sometimes\n"); err == nil || !strings.Contains(err.Error(), "policy.yaml:1:") {
			t.Errorf("error %v, want one that says where", err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("there is a file: %v", err)
		}
	})
}

func TestParseAction(t *testing.T) {
	if a, err := ParseAction("HOLD", []Action{Calm, Hold}); err != nil || a != Hold {
		t.Errorf("HOLD: %v, %v", a, err)
	}
	if _, err := ParseAction("warn", []Action{Calm, Hold}); err == nil || !strings.Contains(err.Error(), "give calm, hold") {
		t.Errorf("one that the scene has not: %v", err)
	}
}
