package e2e

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// signature is the annotation that the incident was about: a controller computed it from the component that owns the
// ServiceAccount, and several components shared one.
const (
	signature      = "apps.example.com/signature"
	signatureField = "metadata.annotations[" + signature + "]"
)

// sign returns what a component's reconciliation does to the ServiceAccount it uses.
func sign(value string) func(*unstructured.Unstructured) {
	return annotate(signature, value)
}

func annotate(key, value string) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) {
		a := o.GetAnnotations()
		if a == nil {
			a = map[string]string{}
		}
		a[key] = value
		o.SetAnnotations(a)
	}
}

var signatureOf = field("metadata", "annotations", signature)

// One controller reconciles two components that share a ServiceAccount. There is one user, one manager, and no
// managedFields, so nothing but the values tells that something is wrong.
func TestTheIncident(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		manager string
		pod     string
	}{
		{name: "a plain client names no field manager"},
		{name: "the field manager is set", manager: "archetype"},
		{name: "the pod is known from the token", manager: "archetype", pod: "archetype-5d4f-x2x9z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, rule("action: Hold"))
			archetype := s.partyInPod("archetype", tt.pod)
			archetype.manager = tt.manager
			sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "backend"}}
			if _, err := s.kube.CoreV1().ServiceAccounts(s.ns).Create(t.Context(), sa, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			w := s.watch(serviceAccounts, "backend")
			components := []string{"servers-4be1", "workers-9c07"}

			found := 0
			laps(t, 24, 100*time.Millisecond, func(i int) {
				if found == 0 {
					archetype.must(archetype.update(serviceAccounts, "backend", sign(components[i%2])))
					if _, ok := s.hook.started(signatureField); ok {
						found = i + 1
					}
				}
			})
			if found == 0 {
				t.Fatalf("24 writes in turn are no fight yet:\n%s", s.hook.log.String())
			}
			before := w.writes()
			t.Logf("found with write %d, after %d were stored", found, before)
			if before >= found && s.hook.unheld() == 0 {
				t.Errorf("the write that was found is stored as well: %d of %d", before, found)
			}

			const each = 60
			heard := len(archetype.heard.truce())
			laps(t, 2*each, 20*time.Millisecond, func(i int) {
				archetype.must(archetype.update(serviceAccounts, "backend", sign(components[i%2])))
			})
			if n := w.writes() - before; n > 1+s.hook.unheld() {
				t.Errorf("both components went on, %d times each: %d writes to etcd, want at most 1", each, n)
			}
			// What is stored is one component's signature: its attempts change nothing, the other's are held.
			if n := len(archetype.heard.truce()) - heard; n != each && s.hook.unheld() == 0 {
				t.Errorf("%d warnings about %d writes, %d of which would have changed something", n, 2*each, each)
			}
			if o := s.get(serviceAccounts, "backend"); len(o.GetManagedFields()) != 0 {
				t.Errorf("the ServiceAccount tracks its fields: the incident's did not: %v", o.GetManagedFields())
			}

			tn, _ := s.hook.started(signatureField)
			want := archetype.user
			if tt.manager != "" {
				want += ",manager=" + tt.manager
			}
			if tt.pod != "" {
				want += ",pod=" + tt.pod
			}
			if got := fmt.Sprint(tn.Parties); got != "["+want+"]" {
				t.Errorf("the parties are %s, want only %s", got, want)
			}
			if got := s.hook.turns("Started"); len(got) != 1 {
				t.Errorf("%d fights were found, want one: %v", len(got), got)
			}
		})
	}
}

// Two controllers of the same kind would be found by 3 reversals; one with itself at a steady pace takes more, unless
// something that names the owner flips as well.
func TestTheIncidentWithAnOwnerThatFlips(t *testing.T) {
	t.Parallel()
	s := newScene(t, rule("action: Hold"))
	archetype := s.party("archetype")
	s.create(serviceAccounts, object("v1", "ServiceAccount", "backend"))
	components := []string{"servers", "workers"}
	n := until(t, patience, 100*time.Millisecond, func(i int) bool {
		archetype.must(archetype.update(serviceAccounts, "backend", func(o *unstructured.Unstructured) {
			sign(components[i%2] + "-4be1")(o)
			annotate("apps.example.com/instance", components[i%2])(o)
		}))
		_, ok := s.hook.started(signatureField)
		return ok
	})
	if n > 6 {
		t.Errorf("found with write %d, want at most 6", n)
	}
	tn, _ := s.hook.started(signatureField)
	if tn.Signal != "OwnerReversal" {
		t.Errorf("found by %s, want OwnerReversal", tn.Signal)
	}
}

// In mode Warn nothing is stopped, and the client is told what would have been.
func TestTheIncidentInModeWarn(t *testing.T) {
	t.Parallel()
	s := newScene(t, modeRule("Warn", "action: Hold"))
	archetype := s.party("archetype")
	s.create(serviceAccounts, object("v1", "ServiceAccount", "backend"))
	w := s.watch(serviceAccounts, "backend")
	components := []string{"servers-4be1", "workers-9c07"}
	laps(t, 40, 50*time.Millisecond, func(i int) {
		archetype.must(archetype.update(serviceAccounts, "backend", sign(components[i%2])))
	})
	if n := w.writes(); n != 40 {
		t.Errorf("%d of 40 writes were stored, want all", n)
	}
	if heard := archetype.heard.truce(); !contains(heard, "enforcing would hold it") {
		t.Errorf("nobody was told that enforcing would hold the field; heard: %q", heard)
	}
}
