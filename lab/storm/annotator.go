package storm

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/truce-dev/truce/lab/measure"
)

// What is fought over.
const (
	centerKey    = "ops.tips/cost-center"
	billedKey    = "billed" // the label of the Pods whose annotation it is
	annotatorJob = 2        // workers
)

// annotator is a controller that keeps an annotation of some Pods at its value.
type annotator struct {
	client kubernetes.Interface
	value  string
	tally  *measure.Tally
	pods   cache.Store
	queue  workqueue.TypedRateLimitingInterface[cache.ObjectName]
}

// run works until ctx ends.
func (a *annotator) run(ctx context.Context, namespace string) error {
	a.queue = workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]())
	factory := informers.NewSharedInformerFactoryWithOptions(a.client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = billedKey }))
	informer := factory.Core().V1().Pods().Informer()
	a.pods = informer.GetStore()
	add := func(obj any) {
		pod := obj.(*corev1.Pod)
		a.queue.Add(cache.NewObjectName(pod.Namespace, pod.Name))
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: add, UpdateFunc: func(_, obj any) { add(obj) },
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	var all sync.WaitGroup
	for range annotatorJob {
		all.Go(func() {
			for a.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	a.queue.ShutDown()
	all.Wait()
	return nil
}

func (a *annotator) next(ctx context.Context) bool {
	name, shutdown := a.queue.Get()
	if shutdown {
		return false
	}
	defer a.queue.Done(name)
	if err := a.annotate(ctx, name); err != nil && !apierrors.IsNotFound(err) {
		a.queue.AddRateLimited(name)
		return true
	}
	a.queue.Forget(name)
	return true
}

func (a *annotator) annotate(ctx context.Context, name cache.ObjectName) error {
	obj, exists, err := a.pods.GetByKey(name.String())
	if err != nil || !exists {
		return err
	}
	pod := obj.(*corev1.Pod)
	if pod.Annotations[centerKey] == a.value {
		return nil
	}
	pod = pod.DeepCopy() // what a cache holds is shared
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, centerKey, a.value)
	got, err := a.client.CoreV1().Pods(pod.Namespace).Update(ctx, pod, metav1.UpdateOptions{})
	if ctx.Err() == nil {
		a.tally.Wrote(pod, got, err)
	}
	return err
}
