// Package cluster starts a real control plane for tests and demonstrations: etcd and kube-apiserver, on request
// kube-controller-manager and kube-scheduler, all on loopback and with their data in a temporary directory. The binaries are those that
// test/controlplane builds, or those in KUBEBUILDER_ASSETS.
package cluster

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Options say what a Cluster has.
type Options struct {
	// ControllerManager also runs kube-controller-manager, and the API server's ServiceAccount admission with it.
	ControllerManager bool
	// Scheduler also runs kube-scheduler.
	Scheduler bool
	// Nodes are the names of nodes that only seem to be there.
	Nodes []string
	// WebhookKubeconfig is a file with the credentials that the API server shows to webhooks; empty: none.
	WebhookKubeconfig string
	// APIServerArgs are flags of kube-apiserver, without dashes. They take the place of defaults.
	APIServerArgs map[string]string
	// EtcdArgs are those of etcd.
	EtcdArgs map[string]string
	// AuditPolicy is what the API server records, as YAML; if it is empty, RequestResponse for writes of objects that
	// tests make.
	AuditPolicy string
	// Progress is told what takes long; nil for nobody.
	Progress io.Writer
	// Dir is where data, logs and the kubeconfig go. It must exist.
	Dir string
	// ServiceProxy, if not empty, is the path of a Unix socket with an HTTP CONNECT proxy, through which the API server
	// then reaches Services: without nodes, nobody else routes their addresses.
	ServiceProxy string
}

// Cluster is a running control plane.
type Cluster struct {
	// Config is for clients with all rights. Copy it before changing it.
	Config *rest.Config
	// Kubeconfig is the path of a file that says the same.
	Kubeconfig string
	// AuditLog is the path of the API server's audit log, which has what Options.AuditPolicy says.
	AuditLog string

	assets string
	dir    string
	env    *envtest.Environment
	others []*process // in the order of their start
}

// process is one that runs beside the API server.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start builds what is missing and starts a cluster. The caller must Stop it.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	names := []string{"etcd", "kube-apiserver"}
	if o.ControllerManager {
		names = append(names, "kube-controller-manager")
	}
	if o.Scheduler {
		names = append(names, "kube-scheduler")
	}
	assets, err := Assets(ctx, o.Progress, names...)
	if err != nil {
		return nil, err
	}
	var kwok string
	if len(o.Nodes) > 0 {
		if kwok, err = KWOK(ctx, o.Progress); err != nil {
			return nil, err
		}
	}
	c := &Cluster{
		assets: assets, dir: o.Dir,
		Kubeconfig: filepath.Join(o.Dir, "kubeconfig"),
		AuditLog:   filepath.Join(o.Dir, "audit.log"),
	}
	policyFile := filepath.Join(o.Dir, "audit-policy.yaml")
	if err := os.WriteFile(policyFile, []byte(cmp.Or(o.AuditPolicy, auditPolicy)), 0o600); err != nil {
		return nil, err
	}
	c.env = &envtest.Environment{
		BinaryAssetsDirectory: assets,
		// It takes seconds, but not on a machine that compiles beside.
		ControlPlaneStartTimeout: 5 * time.Minute,
		ControlPlaneStopTimeout:  5 * time.Minute,
		// Never what USE_EXISTING_CLUSTER in the environment says: fights belong on nobody's own cluster.
		UseExistingCluster: new(bool),
	}
	log, err := os.Create(filepath.Join(o.Dir, "kube-apiserver.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the API server has its own handle
	server := c.env.ControlPlane.GetAPIServer()
	server.Out, server.Err = log, log
	args := server.Configure()
	args.Set("audit-policy-file", policyFile).Set("audit-log-path", c.AuditLog)
	args.Set("audit-log-maxsize", "4096") // in MB: readers follow the one file, which is not to be rotated away
	if o.WebhookKubeconfig != "" {
		file := filepath.Join(o.Dir, "admission.yaml")
		if err := os.WriteFile(file, []byte(admissionConfiguration(o.WebhookKubeconfig)), 0o600); err != nil {
			return nil, err
		}
		args.Set("admission-control-config-file", file)
	}
	for name, value := range o.APIServerArgs {
		args.Set(name, value)
	}
	c.env.ControlPlane.Etcd = &envtest.Etcd{}
	for name, value := range o.EtcdArgs {
		c.env.ControlPlane.Etcd.Configure().Set(name, value)
	}
	if o.ControllerManager {
		args.Disable("disable-admission-plugins")
	}
	if o.ServiceProxy != "" {
		egress := filepath.Join(o.Dir, "egress.yaml")
		if err := os.WriteFile(egress, fmt.Appendf(nil, egressSelector, o.ServiceProxy), 0o600); err != nil {
			return nil, err
		}
		args.Set("egress-selector-config-file", egress)
	}
	if c.Config, err = c.env.Start(); err != nil {
		err = fmt.Errorf("starting etcd and kube-apiserver from %s (%s says more): %w", assets, log.Name(), err)
		return nil, errors.Join(err, c.Stop()) // the first of the two may be running
	}
	c.Config.QPS, c.Config.Burst = -1, -1 // no client-side rate limit: fights are fast
	if err := os.WriteFile(c.Kubeconfig, c.env.KubeConfig, 0o600); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	if o.ControllerManager {
		if err := c.startManager(); err != nil {
			return nil, errors.Join(err, c.Stop())
		}
	}
	if o.Scheduler {
		err := c.start("kube-scheduler", "--kubeconfig="+c.Kubeconfig, "--leader-elect=false", "--secure-port=0",
			"--kube-api-qps=200", "--kube-api-burst=400")
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
	}
	if len(o.Nodes) > 0 {
		if err := c.startNodes(ctx, kwok, o.Nodes); err != nil {
			return nil, errors.Join(err, c.Stop())
		}
	}
	return c, nil
}

// User returns the configuration of a client that authenticates as another user, with a certificate.
func (c *Cluster) User(name string, groups ...string) (*rest.Config, error) {
	u, err := c.env.AddUser(envtest.User{Name: name, Groups: groups}, nil)
	if err != nil {
		return nil, fmt.Errorf("making the user %s: %w", name, err)
	}
	return u.Config(), nil
}

// auditPolicy records what tests look for, and leaves out what only makes noise.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  resources: [{group: coordination.k8s.io, resources: [leases]}, {group: "", resources: [events]}]
- level: RequestResponse
  verbs: [create, update, patch, delete, deletecollection]
- level: None
`

// egressSelector sends what goes to Services through a proxy.
const egressSelector = `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport: {uds: {udsName: %q}}
`

// admissionConfiguration makes the API server authenticate itself to webhooks.
func admissionConfiguration(kubeconfig string) string {
	text := "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"
	for _, plugin := range []string{"ValidatingAdmissionWebhook", "MutatingAdmissionWebhook"} {
		text += fmt.Sprintf("- name: %s\n  configuration: {apiVersion: apiserver.config.k8s.io/v1, "+
			"kind: WebhookAdmissionConfiguration, kubeConfigFile: %q}\n", plugin, kubeconfig)
	}
	return text
}

func (c *Cluster) startManager() error {
	// envtest keeps the key of service account tokens, but not the API server's CA, in a file.
	ca := filepath.Join(c.dir, "ca.crt")
	if err := os.WriteFile(ca, c.Config.CAData, 0o600); err != nil {
		return err
	}
	return c.start("kube-controller-manager",
		"--kubeconfig="+c.Kubeconfig,
		"--service-account-private-key-file="+filepath.Join(c.env.ControlPlane.GetAPIServer().CertDir, "sa-signer.key"),
		"--root-ca-file="+ca,
		"--use-service-account-credentials=true",
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=200", "--kube-api-burst=400")
}

// start runs a binary of the control plane until Stop. What it says goes to a log of its name.
func (c *Cluster) start(name string, args ...string) error {
	return c.run(name, filepath.Join(c.assets, name), args...)
}

func (c *Cluster) run(name, bin string, args ...string) error {
	log, err := os.Create(filepath.Join(c.dir, name+".log"))
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own handle
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr = log, log
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{cmd, make(chan struct{})}
	c.others = append(c.others, p)
	go func() {
		_ = cmd.Wait() // how it ended does not matter: it is stopped by a signal
		close(p.exited)
	}()
	return nil
}

// Stop ends all processes. It may be called more than once.
func (c *Cluster) Stop() error {
	for _, p := range c.others {
		_ = p.cmd.Process.Signal(os.Interrupt)
	}
	for _, p := range c.others {
		select {
		case <-p.exited:
		case <-time.After(10 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.exited
		}
	}
	c.others = nil
	return c.env.Stop()
}

// Assets returns the directory with the control plane's binaries. Those named, of all if none is, are built first if
// they are missing.
func Assets(ctx context.Context, progress io.Writer, names ...string) (string, error) {
	if progress == nil {
		progress = io.Discard
	}
	var tail bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", append([]string{"run", "."}, names...)...)
	cmd.Dir = filepath.Join(Root(), "test", "controlplane")
	cmd.Stderr = io.MultiWriter(progress, &tail)
	detach(cmd)
	// Interrupted, it ends its compilers and removes what they left behind.
	cmd.Cancel = func() error { return interrupt(cmd) }
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return "", fmt.Errorf("building the control plane: %w", ctx.Err())
	}
	if err != nil {
		said := strings.TrimSuffix(strings.TrimSpace(tail.String()), "exit status 1") // that is go run's
		return "", fmt.Errorf("building the control plane: %w: %s", err, strings.TrimSpace(said))
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], nil
}

// Root returns the root directory of the repository: where this file was compiled, or, in a binary that does not know
// (-trimpath), what the working directory is in.
func Root() string {
	if _, file, _, _ := runtime.Caller(0); filepath.IsAbs(file) {
		return filepath.Dir(filepath.Dir(filepath.Dir(file)))
	}
	dir, err := os.Getwd()
	for err == nil {
		mod, _ := os.ReadFile(filepath.Join(dir, "go.mod"))
		if bytes.HasPrefix(mod, []byte("module github.com/truce-dev/truce\n")) {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	return "."
}
