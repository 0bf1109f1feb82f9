// Package registration makes the webhook configurations that a policy needs: which requests the API server has to send
// to Truce, and which can never matter and are not even sent.
package registration

import (
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// Endpoint is where the API server reaches Truce.
type Endpoint struct {
	// Name of both configurations.
	Name string
	// Service in the cluster, or URL without a path (https://host:port).
	Service *admissionv1.ServiceReference
	URL     string
	// CABundle verifies the serving certificate, PEM. Empty: the system's roots.
	CABundle []byte
}

// Names of the webhooks. The API server puts them before the keys of audit annotations.
const (
	ValidatingName = "validate.truce.dev"
	MutatingName   = "mutate.truce.dev"
)

// timeoutSeconds is how long the API server waits before failurePolicy decides. A review takes far less than a
// millisecond, so what does not come in this time will not come.
const timeoutSeconds = 2

// maxMatchConditions is the API server's limit on the match conditions of one webhook.
const maxMatchConditions = 64

// Configurations returns what p needs. The mutating one is nil unless a rule holds fields.
func Configurations(p *policy.Policy, e Endpoint) (*admissionv1.ValidatingWebhookConfiguration,
	*admissionv1.MutatingWebhookConfiguration) {
	all := scopeOf(p, func(policy.Rule) bool { return true })
	validating := &admissionv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: meta(e),
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name:                    ValidatingName,
			ClientConfig:            e.client("/validate"),
			Rules:                   all.rules(),
			FailurePolicy:           ptr(admissionv1.Ignore),
			MatchPolicy:             ptr(admissionv1.Equivalent),
			NamespaceSelector:       all.namespaces(),
			SideEffects:             ptr(admissionv1.SideEffectClassNoneOnDryRun),
			TimeoutSeconds:          ptr(int32(timeoutSeconds)),
			AdmissionReviewVersions: []string{"v1"},
			MatchConditions:         all.conditions(),
		}},
	}
	if !slices.ContainsFunc(p.File.Rules, holds) {
		return validating, nil
	}
	held := scopeOf(p, holds)
	held.operations = []admissionv1.OperationType{admissionv1.Update} // creations and deletions cannot be held
	mutating := &admissionv1.MutatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: meta(e),
		Webhooks: []admissionv1.MutatingWebhook{{
			Name:                    MutatingName,
			ClientConfig:            e.client("/mutate"),
			Rules:                   held.rules(),
			FailurePolicy:           ptr(admissionv1.Ignore),
			MatchPolicy:             ptr(admissionv1.Equivalent),
			NamespaceSelector:       held.namespaces(),
			SideEffects:             ptr(admissionv1.SideEffectClassNoneOnDryRun),
			TimeoutSeconds:          ptr(int32(timeoutSeconds)),
			AdmissionReviewVersions: []string{"v1"},
			// Another mutating webhook may change a field after we held it.
			ReinvocationPolicy: ptr(admissionv1.IfNeededReinvocationPolicy),
			MatchConditions:    held.conditions(),
		}},
	}
	return validating, mutating
}

// holds reports whether r holds fields. An object's existence cannot be held.
func holds(r policy.Rule) bool {
	return r.Action == policy.ActionHold && slices.ContainsFunc(r.Match.Fields, isField)
}

func isField(pattern string) bool { return pattern != history.Exists }

func meta(e Endpoint) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: e.Name, Labels: map[string]string{"app.kubernetes.io/name": "truce"}}
}

func (e Endpoint) client(path string) admissionv1.WebhookClientConfig {
	c := admissionv1.WebhookClientConfig{CABundle: e.CABundle}
	if e.URL != "" {
		c.URL = ptr(strings.TrimSuffix(e.URL, "/") + path)
		return c
	}
	service := *e.Service
	service.Path = &path
	c.Service = &service
	return c
}

// scope is what some of a policy's rules are about, together.
type scope struct {
	policy     *policy.Policy
	matches    []policy.Match
	operations []admissionv1.OperationType
}

func scopeOf(p *policy.Policy, which func(policy.Rule) bool) *scope {
	s := &scope{policy: p}
	exists, fields := false, false
	for _, r := range p.File.Rules {
		if !which(r) {
			continue
		}
		s.matches = append(s.matches, r.Match)
		everything := slices.Contains(r.Match.Fields, "**")
		exists = exists || everything || slices.Contains(r.Match.Fields, history.Exists)
		fields = fields || slices.ContainsFunc(r.Match.Fields, isField)
	}
	if fields {
		s.operations = append(s.operations, admissionv1.Update)
	}
	if exists {
		s.operations = append(s.operations, admissionv1.Create, admissionv1.Delete)
	}
	return s
}

// rules returns one rule for each API group that the patterns name.
func (s *scope) rules() []admissionv1.RuleWithOperations {
	byGroup := map[string][]string{}
	for _, m := range s.matches {
		for _, pattern := range m.Resources {
			group, resources := resourcesOf(pattern)
			byGroup[group] = append(byGroup[group], resources...)
		}
	}
	if every := byGroup["*"]; slices.Contains(every, "*") {
		byGroup = map[string][]string{"*": every} // it covers all others but their rarer subresources
	}
	var rules []admissionv1.RuleWithOperations
	for _, group := range sortedKeys(byGroup) {
		rules = append(rules, admissionv1.RuleWithOperations{
			Operations: s.operations,
			Rule: admissionv1.Rule{
				APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: distinct(byGroup[group]),
				Scope: ptr(admissionv1.AllScopes),
			},
		})
	}
	return rules
}

// distinct returns resources in order, without those that others cover: the API server refuses to be told twice.
func distinct(resources []string) []string {
	slices.Sort(resources)
	resources = slices.Compact(resources)
	var out []string
	for _, r := range resources {
		if !slices.ContainsFunc(resources, func(other string) bool { return other != r && covers(other, r) }) {
			out = append(out, r)
		}
	}
	return out
}

// covers reports whether a webhook for the resource a, as webhook rules name it, is one for b as well.
func covers(a, b string) bool {
	resource, sub, hasSub := strings.Cut(a, "/")
	of, name, isSub := strings.Cut(b, "/")
	switch {
	case a == "*/*":
		return true
	case hasSub != isSub:
		return false
	case !hasSub:
		return a == "*"
	}
	return resource == "*" && sub == name || sub == "*" && resource == of
}

// resourcesOf returns the API group of a resource pattern, `*` if it has a wildcard, and the resources that Truce has
// to see of it: without a subresource, status and scale as well.
func resourcesOf(pattern string) (group string, resources []string) {
	name, sub, hasSub := strings.Cut(pattern, "/")
	resource, group, _ := strings.Cut(name, ".")
	switch {
	case resource == "*" && group == "", strings.Contains(group, "*"):
		group = "*"
	}
	if hasSub {
		return group, []string{resource + "/" + sub}
	}
	return group, []string{resource, resource + "/status", resource + "/scale"}
}

// namespaces leaves out what the policy exempts by name. Wildcards are match conditions: a selector knows none.
func (s *scope) namespaces() *metav1.LabelSelector {
	var out []string
	for _, n := range s.policy.File.Exempt.Namespaces {
		if !strings.Contains(n, "*") {
			out = append(out, n)
		}
	}
	in, all := map[string][]string{}, false
	for _, m := range s.matches {
		for _, n := range m.Namespaces {
			all = all || strings.Contains(n, "*")
			in[n] = nil
		}
		all = all || len(m.Namespaces) == 0
	}
	var selector metav1.LabelSelector
	require := func(op metav1.LabelSelectorOperator, values []string) {
		if len(values) > 0 {
			slices.Sort(values)
			selector.MatchExpressions = append(selector.MatchExpressions, metav1.LabelSelectorRequirement{
				Key: "kubernetes.io/metadata.name", Operator: op, Values: slices.Compact(values),
			})
		}
	}
	require(metav1.LabelSelectorOpNotIn, out)
	if !all {
		require(metav1.LabelSelectorOpIn, sortedKeys(in))
	}
	return &selector
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func ptr[T any](v T) *T { return &v }
