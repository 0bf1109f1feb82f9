package victim

import (
	"context"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Engine is the whole of it, for one namespace: a fan-out and an agent on each node.
type Engine struct {
	fanout    *fanout
	agents    []*agent
	informers informers.SharedInformerFactory
}

// buffer is how many updates an agent may lag behind before its connection is dropped.
const buffer = 3000

// New returns an engine for a namespace and nodes. reached is called when a Pod can be reached, from the agents'
// goroutines, each time that an agent learns of it.
func New(client kubernetes.Interface, namespace string, nodes []string, reached func(types.NamespacedName)) (*Engine, error) {
	e := &Engine{
		fanout:    newFanout(buffer),
		informers: informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace)),
	}
	for _, n := range nodes {
		e.agents = append(e.agents, newAgent(n, e.fanout, reached))
	}
	for kind, informer := range map[kind]cache.SharedIndexInformer{
		namespaces: e.informers.Core().V1().Namespaces().Informer(),
		accounts:   e.informers.Core().V1().ServiceAccounts().Informer(),
		policies:   e.informers.Networking().V1().NetworkPolicies().Informer(),
		pods:       e.informers.Core().V1().Pods().Informer(),
	} {
		if _, err := informer.AddEventHandler(e.publish(kind)); err != nil {
			return nil, fmt.Errorf("watching for the policy engine: %w", err)
		}
	}
	return e, nil
}

// publish passes the news of a kind on to the fan-out.
func (e *Engine) publish(kind kind) cache.ResourceEventHandler {
	of := func(object metav1.Object) key { return key{kind, object.GetNamespace(), object.GetName()} }
	changed := func(obj any) {
		object := obj.(metav1.Object)
		e.fanout.publish(update{of(object), object})
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		UpdateFunc: func(_, obj any) { changed(obj) },
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			e.fanout.publish(update{key: of(obj.(metav1.Object))})
		},
	}
}

// Start fills the caches and has the agents work until ctx ends. The function it returns waits for their end.
func (e *Engine) Start(ctx context.Context) (wait func(), err error) {
	e.informers.Start(ctx.Done())
	for kind, synced := range e.informers.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return nil, fmt.Errorf("the policy engine's cache of %s did not fill", kind)
		}
	}
	var all sync.WaitGroup
	for _, a := range e.agents {
		all.Go(func() { a.run(ctx) })
	}
	return func() {
		all.Wait()
		e.informers.Shutdown()
	}, nil
}

// Depth returns how many updates wait in the longest queue of an agent.
func (e *Engine) Depth() int {
	most := int64(0)
	for _, a := range e.agents {
		most = max(most, a.depth.Load())
	}
	return int(most)
}

// Done returns how many updates the agents have worked off, all together.
func (e *Engine) Done() int {
	sum := int64(0)
	for _, a := range e.agents {
		sum += a.done.Load()
	}
	return int(sum)
}

// Dropped returns how many connections were dropped for being slow.
func (e *Engine) Dropped() int { return e.fanout.drops() }
