// Package archetype is the controller of the incident, and the services that it looks after.
package archetype

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// SignatureKey is the annotation that the controller keeps on ServiceAccounts.
const SignatureKey = "archetype.example.com/signature"

// Controller is the controller of the incident, written as such controllers are: informers, a work queue with backoff,
// workers. For each component (a Deployment) it signs the ServiceAccount that the component runs as.
//
// Its bug is an assumption: that each component has a ServiceAccount to itself. Where two share one, the signature of
// one overwrites that of the other, which is a change of the ServiceAccount, upon which the controller signs it again.
type Controller struct {
	client     kubernetes.Interface
	components cache.Indexer // Deployments, by the ServiceAccount that they run as
	accounts   cache.Store
	queue      workqueue.TypedRateLimitingInterface[cache.ObjectName]
	informers  informers.SharedInformerFactory

	// wrote is told of each write: what was sent, and what came back.
	wrote func(sent, got metav1.Object, err error)
}

// resync is how often the controller looks at everything again. Hours are usual; here a phase lasts seconds, and one
// should see that it keeps trying.
const resync = time.Second

// workers is how many components it works on at once.
const workers = 4

const byAccount = "byAccount"

// New returns the controller for one namespace.
func New(client kubernetes.Interface, namespace string,
	wrote func(sent, got metav1.Object, err error),
) (*Controller, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, resync, informers.WithNamespace(namespace))
	deployments := factory.Apps().V1().Deployments().Informer()
	accounts := factory.Core().V1().ServiceAccounts().Informer()
	c := &Controller{
		client:     client,
		components: deployments.GetIndexer(),
		accounts:   accounts.GetStore(),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]()),
		informers: factory,
		wrote:     wrote,
	}
	if err := deployments.AddIndexers(cache.Indexers{byAccount: accountOf}); err != nil {
		return nil, err
	}
	if _, err := deployments.AddEventHandler(onChange(c.enqueue)); err != nil {
		return nil, err
	}
	if _, err := accounts.AddEventHandler(onChange(c.enqueueComponents)); err != nil {
		return nil, err
	}
	return c, nil
}

// Run works until ctx ends, and finishes what it is at.
func (c *Controller) Run(ctx context.Context) error {
	defer c.informers.Shutdown()
	defer c.queue.ShutDown()
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	c.informers.Start(watching.Done())
	for kind, synced := range c.informers.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("the controller's cache of %s did not fill", kind)
		}
	}
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for c.next() {
			}
		})
	}
	<-ctx.Done()
	c.queue.ShutDown()
	all.Wait()
	return nil
}

// next takes one component from the queue. One that fails comes back later, and later each time.
func (c *Controller) next() bool {
	component, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(component)
	if err := c.sign(component); err != nil {
		c.queue.AddRateLimited(component)
		return true
	}
	c.queue.Forget(component)
	return true
}

// sign makes the component's ServiceAccount carry the component's signature.
func (c *Controller) sign(component cache.ObjectName) error {
	obj, exists, err := c.components.GetByKey(component.String())
	if err != nil || !exists {
		return err
	}
	deployment := obj.(*appsv1.Deployment)
	obj, exists, err = c.accounts.GetByKey(deployment.Namespace + "/" + deployment.Spec.Template.Spec.ServiceAccountName)
	if err != nil || !exists {
		return err
	}
	account := obj.(*corev1.ServiceAccount)
	want := signature(deployment)
	if account.Annotations[SignatureKey] == want {
		return nil
	}

	account = account.DeepCopy() // what a cache holds is shared
	metav1.SetMetaDataAnnotation(&account.ObjectMeta, SignatureKey, want)
	// Not under the context that ends the phase: a write that is on its way is to be counted for what becomes of it.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	got, err := c.client.CoreV1().ServiceAccounts(account.Namespace).Update(ctx, account, metav1.UpdateOptions{})
	c.wrote(account, got, err)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// signature tells what a component is, in a form that changes when the component does.
func signature(component *appsv1.Deployment) string {
	sum := sha256.Sum256([]byte(component.Namespace + "/" + component.Name + "/" + string(component.UID)))
	return hex.EncodeToString(sum[:8])
}

func (c *Controller) enqueue(obj metav1.Object) {
	c.queue.Add(cache.NewObjectName(obj.GetNamespace(), obj.GetName()))
}

// enqueueComponents puts all components that run as a ServiceAccount into the queue.
func (c *Controller) enqueueComponents(account metav1.Object) {
	components, err := c.components.ByIndex(byAccount, account.GetNamespace()+"/"+account.GetName())
	if err != nil {
		panic(err) // there is no such index
	}
	for _, component := range components {
		c.enqueue(component.(metav1.Object))
	}
}

func accountOf(obj any) ([]string, error) {
	d := obj.(*appsv1.Deployment)
	return []string{d.Namespace + "/" + d.Spec.Template.Spec.ServiceAccountName}, nil
}

// onChange calls handle for objects that are new or changed, and with each resync.
func onChange(handle func(metav1.Object)) cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { handle(obj.(metav1.Object)) },
		UpdateFunc: func(_, obj any) { handle(obj.(metav1.Object)) },
	}
}
