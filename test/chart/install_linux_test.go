package chart

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/truce-dev/truce/certs"
)

// The whole life of a release, with Helm and on a real control plane: installed, it finds a fight; an upgrade to Enforce
// stops it without a restart; a rolling update loses no review; and after it is uninstalled, while its webhook is down
// and failurePolicy is Fail, every write goes through again.
func TestTheLifeOfARelease(t *testing.T) {
	s := startCluster(t)
	s.namespace(t, namespace, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	s.namespace(t, "shop", nil)
	r := s.release(map[string]any{
		"replicas":     1, // every Pod here has the same address
		"certificates": map[string]any{"mode": "existing", "secretName": "serving", "caBundle": s.servingCertificate(t)},
		"ports":        map[string]any{"webhook": freePort(t), "ops": freePort(t)},
		// Far longer than the API server takes to hear of another Pod, on a busy machine as well.
		"shutdownDelay": "10s", "terminationGracePeriodSeconds": 60,
		"timeoutSeconds": patientSeconds,
		// Not what the control plane itself does meanwhile.
		"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": "shop"}},
	})
	r.helm(t, "install", nil)
	first := s.runNewPod(t)
	red, blue := s.party(t, "red"), s.party(t, "blue")

	t.Log("Warn: a fight is found, its parties are told, nothing is stopped")
	s.configMap(t, "menu")
	eventually(t, "the fight over menu is found", func() bool {
		red.mustWrite("menu")
		blue.mustWrite("menu")
		return strings.Contains(first.log.String(), `"turn":"Started"`)
	})
	eventually(t, "a party is warned", func() bool {
		red.mustWrite("menu")
		blue.mustWrite("menu")
		return strings.Contains(blue.warnings(), "truce") || strings.Contains(red.warnings(), "truce")
	})

	t.Log("Warn to Enforce: the same Pod stops the fight")
	r.helm(t, "upgrade", map[string]any{"mode": "Enforce"})
	first.sync(t)
	throttled := func() bool {
		t.Helper()
		for _, err := range []error{red.write("menu"), blue.write("menu")} {
			if apierrors.IsTooManyRequests(err) {
				return true
			} else if err != nil {
				t.Fatal(err)
			}
		}
		return false
	}
	eventually(t, "a write is throttled", throttled)

	t.Log("off in one command, and an upgrade brings it back")
	if err := s.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().DeleteCollection(t.Context(), metav1.DeleteOptions{},
		metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=truce"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "writes pass", func() bool {
		for range 3 { // whichever replica is asked
			if throttled() {
				return false
			}
		}
		return true
	})
	r.helm(t, "upgrade", nil)
	eventually(t, "a write is throttled again", throttled)

	t.Log("a rule that holds: the mutating webhook comes with it")
	r.helm(t, "upgrade", map[string]any{"ruleOverrides": map[string]any{"everything": map[string]any{"action": "Hold"}}})
	first.sync(t)
	s.configMap(t, "wine")
	eventually(t, "a write is held", func() bool {
		return !red.gets("wine") || !blue.gets("wine")
	})
	if pods := s.pods(t); len(pods) != 1 || pods[0].UID != first.UID {
		t.Errorf("changing mode and policy replaced the Pod: %d are there", len(pods))
	}

	t.Log("a rolling update under load: no call of the webhook fails")
	before := s.failedCalls(t)
	stopLoad := s.load(t)
	r.helm(t, "upgrade", map[string]any{"ports": map[string]any{"webhook": freePort(t), "ops": freePort(t)}})
	second := s.runNewPod(t, first)
	eventually(t, "the deployment controller takes the old Pod away", func() bool {
		_, err := s.kube.CoreV1().Pods(namespace).Get(t.Context(), first.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	first.terminate(t)
	writes := stopLoad()
	if after := s.failedCalls(t); after != before || writes < 20 {
		t.Errorf("%d of the calls for %d writes failed while rolling:\n%s", after-before, writes, s.complaints(t))
	}
	if !strings.Contains(second.log.String(), `"serving"`) {
		t.Error("the second Pod did not serve")
	}

	t.Log("uninstalled while it is down and failurePolicy is Fail: nothing is left that blocks a write")
	r.helm(t, "upgrade", map[string]any{"failurePolicy": "Fail", "replicas": 2})
	second.die(t)
	eventually(t, "a write is refused, as failurePolicy says", func() bool {
		err := red.write("menu")
		return err != nil && strings.Contains(err.Error(), "failed calling webhook")
	})
	s.uninstall(t)
	eventually(t, "writes go through", func() bool { return red.write("menu") == nil })
}

// helmRelease is the release of a test.
type helmRelease struct {
	s      *shared
	values map[string]any
}

func (s *shared) release(values map[string]any) helmRelease { return helmRelease{s, values} }

// helm installs or upgrades the release, from now on with more values.
func (r helmRelease) helm(t *testing.T, verb string, more map[string]any) {
	t.Helper()
	maps.Copy(r.values, more)
	text, err := yaml.Marshal(r.values)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{verb, release, chartDir(), "--namespace", namespace, "--kubeconfig", r.s.Kubeconfig}
	if _, err := helmWith(t, string(text), args...); err != nil {
		t.Fatalf("helm %s: %v", verb, err)
	}
}

// servingCertificate makes the Secret that somebody else looks after, and returns its CA.
func (s *shared) servingCertificate(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	hosts, err := certs.ParseHosts([]string{release + "." + namespace + ".svc"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := certs.Ensure(dir, hosts, time.Now()); err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "serving"},
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{"tls.crt": read(certs.CertFile), "tls.key": read(certs.KeyFile)},
	}
	if _, err := s.kube.CoreV1().Secrets(namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return string(read(certs.CAFile))
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// party is a controller that writes its own name into an annotation, again and again.
type party struct {
	t     *testing.T
	name  string
	kube  kubernetes.Interface
	mu    sync.Mutex
	heard []string
}

func (s *shared) party(t *testing.T, name string) *party {
	t.Helper()
	p := &party{t: t, name: name}
	config := rest.CopyConfig(s.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:shop:" + name, Groups: []string{"system:masters"}}
	config.WarningHandler = p
	var err error
	if p.kube, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return p
}

// HandleWarningHeader implements rest.WarningHandler.
func (p *party) HandleWarningHeader(_ int, _, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = append(p.heard, text)
}

func (p *party) warnings() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.ToLower(strings.Join(p.heard, "\n"))
}

func (p *party) patch(name, value string) (*corev1.ConfigMap, error) {
	body := fmt.Sprintf(`{"metadata":{"annotations":{"truce.dev/test":%q}}}`, value)
	return p.kube.CoreV1().ConfigMaps("shop").Patch(p.t.Context(), name, types.MergePatchType, []byte(body), metav1.PatchOptions{})
}

func (p *party) write(name string) error {
	_, err := p.patch(name, p.name)
	return err
}

func (p *party) mustWrite(name string) {
	p.t.Helper()
	if err := p.write(name); err != nil {
		p.t.Fatalf("%s was stopped: %v", p.name, err)
	}
}

// gets reports whether a write that went through is what is stored then.
func (p *party) gets(name string) bool {
	p.t.Helper()
	stored, err := p.patch(name, p.name)
	if err != nil {
		p.t.Fatalf("%s was stopped: %v", p.name, err)
	}
	return stored.Annotations["truce.dev/test"] == p.name
}

func (s *shared) configMap(t *testing.T, name string) {
	t.Helper()
	s.configMapIn(t, "shop", name, nil)
}

func (s *shared) configMapIn(t *testing.T, namespace, name string, data map[string]string) {
	t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
	if _, err := s.kube.CoreV1().ConfigMaps(namespace).Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// load writes to objects that nobody fights over until it is stopped. It returns how often it wrote.
func (s *shared) load(t *testing.T) (stop func() int) {
	t.Helper()
	s.configMap(t, "load")
	p, writes := s.party(t, "load"), 0
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				if _, err := p.patch("load", fmt.Sprint(writes)); err != nil {
					t.Errorf("a write while rolling: %v", err)
				}
				writes++
			}
		}
	}()
	return func() int { close(done); <-ended; return writes }
}

// patientSeconds is how long the API server waits for an answer where a test counts the calls that fail: a busy machine may
// take longer than the chart's default to make one.
const patientSeconds = 10

// answered writes until a write takes a call of each of so many webhooks and none fails, and returns how many have failed
// by then. The API server hears of a caBundle a little later than who reads it there.
func (s *shared) answered(t *testing.T, webhooks int, write func()) (failed int) {
	t.Helper()
	eventually(t, "the API server's calls are answered", func() bool {
		before, calls := s.failedCalls(t), s.calls(t)
		write()
		failed = s.failedCalls(t)
		return failed == before && s.calls(t)-calls >= webhooks
	})
	return failed
}

// calls returns how often the API server called Truce, in vain or not.
func (s *shared) calls(t *testing.T) int {
	t.Helper()
	return s.sum(t, func(line string) bool {
		return strings.HasPrefix(line, "apiserver_admission_webhook_admission_duration_seconds_count{")
	})
}

// failedCalls returns how often the API server called Truce in vain, failed open or not.
func (s *shared) failedCalls(t *testing.T) int {
	t.Helper()
	return s.sum(t, func(line string) bool {
		return strings.HasPrefix(line, "apiserver_admission_webhook_fail_open_count{") || strings.Contains(line, "calling_webhook_error")
	})
}

// sum adds up what the API server's metrics about Truce say in the lines that are wanted.
func (s *shared) sum(t *testing.T, wanted func(line string) bool) int {
	t.Helper()
	data, err := s.kube.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, "truce.dev") && wanted(line) {
			var n float64
			if _, err := fmt.Sscan(line[strings.LastIndex(line, " ")+1:], &n); err != nil {
				t.Fatal(err)
			}
			total += int(n)
		}
	}
	return total
}

// complaints returns what the API server's log says about failed calls.
func (s *shared) complaints(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, "kube-apiserver.log"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, "ailed calling webhook") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// uninstall checks that no object of the release is left, and that its webhook configurations were the first to go.
func (s *shared) uninstall(t *testing.T) {
	t.Helper()
	earlier := len(s.deletions(t))
	if _, err := helm(t, "uninstall", release, "--namespace", namespace, "--kubeconfig", s.Kubeconfig); err != nil {
		t.Fatal(err)
	}
	s.nothingIsLeft(t)
	deleted := s.deletions(t)[earlier:]
	if len(deleted) < 8 {
		t.Fatalf("the audit log has these deletions by Helm only: %v", deleted)
	}
	others := slices.IndexFunc(deleted, func(resource string) bool { return !isWebhooks(resource) })
	if others < 1 || slices.ContainsFunc(deleted[others:], isWebhooks) {
		t.Errorf("webhook configurations are not the first to go: %v", deleted)
	}
}

// nothingIsLeft checks that no object of the release is there.
func (s *shared) nothingIsLeft(t *testing.T) {
	t.Helper()
	eventually(t, "the Pods go", func() bool { return len(s.pods(t)) == 0 })
	all := metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=" + release}
	_, lists, err := s.kube.Discovery().ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, list := range lists {
		for _, r := range list.APIResources {
			// What controllers made goes when they get to it.
			if !slices.Contains(r.Verbs, "list") || !slices.Contains(r.Verbs, "delete") ||
				slices.Contains([]string{"pods", "replicasets", "endpoints", "endpointslices"}, r.Name) {
				continue
			}
			gv, err := schema.ParseGroupVersion(list.GroupVersion)
			if err != nil {
				t.Fatal(err)
			}
			found, err := s.dyn.Resource(gv.WithResource(r.Name)).List(t.Context(), all)
			if err != nil {
				t.Fatalf("%s: %v", r.Name, err)
			}
			looked++
			for _, o := range found.Items {
				t.Errorf("%s %s is left", o.GetKind(), o.GetName())
			}
		}
	}
	if looked < 30 {
		t.Errorf("looked at %d kinds only", looked)
	}
}

func isWebhooks(resource string) bool { return strings.HasSuffix(resource, "webhookconfigurations") }

// deletions returns the resources that Helm deleted, in order.
func (s *shared) deletions(t *testing.T) []string {
	t.Helper()
	f, err := os.Open(s.AuditLog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct {
			Verb, UserAgent string
			ObjectRef       struct{ Resource, Name string }
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue // half a line, which the API server is writing
		}
		if e.Verb == "delete" && strings.HasPrefix(e.UserAgent, "Helm/") && !strings.HasPrefix(e.ObjectRef.Name, "sh.helm.release") {
			all = append(all, e.ObjectRef.Resource)
		}
	}
	return all
}
