// Package pizza plays two controllers that disagree: one computes what a PizzaOrder costs, the other what it costs with a
// coupon, and both write it to the same annotation. Meanwhile customers without a coupon order as well, and wait for their
// price behind the fight, in the queue of the one worker that the pizza controller has.
package pizza

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/truce-dev/truce/lab/measure"
	"github.com/truce-dev/truce/lab/stage"
)

//go:embed crds.yaml
var crds []byte

// How big it is.
const (
	fought = 8                      // orders with a coupon
	pace   = 150 * time.Millisecond // from one new order without a coupon to the next
)

// Names of what is measured.
const (
	Attempted = "price writes attempted"
	Stored    = "price writes stored"
	Held      = "held"
	Denied    = "denied"
	PriceP50  = "order to price, p50"
	PriceP99  = "order to price, p99"
	PriceMax  = "order to price, max"
	Orders    = "orders priced"
	Found     = "last fight found after"
)

// Actions are those that it is played with.
var Actions = []stage.Action{stage.Calm, stage.Without, stage.Warn, stage.Throttle, stage.Reject, stage.Hold}

var (
	orders = schema.GroupVersionResource{Group: "ops.tips", Version: "v1", Resource: "pizzaorders"}
	stores = schema.GroupVersionResource{Group: "ops.tips", Version: "v1", Resource: "pizzastores"}
)

// Play plays it for a time, in a namespace of its own. When ctx ends before, the run is what there is until then.
func Play(ctx context.Context, st *stage.Stage, a stage.Action, length time.Duration, audience stage.Audience) (measure.Run, error) {
	run := measure.Run{Scene: "pizza", Action: string(a), Title: a.Title()}
	ns := "pizza-" + string(a)
	admin, err := dynamic.NewForConfig(st.Cluster.Config)
	if err != nil {
		return run, err
	}
	if err := errors.Join(st.Use(ctx, a), st.CreateNamespace(ctx, ns), install(ctx, admin)); err != nil {
		return run, err
	}
	if err := open(ctx, admin, ns, a.Fights()); err != nil {
		return run, err
	}

	running, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var tally measure.Tally
	var all sync.WaitGroup
	var mu sync.Mutex
	var failures []error
	for name, price := range map[string]func(order, store *unstructured.Unstructured) *int64{
		"pizza-controller": listPrice, "promotions-controller": promotionPrice,
	} {
		config := rest.CopyConfig(st.As(stage.ControllerNamespace, name))
		config.WarningHandler = &tally
		m, err := newManager(config, name, ns, &pricer{tally: &tally, price: price})
		if err != nil {
			return run, err
		}
		all.Go(func() {
			if err := m.Start(running); err != nil && running.Err() == nil {
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, fmt.Errorf("%s: %w", name, err))
				cancel()
			}
		})
	}
	before, err := st.Count(ctx)
	if err != nil {
		return run, err
	}
	run.Began = time.Now()
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

	customers := &customers{client: admin, namespace: ns, ordered: map[string]time.Time{}}
	var sampler measure.Sampler
	sampler.Rate(Stored, func() float64 { return float64(tally.Now().Stored) })
	sampler.Gauge(PriceMax, "s", func() float64 { return customers.oldest().Seconds() })
	all.Go(func() { sampler.Run(running) })
	all.Go(func() { customers.order(running) })
	all.Go(func() { customers.watch(running) })
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for running.Err() == nil {
		for _, told := range tally.Untold() {
			audience.Told(told)
		}
		w := tally.Now()
		audience.Status(time.Since(run.Began), fmt.Sprintf("%d writes attempted, %d stored, %d held, %d denied; %d orders priced",
			w.Attempted, w.Stored, w.Held, w.Denied, customers.priced()))
		select {
		case <-running.Done():
		case <-tick.C:
		}
	}
	all.Wait()
	run.Seconds = time.Since(run.Began).Seconds()
	now, err := st.Count(context.WithoutCancel(ctx))
	if err = errors.Join(append(failures, customers.failure(), err)...); err != nil && ctx.Err() == nil {
		return run, err
	}

	w, latencies := tally.Now(), customers.latencies()
	add := func(name, unit string, v float64, absent bool) {
		run.Values = append(run.Values, measure.Value{Name: name, Unit: unit, Number: v, Absent: absent})
	}
	add(Attempted, "/s", float64(w.Attempted)/run.Seconds, false)
	add(Stored, "/s", float64(w.Stored)/run.Seconds, false)
	add(Held, "", float64(w.Held), !a.Registered())
	add(Denied, "", float64(w.Denied), !a.Registered())
	add(Orders, "", float64(len(latencies)), false)
	add(PriceP50, "s", measure.Quantile(latencies, 0.5), false)
	add(PriceP99, "s", measure.Quantile(latencies, 0.99), false)
	add(PriceMax, "s", measure.Quantile(latencies, 1), false)
	run.Values = append(run.Values, now.Usage(before, run.Seconds, a.Registered())...)
	mu.Lock()
	defer mu.Unlock()
	add(Found, "s", after.Seconds(), found < fought)
	run.Series = sampler.Series()
	if a.Registered() && found < fought {
		run.Notes = append(run.Notes, fmt.Sprintf("Truce found %d of %d fights.", found, fought))
	}
	return run, nil
}

// install makes the custom resources, unless they are there already, and waits until they are served.
func install(ctx context.Context, client dynamic.Interface) error {
	definitions := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	reader := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(crds), 4096)
	for {
		crd := &unstructured.Unstructured{}
		if err := reader.Decode(&crd.Object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("reading the custom resources: %w", err)
		}
		_, err := client.Resource(definitions).Create(ctx, crd, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("making custom resource %s: %w", crd.GetName(), err)
		}
	}
	return stage.Await(ctx, "pizza is served", func() (bool, error) {
		for _, r := range []schema.GroupVersionResource{orders, stores} {
			if _, err := client.Resource(r).List(ctx, metav1.ListOptions{Limit: 1}); apierrors.IsNotFound(err) {
				return false, nil
			} else if err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

// open opens a store, with orders that have a coupon if there is to be a fight.
func open(ctx context.Context, client dynamic.Interface, namespace string, coupons bool) error {
	store := object(storeKind)
	store.SetName("corner")
	store.Object["spec"] = map[string]any{
		"prices": map[string]any{"dough": int64(400), "cheese": int64(150), "mushrooms": int64(120)}, "discount": int64(20),
	}
	if _, err := client.Resource(stores).Namespace(namespace).Create(ctx, store, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("opening a store: %w", err)
	}
	if !coupons {
		return nil
	}
	for n := range fought {
		order := newOrder(fmt.Sprintf("coupon-%d", n), "LAUNCH20")
		if _, err := client.Resource(orders).Namespace(namespace).Create(ctx, order, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("ordering: %w", err)
		}
	}
	return nil
}

func newOrder(name, coupon string) *unstructured.Unstructured {
	order := object(orderKind)
	order.SetName(name)
	spec := map[string]any{"store": "corner", "toppings": []any{"dough", "cheese", "mushrooms"}}
	if coupon != "" {
		spec["coupon"] = coupon
	}
	order.Object["spec"] = spec
	return order
}
