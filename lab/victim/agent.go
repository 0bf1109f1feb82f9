package victim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// agent is the engine on one node. One goroutine does all its work, in the order of the updates.
type agent struct {
	node    string
	fanout  *fanout
	reached func(types.NamespacedName) // a Pod of this node has its routes and policies

	namespaces map[string]labels.Set
	accounts   map[key]labels.Set
	policies   map[key]*networkPolicy
	endpoints  map[key]*endpoint
	users      map[key]map[key]*endpoint // endpoints by ServiceAccount

	depth atomic.Int64 // updates that wait
	done  atomic.Int64 // updates worked off, ever
}

func newAgent(node string, f *fanout, reached func(types.NamespacedName)) *agent {
	return &agent{
		node: node, fanout: f, reached: reached,
		namespaces: map[string]labels.Set{}, accounts: map[key]labels.Set{}, policies: map[key]*networkPolicy{},
		endpoints: map[key]*endpoint{}, users: map[key]map[key]*endpoint{},
	}
}

// run works until ctx ends. Whenever its connection is dropped, it starts over.
func (a *agent) run(ctx context.Context) {
	for ctx.Err() == nil {
		a.follow(ctx, a.fanout.connect())
	}
}

// follow works off a connection until it is dropped: the snapshot first, then news.
func (a *agent) follow(ctx context.Context, c *conn) {
	known := map[key]bool{}
	for i, u := range c.snapshot {
		if ended(ctx, c) {
			return
		}
		a.depth.Store(int64(len(c.snapshot) - i + len(c.updates)))
		a.apply(u)
		known[u.key] = true
	}
	// What the snapshot does not know has gone in the meantime, and its routes are removed.
	for k := range a.endpoints {
		if !known[k] {
			a.apply(update{key: k})
		}
	}
	for k := range a.policies {
		if !known[k] {
			a.apply(update{key: k})
		}
	}
	for {
		a.depth.Store(int64(len(c.updates)))
		if ended(ctx, c) {
			return // what is still in the queue of a dropped connection is lost
		}
		select {
		case <-ctx.Done():
		case <-c.dropped:
		case u := <-c.updates:
			a.depth.Store(int64(len(c.updates) + 1))
			a.apply(u)
		}
	}
}

func ended(ctx context.Context, c *conn) bool {
	select {
	case <-c.dropped:
		return true
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

// apply does what an update asks for.
func (a *agent) apply(u update) {
	switch u.key.kind {
	case namespaces:
		if u.object == nil {
			delete(a.namespaces, u.key.name)
		} else {
			a.namespaces[u.key.name] = u.object.GetLabels()
		}
		for _, p := range a.policies {
			a.workOut(p)
		}
	case accounts:
		if u.object == nil {
			delete(a.accounts, u.key)
		} else {
			a.accounts[u.key] = u.object.GetLabels()
		}
		a.accountChanged(u.key)
	case policies:
		delete(a.policies, u.key)
		if np, ok := u.object.(*networkingv1.NetworkPolicy); ok {
			if p, err := newPolicy(np); err == nil { // the API server lets no wrong one in
				a.policies[u.key] = p
				a.workOut(p)
			}
		}
	case pods:
		a.podChanged(u)
	}
	a.done.Add(1)
}

// accountChanged has every endpoint that uses a ServiceAccount inherit its labels, and works out the policies that
// selected one of them or do so now.
func (a *agent) accountChanged(account key) {
	affected := map[*networkPolicy]bool{}
	for _, e := range a.users[account] {
		a.mark(affected, e)
		e.inherit(a.accounts[account])
		a.mark(affected, e)
	}
	for p := range affected {
		a.workOut(p)
	}
	for _, e := range a.users[account] {
		if e.node == a.node {
			e.chain = a.render(e)
		}
	}
}

// render writes down, in the language of the data plane, what may reach an endpoint of this node. The data plane is given
// it if its hash is new.
func (a *agent) render(e *endpoint) [sha256.Size]byte {
	var applying []*networkPolicy
	for _, p := range a.policies {
		if p.selects(e) {
			applying = append(applying, p)
		}
	}
	slices.SortFunc(applying, func(p, q *networkPolicy) int { return strings.Compare(p.key.name, q.key.name) })
	var chain bytes.Buffer
	for _, p := range applying {
		for _, set := range p.sets {
			fmt.Fprintf(&chain, "-A to-%s -m comment --comment %q -m set --match-set %s src -j ACCEPT\n",
				e.address, p.key.name, set.name)
		}
	}
	if len(applying) > 0 {
		fmt.Fprintf(&chain, "-A to-%s -j DROP\n", e.address)
	}
	return sha256.Sum256(chain.Bytes())
}

// mark adds the policies that select an endpoint.
func (a *agent) mark(affected map[*networkPolicy]bool, e *endpoint) {
	for _, p := range a.policies {
		if p.selects(e) {
			affected[p] = true
		}
	}
}

// workOut works out whom a policy lets in.
func (a *agent) workOut(p *networkPolicy) {
	p.sets = p.sets[:0]
	for i := range p.peers {
		var members []netip.Addr
		for _, e := range a.endpoints {
			if e.address.IsValid() && p.peers[i].matches(p.key, e, a.namespaces[e.key.namespace]) {
				members = append(members, e.address)
			}
		}
		p.sets = append(p.sets, newIPSet(members))
	}
}

// podChanged adds or removes an endpoint, and puts its address into the sets it belongs to or out of them.
func (a *agent) podChanged(u update) {
	old := a.endpoints[u.key]
	pod, exists := u.object.(*corev1.Pod)
	if exists && old != nil && old.uid == pod.UID {
		return // what policies see of a Pod does not change while it lives
	}
	if old != nil {
		delete(a.endpoints, u.key)
		delete(a.users[old.account], u.key)
		a.regroup(old)
	}
	if !exists {
		return
	}
	e := newEndpoint(pod)
	e.inherit(a.accounts[e.account])
	a.endpoints[u.key] = e
	if a.users[e.account] == nil {
		a.users[e.account] = map[key]*endpoint{}
	}
	a.users[e.account][u.key] = e
	a.regroup(e)
	if e.node == a.node {
		e.chain = a.render(e)
		a.reached(types.NamespacedName{Namespace: e.key.namespace, Name: e.key.name})
	}
}

// regroup works out the sets that an endpoint that came or went is in.
func (a *agent) regroup(e *endpoint) {
	if !e.address.IsValid() {
		return
	}
	_, here := a.endpoints[e.key]
	for _, p := range a.policies {
		for i := range p.sets {
			if !p.peers[i].matches(p.key, e, a.namespaces[e.key.namespace]) {
				continue
			}
			members := make([]netip.Addr, 0, len(p.sets[i].members)+1)
			for _, m := range p.sets[i].members {
				if m != e.address {
					members = append(members, m)
				}
			}
			if here {
				members = append(members, e.address)
			}
			p.sets[i] = newIPSet(members)
		}
	}
}
