// Package office plays a day on which nobody fights. The real kube-controller-manager and kube-scheduler are at work, on
// nodes that only seem to be there; Deployments are rolled, scaled and rolled back, Jobs run, leaders are elected,
// certificates renewed, and what is in Git is applied again and again. Everything is watched and enforced, and Truce is to
// have nothing to say.
package office

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/truce-dev/truce/lab/measure"
	"github.com/truce-dev/truce/lab/stage"
	"github.com/truce-dev/truce/test/cluster"
)

// Names of what is measured.
const (
	Flagged      = "flagged"
	Verdicts     = "contested writes"
	Reviews      = "reviews"
	Rollouts     = "rollouts"
	Rollbacks    = "rollbacks"
	Scalings     = "scalings"
	Jobs         = "Jobs"
	Renewals     = "certificate renewals"
	Applications = "GitOps applications"
	Leaders      = "leaders elected"
	PodsAtTheEnd = "Pods at the end"
)

// Actions are those that it is played with.
var Actions = []stage.Action{stage.Hold}

// Cluster is what it needs: Kubernetes' own controllers, and nodes.
func Cluster() cluster.Options {
	return cluster.Options{ControllerManager: true, Scheduler: true, Nodes: []string{"desk-1", "desk-2", "desk-3"}}
}

// Play plays it for a time. When ctx ends before, the run is what there is until then. It is an error if anything is
// flagged, or if nothing was done.
func Play(ctx context.Context, st *stage.Stage, a stage.Action, length time.Duration, audience stage.Audience) (measure.Run, error) {
	run := measure.Run{Scene: "office", Action: string(a), Title: a.Title()}
	const ns = "office"
	if err := errors.Join(st.Use(ctx, a), st.CreateNamespace(ctx, ns)); err != nil {
		return run, err
	}
	running, cancel := context.WithTimeout(ctx, length)
	defer cancel()

	var mu sync.Mutex
	var flagged []string
	var failures []error
	st.OnFight(func(e stage.Entry) {
		headline, sentence := e.Verdict()
		mu.Lock()
		flagged = append(flagged, headline+": "+sentence)
		mu.Unlock()
		audience.Fight(time.Since(run.Began), e)
	})
	defer st.OnFight(nil)
	var d done
	s := &staff{
		ns: ns, done: &d,
		as: func(name string) kubernetes.Interface {
			return kubernetes.NewForConfigOrDie(st.As(stage.ControllerNamespace, name))
		},
		person: func(user, program string) kubernetes.Interface {
			c := rest.CopyConfig(st.Cluster.Config)
			c.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
			c.UserAgent = program
			return kubernetes.NewForConfigOrDie(c)
		},
		failed: func(who string, err error) {
			mu.Lock()
			defer mu.Unlock()
			if len(failures) < 10 {
				failures = append(failures, fmt.Errorf("%s: %w", who, err))
			}
		},
	}
	before, err := st.Count(ctx)
	if err != nil {
		return run, err
	}
	run.Began = time.Now()
	if err := s.setUp(ctx, st.Admin); err != nil {
		return run, err
	}
	var all sync.WaitGroup
	for _, work := range s.work() {
		all.Go(func() { work(running) })
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for running.Err() == nil {
		mu.Lock()
		n := len(flagged)
		mu.Unlock()
		audience.Status(time.Since(run.Began), fmt.Sprintf("%d rollouts, %d rollbacks, %d scalings, %d Jobs, %d leaders; %d flagged",
			d.rollouts.Load(), d.rollbacks.Load(), d.scalings.Load(), d.jobs.Load(), d.leaders.Load(), n))
		select {
		case <-running.Done():
		case <-tick.C:
		}
	}
	all.Wait()
	run.Seconds = time.Since(run.Began).Seconds()
	background := context.WithoutCancel(ctx)
	after, err := st.Count(background)
	if err != nil {
		return run, err
	}
	pods, err := podsAtWork(background, st.Admin, ns)
	if err != nil {
		return run, err
	}

	mu.Lock()
	defer mu.Unlock()
	add := func(name string, v float64) { run.Values = append(run.Values, measure.Value{Name: name, Number: v}) }
	add(Flagged, float64(len(flagged)))
	add(Verdicts, after.Truce.Sum("truce_verdicts_total")-before.Truce.Sum("truce_verdicts_total"))
	add(Reviews, after.Truce.Sum("truce_reviews_total")-before.Truce.Sum("truce_reviews_total"))
	for _, c := range []struct {
		name string
		n    *atomic.Int64
	}{
		{Rollouts, &d.rollouts}, {Rollbacks, &d.rollbacks}, {Scalings, &d.scalings}, {Jobs, &d.jobs},
		{Renewals, &d.renewals}, {Applications, &d.applications}, {Leaders, &d.leaders},
	} {
		add(c.name, float64(c.n.Load()))
	}
	add(PodsAtTheEnd, float64(pods))
	run.Values = append(run.Values, after.Usage(before, run.Seconds, true)...)
	if len(flagged) > 0 {
		run.Notes = append(run.Notes, flagged...)
		failures = append(failures, fmt.Errorf("nobody fought, but Truce flagged %d: %s", len(flagged), strings.Join(flagged, "; ")))
	}
	if pods == 0 && ctx.Err() == nil {
		failures = append(failures, errors.New("no Pod was started: neither scheduler nor nodes did their work"))
	}
	return run, errors.Join(failures...)
}

// podsAtWork counts the Pods that run on the nodes, or did so and are still known.
func podsAtWork(ctx context.Context, client kubernetes.Interface, ns string) (int, error) {
	pods, err := client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, fmt.Errorf("counting Pods: %w", err)
	}
	n := 0
	for _, p := range pods.Items {
		if p.Status.Phase == corev1.PodRunning || p.Status.Phase == corev1.PodSucceeded {
			n++
		}
	}
	return n, nil
}
