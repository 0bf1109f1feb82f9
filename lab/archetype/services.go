package archetype

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Shared returns services whose components share a ServiceAccount: where the incident begins.
func Shared(services, components int) (list []Service) {
	for n := range services {
		s := Service{Name: fmt.Sprintf("backend-%d", n+1)}
		for c := range components {
			s.Components = append(s.Components, componentName(c))
		}
		list = append(list, s)
	}
	return list
}

// componentName returns server, worker, worker-2, …
func componentName(n int) string {
	switch n {
	case 0:
		return "server"
	case 1:
		return "worker"
	}
	return fmt.Sprintf("worker-%d", n)
}

// Service is a backend service: components that are Deployments of their own, and one ServiceAccount, of the same name,
// that they share.
type Service struct {
	Name       string
	Components []string
}

// Deploy makes services in a namespace.
func Deploy(ctx context.Context, client kubernetes.Interface, namespace string, services []Service) error {
	for _, s := range services {
		// Made with only a name, it never carries managedFields: nothing on it says who writes.
		_, err := client.CoreV1().ServiceAccounts(namespace).Create(ctx,
			&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: s.Name}}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("making ServiceAccount %s: %w", s.Name, err)
		}
		for _, c := range s.Components {
			_, err := client.AppsV1().Deployments(namespace).Create(ctx, deployment(s.Name, c), metav1.CreateOptions{})
			if err != nil {
				return fmt.Errorf("making Deployment %s-%s: %w", s.Name, c, err)
			}
		}
	}
	return nil
}

// deployment returns a component of a service. No kubelet ever runs it.
func deployment(service, component string) *appsv1.Deployment {
	labels := map[string]string{"app": service, "component": component}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: service + "-" + component, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					ServiceAccountName: service,
					Containers:         []corev1.Container{{Name: component, Image: "example.com/" + service + ":1.0"}},
				},
			},
		},
	}
}
