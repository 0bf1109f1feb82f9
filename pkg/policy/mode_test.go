package policy

import "testing"

func TestWithMode(t *testing.T) {
	p := load(t, "mode: Warn\nrules: [{name: a, action: Hold}]")
	for _, m := range []Mode{Audit, Warn, Enforce} {
		other, err := p.WithMode(m)
		if err != nil || other.File.Mode != m {
			t.Errorf("mode %s: got %v, %v", m, other, err)
			continue
		}
		if p.File.Mode != Warn {
			t.Fatalf("mode %s: the policy itself was changed to %s", m, p.File.Mode)
		}
		if got := other.Match(target("pods")).Rule([]byte("spec.x")); got == nil || got.Name != "a" {
			t.Errorf("mode %s: its rules are gone", m)
		}
	}
	for mode, want := range map[Mode]string{
		"":        `there is no mode "", only Audit, Warn and Enforce`,
		"enforce": `there is no mode "enforce", only Audit, Warn and Enforce`,
	} {
		if other, err := p.WithMode(mode); err == nil || other != nil || err.Error() != want {
			t.Errorf("mode %q: got %v, %v, want the error %s", mode, other, err, want)
		}
	}
}

func TestWhereTheMutatingWebhookHasToLook(t *testing.T) {
	p := load(t, `
mode: Enforce
rules:
  - {name: held, match: {resources: [deployments.apps], fields: [spec.replicas]}, action: Hold}
  - {name: rejected, match: {resources: [pods, deployments.apps]}, action: Reject}
`)
	for _, c := range []struct {
		name   string
		mode   Mode
		target string
		want   bool
	}{
		{"a rule holds a field of it", Enforce, "deployments.apps", true},
		{"no rule about it holds anything", Enforce, "pods", false},
		{"nothing is watched", Enforce, "services", false},
		{"in mode Warn nothing is held", Warn, "deployments.apps", false},
		{"in mode Audit neither", Audit, "deployments.apps", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := p.WithMode(c.mode)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Match(target(c.target)).Holds(); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if (Matched{}).Holds() {
		t.Error("what matches nothing holds something")
	}
}
