// Package chart proves the Helm chart: that it renders what `truce policy webhooks` prints, that its generated files are
// fresh, and, on a real API server, that everything it renders is valid, that its Pods are restricted ones, and that what
// it installs finds fights, upgrades without a gap and leaves nothing behind.
//
// Helm is a program here, as it is for those who install Truce. `make chart-tools` builds it once.
package chart

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/truce-dev/truce/test/cluster"
)

var update = flag.Bool("update", false, "write generated files anew")

// Names of the release in all tests.
const (
	release   = "truce"
	namespace = "truce-system"
)

func TestMain(m *testing.M) {
	flag.Parse()
	ctrllog.SetLogger(logr.Discard())
	code := m.Run()
	if err := stopCluster(); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		code = 1
	}
	os.Exit(code)
}

func chartDir() string { return filepath.Join(cluster.Root(), "charts", "truce") }

// tools returns the directory of helm and its companions, which is built if it is not there.
var tools = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("TRUCE_CHART_TOOLS"); dir != "" {
		return dir, nil
	}
	cmd := exec.Command("make", "--silent", "chart-tools")
	cmd.Dir = cluster.Root()
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("make chart-tools: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], nil
})

// helm runs helm and returns what it prints. What it says when it fails is in the error.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return run(t, "helm", "", args...)
}

// helmWith runs helm with values, a YAML text.
func helmWith(t *testing.T, values string, args ...string) (string, error) {
	t.Helper()
	return run(t, "helm", values, append(args, "--values", "-")...)
}

// run runs helm, or helm3.
func run(t *testing.T, tool, stdin string, args ...string) (string, error) {
	t.Helper()
	dir, err := tools()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, tool), args...)
	home := t.TempDir() // never the caller's settings, plugins and caches
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", errors.New(strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// render renders the chart with values, a YAML text.
func render(t *testing.T, values string, args ...string) []*unstructured.Unstructured {
	t.Helper()
	out, err := tryRender(t, values, args...)
	if err != nil {
		t.Fatalf("rendering with %q: %v", values, err)
	}
	return objects(t, out)
}

func tryRender(t *testing.T, values string, args ...string) (string, error) {
	t.Helper()
	args = append([]string{"template", release, chartDir(), "--namespace", namespace}, args...)
	return helmWith(t, values, args...)
}

// objects splits a stream of YAML documents.
func objects(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for _, doc := range strings.Split("\n"+text, "\n---") {
		o := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(doc), &o.Object); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
	return all
}

// find returns the object of a kind, by name if there are several. It is nil if there is none.
func find(all []*unstructured.Unstructured, kind string, name ...string) *unstructured.Unstructured {
	for _, o := range all {
		if o.GetKind() == kind && (len(name) == 0 || o.GetName() == name[0]) {
			return o
		}
	}
	return nil
}

// golden compares a generated file with what it should be, or with -update writes it.
func golden(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not fresh (-want +got); make generate writes it anew:\n%s", path, diff)
	}
}
