// Package e2e proves Truce on a real API server: kube-apiserver, etcd and kube-controller-manager of the pinned version,
// the webhook as a process of its own, and the clients that real controllers are made of.
//
// All tests share one cluster. Each has namespaces and a webhook with a policy of its own, and its webhook
// configurations select only these namespaces, so tests run in parallel. Parties of fights are service accounts, played
// by impersonation. What counts is what the API server says: events of a watch (one per write to etcd), its answers, its
// audit log; the webhook's own log and metrics only tell what it saw.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/truce-dev/truce/test/cluster"
)

// writersGroup is the group that gives the parties of fights their rights.
const writersGroup = "e2e-writers"

// What all tests share.
var (
	shared     *cluster.Cluster
	webhookBin string
	auditTrail *trail
)

func TestMain(m *testing.M) {
	cluster.Main("e2e", func(ctx context.Context, dir string) (code int, err error) {
		// -race: what a race in the webhook does to an answer is not to be left to chance.
		if webhookBin, err = cluster.BuildWebhook(ctx, dir, "-race"); err != nil {
			return 0, err
		}
		shared, err = cluster.Start(ctx, cluster.Options{ControllerManager: true, Progress: os.Stderr, Dir: dir})
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, shared.Stop()) }()
		auditTrail = newTrail(shared.AuditLog)
		if err := prepare(ctx); err != nil {
			return 0, err
		}
		code = m.Run()
		if keep := os.Getenv("TRUCE_E2E_KEEP"); keep != "" {
			err = errors.Join(os.Rename(shared.AuditLog, filepath.Join(keep, "audit.log")),
				os.Rename(filepath.Join(dir, "kube-controller-manager.log"), filepath.Join(keep, "kube-controller-manager.log")))
		}
		return code, err
	})
}

// prepare puts into the cluster what all tests need: the parties' rights and a custom resource.
func prepare(ctx context.Context) error {
	admin, err := kubernetes.NewForConfig(shared.Config)
	if err != nil {
		return err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: writersGroup},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: writersGroup}},
	}
	if _, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("giving the parties their rights: %w", err)
	}
	return createPizzaOrders(ctx, shared.Config)
}
