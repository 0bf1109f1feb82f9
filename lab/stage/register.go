package stage

import (
	"context"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/truce-dev/truce/lab/measure"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/registration"
)

// The namespace of the scenes' controllers, and the one among them whose rights are tried out.
const (
	ControllerNamespace = "controllers"
	probeName           = "probe"
	name                = "truce" // of the webhook configurations
)

// prepare lets the scenes' controllers do what they have to: all ServiceAccounts of their namespace may write everything
// but permissions.
func (s *Stage) prepare(ctx context.Context) error {
	if err := s.CreateNamespace(ctx, ControllerNamespace); err != nil {
		return err
	}
	_, err := s.Admin.CoreV1().ServiceAccounts(ControllerNamespace).Create(ctx,
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: probeName}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("making a ServiceAccount: %w", err)
	}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: ControllerNamespace}, Rules: []rbacv1.PolicyRule{
		{
			APIGroups: []string{"", "apps", "autoscaling", "batch", "coordination.k8s.io", "ops.tips"},
			Resources: []string{"*"}, Verbs: []string{"*"},
		},
	}}
	if _, err := s.Admin.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making the controllers' role: %w", err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{
			APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:serviceaccounts:" + ControllerNamespace,
		}},
	}
	if _, err := s.Admin.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("giving the controllers their role: %w", err)
	}
	return Await(ctx, "the controllers' role takes effect", func() (bool, error) { return s.probe(ctx) })
}

// CreateNamespace makes one.
func (s *Stage) CreateNamespace(ctx context.Context, name string) error {
	_, err := s.Admin.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("making namespace %s: %w", name, err)
	}
	return nil
}

// Use makes Truce there from the beginning on, or not, as an action says.
func (s *Stage) Use(ctx context.Context, a Action) error {
	if a.Registered() {
		return s.Enforce(ctx, a)
	}
	return s.Withdraw(ctx)
}

// Enforce puts the policy for an action into force, and waits until the webhook goes by it and the API server sends it
// what it needs.
func (s *Stage) Enforce(ctx context.Context, a Action) error {
	for len(s.entries) > 0 { // of earlier policies
		<-s.entries
	}
	if text := policyText(a); text != s.policy {
		if err := writePolicy(s.PolicyFile(), text); err != nil {
			return err
		}
		if err := s.awaitLoaded(ctx); err != nil {
			return err
		}
		s.policy = text
	}
	before, err := s.Truce()
	if err != nil {
		return err
	}
	mutating, err := s.Register(ctx)
	if err != nil {
		return err
	}
	return Await(ctx, "the API server asks the webhook", func() (bool, error) {
		if _, err := s.probe(ctx); err != nil {
			return false, err
		}
		after, err := s.Truce()
		if err != nil {
			return false, err
		}
		asked := func(phase string) bool {
			label := `phase="` + phase + `"`
			return after.Sum(reviews, label) > before.Sum(reviews, label)
		}
		return asked("validating") && (!mutating || asked("mutating")), nil
	})
}

// reviews is the webhook's metric of the reviews that it has answered.
const reviews = "truce_reviews_total"

func (s *Stage) awaitLoaded(ctx context.Context) error {
	timeout := time.After(patience)
	for {
		select {
		case e := <-s.entries:
			switch e.Msg {
			case MsgLoaded:
				return nil
			case MsgProblem:
				return fmt.Errorf("the webhook refused the policy of the lab: line %d: %s: %s", e.Line, e.Path, e.Problem)
			}
		case <-timeout:
			return fmt.Errorf("the webhook did not load its changed policy within %s (%s says more)", patience, s.log.Name())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Register has the API server send the webhook what the policy in force needs. It reports whether some of that is to
// be mutated.
func (s *Stage) Register(ctx context.Context) (mutating bool, err error) {
	p, err := policy.LoadFile(s.PolicyFile())
	if err != nil {
		return false, err
	}
	validating, mutate := registration.Configurations(p, registration.Endpoint{
		Name: name, URL: "https://" + s.Webhook.Address, CABundle: s.Webhook.CABundle,
	})
	if err := s.put(ctx, validating, mutate); err != nil {
		return false, fmt.Errorf("registering the webhook: %w", err)
	}
	return mutate != nil, nil
}

// put makes the configurations what they are to be. A nil one is removed.
func (s *Stage) put(ctx context.Context, v *admissionv1.ValidatingWebhookConfiguration,
	m *admissionv1.MutatingWebhookConfiguration,
) error {
	if err := s.remove(ctx); err != nil {
		return err
	}
	client := s.Admin.AdmissionregistrationV1()
	if m != nil {
		if _, err := client.MutatingWebhookConfigurations().Create(ctx, m, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	_, err := client.ValidatingWebhookConfigurations().Create(ctx, v, metav1.CreateOptions{})
	return err
}

func (s *Stage) remove(ctx context.Context) error {
	client := s.Admin.AdmissionregistrationV1()
	err := client.MutatingWebhookConfigurations().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	err = client.ValidatingWebhookConfigurations().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}

// Withdraw has the API server ask the webhook no more, and waits until it does not.
func (s *Stage) Withdraw(ctx context.Context) error {
	if err := s.remove(ctx); err != nil {
		return fmt.Errorf("taking the webhook away: %w", err)
	}
	return Await(ctx, "the API server asks the webhook no more", func() (bool, error) {
		before, err := s.Truce()
		if err != nil {
			return false, err
		}
		if _, err := s.probe(ctx); err != nil {
			return false, err
		}
		after, err := s.Truce()
		return err == nil && after.Sum(reviews) == before.Sum(reviews), err
	})
}

// probe makes a write that leaves no trace, as a controller. It reports whether controllers may write at all.
func (s *Stage) probe(ctx context.Context) (bool, error) {
	client, err := kubernetes.NewForConfig(s.As(ControllerNamespace, probeName))
	if err != nil {
		return false, err
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"ops.tips/probe":%q}}}`, time.Now().Format(time.RFC3339Nano))
	_, err = client.CoreV1().ServiceAccounts(ControllerNamespace).Patch(ctx, probeName, types.MergePatchType,
		[]byte(patch), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	if apierrors.IsForbidden(err) {
		return false, nil
	}
	return err == nil, err
}

// patience is how long something may take that takes far less on an idle machine.
const patience = 3 * time.Minute

// Await asks again and again until done. what completes "waited 3m0s until …".
func Await(ctx context.Context, what string, done func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for {
		if ok, err := done(); ok || err != nil && !measure.Transient(err) {
			return err
		}
		select {
		case <-tick.C:
		case <-timeout:
			return fmt.Errorf("waited %s until %s, in vain", patience, what)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
