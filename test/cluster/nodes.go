package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// startNodes registers nodes that only seem to be there. KWOK plays their kubelets: it keeps their leases and conditions,
// and reports that Pods run or, if they are a Job's, are done. bin is KWOK's path.
func (c *Cluster) startNodes(ctx context.Context, bin string, names []string) error {
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	for _, name := range names {
		capacity := corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("32"), corev1.ResourceMemory: resource.MustParse("128Gi"),
			corev1.ResourcePods: resource.MustParse("110"),
		}
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
				"kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
			}},
			Status: corev1.NodeStatus{Capacity: capacity, Allocatable: capacity},
		}
		if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("registering node %s: %w", name, err)
		}
	}
	kubeconfig, err := c.kubeconfigAs("system:serviceaccount:kube-system:kwok-controller")
	if err != nil {
		return err
	}
	args := []string{
		"--kubeconfig=" + kubeconfig, "--manage-all-nodes", "--node-lease-duration-seconds=40", "--cidr=10.9.0.0/16",
	}
	stages, err := kwokStages(ctx)
	if err != nil {
		return err
	}
	for _, path := range stages {
		args = append(args, "--config="+path)
	}
	return c.run("kwok", bin, args...)
}

// kubeconfigAs makes a kubeconfig for a program that is known by another name, with all rights.
func (c *Cluster) kubeconfigAs(user string) (path string, err error) {
	config, err := clientcmd.LoadFromFile(c.Kubeconfig)
	if err != nil {
		return "", err
	}
	for _, a := range config.AuthInfos {
		a.Impersonate, a.ImpersonateGroups = user, []string{"system:masters"}
	}
	path = filepath.Join(c.dir, "kwok.kubeconfig")
	return path, clientcmd.WriteToFile(*config, path)
}

// KWOK returns the path of KWOK, which is built first if it is missing.
func KWOK(ctx context.Context, progress io.Writer) (string, error) {
	if progress != nil {
		fmt.Fprintln(progress, "cluster: building kwok (first time only, takes a minute or two) …")
	}
	return inKwok(ctx, "tool", "-n", "kwok")
}

// kwokStages returns the files that come with KWOK and say what its nodes and their Pods do.
func kwokStages(ctx context.Context) (files []string, err error) {
	dir, err := inKwok(ctx, "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok")
	if err != nil {
		return nil, err
	}
	for _, pattern := range []string{"node/fast/node-*.yaml", "node/heartbeat-with-lease/node-*.yaml", "pod/general/pod-*.yaml"} {
		found, err := filepath.Glob(filepath.Join(dir, "kustomize", "stage", pattern))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("KWOK has no stages %s in %s: %w", pattern, dir, err)
		}
		files = append(files, found...)
	}
	return files, nil
}

// inKwok runs go in the module of KWOK and returns what it says.
func inKwok(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(Root(), "test", "kwok")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s, for KWOK: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
