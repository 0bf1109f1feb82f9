package report

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"github.com/truce-dev/truce/pkg/admission"
)

// unseenByAdmission are the resources whose writes the API server sends to no webhook. Those it does not have are left
// out.
var unseenByAdmission = []string{
	"mutatingwebhookconfigurations.admissionregistration.k8s.io",
	"validatingwebhookconfigurations.admissionregistration.k8s.io",
	"validatingadmissionpolicies.admissionregistration.k8s.io",
	"validatingadmissionpolicybindings.admissionregistration.k8s.io",
	"mutatingadmissionpolicies.admissionregistration.k8s.io",
	"mutatingadmissionpolicybindings.admissionregistration.k8s.io",
}

// Watch reports what admission cannot see: writes of webhook configurations and admission policies, and of what the
// policy asks for in observe when the watch starts. A watch may miss writes that follow each other fast, and knows only
// the field managers of those it sees.
type Watch struct {
	Guard     *admission.Guard
	Recorder  *Recorder
	Client    dynamic.Interface
	Discovery discovery.DiscoveryInterface
	Log       *slog.Logger
}

// retryDiscovery is how long to wait if the API server does not say what it has.
const retryDiscovery = 10 * time.Second

// Run watches until ctx ends. Without the right to, it does not, and says so once.
func (w *Watch) Run(ctx context.Context) {
	var resources []watched
	for {
		var err error
		if resources, err = w.resources(); err == nil {
			break
		}
		w.Log.Warn("what admission cannot see is not watched yet", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryDiscovery):
		}
	}
	factory := dynamicinformer.NewDynamicSharedInformerFactory(w.Client, 0)
	for _, r := range resources {
		informer := factory.ForResource(r.GroupVersionResource).Informer()
		var once sync.Once
		_ = informer.SetWatchErrorHandler(func(_ *cache.Reflector, err error) { // an error only if it runs already
			if apierrors.IsForbidden(err) {
				once.Do(func() {
					w.Log.Warn("not watched, for want of rights", "resource", r.GroupResource().String(), "error", err)
				})
			}
		})
		_, _ = informer.AddEventHandler(w.handler(r)) // likewise, if it was stopped
	}
	factory.Start(ctx.Done())
	<-ctx.Done()
	factory.Shutdown()
}

type watched struct {
	schema.GroupVersionResource
	kind string
}

// resources returns what is to be watched, as the API server names it.
func (w *Watch) resources() ([]watched, error) {
	lists, err := w.Discovery.ServerPreferredResources()
	if err != nil && len(lists) == 0 {
		return nil, fmt.Errorf("asking the API server what it has: %w", err)
	}
	asked := w.Guard.Policy().File.Observe
	var found []watched
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range list.APIResources {
			name := schema.GroupResource{Group: gv.Group, Resource: r.Name}.String()
			if slices.Contains(r.Verbs, "watch") && (slices.Contains(unseenByAdmission, name) || slices.Contains(asked, name)) {
				found = append(found, watched{gv.WithResource(r.Name), r.Kind})
			}
		}
	}
	for _, name := range asked {
		if !slices.ContainsFunc(found, func(r watched) bool { return r.GroupResource().String() == name }) {
			w.Log.Warn("the policy asks to observe what the API server does not have", "resource", name)
		}
	}
	return found, nil
}

func (w *Watch) handler(r watched) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, initial bool) {
			if !initial {
				w.saw(r, "CREATE", nil, o)
			}
		},
		UpdateFunc: func(old, updated any) { w.saw(r, "UPDATE", old, updated) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			w.saw(r, "DELETE", o, nil)
		},
	}
}

func (w *Watch) saw(r watched, operation string, old, updated any) {
	s := admission.Sight{Operation: operation, Group: r.Group, Version: r.Version, Resource: r.Resource, Kind: r.kind}
	versions := [2]string{}
	for i, o := range []any{old, updated} {
		u, ok := o.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		b, err := u.MarshalJSON()
		if err != nil {
			return // it came as JSON
		}
		b = []byte(strings.TrimSpace(string(b)))
		s.Namespace, s.Name, versions[i] = u.GetNamespace(), u.GetName(), u.GetResourceVersion()
		if i == 0 {
			s.Old = b
		} else {
			s.New = b
		}
	}
	if versions[0] == versions[1] {
		return // a watch that began anew
	}
	resp, err := w.Guard.Observe(w.Recorder.now(), s)
	if err != nil {
		w.Log.Error("a write that was seen could not be judged", "resource", r.Resource, "name", s.Name, "error", err)
		return
	}
	w.Recorder.Observed(&resp)
}
