package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/registration"
	"github.com/truce-dev/truce/test/cluster"
)

// The namespaces, which differ in the webhook that their updates go through.
const (
	plainNS    = "bench-plain" // none
	stockNS    = "bench-stock"
	truceNS    = "bench-truce"
	filteredNS = "bench-filtered" // Truce's, but matchConditions let only changed annotations through
)

const filteredPolicy = `apiVersion: truce.dev/v1alpha1
kind: Policy
rules:
- name: annotations
  match: {fields: ["metadata.annotations[*]"]}
`

// benched is how many objects of each kind a namespace has.
const benched = 200

func benchLatency(ctx context.Context, dir string, o options) (err error) {
	c, err := cluster.Start(ctx, cluster.Options{Progress: os.Stderr, Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	kube, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	l := &latency{kube: kube, patches: o.patches}
	if err := l.createObjects(ctx); err != nil {
		return err
	}
	servers, err := l.startServers(ctx, dir)
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
	}()
	if err != nil {
		return err
	}
	fmt.Printf("Time of a PATCH on a real kube-apiserver, ms: medians of %d. Beside them, how much longer each PATCH takes than "+
		"the one in the same round that no webhook sees: median, and its 95 %% confidence interval. %s, %d CPUs, %s.\n\n",
		o.patches, cpuModel(), runtime.NumCPU(), runtime.Version())
	fmt.Println("| write | no webhook | stock handler | longer by | Truce | longer by |")
	fmt.Println("|---|--:|--:|:-:|--:|:-:|")
	for _, w := range []struct {
		what, resource, patch string
		webhooks              []string // namespaces
	}{
		{"annotation of a ConfigMap", "configmaps", `{"metadata":{"annotations":{"` + signature + `":"%d"}}}`, []string{stockNS, truceNS}},
		{"annotation of a Deployment, 8 kB", "deployments", `{"metadata":{"annotations":{"` + signature + `":"%d"}}}`, []string{stockNS, truceNS}},
		{"data of a ConfigMap, filtered by `matchConditions`", "configmaps", `{"data":{"key":"%d"}}`, []string{filteredNS}},
	} {
		if err := l.compare(ctx, w.what, w.resource, w.patch, w.webhooks); err != nil {
			return err
		}
	}
	return nil
}

// latency measures against one cluster.
type latency struct {
	kube    *kubernetes.Clientset
	patches int
	value   int // no value is written twice
}

func (l *latency) createObjects(ctx context.Context) error {
	var stored appsv1.Deployment
	if err := json.Unmarshal(deploymentJSON, &stored); err != nil {
		return err
	}
	for _, ns := range []string{plainNS, stockNS, truceNS, filteredNS} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
		if _, err := l.kube.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return err
		}
		for i := range benched {
			meta := metav1.ObjectMeta{Name: fmt.Sprintf("object-%d", i), Labels: stored.Labels, Annotations: stored.Annotations}
			deployment := &appsv1.Deployment{ObjectMeta: meta, Spec: stored.Spec}
			if _, err := l.kube.AppsV1().Deployments(ns).Create(ctx, deployment, metav1.CreateOptions{FieldManager: "helm"}); err != nil {
				return err
			}
			configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: meta.Name}, Data: map[string]string{"key": "0"}}
			if _, err := l.kube.CoreV1().ConfigMaps(ns).Create(ctx, configMap, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// startServers starts the webhooks and registers each for its namespace.
func (l *latency) startServers(ctx context.Context, dir string) (servers []*server, err error) {
	bin, err := cluster.BuildWebhook(ctx, dir)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(file, []byte(filteredPolicy), 0o600); err != nil {
		return nil, err
	}
	filtered, err := policy.Load([]byte(filteredPolicy), file)
	if err != nil {
		return nil, err
	}
	for _, start := range []struct {
		ns    string
		start func() (*server, error)
		hook  func(registration.Endpoint) *admissionv1.ValidatingWebhookConfiguration
	}{
		{stockNS, func() (*server, error) { return startOther(ctx, dir, "stock") }, stockConfiguration},
		{truceNS, func() (*server, error) { return startTruce(dir, bin, truceNS) }, truceConfiguration(policy.Default())},
		{filteredNS, func() (*server, error) { return startTruce(dir, bin, filteredNS, "--policy="+file) }, truceConfiguration(filtered)},
	} {
		s, err := start.start()
		if s != nil {
			servers = append(servers, s)
		}
		if err != nil {
			return servers, err
		}
		v := start.hook(registration.Endpoint{Name: start.ns, URL: s.url, CABundle: s.ca})
		if err := l.register(ctx, start.ns, v); err != nil {
			return servers, err
		}
	}
	return servers, nil
}

// stockConfiguration is what one writes by hand.
func stockConfiguration(e registration.Endpoint) *admissionv1.ValidatingWebhookConfiguration {
	url, sideEffects := e.URL+"/validate", admissionv1.SideEffectClassNone
	return &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: e.Name},
		Webhooks: []admissionv1.ValidatingWebhook{{
			ClientConfig: admissionv1.WebhookClientConfig{URL: &url, CABundle: e.CABundle},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*"}},
			}},
			NamespaceSelector:       &metav1.LabelSelector{},
			SideEffects:             &sideEffects,
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

// truceConfiguration is what `truce policy webhooks` prints.
func truceConfiguration(p *policy.Policy) func(registration.Endpoint) *admissionv1.ValidatingWebhookConfiguration {
	return func(e registration.Endpoint) *admissionv1.ValidatingWebhookConfiguration {
		v, _ := registration.Configurations(p, e)
		return v
	}
}

// register registers a webhook for the objects in its namespace, and waits until the API server calls it. Its name is
// made the namespace's, for the API server's metrics.
func (l *latency) register(ctx context.Context, ns string, v *admissionv1.ValidatingWebhookConfiguration) error {
	w := &v.Webhooks[0]
	fail := admissionv1.Fail // so that it shows if one is not reached
	w.Name, w.FailurePolicy = hookName(ns), &fail
	w.NamespaceSelector.MatchExpressions = append(w.NamespaceSelector.MatchExpressions, metav1.LabelSelectorRequirement{
		Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpIn, Values: []string{ns},
	})
	w.MatchConditions = append(w.MatchConditions, admissionv1.MatchCondition{
		Name: "bench-scope", Expression: `request.namespace == "` + ns + `"`, // a selector lets cluster-scoped objects pass
	})
	api := l.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	if _, err := api.Create(ctx, v, metav1.CreateOptions{}); err != nil {
		return err
	}
	for range 100 {
		if _, err := l.patch(ctx, "configmaps", ns, `{"metadata":{"annotations":{"`+signature+`":"%d"}}}`); err != nil {
			return err
		}
		calls, err := l.calls(ctx)
		if err != nil || calls[ns] > 0 {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("the API server did not call the webhook of %s", ns)
}

func hookName(ns string) string { return ns + ".truce.dev" }

// calls returns how often the API server called the webhook of each namespace, going by its metrics.
func (l *latency) calls(ctx context.Context) (map[string]int, error) {
	text, err := l.kube.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	calls := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		sample, value, _ := strings.Cut(lines.Text(), "} ")
		if !strings.HasPrefix(sample, "apiserver_admission_webhook_request_total{") {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, err
		}
		for _, ns := range []string{stockNS, truceNS, filteredNS} {
			if strings.Contains(sample, `name="`+hookName(ns)+`"`) {
				calls[ns] += int(n)
			}
		}
	}
	return calls, nil
}

// patch changes the next object of a namespace, and returns how long that took.
func (l *latency) patch(ctx context.Context, resource, ns, patch string) (time.Duration, error) {
	l.value++
	client := l.kube.CoreV1().RESTClient()
	if resource == "deployments" {
		client = l.kube.AppsV1().RESTClient()
	}
	req := client.Patch(types.MergePatchType).Resource(resource).Namespace(ns).
		Name(fmt.Sprintf("object-%d", l.value%benched)).Body(fmt.Appendf(nil, patch, l.value))
	start := time.Now()
	result := req.Do(ctx)
	took := time.Since(start)
	if n := len(result.Warnings()); n > 0 {
		return 0, fmt.Errorf("a write was warned about: %v", result.Warnings()[0])
	}
	return took, result.Error()
}

// compare measures one kind of write without a webhook and with each of some, and prints a row.
func (l *latency) compare(ctx context.Context, what, resource, patch string, webhooks []string) error {
	before, err := l.calls(ctx)
	if err != nil {
		return err
	}
	took := map[string][]float64{}
	order := append([]string{plainNS}, webhooks...)
	const warmup = 50
	for i := range l.patches + warmup {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, ns := range order {
			d, err := l.patch(ctx, resource, ns, patch)
			if err != nil {
				return err
			}
			if i >= warmup {
				took[ns] = append(took[ns], float64(d.Nanoseconds())/1e6)
			}
		}
	}
	after, err := l.calls(ctx)
	if err != nil {
		return err
	}
	cells := map[string]string{}
	for _, ns := range webhooks {
		want := l.patches + warmup
		if ns == filteredNS {
			want = 0
		}
		if n := after[ns] - before[ns]; n != want {
			return fmt.Errorf("the API server called the webhook of %s %d times for %d writes", ns, n, l.patches+warmup)
		}
		longer := make([]float64, l.patches)
		for i := range longer {
			longer[i] = took[ns][i] - took[plainNS][i]
		}
		low, high := interval(longer)
		cells[ns] = fmt.Sprintf("%.2f | %+.2f (%+.2f … %+.2f)", median(took[ns]), median(longer), low, high)
	}
	if cells[truceNS] == "" {
		cells[stockNS], cells[truceNS] = "– | –", cells[filteredNS]
	}
	fmt.Printf("| %s | %.2f | %s | %s |\n", what, median(took[plainNS]), cells[stockNS], cells[truceNS])
	return nil
}

// interval returns the 95 % confidence interval of the median of values, by bootstrap.
func interval(values []float64) (low, high float64) {
	medians := make([]float64, 2000)
	sample := make([]float64, len(values))
	for i := range medians {
		for j := range sample {
			sample[j] = values[rand.IntN(len(values))]
		}
		medians[i] = median(sample)
	}
	slices.Sort(medians)
	return medians[len(medians)*25/1000], medians[len(medians)*975/1000-1]
}
