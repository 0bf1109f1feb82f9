package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Which subresources a resource pattern means, if not one by name.
const (
	subDefault = ""  // the resource itself, its status and its scale
	subEvery   = "*" // any subresource, but not the resource itself
)

// groupResource is a kind of object.
type groupResource struct{ group, resource string }

// resourcePattern is a pattern for resources: `*`, `serviceaccounts`, `deployments.apps`, `*.cert-manager.io`, each also
// with a subresource, as in `deployments.apps/scale`.
type resourcePattern struct {
	resource string   // "*": every resource
	group    wildcard // "*": every group, the core group (which is "") too
	sub      string
}

// every reports whether p is `*`.
func (p *resourcePattern) every() bool {
	return p.resource == "*" && p.group == "*" && p.sub == subDefault
}

// exact reports whether p is about one resource.
func (p *resourcePattern) exact() bool {
	return p.resource != "*" && !strings.Contains(string(p.group), "*")
}

func (p *resourcePattern) fits(t *Target) bool {
	return p.fitsSub(t.Subresource) &&
		(p.resource == "*" || p.resource == t.Resource) &&
		(p.group == "*" || globFits(string(p.group), t.Group))
}

func (p *resourcePattern) fitsSub(sub string) bool {
	switch p.sub {
	case subDefault:
		return sub == "" || sub == "status" || sub == "scale"
	case subEvery:
		return sub != ""
	}
	return sub == p.sub
}

// covers reports whether every resource that fits other fits p too.
func (p *resourcePattern) covers(other *resourcePattern) bool {
	sub := p.sub == other.sub || p.sub == subEvery && other.sub != subDefault ||
		p.sub == subDefault && (other.sub == "status" || other.sub == "scale")
	return sub && (p.resource == "*" || p.resource == other.resource) && p.group.covers(other.group)
}

// disjoint reports whether certainly no resource fits both.
func (p *resourcePattern) disjoint(other *resourcePattern) bool {
	named := func(sub string) bool { return sub != subDefault && sub != subEvery }
	return p.resource != "*" && other.resource != "*" && p.resource != other.resource ||
		p.group.disjoint(other.group) ||
		named(p.sub) && named(other.sub) && p.sub != other.sub
}

func (p *resourcePattern) size() int { return len(p.resource) + len(p.group) }

// coreResources are all resources of the core group, which will get no new ones.
var coreResources = []string{
	"bindings", "componentstatuses", "configmaps", "endpoints", "events", "limitranges", "namespaces", "nodes",
	"persistentvolumeclaims", "persistentvolumes", "pods", "podtemplates", "replicationcontrollers", "resourcequotas",
	"secrets", "serviceaccounts", "services",
}

// groupedResources are well-known resources of other groups, which people write without the group.
var groupedResources = []string{
	"controllerrevisions.apps", "daemonsets.apps", "deployments.apps", "replicasets.apps", "statefulsets.apps",
	"horizontalpodautoscalers.autoscaling", "cronjobs.batch", "jobs.batch", "leases.coordination.k8s.io",
	"endpointslices.discovery.k8s.io", "ingressclasses.networking.k8s.io", "ingresses.networking.k8s.io",
	"networkpolicies.networking.k8s.io", "poddisruptionbudgets.policy",
	"clusterrolebindings.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io",
	"rolebindings.rbac.authorization.k8s.io", "roles.rbac.authorization.k8s.io", "priorityclasses.scheduling.k8s.io",
	"csidrivers.storage.k8s.io", "csinodes.storage.k8s.io", "storageclasses.storage.k8s.io",
	"volumeattachments.storage.k8s.io", "customresourcedefinitions.apiextensions.k8s.io",
	"apiservices.apiregistration.k8s.io", "mutatingwebhookconfigurations.admissionregistration.k8s.io",
	"validatingwebhookconfigurations.admissionregistration.k8s.io",
}

var (
	resourceName = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	groupName    = regexp.MustCompile(`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?(\.[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?)*$`)
	versioned    = regexp.MustCompile(`^v[0-9]+((alpha|beta)[0-9]+)?(\.|$)`)
)

// parseResource reads a resource pattern, in which it refuses kinds, singulars and missing groups: they would fit nothing.
func parseResource(s string) (resourcePattern, error) {
	name, sub, hasSub := strings.Cut(s, "/")
	resource, group, hasGroup := strings.Cut(name, ".")
	switch {
	case s == "":
		return resourcePattern{}, fmt.Errorf("is empty; `*` fits every resource")
	case strings.ContainsFunc(name, func(r rune) bool { return 'A' <= r && r <= 'Z' }):
		return resourcePattern{}, notResource(s, name, "resources are named in lower case and plural")
	case hasSub && sub != subEvery && !resourceName.MatchString(sub):
		return resourcePattern{}, fmt.Errorf("%s: after the `/` comes a subresource, as in `deployments.apps/scale`, or `*`",
			quote(s))
	case resource != "*" && !resourceName.MatchString(resource):
		return resourcePattern{}, fmt.Errorf("%s does not start with the name of a resource, or `*`", quote(s))
	case hasGroup && versioned.MatchString(group):
		return resourcePattern{}, fmt.Errorf("%s: leave the version out", quote(s))
	case hasGroup && !groupName.MatchString(group):
		return resourcePattern{}, fmt.Errorf("%s: after the dot comes an API group, as in `deployments.apps`", quote(s))
	case resource == "*" && !hasGroup:
		group = "*"
	case !hasGroup && !slices.Contains(coreResources, resource):
		return resourcePattern{}, notResource(s, resource, "the core group has no such resource")
	case pluralOf(resource) != resource && slices.Contains(groupedResources, pluralOf(resource)+"."+group):
		return resourcePattern{}, notResource(s, resource, "resources are named in the plural")
	}
	w, err := parseWildcard("." + group) // the core group is empty, which a wildcard cannot be
	return resourcePattern{resource, w[min(1, len(w)):], sub}, err
}

// notResource says why s is no resource and, if word is a well-known one misspelt, what it should be.
func notResource(s, word, why string) error {
	word, _, _ = strings.Cut(strings.ToLower(word), ".")
	word = pluralOf(word)
	for _, known := range slices.Concat(coreResources, groupedResources) {
		if name, _, _ := strings.Cut(known, "."); name == word {
			return fmt.Errorf("%s: %s; did you mean %s?", quote(s), why, quote(known))
		}
	}
	if meant := nearest(word, coreResources); meant != "" {
		return fmt.Errorf("%s: %s; did you mean %s?", quote(s), why, quote(meant))
	}
	return fmt.Errorf("%s: %s; write it as in `certificates.cert-manager.io`", quote(s), why)
}

// pluralOf returns the well-known resource of which word is the singular, else word.
func pluralOf(word string) string {
	for _, known := range slices.Concat(coreResources, groupedResources) {
		name, _, _ := strings.Cut(known, ".")
		if name == word+"s" || name == word+"es" || strings.TrimSuffix(word, "y")+"ies" == name {
			return name
		}
	}
	return word
}

// newResources takes patterns that parseResource accepts, as decoding has made sure.
func newResources(patterns []string) []resourcePattern {
	rs := make([]resourcePattern, len(patterns))
	for i, s := range patterns {
		rs[i], _ = parseResource(s)
	}
	return rs
}

func fitsResource(rs []resourcePattern, t *Target) bool {
	for i := range rs {
		if rs[i].fits(t) {
			return true
		}
	}
	return false
}
