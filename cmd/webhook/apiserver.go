package main

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// apiServer returns how to reach the API server: by the kubeconfig or, without one, as a pod does. It returns nil if
// there is neither: the server does without.
func apiServer(kubeconfig string) (*rest.Config, error) {
	var cfg *rest.Config
	var err error
	if kubeconfig != "" {
		if cfg, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
			return nil, fmt.Errorf("reading --kubeconfig: %w", err)
		}
	} else if cfg, err = rest.InClusterConfig(); err != nil {
		return nil, nil // not in a cluster, which is no error
	}
	version, _ := buildVersion()
	cfg.UserAgent = "truce-webhook/" + version
	cfg.QPS, cfg.Burst = 20, 100
	return cfg, nil
}
