package pizza

import (
	"context"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/truce-dev/truce/lab/measure"
)

var (
	orderKind = schema.GroupVersionKind{Group: "ops.tips", Version: "v1", Kind: "PizzaOrder"}
	storeKind = schema.GroupVersionKind{Group: "ops.tips", Version: "v1", Kind: "PizzaStore"}
)

// priceKey is the annotation that the customer looks at, and that two controllers think they own.
const priceKey = "ops.tips/price"

// pricer is a controller that keeps the price of orders. What the price is, price says; nil is no opinion.
type pricer struct {
	client.Client
	tally *measure.Tally
	price func(order, store *unstructured.Unstructured) *int64
}

// listPrice is what the pizza controller charges: the sum of the toppings.
func listPrice(order, store *unstructured.Unstructured) *int64 {
	prices, _, _ := unstructured.NestedMap(store.Object, "spec", "prices") // the API server has checked its type
	toppings, _, _ := unstructured.NestedStringSlice(order.Object, "spec", "toppings")
	sum := int64(0)
	for _, t := range toppings {
		cents, _ := prices[t].(int64)
		sum += cents
	}
	return &sum
}

// promotionPrice is what the promotions controller grants to who has a coupon. It has no opinion of other orders.
func promotionPrice(order, store *unstructured.Unstructured) *int64 {
	coupon, _, _ := unstructured.NestedString(order.Object, "spec", "coupon")
	if coupon == "" {
		return nil
	}
	discount, _, _ := unstructured.NestedInt64(store.Object, "spec", "discount")
	price := *listPrice(order, store) * (100 - discount) / 100
	return &price
}

// Reconcile makes the price of an order what it ought to be.
func (p *pricer) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	order, store := object(orderKind), object(storeKind)
	if err := p.Get(ctx, req.NamespacedName, order); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	name, _, _ := unstructured.NestedString(order.Object, "spec", "store")
	if err := p.Get(ctx, client.ObjectKey{Namespace: req.Namespace, Name: name}, store); err != nil {
		return ctrl.Result{}, err
	}
	price := p.price(order, store)
	if price == nil || order.GetAnnotations()[priceKey] == strconv.FormatInt(*price, 10) {
		return ctrl.Result{}, nil
	}
	changed := order.DeepCopy()
	annotations := changed.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[priceKey] = strconv.FormatInt(*price, 10)
	changed.SetAnnotations(annotations)
	err := p.Update(ctx, changed) // it reads the answer into changed
	p.tally.Wrote(order, changed, err)
	if apierrors.IsConflict(err) {
		return ctrl.Result{}, nil // the change that was faster comes as an event
	}
	return ctrl.Result{}, err
}

// newManager returns a manager that runs one such controller, with one worker, in one namespace.
func newManager(rc *rest.Config, name, namespace string, p *pricer) (ctrl.Manager, error) {
	skip := true // names are unique within a process otherwise, and each run has its own managers
	m, err := ctrl.NewManager(rc, ctrl.Options{
		Metrics:                server.Options{BindAddress: "0"},
		HealthProbeBindAddress: "0",
		Cache:                  cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		Client:                 client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Controller:             config.Controller{SkipNameValidation: &skip},
	})
	if err != nil {
		return nil, err
	}
	p.Client = client.WithFieldOwner(m.GetClient(), name)
	return m, ctrl.NewControllerManagedBy(m).Named(name).For(object(orderKind)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1}).Complete(p)
}

func object(kind schema.GroupVersionKind) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	return u
}
