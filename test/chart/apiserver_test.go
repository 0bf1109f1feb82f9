package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// variants are values that between them reach every branch of the templates.
var variants = map[string]string{
	"nothing set": "",
	"a policy that holds, by groups and namespaces": `
mode: Enforce
policy:
  exempt: {users: ["system:serviceaccount:velero:*"], groups: ["oidc:*"], namespaces: [sandbox, "*-dev"]}
  rules:
    - {name: a, match: {resources: [serviceaccounts, deployments.apps, "jobs.batch/*"], namespaces: [shop, web], fields: ["metadata.annotations[*]"]}, action: Hold}
    - {name: b, match: {resources: ["*.cert-manager.io"], namespaces: [shop], excludeResources: [secrets]}, action: Reject}
ruleOverrides: {b: {action: Throttle, throttle: {every: 2m}}}
namespaceSelector: {matchLabels: {watch: "true"}, matchExpressions: [{key: env, operator: In, values: [prod]}]}
objectSelector: {matchExpressions: [{key: ignore, operator: DoesNotExist}]}
webhookAnnotations: {a: b}
timeoutSeconds: 30
failurePolicy: Fail
`,
	"a policy of somebody else": `
existingPolicyConfigMap: ours
existingPolicyKey: truce.yml
existingPolicyHolds: true
mode: ""
excludedNamespaces: []
events: {enabled: false}
`,
	"cert-manager with its own issuer, and everything about metrics": `
certificates: {mode: cert-manager}
metrics:
  serviceMonitor: {enabled: true, labels: {release: prometheus}}
  prometheusRule: {enabled: true, labels: {release: prometheus}}
  dashboard: {enabled: true, annotations: {folder: truce}}
networkPolicy:
  metricsFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
`,
	"cert-manager with an issuer, Pods that are monitored, an autoscaler": `
certificates: {mode: cert-manager, secretName: cert, certManager: {issuerRef: {kind: ClusterIssuer, name: internal}, duration: 48h, renewBefore: 12h}}
metrics: {service: false, podMonitor: {enabled: true, interval: 10s, authorization: {credentials: {name: s, key: token}}}}
networkPolicy:
  apiServerCIDRs: [10.0.0.0/28, "fd00::/64"]
  apiServerPorts: [6443]
  metricsFrom: [{podSelector: {}}]
  extraEgress: [{ports: [{port: 443}]}]
autoscaling: {enabled: true, minReplicas: 3, maxReplicas: 9}
`,
	"an existing certificate, client authentication, nothing optional": `
certificates: {mode: existing, secretName: cert, caBundle: "-----BEGIN CERTIFICATE-----\n"}
clientAuthentication: {caConfigMap: clients, caKey: bundle.pem, names: [kube-apiserver, "system:kube-apiserver"]}
networkPolicy: {enabled: false}
podDisruptionBudget: {enabled: false}
priorityClass: {create: false}
serviceAccount: {create: false}
rbac: {create: false}
events: {enabled: false}
metrics: {service: false, authentication: false}
goMemLimit: ""
resources: {}
nodeSelector: {}
`,
	"everything that can be added": `
fullnameOverride: cease-fire
commonLabels: {team: platform}
image: {registry: registry.example.com, repository: mirror/truce, digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
imagePullSecrets: [{name: pull}]
extraArgs: ["--log-level=debug"]
extraEnv: [{name: A, value: b}]
extraVolumes: [{name: scratch, emptyDir: {}}]
extraVolumeMounts: [{name: scratch, mountPath: /scratch}]
podAnnotations: {a: b}
podLabels: {c: d}
tolerations: [{operator: Exists}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
topologySpreadConstraints: [{maxSkew: 2, topologyKey: rack, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app.kubernetes.io/name: truce}}}]
dnsPolicy: Default
service: {port: 8443, annotations: {a: b}}
serviceAccount: {name: peace, annotations: {a: b}}
priorityClass: {name: peace, value: 1000000000}
podDisruptionBudget: {maxUnavailable: 50%}
ports: {webhook: 10250, ops: 10251}
`,
	"everybody is notified": `
notifications:
  cluster: production
  existingSecret: chat
  to: [{ipBlock: {cidr: 203.0.113.0/24}}, {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: broker}}}]
  receivers:
    - {name: on-call, slack: {urlFile: /etc/truce/notify/slack-url}}
    - {name: platform, teams: {urlFile: /etc/truce/notify/teams-url}, fights: {kinds: [fight, loop], namespaces: [team-*], every: 8h, pause: 1m}}
    - {name: pager, http: {url: "https://events.example:8443/v2", contentType: text/plain, headers: [{name: X-Key, valueFile: /etc/truce/notify/key}], body: "{{.Title}}"}}
    - {name: broker, cloudEvents: {url: "http://broker.example/", mode: Structured, source: /a}, changes: {every: 7d, resources: ["*.rbac.authorization.k8s.io"]}}
`,
	"notifications by each replica alone": `
notifications: {claims: false, receivers: [{name: a, http: {urlFile: /elsewhere/url}}]}
extraVolumes: [{name: elsewhere, secret: {secretName: a}}]
extraVolumeMounts: [{name: elsewhere, mountPath: /elsewhere}]
`,
	"the node's network": `
hostNetwork: true
dnsPolicy: ClusterFirstWithHostNet
metrics: {tls: true, serviceMonitor: {enabled: true}}
`,
}

// The API server takes everything that the chart renders, and knows every key in it: its own strict validation, of the
// version that everything is tested on, with the custom resources' schemas, is what a tool such as kubeconform imitates.
func TestTheAPIServerTakesEverything(t *testing.T) {
	s := startCluster(t)
	s.namespace(t, namespace, nil)
	kinds := map[string]bool{}
	for name, values := range variants {
		t.Run(name, func(t *testing.T) {
			for _, o := range render(t, values) {
				kinds[o.GetKind()] = true
				_, err := s.of(t, o).Create(t.Context(), o, metav1.CreateOptions{
					DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict,
				})
				if err != nil {
					t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
				}
			}
		})
	}
	for _, kind := range []string{
		"Deployment", "MutatingWebhookConfiguration", "ServiceMonitor", "PodMonitor", "Certificate", "Issuer",
		"HorizontalPodAutoscaler", "NetworkPolicy", "PriorityClass",
	} {
		if !kinds[kind] {
			t.Errorf("no variant renders a %s", kind)
		}
	}
}

// The alerts that are rendered are those that promtool checks and tests, see test/alerts.
func TestTheAlertsAreThoseThatAreTested(t *testing.T) {
	rendered := find(render(t, "metrics: {prometheusRule: {enabled: true}}"), "PrometheusRule")
	text, err := os.ReadFile(filepath.Join(chartDir(), "files", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := yaml.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, rendered.Object["spec"]); diff != "" {
		t.Errorf("the chart renders other alerts (-tested +rendered):\n%s", diff)
	}
}

// The plain manifests as well, their own namespace included.
func TestTheAPIServerTakesThePlainManifests(t *testing.T) {
	s := startCluster(t)
	s.namespace(t, namespace, nil)
	text, err := os.ReadFile(filepath.Join(chartDir(), "..", "..", "deploy", "truce.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects(t, string(text)) {
		force := true
		data, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.of(t, o).Patch(t.Context(), o.GetName(), "application/apply-patch+yaml", data, metav1.PatchOptions{
			FieldManager: "kubectl", Force: &force, DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict,
		}); err != nil {
			t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// What docs/install.md shows for Argo CD and Flux has no key that they do not know.
func TestArgoCDAndFluxTakeWhatTheDocsShow(t *testing.T) {
	s := startCluster(t)
	s.namespace(t, namespace, nil)
	s.namespace(t, "argocd", nil)
	if err := s.installCRDs(t.Context(), map[string][]string{
		"github.com/argoproj/argo-cd/v3@v3.4.13":   {"manifests/crds/application-crd.yaml"},
		"github.com/fluxcd/helm-controller@v1.4.0": {"config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml"},
	}); err != nil {
		t.Fatal(err)
	}
	for _, mark := range []string{"kind: Application", "kind: HelmRelease"} {
		text, err := documented(mark)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects(t, text) {
			if _, err := s.of(t, o).Create(t.Context(), o, metav1.CreateOptions{
				DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict,
			}); err != nil {
				t.Errorf("%s: %v", o.GetKind(), err)
			}
		}
	}
}

// The Pods pass the restricted Pod Security Standard, as the API server enforces it.
func TestThePodsAreRestricted(t *testing.T) {
	s := startCluster(t)
	const restricted = "restricted"
	s.namespace(t, restricted, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "truce", Namespace: restricted}}
	for _, name := range []string{"truce", "default", "peace", "cease-fire"} {
		sa.Name = name
		if _, err := s.kube.CoreV1().ServiceAccounts(restricted).Create(t.Context(), sa, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	create := func(pod *corev1.Pod) error {
		_, err := s.kube.CoreV1().Pods(restricted).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	for name, values := range variants {
		t.Run(name, func(t *testing.T) {
			pod := podOf(t, find(render(t, values), "Deployment"))
			pod.Spec.PriorityClassName = "" // which need not be there
			err := create(pod)
			if strings.Contains(values, "hostNetwork") {
				if err == nil || !strings.Contains(err.Error(), "PodSecurity") {
					t.Errorf("the node's network is restricted? %v", err)
				}
				return
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	// The admission is there at all, and looks at each of what the chart sets.
	for what, loosen := range map[string]func(*corev1.Pod){
		"runAsNonRoot":   func(p *corev1.Pod) { p.Spec.SecurityContext.RunAsNonRoot = nil },
		"seccompProfile": func(p *corev1.Pod) { p.Spec.SecurityContext.SeccompProfile = nil },
		"allowPrivilegeEscalation": func(p *corev1.Pod) {
			p.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
		},
		"unrestricted capabilities": func(p *corev1.Pod) { p.Spec.Containers[0].SecurityContext.Capabilities = nil },
	} {
		pod := podOf(t, find(render(t, ""), "Deployment"))
		pod.Spec.PriorityClassName = ""
		loosen(pod)
		if err := create(pod); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("a Pod without %s: %v, want a refusal", what, err)
		}
	}
}

func podOf(t *testing.T, deployment *unstructured.Unstructured) *corev1.Pod {
	t.Helper()
	template, _, err := unstructured.NestedMap(deployment.Object, "spec", "template")
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template, pod); err != nil {
		t.Fatal(err)
	}
	pod.Name = fmt.Sprintf("%s-1", deployment.GetName())
	return pod
}
