package storm

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// watcher is a client that keeps all Pods of a namespace in a cache, as every controller and kubelet keeps something. It
// lists once and then watches; when its watch has expired, it lists again.
type watcher struct {
	client    kubernetes.Interface
	namespace string
	reflector *cache.Reflector

	lists, gone atomic.Int64
}

// watchFor is how many seconds a watch lasts. client-go's lasts five minutes or more; but here the storm lasts a minute only,
// and a client that lags learns of it when it has to begin a new watch.
const watchFor = 8

// newWatcher returns a watcher that is connected through a line; nil for a good one.
func newWatcher(config *rest.Config, name, namespace string, l *line) (*watcher, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = name
	config.DisableCompression = true // so that bytes on the line are bytes of objects
	if l != nil {
		config.Dial = l.dial
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	w := &watcher{client: client, namespace: namespace}
	w.reflector = cache.NewReflectorWithOptions(
		&lister{cache.ListWatch{ListWithContextFunc: w.list, WatchFuncWithContext: w.watch}},
		&corev1.Pod{}, cache.NewStore(cache.MetaNamespaceKeyFunc), cache.ReflectorOptions{Name: name})
	return w, nil
}

// lister lists as clients always have, in one answer. Those of today can begin a watch with all there is instead, which
// spares the API server's memory, but neither the line nor etcd.
type lister struct{ cache.ListWatch }

// IsWatchListSemanticsUnSupported tells the reflector.
func (*lister) IsWatchListSemanticsUnSupported() bool { return true }

func (w *watcher) list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	if o.Continue == "" { // the others are pages of the same list
		w.lists.Add(1)
	}
	list, err := w.client.CoreV1().Pods(w.namespace).List(ctx, o)
	w.see(err)
	return list, err
}

func (w *watcher) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	seconds := int64(watchFor + rand.IntN(watchFor))
	o.TimeoutSeconds = &seconds
	stream, err := w.client.CoreV1().Pods(w.namespace).Watch(ctx, o)
	if err != nil {
		w.see(err)
		return nil, err
	}
	return watch.Filter(stream, func(e watch.Event) (watch.Event, bool) {
		if e.Type == watch.Error {
			w.see(apierrors.FromObject(e.Object))
		}
		return e, true
	}), nil
}

// see counts the answer that what was asked for is too old.
func (w *watcher) see(err error) {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Code == http.StatusGone {
		w.gone.Add(1)
	}
}

// revision returns up to where the watcher has seen the world.
func (w *watcher) revision() int64 {
	n, _ := strconv.ParseInt(w.reflector.LastSyncResourceVersion(), 10, 64) // 0 before the first list
	return n
}
