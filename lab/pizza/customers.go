package pizza

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// customers order without a coupon at a steady pace and measure how long they wait for a price. They are safe for
// concurrent use.
type customers struct {
	client    dynamic.Interface
	namespace string

	mu      sync.Mutex
	ordered map[string]time.Time // those who wait
	waits   []float64            // of those who have their price, in seconds
	err     error
}

// order orders until ctx ends.
func (c *customers) order(ctx context.Context) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ; n++ {
		name := fmt.Sprintf("order-%04d", n)
		c.mu.Lock()
		c.ordered[name] = time.Now()
		c.mu.Unlock()
		_, err := c.client.Resource(orders).Namespace(c.namespace).Create(ctx, newOrder(name, ""), metav1.CreateOptions{})
		if err != nil && ctx.Err() == nil {
			c.mu.Lock()
			c.err = fmt.Errorf("ordering: %w", err)
			c.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watch sees prices come, until ctx ends.
func (c *customers) watch(ctx context.Context) {
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(c.client, 0, c.namespace, nil)
	see := func(obj any) {
		order := obj.(*unstructured.Unstructured)
		if order.GetAnnotations()[priceKey] == "" {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if began, waits := c.ordered[order.GetName()]; waits {
			c.waits = append(c.waits, time.Since(began).Seconds())
			delete(c.ordered, order.GetName())
		}
	}
	_, err := factory.ForResource(orders).Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: see, UpdateFunc: func(_, obj any) { see(obj) },
	})
	if err != nil {
		panic(err) // the informer has not been stopped
	}
	factory.Start(ctx.Done())
	<-ctx.Done()
	factory.Shutdown()
}

// oldest returns how long the one who waits longest has waited.
func (c *customers) oldest() (longest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, began := range c.ordered {
		longest = max(longest, time.Since(began))
	}
	return longest
}

// latencies returns how long each waited, those who still wait among them.
func (c *customers) latencies() []float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := append([]float64(nil), c.waits...)
	for _, began := range c.ordered {
		list = append(list, time.Since(began).Seconds())
	}
	return list
}

func (c *customers) priced() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waits)
}

func (c *customers) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
