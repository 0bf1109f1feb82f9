package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// stored sees what is written to etcd of one object: every write is one event of a watch, and one resourceVersion.
type stored struct {
	t    *testing.T
	api  dynamic.ResourceInterface
	name string

	mu     sync.Mutex
	states []*unstructured.Unstructured // the first is that before the watch began; nil: deleted
}

// watch begins to watch an object that may exist already.
func (s *scene) watch(gvr schema.GroupVersionResource, name string) *stored {
	s.t.Helper()
	w := &stored{t: s.t, api: s.dyn.Resource(gvr).Namespace(s.ns), name: name}
	only := "metadata.name=" + name
	list, err := w.api.List(s.t.Context(), metav1.ListOptions{FieldSelector: only})
	if err != nil {
		s.t.Fatal(err)
	}
	w.states = []*unstructured.Unstructured{nil}
	if len(list.Items) > 0 {
		w.states[0] = &list.Items[0]
	}
	// The API server ends a watch whose client is too slow for it. This one begins again where it was, and misses nothing.
	events, err := watchtools.NewRetryWatcherWithContext(s.t.Context(), list.GetResourceVersion(), &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector = only
			return w.api.Watch(ctx, options)
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(events.Stop)
	go func() {
		for e := range events.ResultChan() {
			o, ok := e.Object.(*unstructured.Unstructured)
			if !ok || e.Type == watch.Error {
				continue // where it was is no longer known: the test misses its events then, and fails
			}
			if e.Type == watch.Deleted {
				o = nil
			}
			w.mu.Lock()
			w.states = append(w.states, o)
			w.mu.Unlock()
		}
	}()
	return w
}

// history returns every state of the object from the one before the watch began to that of now.
func (w *stored) history() []*unstructured.Unstructured {
	w.t.Helper()
	want := ""
	o, err := w.api.Get(w.t.Context(), w.name, metav1.GetOptions{})
	switch {
	case err == nil:
		want = o.GetResourceVersion()
	case !apierrors.IsNotFound(err):
		w.t.Fatal(err)
	}
	var all []*unstructured.Unstructured
	eventually(w.t, "the watch has seen what is stored", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		all = w.states[:len(w.states):len(w.states)]
		for _, s := range all {
			if s == nil && want == "" || s != nil && s.GetResourceVersion() == want {
				return true
			}
		}
		return false
	})
	return all
}

// writes returns how many writes to etcd there were.
func (w *stored) writes() int {
	w.t.Helper()
	return len(w.history()) - 1
}

// changes returns how many of them changed what value reads.
func (w *stored) changes(value func(*unstructured.Unstructured) string) int {
	w.t.Helper()
	n, last := 0, ""
	for i, o := range w.history() {
		v := "<deleted>"
		if o != nil {
			v = value(o)
		}
		if i > 0 && v != last {
			n++
		}
		last = v
	}
	return n
}

// explain tells what the last writes changed, for a test that finds too many of them.
func (w *stored) explain() string {
	w.t.Helper()
	all := w.history()
	text := ""
	for i := max(1, len(all)-3); i < len(all); i++ {
		text += fmt.Sprintf("write %d of %d (-before +after):\n%s", i, len(all)-1, cmp.Diff(all[i-1], all[i]))
	}
	return text
}
