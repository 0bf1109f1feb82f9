// Package auditserve proves truce audit serve as the audit webhook backend of a real API server: a fight is found, and
// whatever becomes of Truce, the API server does not wait for it.
package auditserve

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/truce-dev/truce/pkg/report"
	"github.com/truce-dev/truce/test/cluster"
)

// auditPolicy sends little, so that what a test writes is what the backend gets.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  namespaces: [default]
  verbs: [create, update, patch, delete]
- level: RequestResponse
  verbs: [create, update, patch, delete]
  resources: [{group: admissionregistration.k8s.io}]
- level: None
`

// backend is a running truce audit serve.
type backend struct {
	cmd         *exec.Cmd
	events, ops string // addresses
}

var addresses = regexp.MustCompile(`(?s)events at (\S+)\n.*http://(\S+)\n`)

// startBackend builds truce and runs it. It has room for one MiB of events.
func startBackend(t *testing.T, dir string) *backend {
	t.Helper()
	bin := filepath.Join(dir, "truce")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", bin, "./cmd/truce")
	build.Dir = cluster.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building truce: %v: %s", err, out)
	}
	b := &backend{cmd: exec.Command(bin, "audit", "serve", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--queue=1")}
	stderr, err := b.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.cmd.Process.Signal(syscall.SIGCONT)
		_ = b.cmd.Process.Signal(os.Interrupt)
		if err := b.cmd.Wait(); err != nil {
			t.Errorf("truce audit serve: %v", err)
		}
	})
	said := ""
	lines := bufio.NewReader(stderr)
	for !addresses.MatchString(said) {
		line, err := lines.ReadString('\n')
		if said += line; err != nil {
			t.Fatalf("truce audit serve says %q: %v", said, err)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // it ends with the process
	found := addresses.FindStringSubmatch(said)
	b.events, b.ops = found[1], found[2]
	return b
}

// get reads from the operations' address.
func (b *backend) get(t *testing.T, path string) []byte {
	t.Helper()
	resp, err := http.Get("http://" + b.ops + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v %s", path, resp.Status, err, body)
	}
	return body
}

func (b *backend) metric(t *testing.T, name string) float64 {
	t.Helper()
	for line := range strings.Lines(string(b.get(t, "/metrics"))) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func (b *backend) fights(t *testing.T) map[string]report.Fight {
	t.Helper()
	var all report.Fights
	if err := json.Unmarshal(b.get(t, "/api/v1/fights"), &all); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]report.Fight)
	for _, f := range all.Items {
		found[f.Object.Resource+" "+f.Field] = f
	}
	return found
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("not within a minute: " + what)
		}
	}
}

func TestTheBackendOfARealAPIServer(t *testing.T) {
	ctrllog.SetLogger(logr.Discard())
	dir := t.TempDir()
	b := startBackend(t, dir)
	config := filepath.Join(dir, "audit-webhook.yaml")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: truce, cluster: {server: %q}}]\n"+
		"contexts: [{name: truce, context: {cluster: truce}}]\ncurrent-context: truce\n", "http://"+b.events)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: dir, Progress: os.Stderr, AuditPolicy: auditPolicy, APIServerArgs: map[string]string{
		"audit-webhook-config-file": config, "audit-webhook-mode": "batch", "audit-webhook-batch-max-wait": "200ms",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a fight is found, and listed as the webhook lists its own", func(t *testing.T) { findsAFight(t, c, b) })
	t.Run("what no webhook is told of is found, too", func(t *testing.T) { findsWhatIsUnseen(t, c, b) })
	t.Run("what is too much is shed and counted, and the API server does not wait", func(t *testing.T) { sheds(t, c, b) })
	t.Run("when it stands still, the API server does not wait, and later it goes on", func(t *testing.T) { standsStill(t, c, b) })
}

// party is a controller.
func party(t *testing.T, c *cluster.Cluster, name string) kubernetes.Interface {
	t.Helper()
	config := rest.CopyConfig(c.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:default:" + name, Groups: []string{"system:masters"}}
	config.UserAgent = name + "/v1"
	k, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// fight makes red and blue write an annotation of a ConfigMap by turns.
func fight(t *testing.T, c *cluster.Cluster, name string) {
	t.Helper()
	red, blue := party(t, c, "red"), party(t, c, "blue")
	maps := red.CoreV1().ConfigMaps("default")
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := maps.Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		by, value := red, "red"
		if i%2 == 1 {
			by, value = blue, "blue"
		}
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"owner":%q}}}`, value)
		_, err := by.CoreV1().ConfigMaps("default").Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func findsAFight(t *testing.T, c *cluster.Cluster, b *backend) {
	fight(t, c, "contested")
	var f report.Fight
	var changes report.Changes
	eventually(t, "the fight is found, and what was changed in it", func() bool { // events come in batches
		f = b.fights(t)["configmaps metadata.annotations[owner]"]
		if f.Writes <= 5 {
			return false
		}
		if err := json.Unmarshal(b.get(t, "/api/v1/changes?fight="+f.ID), &changes); err != nil {
			t.Fatal(err)
		}
		return len(changes.Items) >= 5
	})
	if f.Kind != "fight" || f.State != report.Open || len(f.Parties) != 2 || f.ObservedOnly || f.Object.Name != "contested" {
		t.Errorf("%+v", f)
	}
	if page := b.get(t, "/"); !strings.Contains(string(page), "<html") {
		t.Errorf("the page: %.100s", page)
	}
	if n := b.metric(t, "truce_audit_shed_batches_total"); n != 0 {
		t.Errorf("%v batches were shed", n)
	}
}

func findsWhatIsUnseen(t *testing.T, c *cluster.Cluster, b *backend) {
	const path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
	red, blue := party(t, c, "red"), party(t, c, "blue")
	err := red.Discovery().RESTClient().Post().AbsPath(path).Body([]byte(`{"apiVersion":"admissionregistration.k8s.io/v1",` +
		`"kind":"ValidatingWebhookConfiguration","metadata":{"name":"contested"}}`)).Do(t.Context()).Error()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		by, value := red, "red"
		if i%2 == 1 {
			by, value = blue, "blue"
		}
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"owner":%q}}}`, value)
		err := by.Discovery().RESTClient().Patch(types.MergePatchType).AbsPath(path, "contested").Body(patch).Do(t.Context()).Error()
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the fight over a webhook configuration is found", func() bool {
		return b.fights(t)["validatingwebhookconfigurations metadata.annotations[owner]"].ObservedOnly
	})
}

// slow is longer than a write takes on a busy machine, and shorter than an API server would wait for a backend: 30 s.
const slow = 15 * time.Second

// write writes ConfigMaps of a size, one after the other, and fails if one of them takes long.
func write(t *testing.T, c *cluster.Cluster, prefix string, n, size int) {
	t.Helper()
	maps := party(t, c, "red").CoreV1().ConfigMaps("default")
	for i := range n {
		start := time.Now()
		_, err := maps.Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", prefix, i)}, Data: map[string]string{"k": strings.Repeat("x", size)},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > slow {
			t.Errorf("write %d took %v", i, took)
		}
	}
}

func sheds(t *testing.T, c *cluster.Cluster, b *backend) {
	write(t, c, "large", 20, 900_000) // each is an event of twice the size, which alone is more than may wait
	eventually(t, "it is counted what was shed", func() bool {
		return b.metric(t, "truce_audit_shed_batches_total") > 0 && b.metric(t, "truce_audit_shed_bytes_total") > 1<<20
	})
}

func standsStill(t *testing.T, c *cluster.Cluster, b *backend) {
	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	write(t, c, "meanwhile", 200, 100)
	if err := b.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	fight(t, c, "later")
	eventually(t, "a later fight is found", func() bool {
		for _, f := range b.fightsOf(t, "later") {
			return f.Kind == "fight"
		}
		return false
	})
}

// fightsOf returns those over one ConfigMap.
func (b *backend) fightsOf(t *testing.T, name string) []report.Fight {
	t.Helper()
	var all report.Fights
	if err := json.Unmarshal(b.get(t, "/api/v1/fights?object=configmaps/"+name), &all); err != nil {
		t.Fatal(err)
	}
	return all.Items
}
