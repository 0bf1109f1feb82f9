package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
)

// workload is a cluster's ordinary life: what people, pipelines and autoscalers ask of the controllers.
type workload struct {
	t     *testing.T
	ns    string
	heard *warnings

	installer, pipeline, autoscaler, person kubernetes.Interface

	images     atomic.Int64
	rollouts   atomic.Int64
	scalings   atomic.Int64
	jobs       atomic.Int64
	namespaces atomic.Int64
}

func newWorkload(t *testing.T, ns string) *workload {
	w := &workload{t: t, ns: ns, heard: &warnings{}}
	client := func(user, agent string, groups ...string) kubernetes.Interface {
		c := as(user, append(groups, "system:authenticated")...)
		c.UserAgent, c.WarningHandler = agent, w.heard
		return kubernetes.NewForConfigOrDie(c)
	}
	w.installer = client("system:serviceaccount:cicd:installer", "installer/v1.0")
	w.pipeline = client("system:serviceaccount:cicd:pipeline", "pipeline/v1.0")
	w.autoscaler = client("system:serviceaccount:kube-system:horizontal-pod-autoscaler", "kube-controller-manager/v1.37.2")
	w.person = client("ops@example.com", "kubectl/v1.37.2")
	return w
}

// install makes what is always there.
func (w *workload) install(ctx context.Context) {
	w.t.Helper()
	for _, name := range []string{"web", "api"} {
		w.ok(ctx, "a Deployment", w.create(ctx, w.installer, deploymentOf(w.ns, name, 4, w.image())))
		w.ok(ctx, "a Service", w.create(ctx, w.installer, serviceOf(w.ns, name)))
	}
	db := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "db"}, Spec: appsv1.StatefulSetSpec{
		ServiceName: "db", Replicas: new(int32(3)), Selector: selectorOf("db"), Template: podOf("db", w.image()),
	}}
	w.ok(ctx, "a StatefulSet", w.create(ctx, w.installer, db))
	w.ok(ctx, "a Service", w.create(ctx, w.installer, serviceOf(w.ns, "db")))
	agent := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "agent"}, Spec: appsv1.DaemonSetSpec{
		Selector: selectorOf("agent"), Template: podOf("agent", w.image()),
	}}
	w.ok(ctx, "a DaemonSet", w.create(ctx, w.installer, agent))
	one := intstr.FromInt32(1)
	pdb := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "web"},
		Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: selectorOf("web")}}
	w.ok(ctx, "a PodDisruptionBudget", w.create(ctx, w.installer, pdb))
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "all"}, Spec: corev1.ResourceQuotaSpec{
		Hard: corev1.ResourceList{"pods": resource.MustParse("200"), "count/jobs.batch": resource.MustParse("100")},
	}}
	w.ok(ctx, "a ResourceQuota", w.create(ctx, w.installer, quota))
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "web"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			MinReplicas:    new(int32(2)), MaxReplicas: 9,
		}}
	w.ok(ctx, "a HorizontalPodAutoscaler", w.create(ctx, w.installer, hpa))
	cron := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "nightly"}, Spec: batchv1.CronJobSpec{
		Schedule: "* * * * *", SuccessfulJobsHistoryLimit: new(int32(1)),
		JobTemplate: batchv1.JobTemplateSpec{Spec: jobOf("nightly").Spec},
	}}
	w.ok(ctx, "a CronJob", w.create(ctx, w.installer, cron))
}

// run asks for changes until ctx ends.
func (w *workload) run(ctx context.Context, m *machines) {
	var actors sync.WaitGroup
	act := func(every time.Duration, what string, do func() error) {
		actors.Go(func() {
			for pause(ctx, jitter(every)) {
				w.ok(ctx, what, do())
			}
		})
	}
	act(15*time.Second, "a rollout", func() error { return w.rollOut(ctx, "web") })
	act(20*time.Second, "a rollout", func() error { return w.rollOut(ctx, "api") })
	act(25*time.Second, "a rollout of a StatefulSet", func() error { return w.rollOutSet(ctx) })
	act(30*time.Second, "a rollout of a DaemonSet", func() error { return w.rollOutDaemons(ctx) })
	act(4*time.Second, "a scaling", func() error { return w.scale(ctx, "api", rand.Int32N(7)+2) })
	act(20*time.Second, "a scaling of a StatefulSet", func() error { return w.scaleSet(ctx, rand.Int32N(3)+2) })
	act(6*time.Second, "a job", func() error { return w.runJob(ctx) })
	act(30*time.Second, "a cordon", func() error { return w.cordon(ctx, m.nodes[0].name) })
	for range 2 {
		act(3*time.Second, "a preview environment", func() error { return w.preview(ctx) })
	}
	actors.Go(func() {
		// One node is not heard of for longer than it is waited for, and comes back.
		if pause(ctx, 30*time.Second) {
			m.silence(m.nodes[1])
			pause(ctx, 55*time.Second)
			m.silence(nil)
		}
	})
	actors.Wait()
}

// pause waits, and reports false if ctx ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// ok reports an error that is no race lost with somebody else, such as that of two pods for a quota.
func (w *workload) ok(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) {
		w.t.Errorf("%s: %v", what, err)
	}
}

// image is one that was never there before.
func (w *workload) image() string { return fmt.Sprintf("app:1.0.%d", w.images.Add(1)) }

// rollOut sets a new image, as a pipeline does with kubectl's patch; now and then somebody rolls back to the one before.
func (w *workload) rollOut(ctx context.Context, name string) error {
	image, by := w.image(), w.pipeline
	if n := w.rollouts.Add(1); n%5 == 0 {
		image, by = fmt.Sprintf("app:1.0.%d", w.images.Load()-1), w.person
	}
	_, err := by.AppsV1().Deployments(w.ns).Patch(ctx, name, types.StrategicMergePatchType, imagePatch(image), metav1.PatchOptions{})
	return err
}

func imagePatch(image string) []byte {
	return fmt.Appendf(nil, `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":%q}]}}}}`, image)
}

func (w *workload) rollOutSet(ctx context.Context) error {
	_, err := w.pipeline.AppsV1().StatefulSets(w.ns).Patch(ctx, "db", types.StrategicMergePatchType, imagePatch(w.image()), metav1.PatchOptions{})
	return err
}

func (w *workload) rollOutDaemons(ctx context.Context) error {
	_, err := w.pipeline.AppsV1().DaemonSets(w.ns).Patch(ctx, "agent", types.StrategicMergePatchType, imagePatch(w.image()), metav1.PatchOptions{})
	return err
}

// scale does what an autoscaler does: at irregular intervals, to a count that follows the load.
func (w *workload) scale(ctx context.Context, name string, replicas int32) error {
	w.scalings.Add(1)
	for {
		scale, err := w.autoscaler.AppsV1().Deployments(w.ns).GetScale(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		scale.Spec.Replicas = replicas
		_, err = w.autoscaler.AppsV1().Deployments(w.ns).UpdateScale(ctx, name, scale, metav1.UpdateOptions{})
		if !apierrors.IsConflict(err) {
			return err
		}
	}
}

func (w *workload) scaleSet(ctx context.Context, replicas int32) error {
	w.scalings.Add(1)
	_, err := w.autoscaler.AppsV1().StatefulSets(w.ns).Patch(ctx, "db", types.MergePatchType,
		fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas), metav1.PatchOptions{}, "scale")
	return err
}

// runJob starts a Job that cleans up after itself. One in three waits to be let go, as under a queue.
func (w *workload) runJob(ctx context.Context) error {
	n := w.jobs.Add(1)
	job := jobOf(fmt.Sprintf("batch-%d", n))
	job.Namespace = w.ns
	job.Spec.Suspend = new(n%3 == 0)
	if err := w.create(ctx, w.pipeline, job); err != nil || n%3 != 0 {
		return err
	}
	pause(ctx, jitter(2*time.Second))
	_, err := w.pipeline.BatchV1().Jobs(w.ns).Patch(ctx, job.Name, types.MergePatchType, []byte(`{"spec":{"suspend":false}}`), metav1.PatchOptions{})
	return err
}

// cordon takes a node out of service or back in.
func (w *workload) cordon(ctx context.Context, name string) error {
	node, err := w.person.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	_, err = w.person.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType,
		fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, !node.Spec.Unschedulable), metav1.PatchOptions{})
	return err
}

// preview makes a namespace with everything in it, and deletes it when its pods run.
func (w *workload) preview(ctx context.Context) error {
	name := fmt.Sprintf("%s-preview-%d", soakPrefix, w.namespaces.Add(1))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := w.pipeline.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return err
	}
	meta := metav1.ObjectMeta{Namespace: name, Name: "web"}
	hold := meta
	hold.Finalizers = []string{"apps.example.com/cleanup"}
	for _, o := range []any{
		deploymentOf(name, "web", 2, w.image()), serviceOf(name, "web"),
		&corev1.ConfigMap{ObjectMeta: hold, Data: map[string]string{"a": "b"}},
		&corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"a": "b"}},
		&corev1.ServiceAccount{ObjectMeta: meta},
	} {
		if err := w.create(ctx, w.pipeline, o); err != nil {
			return err
		}
	}
	for n := 0; pause(ctx, time.Second); n++ {
		d, err := w.pipeline.AppsV1().Deployments(name).Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if d.Status.ReadyReplicas == 2 || n > 20 {
			break
		}
	}
	if err := w.pipeline.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	pause(ctx, jitter(time.Second))
	_, err := w.pipeline.CoreV1().ConfigMaps(name).Patch(ctx, "web", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	if err != nil {
		return err
	}
	for pause(ctx, time.Second) {
		if _, err := w.pipeline.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{}); err != nil {
			break
		}
	}
	return nil
}

// create makes an object of the kinds of the workload.
func (w *workload) create(ctx context.Context, c kubernetes.Interface, object any) (err error) {
	options := metav1.CreateOptions{}
	switch o := object.(type) {
	case *appsv1.Deployment:
		_, err = c.AppsV1().Deployments(o.Namespace).Create(ctx, o, options)
	case *appsv1.StatefulSet:
		_, err = c.AppsV1().StatefulSets(o.Namespace).Create(ctx, o, options)
	case *appsv1.DaemonSet:
		_, err = c.AppsV1().DaemonSets(o.Namespace).Create(ctx, o, options)
	case *batchv1.Job:
		_, err = c.BatchV1().Jobs(o.Namespace).Create(ctx, o, options)
	case *batchv1.CronJob:
		_, err = c.BatchV1().CronJobs(o.Namespace).Create(ctx, o, options)
	case *corev1.Service:
		_, err = c.CoreV1().Services(o.Namespace).Create(ctx, o, options)
	case *corev1.ConfigMap:
		_, err = c.CoreV1().ConfigMaps(o.Namespace).Create(ctx, o, options)
	case *corev1.Secret:
		_, err = c.CoreV1().Secrets(o.Namespace).Create(ctx, o, options)
	case *corev1.ServiceAccount:
		_, err = c.CoreV1().ServiceAccounts(o.Namespace).Create(ctx, o, options)
	case *corev1.ResourceQuota:
		_, err = c.CoreV1().ResourceQuotas(o.Namespace).Create(ctx, o, options)
	case *policyv1.PodDisruptionBudget:
		_, err = c.PolicyV1().PodDisruptionBudgets(o.Namespace).Create(ctx, o, options)
	case *autoscalingv2.HorizontalPodAutoscaler:
		_, err = c.AutoscalingV2().HorizontalPodAutoscalers(o.Namespace).Create(ctx, o, options)
	default:
		panic(fmt.Sprintf("cannot create a %T", object))
	}
	return err
}

func selectorOf(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func podOf(app, image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64(1)),
			Containers:                    []corev1.Container{{Name: "app", Image: image}},
		},
	}
}

func deploymentOf(ns, name string, replicas int32, image string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas, Selector: selectorOf(name), Template: podOf(name, image),
	}}
}

func serviceOf(ns, app string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: app}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": app}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}},
	}}
}

func jobOf(name string) *batchv1.Job {
	pod := podOf(name, "job:1.0.0")
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{
		Parallelism: new(int32(2)), Completions: new(int32(4)), BackoffLimit: new(int32(3)),
		TTLSecondsAfterFinished: new(int32(5)), Template: pod,
	}}
}
