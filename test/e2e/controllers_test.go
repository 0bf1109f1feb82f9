package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/registration"
)

// soakPrefix begins the names of this test's namespaces.
const soakPrefix = "soak"

// soakFor is how long the controllers are watched; TRUCE_E2E_SOAK says otherwise.
func soakFor(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("TRUCE_E2E_SOAK")
	if text == "" {
		return 3 * time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("TRUCE_E2E_SOAK: %v", err)
	}
	return d
}

// Kubernetes' own controllers are no fight. They run under the default policy, which watches everything, with mode
// Enforce and nothing exempt: while pipelines roll out and back, autoscalers scale, jobs run and fail, pods lose their
// readiness, nodes are cordoned and fall silent, and namespaces come and go, Truce has nothing to say.
func TestKubernetesOwnControllersAreLeftInPeace(t *testing.T) {
	t.Parallel()
	s := newStage(t, string(policy.DefaultYAML()))
	if e := s.policy.File.Exempt; len(e.Users)+len(e.Groups)+len(e.Managers)+len(e.Namespaces) > 0 {
		t.Fatalf("the default policy exempts somebody: %v", e)
	}
	s.hook = s.startHook("--mode=Enforce")
	// Every namespace but those in which other tests stage their fights.
	s.ns = soakPrefix + "-main"
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.ns}}
	if _, err := s.kube.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	e := s.hook.endpoint()
	e.Name = s.id
	v, m := registration.Configurations(s.policy, e)
	s.registerConfigurations(v, m, &metav1.LabelSelectorRequirement{Key: sceneLabel, Operator: metav1.LabelSelectorOpDoesNotExist})
	eventually(t, "the API server sends requests to the webhook", func() bool {
		s.probe()
		n, _ := s.hook.reached()
		return n > 0
	})

	length := soakFor(t)
	enough := int(500 * length.Minutes()) // reviews; an idle machine sees far more
	// On a busy machine it takes longer until so much has happened.
	ctx, cancel := context.WithTimeout(t.Context(), 4*length)
	defer cancel()
	nodesCtx, stopNodes := context.WithCancel(t.Context())
	machines := newMachines(t, "node-a", "node-b", "node-c")
	w := newWorkload(t, s.ns)
	var running sync.WaitGroup
	defer running.Wait()
	defer stopNodes()
	running.Go(func() { machines.run(nodesCtx) })
	w.install(ctx)
	begin := time.Now()
	running.Go(func() {
		for i := 1; pause(ctx, time.Second); i++ {
			n, _ := s.hook.reached()
			took := time.Since(begin)
			if i%30 == 0 {
				fmt.Fprintf(os.Stderr, "e2e: controllers under a policy that enforces on everything: %s of %s, %d reviews, %d rollouts\n",
					took.Round(time.Second), length, n, w.rollouts.Load())
			}
			if took >= length && n >= enough {
				cancel()
			}
		}
	})
	w.run(ctx, machines)
	took := time.Since(begin)

	// Nothing hindered anybody: what was asked for last is there.
	within(t, 3*time.Minute, "the last rollouts are complete", func() bool {
		for _, name := range []string{"web", "api"} {
			d, err := s.kube.AppsV1().Deployments(s.ns).Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if d.Status.ObservedGeneration != d.Generation || d.Status.UpdatedReplicas != *d.Spec.Replicas ||
				d.Status.Replicas != *d.Spec.Replicas {
				return false
			}
		}
		return true
	})
	stopNodes()
	running.Wait() // what they counted is read below

	for _, tn := range s.hook.turns() {
		t.Errorf("%s of %s: %s of %s.%s %s/%s by %q: %d, %s, %s", tn.Turn, tn.Kind, tn.Field, tn.Resource, tn.Group,
			tn.Namespace, tn.Name, tn.Parties, tn.Count, tn.Signal, tn.Reason)
	}
	for _, name := range []string{"truce_verdicts_total", "truce_fight_turns_total", "truce_panics_total", "truce_reviews_refused_total"} {
		if n := s.hook.metric(name); n != 0 {
			t.Errorf("%s is %v, want 0", name, n)
		}
	}
	for _, verdict := range []string{"Rejected", "Throttled", "Held"} {
		if n := s.hook.metric("truce_reviews_total", "verdict", verdict); n != 0 {
			t.Errorf("%v writes were %s", n, verdict)
		}
	}
	if heard := append(w.heard.truce(), machines.heard.truce()...); len(heard) > 0 {
		t.Errorf("%d warnings, the first: %s", len(heard), heard[0])
	}
	events, _ := auditTrail.all(t)
	for _, e := range events {
		if in := e.ObjectRef.Namespace; strings.HasPrefix(in, soakPrefix) || strings.HasPrefix(in, "kube-") || in == "default" {
			t.Errorf("audit log: %s %s of %s/%s by %s: %v", e.Verb, e.ObjectRef.Resource, in, e.ObjectRef.Name, e.who(), e.Annotations)
		}
	}

	// Enough has happened for that to mean something.
	reviews, _ := s.hook.reached()
	objects := s.hook.metric("truce_history_objects")
	t.Logf("in %s: %d reviews of %v objects; %d rollouts, %d scalings, %d jobs, %d namespaces, %d pods of jobs ended, %d lost their readiness",
		took.Round(time.Second), reviews, objects, w.rollouts.Load(), w.scalings.Load(), w.jobs.Load(), w.namespaces.Load(), machines.ran, machines.flaky)
	if reviews < enough {
		t.Errorf("only %d reviews in %s: hardly anything happened", reviews, took)
	}
}
