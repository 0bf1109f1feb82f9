package incluster

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/truce-dev/truce/certs"
)

// fieldManager is who writes, in managedFields.
const fieldManager = "truce-certs"

// errChanged says that somebody else wrote the Secret since it was read: it has to be read again.
var errChanged = errors.New("the Secret was changed meanwhile")

// secret is the Secret as it was read.
type secret struct {
	ring   certs.Keyring
	object *corev1.Secret // nil: there is none
}

func (k *Keeper) read(ctx context.Context) (secret, error) {
	object, err := k.cfg.Client.CoreV1().Secrets(k.cfg.Secret.Namespace).Get(ctx, k.cfg.Secret.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return secret{}, nil
	case err != nil:
		return secret{}, explain("reading "+k.place(), err)
	}
	return secret{ring: certs.ParseKeyring(object.Data), object: object}, nil
}

// write replaces what was read. It never overwrites what somebody else wrote since: of several replicas that start at
// once, one makes the authority.
func (k *Keeper) write(ctx context.Context, old secret, ring certs.Keyring) error {
	client := k.cfg.Client.CoreV1().Secrets(k.cfg.Secret.Namespace)
	var err error
	if old.object == nil {
		object := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: k.cfg.Secret.Namespace, Name: k.cfg.Secret.Name,
				Labels: map[string]string{"app.kubernetes.io/name": "truce"},
			},
			Data: map[string][]byte{},
		}
		ring.Put(object.Data)
		_, err = client.Create(ctx, object, metav1.CreateOptions{FieldManager: fieldManager})
	} else {
		object := old.object.DeepCopy()
		if object.Data == nil {
			object.Data = map[string][]byte{}
		}
		ring.Put(object.Data)
		_, err = client.Update(ctx, object, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err) && old.object != nil:
		return errChanged
	case apierrors.IsForbidden(err) && old.object == nil:
		return fmt.Errorf("%w, or make %s yourself, empty: it need not be created then", explain("making "+k.place(), err),
			k.place())
	case err != nil:
		return explain("writing "+k.place(), err)
	}
	return nil
}
