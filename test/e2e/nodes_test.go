package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// machines are nodes without a machine: for each a kubelet that reports whatever is expected of its pods, and one
// scheduler for all. They write what the real ones write, as the users that those are.
type machines struct {
	t     *testing.T
	nodes []*node
	heard *warnings
	sched kubernetes.Interface
	next  int

	mu sync.Mutex
	// silent is the node whose kubelet says nothing, nil if all do.
	silent *node
	// flaky is how many pods at once lost their readiness; ran how many pods ended.
	ran, flaky int
}

// node is one of them. Its pods' lives are kept here by uid.
type node struct {
	name string
	kube kubernetes.Interface
	pods map[types.UID]*podLife
	beat time.Time
}

// podLife is where a pod is in its life.
type podLife struct {
	since time.Time // when this phase began
	phase string    // bound, creating, running, unready, ended, stopping
	ready metav1.Time
	lasts time.Duration // how long this phase lasts
}

// newMachines registers nodes.
func newMachines(t *testing.T, names ...string) *machines {
	t.Helper()
	m := &machines{t: t, heard: &warnings{}}
	client := func(user string, groups ...string) kubernetes.Interface {
		c := as(user, append(groups, "system:authenticated")...)
		c.WarningHandler = m.heard
		return kubernetes.NewForConfigOrDie(c)
	}
	c := as("system:kube-scheduler")
	c.UserAgent, c.WarningHandler = "kube-scheduler/v1.37.2", m.heard
	m.sched = kubernetes.NewForConfigOrDie(c)
	for _, name := range names {
		n := &node{name: name, kube: client("system:node:"+name, "system:nodes"), pods: map[types.UID]*podLife{}}
		m.nodes = append(m.nodes, n)
		o := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			"kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
		}}}
		if _, err := n.kube.CoreV1().Nodes().Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := n.heartbeat(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// run plays the nodes and the scheduler until ctx ends.
func (m *machines) run(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		pods, err := m.sched.CoreV1().Pods("").List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			continue // the context has ended, or it works the next time
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			if pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil && strings.HasPrefix(pod.Namespace, soakPrefix) {
				m.fail(ctx, "binding a pod", m.bind(ctx, pod))
			}
		}
		for _, n := range m.nodes {
			if m.isSilent(n) {
				continue
			}
			if time.Since(n.beat) > 5*time.Second {
				m.fail(ctx, "a node's heartbeat", n.heartbeat(ctx))
			}
			for i := range pods.Items {
				if pod := &pods.Items[i]; pod.Spec.NodeName == n.name {
					m.fail(ctx, "a pod's status", m.live(ctx, n, pod))
				}
			}
		}
	}
}

// fail reports an error that is no race lost with somebody else.
func (m *machines) fail(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		m.t.Errorf("%s: %v", what, err)
	}
}

func (m *machines) isSilent(n *node) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.silent == n
}

// silence makes a node's kubelet say nothing for a while.
func (m *machines) silence(n *node) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.silent = n
}

// bind binds a pod to the node that its affinity names, or to the next one.
func (m *machines) bind(ctx context.Context, pod *corev1.Pod) error {
	name := ""
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			for _, f := range term.MatchFields {
				name = f.Values[0]
			}
		}
	}
	if name == "" {
		m.next++
		name = m.nodes[m.next%len(m.nodes)].name
	}
	return m.sched.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: name},
	}, metav1.CreateOptions{})
}

// heartbeat renews the node's lease and reports its status.
func (n *node) heartbeat(ctx context.Context) error {
	n.beat = time.Now()
	now := metav1.NowMicro()
	leases := n.kube.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	seconds := int32(40)
	lease, err := leases.Get(ctx, n.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: n.name, Namespace: corev1.NamespaceNodeLease},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &n.name, LeaseDurationSeconds: &seconds, RenewTime: &now},
		}, metav1.CreateOptions{})
	case err == nil:
		lease.Spec.RenewTime = &now
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	}
	if err != nil {
		return err
	}
	o, err := n.kube.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	at := metav1.Now()
	var conditions []corev1.NodeCondition
	for _, c := range []struct {
		kind   corev1.NodeConditionType
		status corev1.ConditionStatus
		reason string
	}{
		{corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory"},
		{corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure"},
		{corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID"},
		{corev1.NodeReady, corev1.ConditionTrue, "KubeletReady"},
	} {
		since := at
		for _, old := range o.Status.Conditions {
			if old.Type == c.kind && old.Status == c.status {
				since = old.LastTransitionTime
			}
		}
		conditions = append(conditions, corev1.NodeCondition{
			Type: c.kind, Status: c.status, Reason: c.reason, LastHeartbeatTime: at, LastTransitionTime: since,
		})
	}
	amounts := corev1.ResourceList{
		"cpu": resource.MustParse("8"), "memory": resource.MustParse("32Gi"), "pods": resource.MustParse("200"),
	}
	return n.patchStatus(ctx, map[string]any{"status": map[string]any{
		"conditions": conditions, "capacity": amounts, "allocatable": amounts,
	}})
}

func (n *node) patchStatus(ctx context.Context, patch any) error {
	body, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = n.kube.CoreV1().Nodes().PatchStatus(ctx, n.name, body)
	return err
}

// live takes a pod one step on in its life, if it is time.
func (m *machines) live(ctx context.Context, n *node, pod *corev1.Pod) error {
	life := n.pods[pod.UID]
	if life == nil {
		life = &podLife{since: time.Now(), phase: "bound"}
		n.pods[pod.UID] = life
	}
	if pod.DeletionTimestamp != nil && life.phase != "stopping" && life.phase != "gone" {
		life.enter("stopping", time.Second/2)
		if pod.Status.Phase == corev1.PodRunning {
			return n.report(ctx, pod, life, corev1.PodRunning, false)
		}
		return nil
	}
	if time.Since(life.since) < life.lasts {
		return nil
	}
	switch life.phase {
	case "bound":
		life.enter("creating", jitter(time.Second))
		return n.report(ctx, pod, life, corev1.PodPending, false)
	case "creating", "unready":
		life.ready = metav1.Now()
		life.enter("running", jitter(20*time.Second))
		if isJob(pod) {
			life.lasts = jitter(3 * time.Second)
		}
		return n.report(ctx, pod, life, corev1.PodRunning, true)
	case "running":
		if isJob(pod) {
			life.enter("ended", 0)
			m.count(&m.ran)
			phase := corev1.PodSucceeded
			if rand.IntN(10) == 0 {
				phase = corev1.PodFailed
			}
			return n.report(ctx, pod, life, phase, false)
		}
		if rand.IntN(4) > 0 { // most pods stay ready
			life.enter("running", jitter(20*time.Second))
			return nil
		}
		m.count(&m.flaky)
		life.enter("unready", jitter(3*time.Second))
		return n.report(ctx, pod, life, corev1.PodRunning, false)
	case "stopping":
		life.enter("gone", time.Hour)
		zero := int64(0)
		return n.kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &pod.UID},
		})
	}
	return nil
}

func (m *machines) count(what *int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*what++
}

func (l *podLife) enter(phase string, lasts time.Duration) {
	l.phase, l.lasts, l.since = phase, lasts, time.Now()
}

// jitter is a time of about d, never the same.
func jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(rand.Int64N(int64(d)))
}

func isJob(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOf(pod)
	return owner != nil && owner.Kind == "Job"
}

// report patches a pod's status as the kubelet does.
func (n *node) report(ctx context.Context, pod *corev1.Pod, life *podLife, phase corev1.PodPhase, ready bool) error {
	now := metav1.Now()
	truth := func(b bool) string {
		if b {
			return "True"
		}
		return "False"
	}
	condition := func(kind corev1.PodConditionType, status string) map[string]any {
		since := now
		for _, c := range pod.Status.Conditions {
			if c.Type == kind && string(c.Status) == status {
				since = c.LastTransitionTime
			}
		}
		return map[string]any{"type": kind, "status": status, "lastTransitionTime": since, "lastProbeTime": nil}
	}
	state := map[string]any{"waiting": map[string]any{"reason": "ContainerCreating"}}
	switch {
	case phase == corev1.PodRunning:
		state = map[string]any{"waiting": nil, "running": map[string]any{"startedAt": life.ready}}
	case phase == corev1.PodSucceeded, phase == corev1.PodFailed:
		code, reason := 0, "Completed"
		if phase == corev1.PodFailed {
			code, reason = 1, "Error"
		}
		state = map[string]any{"running": nil, "terminated": map[string]any{
			"exitCode": code, "reason": reason, "startedAt": life.ready, "finishedAt": now,
		}}
	}
	var containers []any
	for _, c := range pod.Spec.Containers {
		containers = append(containers, map[string]any{
			"name": c.Name, "image": c.Image, "imageID": "sha256:" + c.Image, "ready": ready, "started": ready,
			"restartCount": 0, "state": state,
		})
	}
	start := pod.Status.StartTime
	if start == nil {
		start = &now
	}
	status := map[string]any{
		"phase": phase, "startTime": start, "hostIP": "10.0.0.1", "containerStatuses": containers,
		"conditions": []any{
			condition(corev1.PodInitialized, "True"), condition(corev1.PodReadyToStartContainers, truth(phase != corev1.PodPending)),
			condition(corev1.PodReady, truth(ready)), condition(corev1.ContainersReady, truth(ready)),
		},
	}
	if phase == corev1.PodRunning {
		ip := pod.Status.PodIP
		if ip == "" {
			ip = fmt.Sprintf("10.%d.%d.%d", rand.IntN(250)+1, rand.IntN(250), rand.IntN(250)+1)
		}
		status["podIP"], status["podIPs"] = ip, []any{map[string]any{"ip": ip}}
	}
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID}, "status": status,
	})
	if err != nil {
		return err
	}
	_, err = n.kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, body,
		metav1.PatchOptions{}, "status")
	return err
}
