package chart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/truce-dev/truce/test/cluster"
)

// shared is the control plane of all tests in this package; started by the first test that needs it.
type shared struct {
	*cluster.Cluster
	dir    string
	proxy  *serviceProxy
	kube   kubernetes.Interface
	dyn    dynamic.Interface
	mapper meta.RESTMapper
	// webhook is the path of the webhook's binary, static as in the image.
	webhook string
	// apiServer is the authority of the certificate that the API server shows to Truce.
	apiServer cluster.Authority
}

var running *shared // for stopCluster

var theCluster = sync.OnceValues(func() (*shared, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "truce-chart-")
	if err != nil {
		return nil, err
	}
	s := &shared{dir: dir}
	running = s
	if s.proxy, err = newServiceProxy(filepath.Join(dir, "proxy")); err != nil {
		return nil, err
	}
	admission, err := s.authenticate()
	if err != nil {
		return nil, err
	}
	options := cluster.Options{
		ControllerManager: true, Progress: os.Stderr, Dir: dir, ServiceProxy: s.proxy.path,
		APIServerArgs: map[string]string{"admission-control-config-file": admission},
	}
	if s.Cluster, err = cluster.Start(ctx, options); err != nil {
		return nil, err
	}
	if err := os.Setenv("CGO_ENABLED", "0"); err != nil { // as the image is built
		return nil, err
	}
	if s.webhook, err = cluster.BuildWebhook(ctx, dir); err != nil {
		return nil, err
	}
	config := rest.CopyConfig(s.Config)
	config.WarningHandler = rest.NoWarnings{}
	if s.kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if s.dyn, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	if s.mapper, err = apiutil.NewDynamicRESTMapper(config, client); err != nil {
		return nil, err
	}
	return s, s.installCRDs(ctx, chartCRDs)
})

func startCluster(t *testing.T) *shared {
	t.Helper()
	s, err := theCluster()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stopCluster() error {
	if running == nil {
		return nil
	}
	var errs []error
	if running.Cluster != nil {
		errs = append(errs, running.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(running.dir))...)
}

// authenticate makes what docs/install.md tells to give the API server, in the cluster's directory instead of
// /etc/kubernetes, and returns the path of the file for --admission-control-config-file.
func (s *shared) authenticate() (path string, err error) {
	if s.apiServer, err = cluster.NewAuthority(); err != nil {
		return "", err
	}
	cert, key, err := s.apiServer.Issue("kube-apiserver")
	if err != nil {
		return "", err
	}
	files := map[string]string{"pki/webhook-client.crt": string(cert), "pki/webhook-client.key": string(key)}
	for name, mark := range map[string]string{
		"admission.yaml": "kind: AdmissionConfiguration", "webhooks.kubeconfig": "kind: Config\n",
	} {
		text, err := documented(mark)
		if err != nil {
			return "", err
		}
		files[name] = strings.ReplaceAll(text, "/etc/kubernetes", s.dir)
	}
	if err := os.Mkdir(filepath.Join(s.dir, "pki"), 0o700); err != nil {
		return "", err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Join(s.dir, "admission.yaml"), nil
}

// chartCRDs are the custom resources that the chart may render: files of modules, in the versions of tools/chart.
var chartCRDs = map[string][]string{
	"github.com/cert-manager/cert-manager": {
		"deploy/crds/cert-manager.io_certificates.yaml", "deploy/crds/cert-manager.io_issuers.yaml",
	},
	"github.com/prometheus-operator/prometheus-operator": {
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
	},
}

// installCRDs installs custom resources from the modules of those who define them.
func (s *shared) installCRDs(ctx context.Context, modules map[string][]string) error {
	for module, files := range modules {
		dir, err := download(ctx, module)
		if err != nil {
			return err
		}
		var paths []string
		for _, f := range files {
			paths = append(paths, filepath.Join(dir, filepath.FromSlash(f)))
		}
		if _, err := envtest.InstallCRDs(s.Config, envtest.CRDInstallOptions{
			Paths: paths, ErrorIfPathMissing: true, MaxTime: time.Minute,
		}); err != nil {
			return fmt.Errorf("installing the custom resources of %s: %w", module, err)
		}
	}
	return nil
}

// download fetches a module, unless Go's cache has it, and returns its directory. It asks again when the network fails, for
// as long as a short outage may last.
func download(ctx context.Context, module string) (string, error) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for end := time.Now().Add(2 * time.Minute); ; {
		cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
		cmd.Dir = filepath.Join(cluster.Root(), "tools", "chart")
		out, err := cmd.Output()
		var fetched struct{ Dir, Error string }
		if err = errors.Join(err, json.Unmarshal(out, &fetched)); err == nil && fetched.Error == "" {
			return fetched.Dir, nil
		}
		if time.Now().After(end) {
			return "", fmt.Errorf("fetching %s: %w: %s", module, err, fetched.Error)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-tick.C:
		}
	}
}

// of returns the client of an object's kind.
func (s *shared) of(t *testing.T, o *unstructured.Unstructured) dynamic.ResourceInterface {
	t.Helper()
	gvk := o.GroupVersionKind()
	mapping, err := s.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		t.Fatalf("%s: %v", gvk.Kind, err)
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if o.GetNamespace() == "" {
			t.Errorf("%s %s says no namespace", gvk.Kind, o.GetName())
		}
		return s.dyn.Resource(mapping.Resource).Namespace(o.GetNamespace())
	}
	return s.dyn.Resource(mapping.Resource)
}

// namespace makes a namespace with labels, if it is not there.
func (s *shared) namespace(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	ns := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
	ns.SetName(name)
	ns.SetLabels(labels)
	_, err := s.dyn.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).
		Create(t.Context(), ns, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// eventually waits until a condition holds. It ends the test if that takes longer than a slow machine may take.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		case <-ticker.C:
		}
	}
}
