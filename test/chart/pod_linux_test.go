package chart

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/truce-dev/truce/test/cluster"
)

// pod is a Pod that the deployment controller made, run as a kubelet would: the container's process in a root folder
// that holds the webhook's binary and the mounts, as the user, with the arguments and environment of the Pod's spec.
type pod struct {
	*corev1.Pod
	s       *shared
	root    string
	cmd     *exec.Cmd
	log     *cluster.Log
	exited  chan error
	address string // where it takes reviews
	via     string // the address of the Service in front of it
}

// runNewPod waits for a Pod that nobody runs yet, runs it, and once its readiness probe succeeds makes it ready.
func (s *shared) runNewPod(t *testing.T, known ...*pod) *pod {
	t.Helper()
	p := &pod{s: s, log: &cluster.Log{}, exited: make(chan error, 1), root: t.TempDir()}
	eventually(t, "the deployment controller makes a Pod", func() bool {
		for _, candidate := range s.pods(t) {
			old := false
			for _, k := range known {
				old = old || k.UID == candidate.UID
			}
			if !old {
				p.Pod = &candidate
			}
		}
		return p.Pod != nil
	})
	container := p.Spec.Containers[0]
	if err := os.Link(s.webhook, filepath.Join(p.root, "webhook")); err != nil {
		t.Fatal(err)
	}
	p.sync(t)
	p.cmd = &exec.Cmd{Path: "/webhook", Args: append([]string{"/webhook"}, container.Args...), Dir: "/", Stdout: p.log, Stderr: p.log}
	for _, e := range container.Env {
		p.cmd.Env = append(p.cmd.Env, e.Name+"="+e.Value)
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(s.Config.Host, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Env = append(p.cmd.Env, "KUBERNETES_SERVICE_HOST="+host, "KUBERNETES_SERVICE_PORT="+port)
	p.cmd.SysProcAttr = inRoot(p.root, int(*p.Spec.SecurityContext.RunAsUser), int(*p.Spec.SecurityContext.RunAsGroup))
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("running the Pod as uid %d in a root folder of its own: %v", *p.Spec.SecurityContext.RunAsUser, err)
	}
	go func() { p.exited <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("the log of %s:\n%s", p.Name, p.log)
		}
	})
	p.address = net.JoinHostPort("127.0.0.1", p.port("webhook"))
	probe := container.ReadinessProbe.HTTPGet
	url := fmt.Sprintf("http://127.0.0.1:%s%s", p.port(probe.Port.StrVal), probe.Path)
	eventually(t, "the readiness probe of "+p.Name, func() bool {
		resp, err := http.Get(url)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	ready := `{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`
	if _, err := s.kube.CoreV1().Pods(namespace).Patch(t.Context(), p.Name, types.MergePatchType, []byte(ready), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	p.via = p.service(t)
	s.proxy.add(p.via, p.address)
	return p
}

// pods returns the Pods of the release, those that end set aside.
func (s *shared) pods(t *testing.T) []corev1.Pod {
	t.Helper()
	list, err := s.kube.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=truce"})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

// inRoot makes a process run in a root folder as a user. Who is not root becomes that user in a user namespace.
func inRoot(root string, uid, gid int) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Chroot: root, Setpgid: true}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return attr
	}
	attr.Cloneflags = syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: os.Getegid(), Size: 1}}
	return attr
}

// port returns the number of a named port.
func (p *pod) port(name string) string {
	for _, c := range p.Spec.Containers[0].Ports {
		if c.Name == name {
			return strconv.Itoa(int(c.ContainerPort))
		}
	}
	return name
}

// service returns the address of the Service in front of the Pod, and checks that it leads there.
func (p *pod) service(t *testing.T) string {
	t.Helper()
	svc, err := p.s.kube.CoreV1().Services(namespace).Get(t.Context(), release, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range svc.Spec.Selector {
		if p.Labels[k] != v {
			t.Errorf("the Service selects %s=%s, the Pod has %q", k, v, p.Labels[k])
		}
	}
	if got := svc.Spec.Ports[0].TargetPort.StrVal; got != "webhook" {
		t.Errorf("the Service leads to port %q", got)
	}
	return net.JoinHostPort(svc.Spec.ClusterIP, strconv.Itoa(int(svc.Spec.Ports[0].Port)))
}

// sync writes the mounts' files as they are in the API server now, the way a kubelet does: into a new directory, to
// which a link then points.
func (p *pod) sync(t *testing.T) {
	t.Helper()
	volumes := map[string]corev1.Volume{}
	for _, v := range p.Spec.Volumes {
		volumes[v.Name] = v
	}
	for _, m := range p.Spec.Containers[0].VolumeMounts {
		files := map[string][]byte{}
		var items []corev1.KeyToPath
		switch v := volumes[m.Name]; {
		case v.ConfigMap != nil:
			cm, err := p.s.kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), v.ConfigMap.Name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for k, text := range cm.Data {
				files[k] = []byte(text)
			}
			items = v.ConfigMap.Items
		case v.Secret != nil:
			secret, err := p.s.kube.CoreV1().Secrets(namespace).Get(t.Context(), v.Secret.SecretName, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			files = secret.Data
		case v.Projected != nil:
			files = p.apiAccess(t)
		default:
			t.Fatalf("%s is mounted from something that no test knows", m.MountPath)
		}
		if items != nil {
			chosen := map[string][]byte{}
			for _, i := range items {
				chosen[i.Path] = files[i.Key]
			}
			files = chosen
		}
		dir := filepath.Join(p.root, m.MountPath)
		data := fmt.Sprintf("..%d", time.Now().UnixNano())
		if err := os.MkdirAll(filepath.Join(dir, data), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, data, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
			_ = os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)) // there already but the first time
		}
		if err := os.Symlink(data, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
}

// apiAccess returns what a Pod finds the API server by: a token of its ServiceAccount, with nothing but the rights that
// the chart gives it.
func (p *pod) apiAccess(t *testing.T) map[string][]byte {
	t.Helper()
	token, err := p.s.kube.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), p.Spec.ServiceAccountName,
		&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"token": []byte(token.Status.Token), "ca.crt": p.s.Config.CAData, "namespace": []byte(namespace),
	}
}

// terminate ends the Pod as a kubelet does, while the API server does not yet know that it is to go elsewhere.
func (p *pod) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	delayed := time.NewTimer(500 * time.Millisecond)
	<-delayed.C
	p.s.proxy.remove(p.via, p.address)
	select {
	case err := <-p.exited:
		if err != nil {
			t.Errorf("%s did not end in good order: %v", p.Name, err)
		}
	case <-time.After(time.Duration(*p.Spec.TerminationGracePeriodSeconds) * time.Second):
		t.Errorf("%s did not end within its grace period", p.Name)
	}
}

// die ends the Pod without a warning.
func (p *pod) die(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Kill()
	<-p.exited
	p.s.proxy.remove(p.via, p.address)
}
