package incluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// The Lease's times. Nothing here is in a hurry, and each renewal is a write to etcd: another replica takes over half a
// minute after one has died.
const (
	leaseDuration = 30 * time.Second
	renewDeadline = 20 * time.Second
	renewEvery    = 5 * time.Second
)

// leaseState is what is known of the Lease.
type leaseState struct {
	name   string
	holder string
	err    error
}

// waiting says what a replica without a certificate waits for.
func (s *leaseState) waiting() error {
	switch {
	case s == nil:
		return waiting{errors.New("waiting for the Lease")}
	case s.err != nil:
		return s.err
	case s.holder == "":
		return waiting{fmt.Errorf("waiting for a replica to take the Lease %s", s.name)}
	}
	return waiting{fmt.Errorf("waiting for %s, which holds the Lease %s, to make one", s.holder, s.name)}
}

// lead competes for the Lease until ctx ends. Who holds it works for all; should two do so for a moment, the Secret's
// resourceVersion keeps them from undoing each other's work.
func (k *Keeper) lead(ctx context.Context) {
	// What the library logs, this package says in its own words when it matters.
	ctx = klog.NewContext(ctx, logr.Discard())
	name := k.cfg.Secret.String()
	k.lease.Store(&leaseState{name: name})
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: &noted{k: k, LeaseLock: resourcelock.LeaseLock{
				LeaseMeta:  metav1.ObjectMeta{Namespace: k.cfg.Secret.Namespace, Name: k.cfg.Secret.Name},
				Client:     k.cfg.Client.CoordinationV1(),
				LockConfig: resourcelock.ResourceLockConfig{Identity: k.cfg.Identity},
			}},
			LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: renewEvery,
			ReleaseOnCancel: true,
			Name:            name,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) {
					k.cfg.Log.Info("this replica looks after the certificates from now on", "lease", name)
					k.leading.Store(true)
					k.nudge()
				},
				OnStoppedLeading: func() { k.leading.Store(false) },
				OnNewLeader: func(holder string) {
					k.lease.Store(&leaseState{name: name, holder: holder})
				},
			},
		})
		if err != nil {
			panic(err) // the times are constants
		}
		elector.Run(ctx)
	}
}

// noted is a lock that remembers what the API server refused.
type noted struct {
	resourcelock.LeaseLock
	k *Keeper
}

func (n *noted) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := n.LeaseLock.Get(ctx)
	if !apierrors.IsNotFound(err) {
		n.note("reading", err)
	}
	return record, raw, err
}

func (n *noted) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	err := n.LeaseLock.Create(ctx, record)
	if !apierrors.IsAlreadyExists(err) {
		n.note("making", err)
	}
	return err
}

func (n *noted) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	err := n.LeaseLock.Update(ctx, record)
	if !apierrors.IsConflict(err) {
		n.note("writing", err)
	}
	return err
}

func (n *noted) note(doing string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	old := *n.k.lease.Load()
	if err != nil {
		err = explain(fmt.Sprintf("%s the Lease %s", doing, old.name), err)
	}
	old.err = err
	n.k.lease.Store(&old)
}
