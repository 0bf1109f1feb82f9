package certs

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	truce "github.com/truce-dev/truce/certs"
	"github.com/truce-dev/truce/test/cluster"
)

// patience is how long something may take that takes far less on an idle machine: a rotation more than a minute.
const patience = 3 * time.Minute

// errNotYet is for what is only a question of time.
var errNotYet = errors.New("not yet")

// eventually waits until check reports no error. what completes the sentence "it did not come true that …".
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it did not come true within %s that %s: %v", patience, what, err)
		}
		<-tick.C
	}
}

// scene is one test's part of the cluster: a namespace for the Secret, the rights of the documentation for a service
// account, two webhook configurations of the same name, and a namespace whose ConfigMaps they are about.
type scene struct {
	t *testing.T
	// webhook is the path of the webhook's binary.
	webhook string
	// name is that of everything: namespace, Secret, configurations.
	name       string
	kubeconfig string // of the service account
	dir        string
}

var scenes, loads atomic.Int32

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, webhook: webhookBin, name: fmt.Sprintf("certs-%d", scenes.Add(1)), dir: t.TempDir()}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.name}}
	if _, err := kube.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// The API server calls it as localhost, at whatever port the webhook has.
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "truce"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"},
	}
	if _, err := kube.CoreV1().Services(s.name).Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.kubeconfig = filepath.Join(s.dir, "kubeconfig")
	s.writeKubeconfig()
	return s
}

func (s *scene) secretName() types.NamespacedName {
	return types.NamespacedName{Namespace: s.name, Name: s.name}
}

func (s *scene) user() string { return "system:serviceaccount:" + s.name + ":truce" }

// writeKubeconfig makes a kubeconfig with which the webhook is its service account.
func (s *scene) writeKubeconfig() {
	s.t.Helper()
	config, err := clientcmd.LoadFromFile(shared.Kubeconfig)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, user := range config.AuthInfos {
		*user = api.AuthInfo{
			ClientCertificateData: user.ClientCertificateData, ClientKeyData: user.ClientKeyData, Token: user.Token,
			Username: user.Username, Password: user.Password,
			Impersonate: s.user(),
		}
	}
	if err := clientcmd.WriteToFile(*config, s.kubeconfig); err != nil {
		s.t.Fatal(err)
	}
}

// allow gives the service account the rights of docs/security.md, and no others.
func (s *scene) allow() {
	s.t.Helper()
	subject := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: s.user()}
	for _, document := range rulesOfTheDocumentation(s.t) {
		document = strings.NewReplacer(
			"name: truce-certs", "name: "+s.name, "namespace: truce-system", "namespace: "+s.name,
			"resourceNames: [truce-certs]", "resourceNames: ["+s.name+"]", "resourceNames: [truce]", "resourceNames: ["+s.name+"]",
		).Replace(document)
		var role rbacv1.Role
		if err := yaml.UnmarshalStrict([]byte(document), &role); err != nil {
			s.t.Fatal(err)
		}
		ctx, client := s.t.Context(), kube.RbacV1()
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: role.Kind, Name: role.Name}
		meta := metav1.ObjectMeta{Name: role.Name, Namespace: role.Namespace}
		var err, err2 error
		if role.Kind == "ClusterRole" {
			_, err = client.ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: role.Rules}, metav1.CreateOptions{})
			_, err2 = client.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
				ObjectMeta: meta, RoleRef: ref, Subjects: []rbacv1.Subject{subject},
			}, metav1.CreateOptions{})
		} else {
			_, err = client.Roles(role.Namespace).Create(ctx, &role, metav1.CreateOptions{})
			_, err2 = client.RoleBindings(role.Namespace).Create(ctx, &rbacv1.RoleBinding{
				ObjectMeta: meta, RoleRef: ref, Subjects: []rbacv1.Subject{subject},
			}, metav1.CreateOptions{})
		}
		if err := errors.Join(err, err2); err != nil {
			s.t.Fatal(err)
		}
		eventually(s.t, "the API server has heard of the rights", func() error { return s.may(role) })
	}
}

// may returns an error unless the service account has the rights of a role. The API server hears of a role as a whole, so
// one right stands for all.
func (s *scene) may(role rbacv1.Role) error {
	rule := role.Rules[0]
	asked := &authorizationv1.ResourceAttributes{
		Namespace: role.Namespace, Verb: rule.Verbs[0], Group: rule.APIGroups[0], Resource: rule.Resources[0],
	}
	if len(rule.ResourceNames) > 0 {
		asked.Name = rule.ResourceNames[0]
	}
	review, err := kube.AuthorizationV1().SubjectAccessReviews().Create(s.t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: s.user(), ResourceAttributes: asked},
	}, metav1.CreateOptions{})
	if err == nil && !review.Status.Allowed {
		err = errNotYet
	}
	return err
}

// rulesOfTheDocumentation returns the documents of the YAML block in docs/security.md that has the rules.
func rulesOfTheDocumentation(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(cluster.Root(), "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "\n```yaml\n")
	block, _, ok := strings.Cut(block, "```")
	documents := strings.Split(block, "---\n")
	if !ok || len(documents) != 3 {
		t.Fatalf("docs/security.md has %d documents in its YAML block of rules, want 3", len(documents))
	}
	return documents
}

// register makes both configurations for the scene's namespace: one webhook in each for each port. They have no caBundle.
// It returns once the API server has heard of them: until then, it would let writes through without asking. What tells is
// one more webhook in each, the last, which cannot be reached.
func (s *scene) register(ports ...int32) {
	s.t.Helper()
	fail, none, timeout := admissionv1.Fail, admissionv1.SideEffectClassNone, int32(20)
	rulesFor := func(resource string) []admissionv1.RuleWithOperations {
		return []admissionv1.RuleWithOperations{{
			Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
			Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{resource}},
		}}
	}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.name}}
	client := func(path string, port int32) admissionv1.WebhookClientConfig {
		return admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{
			Namespace: s.name, Name: "truce", Path: &path, Port: &port,
		}}
	}
	v := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: s.name}}
	m := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: s.name}}
	validating := func(name, resource string, at admissionv1.WebhookClientConfig) {
		v.Webhooks = append(v.Webhooks, admissionv1.ValidatingWebhook{
			Name: name, ClientConfig: at, Rules: rulesFor(resource), FailurePolicy: &fail, SideEffects: &none,
			NamespaceSelector: selector, TimeoutSeconds: &timeout, AdmissionReviewVersions: []string{"v1"},
		})
	}
	mutating := func(name, resource string, at admissionv1.WebhookClientConfig) {
		m.Webhooks = append(m.Webhooks, admissionv1.MutatingWebhook{
			Name: name, ClientConfig: at, Rules: rulesFor(resource), FailurePolicy: &fail, SideEffects: &none,
			NamespaceSelector: selector, TimeoutSeconds: &timeout, AdmissionReviewVersions: []string{"v1"},
		})
	}
	for i, port := range ports {
		name := fmt.Sprintf("replica-%d.truce.dev", i)
		validating(name, "configmaps", client("/validate", port))
		mutating(name, "configmaps", client("/mutate", port))
	}
	const heard = "heard.truce.dev"
	unreachable := admissionv1.WebhookClientConfig{URL: new("https://127.0.0.1:1/")}
	validating(heard, "resourcequotas", unreachable)
	mutating(heard, "limitranges", unreachable)
	api := kube.AdmissionregistrationV1()
	_, err := api.ValidatingWebhookConfigurations().Create(s.t.Context(), v, metav1.CreateOptions{FieldManager: "helm"})
	_, err2 := api.MutatingWebhookConfigurations().Create(s.t.Context(), m, metav1.CreateOptions{FieldManager: "helm"})
	if err := errors.Join(err, err2); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		err := api.ValidatingWebhookConfigurations().Delete(context.Background(), s.name, metav1.DeleteOptions{})
		err2 := api.MutatingWebhookConfigurations().Delete(context.Background(), s.name, metav1.DeleteOptions{})
		if err := errors.Join(err, err2); err != nil {
			s.t.Error(err)
		}
	})
	probe := metav1.ObjectMeta{GenerateName: "heard-", Namespace: s.name}
	dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	eventually(s.t, "the API server has heard of the webhooks", func() error {
		_, err := kube.CoreV1().ResourceQuotas(s.name).Create(s.t.Context(), &corev1.ResourceQuota{ObjectMeta: probe}, dryRun)
		_, err2 := kube.CoreV1().LimitRanges(s.name).Create(s.t.Context(), &corev1.LimitRange{ObjectMeta: probe}, dryRun)
		if !refusedFor(err, heard) || !refusedFor(err2, heard) {
			return fmt.Errorf("creations are answered with %v and %v", err, err2)
		}
		return nil
	})
}

func refusedFor(err error, webhook string) bool {
	return err != nil && strings.Contains(err.Error(), webhook)
}

// caBundles returns those of all webhooks of both configurations that can be reached.
func (s *scene) caBundles() [][]byte {
	s.t.Helper()
	api := kube.AdmissionregistrationV1()
	v, err := api.ValidatingWebhookConfigurations().Get(s.t.Context(), s.name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := api.MutatingWebhookConfigurations().Get(s.t.Context(), s.name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	var all [][]byte
	for _, w := range v.Webhooks[:len(v.Webhooks)-1] {
		all = append(all, w.ClientConfig.CABundle)
	}
	for _, w := range m.Webhooks[:len(m.Webhooks)-1] {
		all = append(all, w.ClientConfig.CABundle)
	}
	return all
}

// reset sets the validating configuration's caBundles, as another tool.
func (s *scene) reset(bundle []byte) {
	s.t.Helper()
	if err := s.tryReset(bundle); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) tryReset(bundle []byte) error {
	api := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	c, err := api.Get(s.t.Context(), s.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for i := range c.Webhooks {
		c.Webhooks[i].ClientConfig.CABundle = bundle
	}
	_, err = api.Update(s.t.Context(), c, metav1.UpdateOptions{FieldManager: "gitops-tool"})
	return err
}

// ring returns what the Secret holds.
func (s *scene) ring() truce.Keyring {
	s.t.Helper()
	secret, err := kube.CoreV1().Secrets(s.name).Get(s.t.Context(), s.name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return truce.ParseKeyring(secret.Data)
}

// put makes the Secret hold a keyring.
func (s *scene) put(ring truce.Keyring) {
	s.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: s.name}, Data: map[string][]byte{}}
	ring.Put(secret.Data)
	if _, err := kube.CoreV1().Secrets(s.name).Create(s.t.Context(), secret, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// hosts are what the scene's certificates are for.
func (s *scene) hosts() truce.Hosts {
	h, err := truce.ParseHosts([]string{"truce." + s.name + ".svc", "truce." + s.name, "truce." + s.name + ".svc.cluster.local"})
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

// write writes the scene's ConfigMap, which takes a review of every webhook.
func (s *scene) write(client kubernetes.Interface, i int) error {
	name := fmt.Sprintf("written-%d", i%16)
	maps := client.CoreV1().ConfigMaps(s.name)
	_, err := maps.Patch(s.t.Context(), name, types.MergePatchType, fmt.Appendf(nil, `{"data":{"n":"%d"}}`, i), metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		_, err = maps.Create(s.t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // by another one of the writers
			err = nil
		}
	}
	return err
}

// works waits until the API server's calls are answered.
func (s *scene) works() {
	s.t.Helper()
	eventually(s.t, "a write that every webhook has to allow goes through", func() error { return s.write(kube, 0) })
}

// load writes so many times a second, if the machine can, until stop is called, which returns how often, and how often it
// failed. Each of its writers replaces a small object of its own, which is as cheap as a write can be: what is to be busy
// is the webhooks.
func (s *scene) load(perSecond int) (stop func() (writes, failures int)) {
	s.t.Helper()
	config := rest.CopyConfig(shared.Config)
	config.ContentType = runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	var writes, failures atomic.Int64
	jobs := make(chan int, 16)
	running.Go(func() {
		defer close(jobs)
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				select {
				case jobs <- i:
				case <-ctx.Done():
					return
				}
			}
		}
	})
	for n := range 16 {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("load-%d-%d", loads.Add(1), n)}}
		maps := client.CoreV1().ConfigMaps(s.name)
		if _, err := maps.Create(s.t.Context(), object, metav1.CreateOptions{}); err != nil {
			s.t.Fatal(err)
		}
		running.Go(func() {
			for i := range jobs {
				writes.Add(1)
				object.Data = map[string]string{"n": strconv.Itoa(i)}
				if _, err := maps.Update(s.t.Context(), object, metav1.UpdateOptions{}); err != nil {
					if failures.Add(1) <= 5 {
						s.t.Errorf("write %d failed: %v", i, err)
					}
				}
			}
		})
	}
	return func() (int, int) {
		cancel()
		running.Wait()
		return int(writes.Load()), int(failures.Load())
	}
}

// replica is a webhook process.
type replica struct {
	t *testing.T
	*cluster.Webhook
	log    *logBuffer
	killed bool
}

// args are those of a webhook that keeps its certificates in the scene's Secret.
func (s *scene) args() []string {
	return []string{
		"--kubeconfig=" + s.kubeconfig, "--cert-secret=" + s.name + "/" + s.name, "--service=" + s.name + "/truce",
		"--webhook-config=validating/" + s.name, "--webhook-config=mutating/" + s.name,
		"--watch=false", // the scene's account has the rights that certificates take, and no others
	}
}

func (s *scene) start(args ...string) *replica {
	s.t.Helper()
	r, err := s.tryStart(args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// tryStart is start for any goroutine: only the test's own may end the test.
func (s *scene) tryStart(args ...string) (*replica, error) {
	r := &replica{t: s.t, log: &logBuffer{}}
	var err error
	if r.Webhook, err = cluster.StartWebhook(s.webhook, "", r.log, append(s.args(), args...)...); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, r.log.String())
	}
	s.t.Cleanup(func() {
		if err := r.Stop(); err != nil && !r.killed {
			s.t.Errorf("the webhook did not end in good order: %v", err)
		}
		if text := r.log.String(); strings.Contains(text, "DATA RACE") {
			s.t.Errorf("the webhook has a data race:\n%s", text)
		} else if s.t.Failed() {
			s.t.Logf("the webhook's log:\n%s", text)
		}
	})
	return r, nil
}

func (r *replica) port() int32 { return portOf(r.t, r.Address) }

func portOf(t *testing.T, address string) int32 {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int32(port)
}

// get asks the operations port.
func get(url string) (status int, body string, err error) {
	resp, err := http.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

// startUnready starts a webhook that cannot serve yet and returns the address of its operations port.
func (s *scene) startUnready(args ...string) (ops string, log *logBuffer) {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	ops = l.Addr().String()
	l.Close()
	log = &logBuffer{}
	cmd := exec.Command(s.webhook, append(append(s.args(), "--listen=127.0.0.1:0", "--ops-listen="+ops, "--shutdown-delay=0s"),
		args...)...)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case err := <-exited:
			if err != nil {
				s.t.Errorf("it ended with %v:\n%s", err, log.String())
			}
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			s.t.Errorf("it did not end:\n%s", log.String())
		}
	})
	return ops, log
}

// logBuffer keeps a webhook's log. It is safe for concurrent use.
type logBuffer struct{ cluster.Log }

// says returns an error unless the log has a line with all parts.
func (l *logBuffer) says(parts ...string) error {
lines:
	for line := range strings.Lines(l.String()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue lines
			}
		}
		return nil
	}
	return fmt.Errorf("no line with %q in the log:\n%s", parts, l.String())
}

// count tells how often a rotation's step is in the log.
func (l *logBuffer) count(step string) int {
	return strings.Count(l.String(), fmt.Sprintf(`"step":%q`, step))
}

// when returns the time of the first line with a part, in this log or the other.
func (l *logBuffer) when(other *logBuffer, part string) (at time.Time, err error) {
	for line := range strings.Lines(l.String() + other.String()) {
		var entry struct{ Time time.Time }
		if strings.Contains(line, part) && json.Unmarshal([]byte(line), &entry) == nil {
			return entry.Time, nil
		}
	}
	return at, fmt.Errorf("no line with %q in the logs:\n%s\n%s", part, l.String(), other.String())
}

// parse reads the first certificate of PEM.
func parse(t *testing.T, data []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("no certificate in %q", data)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
