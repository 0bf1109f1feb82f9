package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/registration"
)

// sceneLabel is on the namespaces of a scene. Its webhook configurations select them by it.
const sceneLabel = "e2e.truce.dev/scene"

// scene is one test's part of the cluster: a namespace or several, a webhook with a policy of its own, and its
// registration.
type scene struct {
	t *testing.T
	// ns is the first namespace, id what tells this scene's names from others'.
	ns, id string
	// hook is the webhook, nil if the test brings something else to register.
	hook *hook

	kube   kubernetes.Interface
	dyn    dynamic.Interface
	policy *policy.Policy
	file   string // the policy's
	dir    string
	// timeout is how long the API server waits for the webhook. It is longer than what is registered in earnest: on a
	// machine that is busy with tests, a review that fails open is a write unseen. Tests of that set it to 0.
	timeout int32

	ownerUID string // see fightCase
}

var scenes atomic.Int32

// newScene makes a scene with a running, registered webhook that judges by the policy.
func newScene(t *testing.T, policyYAML string) *scene {
	t.Helper()
	s := newStage(t, policyYAML)
	s.raise()
	return s
}

// raise starts the webhook of a stage and registers it.
func (s *scene) raise() {
	s.t.Helper()
	s.hook = s.startHook()
	s.register(s.hook.endpoint(), s.hook.reached)
}

// newStage makes a scene without a webhook. NAMESPACE in the policy stands for the scene's.
func newStage(t *testing.T, policyYAML string) *scene {
	t.Helper()
	id := fmt.Sprintf("e2e-%d", scenes.Add(1))
	policyYAML = strings.ReplaceAll(policyYAML, "NAMESPACE", id)
	p, err := policy.Load([]byte(policyYAML), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, policy: p, dir: t.TempDir(), id: id, timeout: 15}
	s.file = filepath.Join(s.dir, "policy.yaml")
	if err := os.WriteFile(s.file, []byte(policyYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	if s.kube, err = kubernetes.NewForConfig(shared.Config); err != nil {
		t.Fatal(err)
	}
	if s.dyn, err = dynamic.NewForConfig(shared.Config); err != nil {
		t.Fatal(err)
	}
	s.ns = s.namespace(s.id)
	return s
}

// namespace makes one more namespace of the scene. kube-controller-manager puts a ServiceAccount and a ConfigMap into each
// one, sooner or later: it is waited for, so that what the webhook counts afterwards is the test's own.
func (s *scene) namespace(name string) string {
	s.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{sceneLabel: s.id}}}
	if _, err := s.kube.CoreV1().Namespaces().Create(s.t.Context(), ns, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "the controllers have furnished the namespace", func() bool {
		_, account := s.kube.CoreV1().ServiceAccounts(name).Get(s.t.Context(), "default", metav1.GetOptions{})
		_, ca := s.kube.CoreV1().ConfigMaps(name).Get(s.t.Context(), "kube-root-ca.crt", metav1.GetOptions{})
		return account == nil && ca == nil
	})
	return name
}

// probeName is the ConfigMap that is created, as a dry run, to see whether the API server knows the webhooks yet.
const probeName = "truce-e2e-probe"

// register registers an endpoint for the scene's namespaces, and waits until the API server sends requests there.
// reached tells how many reviews arrived so far at /validate and at /mutate.
func (s *scene) register(e registration.Endpoint, reached func() (validating, mutating int)) {
	s.t.Helper()
	e.Name = s.id
	v, m := registration.Configurations(s.policy, e)
	s.registerConfigurations(v, m, &metav1.LabelSelectorRequirement{
		Key: sceneLabel, Operator: metav1.LabelSelectorOpIn, Values: []string{s.id},
	})
	validating, mutating := reached()
	eventually(s.t, "the API server sends requests to the webhooks", func() bool {
		s.probe()
		v, mu := reached()
		return v > validating && (m == nil || mu > mutating)
	})
}

func (s *scene) probe() {
	s.t.Helper()
	probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: probeName}}
	_, err := s.kube.CoreV1().ConfigMaps(s.ns).Create(s.t.Context(), probe,
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		s.t.Fatal(err)
	}
}

// registerConfigurations creates webhook configurations narrowed down to what only fits, and removes them when the test
// ends. Each gets one webhook more, for the probe.
func (s *scene) registerConfigurations(v *admissionv1.ValidatingWebhookConfiguration,
	m *admissionv1.MutatingWebhookConfiguration, only *metav1.LabelSelectorRequirement,
) {
	s.t.Helper()
	ctx, api := s.t.Context(), s.kube.AdmissionregistrationV1()
	// A namespace selector lets all cluster-scoped objects pass but namespaces; those are other tests' as well.
	mine := admissionv1.MatchCondition{
		Name: "e2e-scope", Expression: `request.?namespace.orValue("") != "" || request.resource.resource == "namespaces"`,
	}
	probing := []admissionv1.MatchCondition{{Name: "probe", Expression: `request.name == "` + probeName + `"`}}
	rules := []admissionv1.RuleWithOperations{{
		Operations: []admissionv1.OperationType{admissionv1.Create},
		Rule: admissionv1.Rule{
			APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"},
		},
	}}
	for i := range v.Webhooks {
		w := &v.Webhooks[i]
		w.NamespaceSelector.MatchExpressions = append(w.NamespaceSelector.MatchExpressions, *only)
		if s.timeout > 0 {
			w.TimeoutSeconds = &s.timeout
		}
		if only.Operator == metav1.LabelSelectorOpIn {
			w.MatchConditions = append(w.MatchConditions, mine)
		}
	}
	probe := v.Webhooks[0].DeepCopy()
	probe.Name, probe.MatchConditions, probe.Rules = "probe.truce.dev", probing, rules
	v.Webhooks = append(v.Webhooks, *probe)
	if _, err := api.ValidatingWebhookConfigurations().Create(ctx, v, metav1.CreateOptions{}); err != nil {
		s.t.Fatalf("registering the validating webhook: %v", err)
	}
	s.t.Cleanup(func() {
		if err := api.ValidatingWebhookConfigurations().Delete(background, v.Name, metav1.DeleteOptions{}); err != nil {
			s.t.Error(err)
		}
	})
	if m == nil {
		return
	}
	for i := range m.Webhooks {
		w := &m.Webhooks[i]
		w.NamespaceSelector.MatchExpressions = append(w.NamespaceSelector.MatchExpressions, *only)
		if s.timeout > 0 {
			w.TimeoutSeconds = &s.timeout
		}
		if only.Operator == metav1.LabelSelectorOpIn {
			w.MatchConditions = append(w.MatchConditions, mine)
		}
	}
	mprobe := m.Webhooks[0].DeepCopy()
	mprobe.Name, mprobe.MatchConditions, mprobe.Rules = "probe.truce.dev", probing, rules
	m.Webhooks = append(m.Webhooks, *mprobe)
	if _, err := api.MutatingWebhookConfigurations().Create(ctx, m, metav1.CreateOptions{}); err != nil {
		s.t.Fatalf("registering the mutating webhook: %v", err)
	}
	s.t.Cleanup(func() {
		if err := api.MutatingWebhookConfigurations().Delete(background, m.Name, metav1.DeleteOptions{}); err != nil {
			s.t.Error(err)
		}
	})
}

// setTimeout sets how long the API server waits for the scene's webhooks, from very soon on.
func (s *scene) setTimeout(seconds int32) {
	s.t.Helper()
	ctx, api := s.t.Context(), s.kube.AdmissionregistrationV1()
	v, err := api.ValidatingWebhookConfigurations().Get(ctx, s.id, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range v.Webhooks {
		v.Webhooks[i].TimeoutSeconds = &seconds
	}
	if _, err := api.ValidatingWebhookConfigurations().Update(ctx, v, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	m, err := api.MutatingWebhookConfigurations().Get(ctx, s.id, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return // the policy holds nothing
	}
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range m.Webhooks {
		m.Webhooks[i].TimeoutSeconds = &seconds
	}
	if _, err := api.MutatingWebhookConfigurations().Update(ctx, m, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// rule is a policy in mode Enforce with one rule, whose YAML follows its name.
func rule(lines ...string) string {
	return modeRule("Enforce", lines...)
}

// modeRule is rule with another mode.
func modeRule(mode string, lines ...string) string {
	return fmt.Sprintf("apiVersion: truce.dev/v1alpha1\nkind: Policy\nmode: %s\nrules:\n- name: e2e\n  %s\n",
		mode, strings.Join(lines, "\n  "))
}

// exempt is a policy with something exempt, besides its rule.
func exempt(what, policyYAML string) string {
	return strings.Replace(policyYAML, "rules:", "exempt: {"+what+"}\nrules:", 1)
}

// as returns a copy of the cluster's client configuration for another user.
func as(user string, groups ...string) *rest.Config {
	c := rest.CopyConfig(shared.Config)
	c.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append(groups, writersGroup)}
	return c
}

// rewrite replaces the policy file, as an editor or a ConfigMap volume does: at once.
func (s *scene) rewrite(policyYAML string) {
	s.t.Helper()
	next := s.file + ".next"
	if err := os.WriteFile(next, []byte(policyYAML), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(next, s.file); err != nil {
		s.t.Fatal(err)
	}
}
