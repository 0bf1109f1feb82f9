package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/truce-dev/truce/pkg/report"
	"github.com/truce-dev/truce/test/cluster"
)

const reportingPolicy = `apiVersion: truce.dev/v1alpha1
kind: Policy
mode: Enforce
rules:
- name: service-accounts
  match: {resources: [serviceaccounts], namespaces: [NAMESPACE]}
  action: Hold
`

// toldWithin is how soon a fight that was found has to show everywhere. Under the race detector, with other tests beside, on
// a busy machine, it gets more.
const toldWithin = 20 * time.Second

// get asks a webhook's operations port, with a token if there is one.
func get(t *testing.T, method, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// A fight shows in the metrics, the API and an Event on its object, soon after it was found.
func TestAFightShowsEverywhere(t *testing.T) {
	t.Parallel()
	s := newStage(t, reportingPolicy)
	s.hook = s.startHook("--kubeconfig=" + shared.Kubeconfig)
	s.register(s.hook.endpoint(), s.hook.reached)
	s.serviceAccount("web")
	red, blue := s.party("red"), s.party("blue")
	var found time.Time
	eventually(t, "the fight is found", func() bool {
		s.annotate(red, "web", "example.com/owner", "red")
		s.annotate(blue, "web", "example.com/owner", "blue")
		starts := s.hook.turns("Started")
		if len(starts) > 0 {
			found = starts[0].Time
		}
		return len(starts) > 0
	})

	var took [3]time.Duration
	eventually(t, "metrics, API and Event tell of it", func() bool {
		if took[0] == 0 && s.hook.metric("truce_fights", "kind", "fight", "state", "Open", "rule", "service-accounts") == 1 {
			took[0] = time.Since(found)
		}
		var fights report.Fights
		_, body := get(t, "GET", "http://"+s.hook.OpsAddress+"/api/v1/fights?namespace="+s.ns, "")
		if err := json.Unmarshal([]byte(body), &fights); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if took[1] == 0 && len(fights.Items) == 1 && len(fights.Items[0].Parties) == 2 {
			took[1] = time.Since(found)
		}
		events, err := s.kube.CoreV1().Events(s.ns).List(t.Context(), metav1.ListOptions{
			FieldSelector: "involvedObject.kind=ServiceAccount,involvedObject.name=web,reason=FightStarted",
		})
		if err != nil {
			t.Fatal(err)
		}
		if took[2] == 0 && len(events.Items) == 1 {
			took[2] = time.Since(found)
			e := events.Items[0]
			if e.Source.Component != "truce" || e.Type != corev1.EventTypeWarning || e.InvolvedObject.UID == "" ||
				!strings.Contains(e.Message, "metadata.annotations[example.com/owner] is fought over by") {
				t.Errorf("%+v", e)
			}
		}
		return took[0] > 0 && took[1] > 0 && took[2] > 0
	})
	t.Logf("after it was found: in the metrics within %v, in the API %v, as an Event %v", took[0], took[1], took[2])
	for _, d := range took {
		if d > toldWithin {
			t.Errorf("it took %v", took)
		}
	}

	// What was held is told as such.
	s.annotate(red, "web", "example.com/owner", "red")
	s.annotate(blue, "web", "example.com/owner", "blue")
	var changes report.Changes
	eventually(t, "a held change is in the journal", func() bool {
		_, body := get(t, "GET", "http://"+s.hook.OpsAddress+"/api/v1/changes?object=serviceaccounts/"+s.ns+"/web", "")
		if err := json.Unmarshal([]byte(body), &changes); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		last := changes.Items[len(changes.Items)-1]
		return last.Outcome == report.Held && last.Fight != "" && last.Reversal
	})

	// The operator ends the truce by the command line.
	out := s.truce("--url=http://"+s.hook.OpsAddress, "release", changes.Items[len(changes.Items)-1].Fight)
	if !strings.Contains(out, "has ended") {
		t.Error(out)
	}
	if n := s.hook.metric("truce_fight_turns_total", "turn", "Released"); n != 1 {
		t.Errorf("%v fights were released", n)
	}
	eventually(t, "an Event says that it was released", func() bool {
		events, err := s.kube.CoreV1().Events(s.ns).List(t.Context(), metav1.ListOptions{FieldSelector: "reason=FightReleased"})
		return err == nil && len(events.Items) == 1
	})
}

// truce runs the command line, and returns what it printed.
func (s *scene) truce(args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "go", append([]string{"run", "-buildvcs=false", "./cmd/truce"}, args...)...)
	cmd.Dir = cluster.Root()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("truce %q: %v\n%s%s", args, err, out.String(), errs.String())
	}
	return out.String()
}

// At an address that is not loopback, the API server is asked who may read, and who may act.
func TestTheAPIServerSaysWhoMayReadAndAct(t *testing.T) {
	t.Parallel()
	ip := outsideAddress(t)
	s := newStage(t, reportingPolicy)
	s.hook = s.startHook("--kubeconfig="+shared.Kubeconfig, "--ops-listen="+net.JoinHostPort(ip, "0"), "--metrics-auth=false")
	s.register(s.hook.endpoint(), s.hook.reached)
	base := "http://" + s.hook.OpsAddress
	s.role("reader", []string{"get"}, report.AuthRoot+"/*")
	s.role("actor", []string{"post"}, report.AuthRoot+"/fights/*")
	reader, actor, nobody := s.token("reader"), s.token("actor"), s.token("nobody")
	const none = "/api/v1/fights/f-000000000000"
	for _, c := range []struct {
		name, method, path, token string
		want                      int
	}{
		{"nobody is asked whether it lives", "GET", "/healthz", "", 200},
		{"without a token", "GET", "/api/v1/fights", "", 401},
		{"with a wrong one", "GET", "/api/v1/fights", "wrong", 401},
		{"a user without rights, who may get what is below /api", "GET", "/api/v1/fights", nobody, 403},
		{"a reader", "GET", "/api/v1/fights", reader, 200},
		{"a reader of changes", "GET", "/api/v1/changes", reader, 200},
		{"a reader who acts", "POST", none + "/release", reader, 403},
		{"an actor who reads", "GET", "/api/v1/fights", actor, 403},
		{"an actor", "POST", none + "/release", actor, 404},
		{"metrics, which are open here", "GET", "/metrics", "", 200},
	} {
		if status, body := get(t, c.method, base+c.path, c.token); status != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, status, body, c.want)
		}
	}

	// kubectl truce finds the pods and asks through the API server's proxy. Nothing runs these pods: their address is the
	// webhook's.
	_, port, err := net.SplitHostPort(s.hook.OpsAddress)
	if err != nil {
		t.Fatal(err)
	}
	pod, err := s.kube.CoreV1().Pods(s.ns).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "truce-1", Labels: map[string]string{"app.kubernetes.io/name": "truce"}},
		Spec:       corev1.PodSpec{ServiceAccountName: "reader", Containers: []corev1.Container{{Name: "webhook", Image: "none"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
	if _, err := s.kube.CoreV1().Pods(s.ns).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.serviceAccount("web")
	red, blue := s.party("red"), s.party("blue")
	eventually(t, "the fight is found", func() bool {
		s.annotate(red, "web", "example.com/owner", "red")
		s.annotate(blue, "web", "example.com/owner", "blue")
		return len(s.hook.turns("Started")) > 0
	})
	flags := []string{"--kubeconfig=" + shared.Kubeconfig, "--truce-namespace=" + s.ns, "--ops-port=" + port, "--timeout=30s"}
	out := s.truce(append(flags, "fights", "-n", s.ns, "--service-account=reader")...)
	if !strings.Contains(out, "serviceaccounts/web") {
		t.Errorf("kubectl truce fights:\n%s", out)
	}
	out = s.truce(append(flags, "timeline", "sa/web", "-n", s.ns, "--token="+reader)...)
	if !strings.Contains(out, "↺") || !strings.Contains(out, "Held") {
		t.Errorf("kubectl truce timeline:\n%s", out)
	}
}

// role gives a service account of that name verbs on a non-resource URL. The API server is soon aware of it, but not at
// once: that is waited for, as nobody who was refused once is asked about again for a while.
func (s *scene) role(name string, verbs []string, url string) {
	s.t.Helper()
	full := s.id + "-" + name
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: full}, Rules: []rbacv1.PolicyRule{{Verbs: verbs, NonResourceURLs: []string{url}}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: full},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: full},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.ns, Name: name}},
	}
	if _, err := s.kube.RbacV1().ClusterRoles().Create(s.t.Context(), role, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.kube.RbacV1().ClusterRoleBindings().Create(s.t.Context(), binding, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = s.kube.RbacV1().ClusterRoleBindings().Delete(background, full, metav1.DeleteOptions{})
		_ = s.kube.RbacV1().ClusterRoles().Delete(background, full, metav1.DeleteOptions{})
	})
	for _, verb := range verbs {
		eventually(s.t, name+" may "+verb+" "+url, func() bool {
			review, err := s.kube.AuthorizationV1().SubjectAccessReviews().Create(s.t.Context(),
				&authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
					User:                  "system:serviceaccount:" + s.ns + ":" + name,
					NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: verb, Path: strings.TrimSuffix(url, "*") + "any"},
				}}, metav1.CreateOptions{})
			return err == nil && review.Status.Allowed
		})
	}
}

// token makes a service account and returns a token of it.
func (s *scene) token(name string) string {
	s.t.Helper()
	s.serviceAccount(name)
	t, err := s.kube.CoreV1().ServiceAccounts(s.ns).CreateToken(s.t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return t.Status.Token
}

// outsideAddress returns an address of this machine that is not loopback, which the API server's proxy would refuse.
func outsideAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}

// serviceAccount makes a ServiceAccount.
func (s *scene) serviceAccount(name string) {
	s.t.Helper()
	s.create(serviceAccounts, object("v1", "ServiceAccount", name))
}

// annotate writes an annotation of a ServiceAccount.
func (s *scene) annotate(p *party, name, key, value string) {
	s.t.Helper()
	body := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, key, value)
	if err := p.patch(serviceAccounts, name, types.MergePatchType, body); err != nil {
		s.t.Fatal(err)
	}
}

// Webhook configurations are sent to no webhook. A fight over one is seen by a watch, and marked so.
func TestAFightThatAdmissionCannotSeeIsObserved(t *testing.T) {
	t.Parallel()
	s := newStage(t, "apiVersion: truce.dev/v1alpha1\nkind: Policy\nmode: Enforce\nrules:\n- name: all\n  action: Reject\n")
	s.hook = s.startHook("--kubeconfig="+shared.Kubeconfig, "--events=false") // it sees those of all tests
	name := s.id + "-observed"
	never, none := admissionv1.Ignore, admissionv1.SideEffectClassNone
	url := "https://127.0.0.1:1/never"
	if _, err := s.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(),
		&admissionv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"example.com/owner": "nobody"}},
			Webhooks: []admissionv1.ValidatingWebhook{{
				Name: "never.example.com", FailurePolicy: &never, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
				ClientConfig:      admissionv1.WebhookClientConfig{URL: &url},
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"example.com/never": "true"}},
			}},
		}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(background, name, metav1.DeleteOptions{})
	})
	parties := []*party{s.party("cainjector"), s.party("gitops")}
	n := 0
	eventually(t, "the fight is observed", func() bool {
		p := parties[n%2]
		n++
		body := fmt.Sprintf(`{"metadata":{"annotations":{"example.com/owner":%q}}}`, p.name)
		if _, err := p.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Patch(t.Context(), name,
			types.MergePatchType, []byte(body), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		var fights report.Fights
		_, answer := get(t, "GET", "http://"+s.hook.OpsAddress+"/api/v1/fights", "")
		if err := json.Unmarshal([]byte(answer), &fights); err != nil {
			t.Fatal(err)
		}
		for _, f := range fights.Items {
			if f.Object.Name != name {
				continue
			}
			if !f.ObservedOnly || f.Field != "metadata.annotations[example.com/owner]" || len(f.Parties) != 2 ||
				f.Prevented.Total() != 0 || f.Mode != "Audit" {
				t.Errorf("%+v", f)
			}
			return true
		}
		return false
	})
}
