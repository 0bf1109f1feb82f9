// Package storm plays how watches expire and everybody lists again. Pods are made by the thousand within a minute, and
// clients on thin lines watch them. One that lags behind by more than the API server remembers is told 410 Gone, and lists
// all Pods anew, over the same thin line. Truce cannot stop reads. But two controllers that fight over an annotation of some
// Pods make events too, for as long as they fight, and with the fight held those are not there.
package storm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/truce-dev/truce/lab/measure"
	"github.com/truce-dev/truce/lab/stage"
	"github.com/truce-dev/truce/test/cluster"
)

// Cluster is a control plane that forgets fast. A watch cache keeps the last 75 s at least, however fast they were, and etcd
// five minutes; a storm that outlasts that would take too long to watch. So there is no watch cache for Pods, and etcd keeps
// the last 10 to 20 s. etcd tells watchers that have seen everything how far they are, so that only those expire that lag.
func Cluster() cluster.Options {
	return cluster.Options{
		APIServerArgs: map[string]string{"watch-cache-sizes": "pods#0", "etcd-compaction-interval": "10s"},
		EtcdArgs:      map[string]string{"watch-progress-notify-interval": "1s"},
	}
}

// How big it is.
const (
	pods       = 2000
	inTime     = time.Minute // for all of them, or two fifths of a run if that is less
	watchers   = 8
	fought     = 20
	thin       = 65 // events per second that a line carries
	podPadding = 600
)

// Names of what is measured.
const (
	Made      = "Pods made"
	Stored    = "fight writes stored"
	Gone      = "watches ended in 410 Gone"
	Relists   = "lists after the first"
	Listed    = "lists at the API server"
	ListBytes = "listed there"
	LineBytes = "over the thin lines"
	Behind    = "revisions behind, max"
	Found     = "last fight found after"

	// Series.
	Lag   = "revisions behind"
	Lists = "lists by thin clients"
)

// Actions are those that it is played with.
var Actions = []stage.Action{stage.Calm, stage.Without, stage.Hold}

// Play plays it for a time, in a namespace of its own. When ctx ends before, the run is what there is until then.
func Play(ctx context.Context, st *stage.Stage, a stage.Action, length time.Duration, audience stage.Audience) (measure.Run, error) {
	run := measure.Run{Scene: "storm", Action: string(a), Title: a.Title()}
	ns := "storm-" + string(a)
	if err := errors.Join(st.Use(ctx, a), st.CreateNamespace(ctx, ns)); err != nil {
		return run, err
	}
	size := 0
	for n := range fought {
		pod, err := st.Admin.CoreV1().Pods(ns).Create(ctx, newPod(fmt.Sprintf("billed-%02d", n), true), metav1.CreateOptions{})
		if err != nil {
			return run, fmt.Errorf("making a Pod: %w", err)
		}
		text, err := json.Marshal(pod)
		if err != nil {
			return run, err
		}
		size = len(text)
	}
	near, err := newWatcher(st.Cluster.Config, "near-client", ns, nil)
	if err != nil {
		return run, err
	}
	var far []*watcher
	var lines []*line
	for n := range watchers {
		l := newLine(thin * float64(size))
		w, err := newWatcher(st.Cluster.Config, fmt.Sprintf("far-client-%d", n+1), ns, l)
		if err != nil {
			return run, err
		}
		far, lines = append(far, w), append(lines, l)
	}

	running, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	before, err := st.Count(ctx)
	if err != nil {
		return run, err
	}
	run.Began = time.Now()
	var mu sync.Mutex
	var failures []error
	found, after := 0, time.Duration(0)
	st.OnFight(func(e stage.Entry) {
		if e.Namespace != ns || e.Kind != "fight" || e.Turn != "Started" {
			return
		}
		mu.Lock()
		found++
		after = time.Since(run.Began)
		first := found == 1
		mu.Unlock()
		if first { // the others are like it
			audience.Fight(after, e)
		}
	})
	defer st.OnFight(nil)

	var all sync.WaitGroup
	var tally measure.Tally
	var made atomic.Int64
	for _, w := range append([]*watcher{near}, far...) {
		all.Go(func() { w.reflector.RunWithContext(running) })
	}
	all.Go(func() { storm(running, st.Admin, ns, min(inTime, length*2/5), &made) })
	if a.Fights() {
		for _, team := range []string{"finance", "platform"} {
			config := rest.CopyConfig(st.As(stage.ControllerNamespace, team))
			config.WarningHandler = &tally
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return run, err
			}
			all.Go(func() {
				if err := (&annotator{client: client, value: team, tally: &tally}).run(running, ns); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failures = append(failures, err)
				}
			})
		}
	}
	total := func(of func(*watcher) *atomic.Int64) float64 {
		sum := int64(0)
		for _, w := range far {
			sum += of(w).Load()
		}
		return float64(sum)
	}
	lists := func() float64 { return total(func(w *watcher) *atomic.Int64 { return &w.lists }) }
	gone := func() float64 { return total(func(w *watcher) *atomic.Int64 { return &w.gone }) }
	lag := func() float64 {
		most := int64(0)
		for _, w := range far {
			if seen := w.revision(); seen > 0 {
				most = max(most, near.revision()-seen)
			}
		}
		return float64(most)
	}
	var sampler measure.Sampler
	sampler.Gauge(Lag, "", lag)
	sampler.Gauge(Lists, "", lists)
	sampler.Rate(Stored, func() float64 { return float64(tally.Now().Stored) })
	all.Go(func() { sampler.Run(running) })
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for running.Err() == nil {
		audience.Status(time.Since(run.Began), fmt.Sprintf("%d Pods made, %d fight writes stored; thin clients listed %.0f times, %.0f Gone, %.0f revisions behind",
			made.Load(), tally.Now().Stored, lists(), gone(), lag()))
		select {
		case <-running.Done():
		case <-tick.C:
		}
	}
	all.Wait()
	run.Seconds = time.Since(run.Began).Seconds()
	now, err := st.Count(context.WithoutCancel(ctx))
	if err != nil {
		return run, err
	}

	bytes := int64(0)
	for _, l := range lines {
		bytes += l.bytes.Load()
	}
	mu.Lock()
	defer mu.Unlock()
	add := func(name, unit string, v float64, absent bool) {
		run.Values = append(run.Values, measure.Value{Name: name, Unit: unit, Number: v, Absent: absent})
	}
	add(Made, "", float64(made.Load()), false)
	add(Stored, "/s", float64(tally.Now().Stored)/run.Seconds, false)
	add(Gone, "", gone(), false)
	add(Relists, "", math.Max(0, lists()-watchers), false)
	add(Listed, "", now.Grown(before, "apiserver_request_total", `resource="pods"`, `verb="LIST"`), false)
	add(ListBytes, "MB", now.Grown(before, "apiserver_response_sizes_sum", `resource="pods"`, `verb="LIST"`)/1e6, false)
	add(LineBytes, "MB", float64(bytes)/1e6, false)
	add(Behind, "", measure.Quantile(sampler.Seen(Lag), 1), false)
	run.Values = append(run.Values, now.Usage(before, run.Seconds, a.Registered())...)
	add(Found, "s", after.Seconds(), !a.Registered() || found < fought)
	run.Series = sampler.Series()
	return run, errors.Join(failures...)
}

// storm makes Pods within a time, and reports that each runs.
func storm(ctx context.Context, client kubernetes.Interface, ns string, within time.Duration, made *atomic.Int64) {
	next := make(chan int)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := range next {
				pod, err := client.CoreV1().Pods(ns).Create(ctx, newPod(fmt.Sprintf("pod-%04d", n), false), metav1.CreateOptions{})
				if err != nil {
					continue // there are others
				}
				made.Add(1)
				_, _ = client.CoreV1().Pods(ns).Patch(ctx, pod.Name, types.StrategicMergePatchType,
					[]byte(`{"status":{"phase":"Running"}}`), metav1.PatchOptions{}, "status")
			}
		})
	}
	tick := time.NewTicker(within / pods)
	defer tick.Stop()
	for n := 0; n < pods && ctx.Err() == nil; n++ {
		select {
		case <-ctx.Done():
		case <-tick.C:
			select {
			case next <- n:
			case <-ctx.Done():
			}
		}
	}
	close(next)
	all.Wait()
}

// newPod returns a Pod as large as they are.
func newPod(name string, billed bool) *corev1.Pod {
	padding := make([]byte, podPadding)
	for i := range padding {
		padding[i] = 'a' + byte(i%26)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "batch"}},
		Spec: corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{
			Name: "main", Image: "example.com/batch:1.0", Env: []corev1.EnvVar{{Name: "SETTINGS", Value: string(padding)}},
		}}},
	}
	if billed {
		pod.Labels[billedKey] = "yes"
	}
	return pod
}
