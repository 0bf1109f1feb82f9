// Package stage is what scenes are played on: a real control plane, and Truce's webhook, which can be registered there and
// taken away again.
package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/truce-dev/truce/lab/measure"
	"github.com/truce-dev/truce/test/cluster"
)

// Options say what a Stage has.
type Options struct {
	// Dir is where data, logs, policy and kubeconfig go. It must exist.
	Dir string
	// Cluster is what else the control plane is to have. Its Dir, Progress and AuditPolicy are set here.
	Cluster cluster.Options
	// Audit has the API server keep an audit log: whole requests and answers of writes, who did what of reads.
	Audit bool
	// Step is called for each part of the preparations; do says what came of it. Nil: it is just done.
	Step func(name, doing string, do func(io.Writer) (result string, err error)) error
}

// Stage is a running control plane and webhook.
type Stage struct {
	Cluster *cluster.Cluster
	Webhook *cluster.Webhook
	// Admin has all rights.
	Admin kubernetes.Interface
	// Entries are what the webhook's log says of anything but fights.
	Entries <-chan Entry

	dir     string
	log     *os.File // the webhook's
	entries chan Entry

	mu      sync.Mutex
	policy  string // in force
	onFight func(Entry)
}

// Start builds what is missing and starts everything. The caller must Close the Stage, also one that comes with an error.
func Start(ctx context.Context, o Options) (*Stage, error) {
	s := &Stage{dir: o.Dir, entries: make(chan Entry, 100)}
	s.Entries = s.entries
	step := o.Step
	if step == nil {
		step = func(_, _ string, do func(io.Writer) (string, error)) error {
			_, err := do(io.Discard)
			return err
		}
	}
	names := []string{"etcd", "kube-apiserver"}
	if o.Cluster.ControllerManager {
		names = append(names, "kube-controller-manager")
	}
	if o.Cluster.Scheduler {
		names = append(names, "kube-scheduler")
	}
	all := names
	if len(o.Cluster.Nodes) > 0 {
		all = append(slices.Clip(names), "kwok")
	}
	err := step("Control plane", "building "+strings.Join(all, ", ")+", some minutes the first time",
		func(progress io.Writer) (string, error) {
			assets, err := cluster.Assets(ctx, progress, names...)
			if err == nil && len(o.Cluster.Nodes) > 0 {
				_, err = cluster.KWOK(ctx, progress)
			}
			return "built, and kept in " + tilde(filepath.Dir(assets)), err
		})
	if err != nil {
		return s, err
	}
	var bin string
	err = step("Truce", "building the webhook", func(io.Writer) (_ string, err error) {
		bin, err = cluster.BuildWebhook(ctx, o.Dir)
		return "the webhook, built from this source tree", err
	})
	if err != nil {
		return s, err
	}
	err = step("API server", "starting "+strings.Join(all, ", "), func(io.Writer) (string, error) {
		options := o.Cluster
		options.Dir, options.AuditPolicy = o.Dir, auditNothing
		if o.Audit {
			options.AuditPolicy = auditAll
		}
		if s.Cluster, err = cluster.Start(ctx, options); err != nil {
			return "", err
		}
		if s.Admin, err = kubernetes.NewForConfig(s.Cluster.Config); err != nil {
			return "", err
		}
		version, err := s.Admin.Discovery().ServerVersion()
		if err != nil {
			return "", err
		}
		return "Kubernetes " + version.GitVersion + " at " + strings.TrimSuffix(s.Cluster.Config.Host, "/"), s.prepare(ctx)
	})
	if err != nil {
		return s, err
	}
	return s, step("Webhook", "starting the webhook, which makes itself a certificate", func(io.Writer) (string, error) {
		if err := s.startWebhook(bin); err != nil {
			return "", err
		}
		return "at https://" + s.Webhook.Address + ", not registered yet", nil
	})
}

// Audit policies. Requests and answers cost the API server time, so they are kept only for who asks.
const (
	auditNothing = `apiVersion: audit.k8s.io/v1
kind: Policy
rules: [{level: None}]
`
	auditAll = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  verbs: [create, update, patch, delete, deletecollection]
- level: Metadata
`
)

func (s *Stage) startWebhook(bin string) (err error) {
	s.policy = policyText(Warn)
	if err := writePolicy(s.PolicyFile(), s.policy); err != nil {
		return err
	}
	if s.log, err = os.Create(s.file("webhook.log")); err != nil {
		return err
	}
	log := &logReader{keep: s.log, tell: s.heed}
	s.Webhook, err = cluster.StartWebhook(bin, s.file("certs"), log, "--policy="+s.PolicyFile(),
		"--kubeconfig="+s.Cluster.Kubeconfig)
	if err != nil {
		return fmt.Errorf("%w (%s says more)", err, s.log.Name())
	}
	return nil
}

func (s *Stage) file(name string) string { return filepath.Join(s.dir, name) }

// PolicyFile is the path of the webhook's policy.
func (s *Stage) PolicyFile() string { return s.file("policy.yaml") }

// HasLogs reports whether anything was logged.
func (s *Stage) HasLogs() bool {
	logs, _ := filepath.Glob(s.file("*.log")) // the pattern is right
	return slices.ContainsFunc(logs, func(log string) bool {
		info, err := os.Stat(log)
		return err == nil && info.Size() > 0
	})
}

// tilde shortens a path in the user's home directory.
func tilde(path string) string {
	if home, err := os.UserHomeDir(); err == nil {
		if rest, ok := strings.CutPrefix(path, home+"/"); ok {
			return "~/" + rest
		}
	}
	return path
}

// heed passes on what the webhook's log says.
func (s *Stage) heed(e Entry) {
	if e.Msg == msgFight {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.onFight != nil {
			s.onFight(e)
		}
		return
	}
	select {
	case s.entries <- e:
	default: // nobody waits for so many
	}
}

// OnFight has f called for what the log tells of fights from now on. Nil: nobody is called.
func (s *Stage) OnFight(f func(Entry)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onFight = f
}

// As returns a configuration for clients that act for a ServiceAccount.
func (s *Stage) As(namespace, name string) *rest.Config {
	c := rest.CopyConfig(s.Cluster.Config)
	c.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + namespace + ":" + name}
	c.UserAgent = name
	return c
}

// APIServer returns what the API server says of itself.
func (s *Stage) APIServer(ctx context.Context) (measure.Samples, error) {
	text, err := s.Admin.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the API server for its metrics: %w", err)
	}
	return measure.ParseSamples(text)
}

// Truce returns what the webhook says of itself.
func (s *Stage) Truce() (measure.Samples, error) {
	resp, err := http.Get("http://" + s.Webhook.OpsAddress + "/metrics")
	if err != nil {
		return nil, fmt.Errorf("asking the webhook for its metrics (%s may say more): %w", s.log.Name(), err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the webhook's metrics: %w", err)
	}
	return measure.ParseSamples(text)
}

// Close stops all processes. It may be called for a Stage that only started in part.
func (s *Stage) Close() error {
	var errs []error
	if s.Webhook != nil {
		if err := s.Webhook.Stop(); err != nil {
			errs = append(errs, fmt.Errorf("stopping the webhook: %w", err))
		}
	}
	if s.Cluster != nil {
		if err := s.Cluster.Stop(); err != nil {
			errs = append(errs, fmt.Errorf("stopping the control plane: %w", err))
		}
	}
	if s.log != nil {
		s.log.Close()
	}
	return errors.Join(errs...)
}
