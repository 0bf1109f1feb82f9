package incluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/watch"
	admissionclient "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
)

// Target is a webhook configuration, all of whose webhooks get the caBundle.
type Target struct {
	Mutating bool
	Name     string
}

// ParseTarget reads validating/NAME and mutating/NAME.
func ParseTarget(text string) (Target, error) {
	kind, name, _ := strings.Cut(text, "/")
	if (kind != "validating" && kind != "mutating") || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return Target{}, fmt.Errorf("%q is no webhook configuration: give validating/NAME or mutating/NAME", text)
	}
	return Target{Mutating: kind == "mutating", Name: name}, nil
}

func (t Target) kind() string {
	if t.Mutating {
		return "MutatingWebhookConfiguration"
	}
	return "ValidatingWebhookConfiguration"
}

func (t Target) String() string { return t.kind() + " " + t.Name }

// configuration is what matters of a webhook configuration.
type configuration struct {
	metav1.ObjectMeta
	hooks []hook
}

type hook struct {
	name     string
	caBundle []byte
}

// targetAPI is the API of one kind of configuration.
type targetAPI interface {
	get(ctx context.Context, name string) (configuration, error)
	patch(ctx context.Context, name string, patch []byte) error
	watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// bundlePatch is a strategic merge patch that sets the caBundle of every webhook of c, by name, and nothing else: what a
// newer API server knows of webhooks and this program does not stays. With the resourceVersion in it, it fails if the
// configuration was changed meanwhile.
func bundlePatch(c configuration, bundle []byte) ([]byte, error) {
	type client struct {
		CABundle []byte `json:"caBundle"`
	}
	type webhook struct {
		Name         string `json:"name"`
		ClientConfig client `json:"clientConfig"`
	}
	patch := struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Webhooks []webhook `json:"webhooks"`
	}{}
	patch.Metadata.ResourceVersion = c.ResourceVersion
	for _, h := range c.hooks {
		patch.Webhooks = append(patch.Webhooks, webhook{h.name, client{bundle}})
	}
	return json.Marshal(patch)
}

// typed is the API of configurations of type T.
type typed[T any] struct {
	client interface {
		Get(ctx context.Context, name string, o metav1.GetOptions) (*T, error)
		Patch(ctx context.Context, name string, kind types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*T, error)
		Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
	}
	read func(*T) configuration
}

func (a typed[T]) get(ctx context.Context, name string) (configuration, error) {
	object, err := a.client.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return configuration{}, err
	}
	return a.read(object), nil
}

func (a typed[T]) patch(ctx context.Context, name string, patch []byte) error {
	_, err := a.client.Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	return err
}

func (a typed[T]) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return a.client.Watch(ctx, o)
}

// api returns the API of the target's kind.
func (t Target) api(client admissionclient.AdmissionregistrationV1Interface) targetAPI {
	if t.Mutating {
		return typed[admissionv1.MutatingWebhookConfiguration]{
			client: client.MutatingWebhookConfigurations(),
			read: func(o *admissionv1.MutatingWebhookConfiguration) configuration {
				c := configuration{ObjectMeta: o.ObjectMeta}
				for _, w := range o.Webhooks {
					c.hooks = append(c.hooks, hook{w.Name, w.ClientConfig.CABundle})
				}
				return c
			},
		}
	}
	return typed[admissionv1.ValidatingWebhookConfiguration]{
		client: client.ValidatingWebhookConfigurations(),
		read: func(o *admissionv1.ValidatingWebhookConfiguration) configuration {
			c := configuration{ObjectMeta: o.ObjectMeta}
			for _, w := range o.Webhooks {
				c.hooks = append(c.hooks, hook{w.Name, w.ClientConfig.CABundle})
			}
			return c
		},
	}
}
