package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/truce-dev/truce/certs"
	"github.com/truce-dev/truce/certs/incluster"
)

// inClusterConfig is what the flags say of certificates that the server keeps in a Secret.
type inClusterConfig struct {
	secret  types.NamespacedName // empty: it does not
	service types.NamespacedName
	targets []incluster.Target
	hosts   certs.Hosts
}

// clusterCertificate is the one in a Secret, which all replicas share and one of them renews.
type clusterCertificate struct {
	*incluster.Keeper
	secret types.NamespacedName
}

func newClusterCertificate(cfg Config, reg prometheus.Registerer, log *slog.Logger) (*clusterCertificate, error) {
	clock := &incluster.Clock{}
	client, err := newClient(cfg.kubeconfig, clock)
	if err != nil {
		return nil, fmt.Errorf("keeping certificates in a Secret (--cert-secret): %w", err)
	}
	return &clusterCertificate{
		secret: cfg.inCluster.secret,
		Keeper: incluster.New(incluster.Config{
			Client: client, Secret: cfg.inCluster.secret, Targets: cfg.inCluster.targets, Hosts: cfg.inCluster.hosts,
			Lifetimes: certs.InCluster, Settle: incluster.Settle, Poll: incluster.Poll,
			// A container that starts anew in its pod has the same, and with it its Lease.
			Identity: fmt.Sprintf("%s-%d", hostname(), os.Getpid()),
			Now:      clock.Now, Log: log, Registerer: reg,
		}),
	}, nil
}

func (c *clusterCertificate) caBundle() string { return "" }

func (c *clusterCertificate) from() string { return "Secret " + c.secret.String() }

// newClient returns a client of the API server that tells clock the server's time.
func newClient(kubeconfig string, clock *incluster.Clock) (kubernetes.Interface, error) {
	cfg, err := apiServer(kubeconfig)
	if err != nil {
		return nil, err
	}
	if cfg == nil {
		return nil, errors.New("this is no pod of a cluster: outside of one, --kubeconfig says how to reach the API server")
	}
	cfg.Wrap(clock.Wrap)
	return kubernetes.NewForConfig(cfg)
}
