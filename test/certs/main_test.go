// Package certs proves on a real API server that certificates in a Secret come, rotate and go without a failed call:
// every webhook here has failurePolicy Fail, so that a call that fails is a write that fails.
package certs

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/kubernetes"

	"github.com/truce-dev/truce/test/cluster"
)

// What all tests share.
var (
	shared     *cluster.Cluster
	kube       kubernetes.Interface
	webhookBin string
	// apiServer is the authority of the API server's client certificate, with which it calls every webhook that asks.
	apiServer cluster.Authority
)

func TestMain(m *testing.M) {
	cluster.Main("certs", func(ctx context.Context, dir string) (code int, err error) {
		if webhookBin, err = cluster.BuildWebhook(ctx, dir, "-race"); err != nil {
			return 0, err
		}
		if apiServer, err = cluster.NewAuthority(); err != nil {
			return 0, err
		}
		credentials := filepath.Join(dir, "webhooks.kubeconfig")
		if err := writeKubeconfig(credentials); err != nil {
			return 0, err
		}
		shared, err = cluster.Start(ctx, cluster.Options{
			Progress: os.Stderr, Dir: dir, WebhookKubeconfig: credentials,
			// Nobody reads it, and it costs as much as the writes.
			AuditPolicy: "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]\n",
		})
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, shared.Stop()) }()
		if kube, err = kubernetes.NewForConfig(shared.Config); err != nil {
			return 0, err
		}
		return m.Run(), nil
	})
}

// writeKubeconfig writes what the API server's --admission-control-config-file refers to: how it authenticates itself to
// webhooks, whatever their name.
func writeKubeconfig(path string) error {
	cert, key, err := apiServer.Issue("kube-apiserver")
	if err != nil {
		return err
	}
	encode := base64.StdEncoding.EncodeToString
	return os.WriteFile(path, fmt.Appendf(nil, "apiVersion: v1\nkind: Config\nusers:\n- name: '*'\n  user:\n"+
		"    client-certificate-data: %s\n    client-key-data: %s\n", encode(cert), encode(key)), 0o600)
}
