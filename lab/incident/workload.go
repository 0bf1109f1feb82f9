package incident

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/truce-dev/truce/lab/measure"
	"github.com/truce-dev/truce/lab/victim"
)

// How new Pods come and go. Readiness probes that give up within minutes are usual, and Jobs that end within seconds; here
// all of it is shorter, as the fight is younger.
const (
	pace          = 100 * time.Millisecond // from one new Pod to the next
	serverPatient = 3 * time.Second        // a Pod of a server that cannot be reached by then is dead
	jobPatient    = time.Second            // one of a CronJob
	life          = 2 * time.Second        // of a Pod that can be reached, from then on
)

// workload makes new Pods at a steady pace, one in three for a CronJob, and measures how long it takes until they can be
// reached. It is safe for concurrent use.
type workload struct {
	client    kubernetes.Interface
	namespace string
	accounts  []string
	nodes     []string

	mu     sync.Mutex
	births []*birth
	byName map[string]*birth
	failed error         // the latest Pod that could not be made
	latest time.Duration // the longest latency of those reached since it was last asked for
}

// birth is a new Pod.
type birth struct {
	job     bool
	began   time.Time
	latency time.Duration // 0: not reached yet
	dead    bool
	failed  bool // it could not be made
	reached chan struct{}
}

func newWorkload(client kubernetes.Interface, namespace string, accounts, nodes []string) *workload {
	return &workload{client: client, namespace: namespace, accounts: accounts, nodes: nodes, byName: map[string]*birth{}}
}

// run makes Pods until ctx ends, numbering their addresses from first on.
func (w *workload) run(ctx context.Context, first int) {
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ; n++ {
		all.Go(func() { w.live(ctx, n, first+n) })
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// live is the life of one Pod.
func (w *workload) live(ctx context.Context, n, address int) {
	b := &birth{job: n%3 == 2, began: time.Now(), reached: make(chan struct{})}
	name, patient := fmt.Sprintf("server-%04d", n), serverPatient
	if b.job {
		name, patient = fmt.Sprintf("cronjob-%04d", n), jobPatient
	}
	w.mu.Lock()
	w.births = append(w.births, b)
	w.byName[name] = b
	w.mu.Unlock()
	pod := victim.NewPod(w.namespace, name, w.accounts[n%len(w.accounts)], w.nodes[n%len(w.nodes)], address)
	if _, err := w.client.CoreV1().Pods(w.namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		b.failed = true
		if ctx.Err() == nil && !measure.Transient(err) {
			w.failed = err
		}
		return
	}
	deadline := time.NewTimer(patient - time.Since(b.began))
	defer deadline.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-deadline.C:
			// It stays, as a Pod that is not ready does, and waits for its route.
			w.mu.Lock()
			b.dead = b.latency == 0
			w.mu.Unlock()
			continue
		case <-b.reached:
		}
		break
	}
	select {
	case <-ctx.Done():
	case <-time.After(life):
		now := int64(0) // there is no kubelet that would end it
		// That it fails is as good as that the Pod lives on.
		_ = w.client.CoreV1().Pods(w.namespace).Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	}
}

// reach notes that a Pod can be reached.
func (w *workload) reach(pod types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.byName[pod.Name]
	if b == nil || b.latency != 0 {
		return // it was there before, or is known again after a resync
	}
	b.latency = time.Since(b.began)
	w.latest = max(w.latest, b.latency)
	close(b.reached)
}

// longest returns the longest latency of late: of the Pods reached since it was last called, and of those that wait.
func (w *workload) longest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	longest := max(w.latest, w.oldestLocked())
	w.latest = 0
	return longest
}

// oldest returns how long the oldest of the Pods that wait has done so.
func (w *workload) oldest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.oldestLocked()
}

func (w *workload) oldestLocked() time.Duration {
	for _, b := range w.births { // in the order of their age
		if b.latency == 0 && !b.failed {
			return time.Since(b.began)
		}
	}
	return 0
}

// outcome is what became of the Pods.
type outcome struct {
	made, dead, deadJobs int
	outset               time.Duration
	over                 bool      // the outset
	deadLater            int       // of the Pods made after the outset
	latencies            []float64 // of the same, in seconds
	first                float64   // the longest of the others
	youngest             float64   // how long the youngest of those waits that still wait, 0 if none does
	failed               error
}

// outcome returns it. The outset is what was made within that time from the first Pod on.
func (w *workload) outcome(outset time.Duration) outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := outcome{failed: w.failed, outset: outset}
	for _, b := range w.births {
		latency := b.latency
		waits := latency == 0
		if waits {
			latency = time.Since(b.began)
		}
		if b.failed || waits && latency < 5*pace {
			continue // the youngest are not due yet
		}
		if waits {
			o.youngest = latency.Seconds()
		}
		o.made++
		if b.began.Sub(w.births[0].began) < outset {
			o.first = max(o.first, latency.Seconds())
		} else {
			o.latencies = append(o.latencies, latency.Seconds())
			if b.dead {
				o.deadLater++
			}
		}
		if b.dead {
			o.dead++
			if b.job {
				o.deadJobs++
			}
		}
	}
	return o
}
