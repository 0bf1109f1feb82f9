package office

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/truce-dev/truce/lab/measure"
)

// done counts what was done in the office.
type done struct {
	rollouts, rollbacks, scalings, jobs, renewals, applications, leaders atomic.Int64
}

// staff is everybody who works in the office.
type staff struct {
	ns     string
	done   *done
	as     func(serviceAccount string) kubernetes.Interface
	person func(user, program string) kubernetes.Interface
	failed func(who string, err error)
}

var apps = []string{"shop", "basket", "mail"}

// work lets each do their work until ctx ends, and returns the functions to run.
func (s *staff) work() []func(context.Context) {
	return []func(context.Context){
		s.gitops, s.pipeline, s.autoscaler, s.onCall, s.batch, s.certificates,
		func(ctx context.Context) { s.election(ctx, "ops-a") },
		func(ctx context.Context) { s.election(ctx, "ops-b") },
	}
}

func (s *staff) report(ctx context.Context, who string, counter *atomic.Int64, err error) {
	switch {
	case err == nil:
		counter.Add(1)
	case apierrors.IsConflict(err), measure.Transient(err): // somebody else was faster, or all were; there is a next time
	case ctx.Err() == nil:
		s.failed(who, err)
	}
}

// setUp makes what there is in the morning.
func (s *staff) setUp(ctx context.Context, admin kubernetes.Interface) error {
	for _, app := range apps {
		labels, replicas := map[string]string{"app": app}, int32(3)
		d := &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: app, Labels: labels},
			Spec: appsv1.DeploymentSpec{
				Replicas: &replicas,
				Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels},
					Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image(app, 0)}}},
				},
			},
		}
		if _, err := admin.AppsV1().Deployments(s.ns).Create(ctx, d, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("making Deployment %s: %w", app, err)
		}
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tls"}, Data: map[string][]byte{"tls.crt": randomBytes()}}
	if _, err := admin.CoreV1().Secrets(s.ns).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making a Secret: %w", err)
	}
	return nil
}

func image(app string, version int64) string { return fmt.Sprintf("example.com/%s:1.%d", app, version) }

func (s *staff) setImage(ctx context.Context, client kubernetes.Interface, app string, version int64) error {
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":%q}]}}}}`, image(app, version))
	_, err := client.AppsV1().Deployments(s.ns).Patch(ctx, app, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// pipeline releases a new version of one application after the other.
func (s *staff) pipeline(ctx context.Context) {
	client, version := s.as("pipeline"), int64(0)
	every(ctx, 12*time.Second, func() {
		version++
		s.report(ctx, "pipeline", &s.done.rollouts, s.setImage(ctx, client, apps[version%2], version))
	})
}

// onCall is a human who rolls the mail application forth and, now and then, back.
func (s *staff) onCall(ctx context.Context) {
	client, n := s.person("alice@example.com", "kubectl"), int64(0)
	every(ctx, 20*time.Second, func() {
		n++
		version, counter := n, &s.done.rollouts
		if n%3 == 0 {
			version, counter = n-2, &s.done.rollbacks
		}
		s.report(ctx, "alice", counter, s.setImage(ctx, client, "mail", version))
	})
}

// autoscaler follows the load with the number of replicas, as a HorizontalPodAutoscaler does.
func (s *staff) autoscaler(ctx context.Context) {
	client := s.as("horizontal-pod-autoscaler")
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for ctx.Err() == nil {
		scale, err := client.AppsV1().Deployments(s.ns).GetScale(ctx, "shop", metav1.GetOptions{})
		if err == nil {
			scale.Spec.Replicas = int32(2 + random.IntN(6))
			_, err = client.AppsV1().Deployments(s.ns).UpdateScale(ctx, "shop", scale, metav1.UpdateOptions{})
		}
		s.report(ctx, "autoscaler", &s.done.scalings, err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(5+random.IntN(10)) * time.Second):
		}
	}
}

// batch starts Jobs.
func (s *staff) batch(ctx context.Context) {
	client := s.as("batch")
	every(ctx, 6*time.Second, func() {
		keep := int32(20)
		job := &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "report-"},
			Spec: batchv1.JobSpec{TTLSecondsAfterFinished: &keep, Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers:    []corev1.Container{{Name: "main", Image: "example.com/report:1.0"}},
			}}},
		}
		_, err := client.BatchV1().Jobs(s.ns).Create(ctx, job, metav1.CreateOptions{})
		s.report(ctx, "batch", &s.done.jobs, err)
	})
}

// certificates renews a certificate, far more often than any is.
func (s *staff) certificates(ctx context.Context) {
	client := s.as("cert-manager")
	every(ctx, 15*time.Second, func() {
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"annotations": map[string]string{
				"cert-manager.io/certificate-revision": fmt.Sprint(s.done.renewals.Load() + 1),
			}},
			"data": map[string][]byte{"tls.crt": randomBytes()},
		})
		if err == nil {
			_, err = client.CoreV1().Secrets(s.ns).Patch(ctx, "tls", types.MergePatchType, patch, metav1.PatchOptions{})
		}
		s.report(ctx, "certificates", &s.done.renewals, err)
	})
}

// gitops applies what is in Git, changed or not. It leaves the replicas and images to others.
func (s *staff) gitops(ctx context.Context) {
	client := s.as("gitops")
	options := metav1.ApplyOptions{FieldManager: "gitops", Force: true}
	every(ctx, 30*time.Second, func() {
		n := s.done.applications.Load()
		settings := coreapply.ConfigMap("settings", s.ns).WithData(map[string]string{"revision": fmt.Sprint(n / 2)})
		_, err := client.CoreV1().ConfigMaps(s.ns).Apply(ctx, settings, options)
		for _, app := range apps {
			if err != nil {
				break
			}
			d := appsapply.Deployment(app, s.ns).WithLabels(map[string]string{"team": "store"}).WithSpec(
				appsapply.DeploymentSpec().WithSelector(metaapply.LabelSelector().WithMatchLabels(map[string]string{"app": app})).
					WithMinReadySeconds(1))
			_, err = client.AppsV1().Deployments(s.ns).Apply(ctx, d, options)
		}
		s.report(ctx, "gitops", &s.done.applications, err)
	})
}

// election is one of the replicas of an operator who elect a leader. A leader retires after a while.
func (s *staff) election(ctx context.Context, identity string) {
	client := s.as("operator")
	for ctx.Err() == nil {
		term, retire := context.WithCancel(ctx)
		leaderelection.RunOrDie(term, leaderelection.LeaderElectionConfig{
			Lock: &resourcelock.LeaseLock{
				LeaseMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "operator"}, Client: client.CoordinationV1(),
				LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
			},
			LeaseDuration: 8 * time.Second, RenewDeadline: 5 * time.Second, RetryPeriod: time.Second, ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					s.done.leaders.Add(1)
					select {
					case <-ctx.Done():
					case <-time.After(25 * time.Second):
						retire()
					}
				},
				OnStoppedLeading: func() {},
			},
		})
		retire()
		select {
		case <-ctx.Done():
		case <-time.After(3 * time.Second): // let the other one
		}
	}
}

// every calls f at once and then again and again until ctx ends.
func every(ctx context.Context, interval time.Duration, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		f()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func randomBytes() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return []byte(hex.EncodeToString(b))
}
