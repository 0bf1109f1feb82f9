// Package victim is a network policy engine in the manner of Calico, the one that suffered in the incident. A fan-out
// (as Typha is) watches Namespaces, ServiceAccounts, NetworkPolicies and Pods once and passes them on to an agent on each
// node (as Felix is). An agent takes one update after the other from its queue and works out which policies apply to which
// endpoints; a new Pod can be reached as soon as its update is through.
//
// Endpoints inherit the labels of their ServiceAccount, and policies select by them. So an update of a ServiceAccount is
// work: every endpoint that uses it is matched against every policy, and the policies that select one of them are worked
// out anew. That the update may have changed nothing but an annotation, the engine does not ask. Its queue keeps the
// order and holds what comes, so a flood of such updates makes every new Pod wait behind it.
package victim
