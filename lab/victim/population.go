package victim

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Population is what a namespace has from the beginning.
type Population struct {
	Namespace string
	Accounts  []string // ServiceAccounts, which somebody else makes
	Nodes     []string
	Pods      int // of each ServiceAccount
	Policies  int // that apply to the Pods of each ServiceAccount
}

// peersOfPolicy is how many kinds of Pods a policy lets in.
const peersOfPolicy = 3

// Create makes the NetworkPolicies and Pods.
func (p Population) Create(ctx context.Context, client kubernetes.Interface) error {
	var tasks []func() error
	for _, np := range p.policies() {
		tasks = append(tasks, func() error {
			_, err := client.NetworkingV1().NetworkPolicies(p.Namespace).Create(ctx, np, metav1.CreateOptions{})
			return err
		})
	}
	for _, pod := range p.pods() {
		tasks = append(tasks, func() error {
			_, err := client.CoreV1().Pods(p.Namespace).Create(ctx, pod, metav1.CreateOptions{})
			return err
		})
	}
	return inParallel(8, tasks)
}

func (p Population) policies() (list []*networkingv1.NetworkPolicy) {
	for i, account := range p.Accounts {
		for n := range p.Policies {
			rule := networkingv1.NetworkPolicyIngressRule{}
			for j := range peersOfPolicy {
				rule.From = append(rule.From, networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{
					MatchLabels: map[string]string{accountLabel: p.Accounts[(i+j)%len(p.Accounts)], "tier": tier(n + j)},
				}})
			}
			list = append(list, &networkingv1.NetworkPolicy{
				ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: fmt.Sprintf("%s-%02d", account, n)},
				Spec: networkingv1.NetworkPolicySpec{
					PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{accountLabel: account, "tier": tier(n)}},
					Ingress:     []networkingv1.NetworkPolicyIngressRule{rule},
				},
			})
		}
	}
	return list
}

func (p Population) pods() (list []*corev1.Pod) {
	for i, account := range p.Accounts {
		for n := range p.Pods {
			list = append(list, NewPod(p.Namespace, fmt.Sprintf("%s-%03d", account, n), account,
				p.Nodes[n%len(p.Nodes)], i*p.Pods+n))
		}
	}
	return list
}

// NewPod returns a Pod that uses a ServiceAccount and is on a node, with the nth address there is.
func NewPod(namespace, name, account, node string, n int) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels:      map[string]string{"app": account, "tier": tier(n)},
			Annotations: map[string]string{AddressAnnotation: fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255)},
		},
		Spec: corev1.PodSpec{
			ServiceAccountName: account,
			NodeName:           node,
			Containers:         []corev1.Container{{Name: "main", Image: "example.com/" + account + ":1.0"}},
		},
	}
}

func tier(n int) string { return []string{"front", "back"}[n%2] }

// inParallel runs tasks, at most so many at once, and returns the first error.
func inParallel(workers int, tasks []func() error) error {
	next := make(chan func() error)
	errs := make(chan error, workers)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for task := range next {
				if err := task(); err != nil {
					select {
					case errs <- err:
					default: // there are others
					}
				}
			}
		})
	}
	for _, task := range tasks {
		next <- task
	}
	close(next)
	all.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}
