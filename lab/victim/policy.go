package victim

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// What a Pod inherits from its ServiceAccount: its labels, whose keys get a prefix, and its name. (Calico's prefix is
// `pcsa.`.)
const (
	accountPrefix = "account.ops.tips/"
	accountLabel  = "ops.tips/account"
)

// AddressAnnotation is where the address of a Pod is. No kubelet tells it in the lab.
const AddressAnnotation = "ops.tips/address"

// endpoint is a Pod as policies see it.
type endpoint struct {
	key     key
	uid     types.UID
	account key
	node    string
	address netip.Addr
	own     labels.Set // of the Pod
	labels  labels.Set // with those of its ServiceAccount
	chain   [sha256.Size]byte
}

func newEndpoint(pod *corev1.Pod) *endpoint {
	address, _ := netip.ParseAddr(pod.Annotations[AddressAnnotation]) // one without an address is in no set
	return &endpoint{
		key: key{pods, pod.Namespace, pod.Name}, uid: pod.UID, node: pod.Spec.NodeName, address: address, own: pod.Labels,
		account: key{accounts, pod.Namespace, pod.Spec.ServiceAccountName},
	}
}

// inherit gives it the labels of its ServiceAccount.
func (e *endpoint) inherit(account labels.Set) {
	e.labels = make(labels.Set, len(e.own)+len(account)+1)
	maps.Copy(e.labels, e.own)
	e.labels[accountLabel] = e.account.name
	for k, v := range account {
		e.labels[accountPrefix+k] = v
	}
}

// networkPolicy is a NetworkPolicy, ready to be matched.
type networkPolicy struct {
	key     key
	applies labels.Selector // to endpoints of its namespace
	peers   []peer
	sets    []ipSet // of each peer, as the data plane has it
}

// peer selects who may come in.
type peer struct {
	namespaces labels.Selector // nil: the policy's own
	pods       labels.Selector
}

// ipSet is what the data plane is given: addresses, and a name that follows from them.
type ipSet struct {
	name    string
	members []netip.Addr
}

func newPolicy(p *networkingv1.NetworkPolicy) (*networkPolicy, error) {
	n := &networkPolicy{key: key{policies, p.Namespace, p.Name}}
	var err error
	if n.applies, err = metav1.LabelSelectorAsSelector(&p.Spec.PodSelector); err != nil {
		return nil, err
	}
	for _, rule := range p.Spec.Ingress {
		for _, from := range rule.From {
			var out peer
			if from.NamespaceSelector != nil {
				if out.namespaces, err = metav1.LabelSelectorAsSelector(from.NamespaceSelector); err != nil {
					return nil, err
				}
			}
			if out.pods, err = metav1.LabelSelectorAsSelector(from.PodSelector); err != nil {
				return nil, err
			}
			n.peers = append(n.peers, out)
		}
	}
	return n, nil
}

func (n *networkPolicy) selects(e *endpoint) bool {
	return e.key.namespace == n.key.namespace && n.applies.Matches(e.labels)
}

func (p *peer) matches(policy key, e *endpoint, namespace labels.Set) bool {
	if p.namespaces == nil && e.key.namespace != policy.namespace ||
		p.namespaces != nil && !p.namespaces.Matches(namespace) {
		return false
	}
	return p.pods.Matches(e.labels)
}

// newIPSet puts addresses into the form of the data plane.
func newIPSet(members []netip.Addr) ipSet {
	slices.SortFunc(members, netip.Addr.Compare)
	members = slices.Compact(members)
	hash := sha256.New()
	for _, m := range members {
		fmt.Fprintln(hash, m)
	}
	return ipSet{name: fmt.Sprintf("s:%x", hash.Sum(nil)[:12]), members: members}
}
