package victim

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func account(name, role string) update {
	return update{key{accounts, "shop", name}, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, Labels: map[string]string{"role": role},
	}}}
}

func pod(name, account string, n int) update {
	return update{key{pods, "shop", name}, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID(name), Labels: map[string]string{"app": name},
			Annotations: map[string]string{AddressAnnotation: fmt.Sprintf("10.0.0.%d", n)},
		},
		Spec: corev1.PodSpec{ServiceAccountName: account, NodeName: "node-1"},
	}}
}

// letIn is a policy for all Pods that lets in those whose ServiceAccount has a role.
func letIn(role string) update {
	return update{key{policies, "shop", "let-in"}, &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "let-in"},
		Spec: networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{{
			From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{accountPrefix + "role": role},
			}}},
		}}},
	}}
}

// TestAgent checks whom a policy lets in after each of a row of updates.
func TestAgent(t *testing.T) {
	reached := 0
	a := newAgent("node-1", newFanout(10), func(types.NamespacedName) { reached++ })
	for _, s := range []struct {
		what    string
		update  update
		in      []string
		reached int
	}{
		{"a policy, and nobody there", letIn("backend"), nil, 0},
		{"a Pod whose ServiceAccount is not known yet", pod("web", "web", 1), nil, 1},
		{"the ServiceAccount comes, with the role", account("web", "backend"), []string{"10.0.0.1"}, 1},
		{"a second Pod inherits at once", pod("web-2", "web", 2), []string{"10.0.0.1", "10.0.0.2"}, 2},
		{"the same Pod again changes nothing", pod("web-2", "web", 9), []string{"10.0.0.1", "10.0.0.2"}, 2},
		{"a Pod with another ServiceAccount stays out", pod("job", "job", 3), []string{"10.0.0.1", "10.0.0.2"}, 3},
		{"the role goes", account("web", "frontend"), nil, 3},
		{"the role comes back", account("web", "backend"), []string{"10.0.0.1", "10.0.0.2"}, 3},
		{"a Pod goes", update{key: key{pods, "shop", "web"}}, []string{"10.0.0.2"}, 3},
		{"the ServiceAccount goes", update{key: key{accounts, "shop", "web"}}, nil, 3},
	} {
		a.apply(s.update)
		var got []string
		for _, p := range a.policies {
			for _, m := range p.sets[0].members {
				got = append(got, m.String())
			}
		}
		if !slices.Equal(got, s.in) || reached != s.reached {
			t.Errorf("%s: %v may come in and %d Pods are reached, want %v and %d", s.what, got, reached, s.in, s.reached)
		}
	}
}

func TestPeerOfAnotherNamespace(t *testing.T) {
	p, err := newPolicy(&networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"},
		Spec: networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{{
			From: []networkingv1.NetworkPolicyPeer{{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "ops"}},
				PodSelector:       &metav1.LabelSelector{},
			}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{key: key{pods, "monitoring", "prometheus"}, address: netip.MustParseAddr("10.0.0.1")}
	for team, want := range map[string]bool{"ops": true, "shop": false} {
		if got := p.peers[0].matches(p.key, e, map[string]string{"team": team}); got != want {
			t.Errorf("a Pod in a namespace of team %s matches: %v, want %v", team, got, want)
		}
	}
}

// TestSlowConnection checks that one that lags too far is dropped, and that its agent starts over from a snapshot that
// has everything.
func TestSlowConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const buffer = 3
		f := newFanout(buffer)
		f.publish(account("web", "backend"))
		slow := f.connect()
		for i := range buffer {
			f.publish(pod(fmt.Sprint("web-", i), "web", i))
		}
		if f.drops() != 0 {
			t.Fatal("a connection was dropped whose buffer is only full")
		}
		f.publish(pod("web-3", "web", 3))
		if f.drops() != 1 {
			t.Fatalf("%d connections were dropped, want the one that lags behind", f.drops())
		}
		<-slow.dropped

		var mu sync.Mutex
		var reached []string
		a := newAgent("node-1", f, func(pod types.NamespacedName) {
			mu.Lock()
			defer mu.Unlock()
			reached = append(reached, pod.Name)
		})
		a.apply(pod("old", "web", 9)) // gone since
		reached = nil
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { a.run(ctx) })
		synctest.Wait()
		f.publish(pod("web-4", "web", 4))
		synctest.Wait()
		cancel()
		all.Wait()
		if want := []string{"web-0", "web-1", "web-2", "web-3", "web-4"}; !slices.Equal(reached, want) {
			t.Errorf("reached are %v, want %v", reached, want)
		}
		if _, there := a.endpoints[key{pods, "shop", "old"}]; there {
			t.Error("a Pod that the snapshot does not know still has its routes")
		}
	})
}

// BenchmarkAccountUpdate measures what makes the victim a victim: the work of one update of a ServiceAccount.
func BenchmarkAccountUpdate(b *testing.B) {
	a := newAgent("node-1", newFanout(1), func(types.NamespacedName) {})
	p := Population{Namespace: "shop", Accounts: []string{"a", "b", "c", "d"}, Nodes: []string{"node-1"}, Pods: 150, Policies: 30}
	for _, np := range p.policies() {
		a.apply(update{key{policies, np.Namespace, np.Name}, np})
	}
	for _, pod := range p.pods() {
		a.apply(update{key{pods, pod.Namespace, pod.Name}, pod})
	}
	u := account("a", "backend")
	for b.Loop() {
		a.apply(u)
	}
	if len(a.endpoints) != 600 || len(a.policies) != 120 {
		b.Errorf("%d endpoints and %d policies", len(a.endpoints), len(a.policies))
	}
}
