package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// putExecutables writes empty executables into a new directory.
func putExecutables(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name+exeSuffix), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWantedBinaries(t *testing.T) {
	for _, tc := range []struct {
		args, want []string
	}{
		{nil, []string{"etcd", "kube-apiserver", "kube-controller-manager"}},
		{[]string{"kubectl", "kube-scheduler", "kubectl"}, []string{"kubectl", "kube-scheduler"}},
	} {
		got, err := wantedBinaries(tc.args)
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("wantedBinaries(%q) = %q, %v; want %q", tc.args, got, err, tc.want)
		}
	}
	_, err := wantedBinaries([]string{"kubelet"})
	if err == nil || !strings.Contains(err.Error(), `"kubelet"`) || !strings.Contains(err.Error(), "etcd, kube-apiserver") {
		t.Errorf("for a binary it cannot build: %v; want an error with its name and the ones it can build", err)
	}
}

func TestMissing(t *testing.T) {
	dir := putExecutables(t, "etcd", "kube-apiserver")
	if err := os.Mkdir(filepath.Join(dir, "kubectl"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kube-scheduler"), nil, 0o644); err != nil {
		t.Fatal(err)
	}

	if got := missing(dir, []string{"etcd", "kube-apiserver"}); len(got) != 0 {
		t.Errorf("missing says %q, though all are there", got)
	}
	// Absent, a directory, and a file that is not executable.
	want := []string{"kube-controller-manager", "kubectl", "kube-scheduler"}
	if got := missing(dir, append([]string{"etcd"}, want...)); !slices.Equal(got, want) {
		t.Errorf("missing says %q, want %q", got, want)
	}
	if got := missing(filepath.Join(dir, "nowhere"), want); !slices.Equal(got, want) {
		t.Errorf("in a directory that does not exist, missing says %q, want %q", got, want)
	}
}

func TestOverride(t *testing.T) {
	full := putExecutables(t, "etcd", "kube-apiserver", "kube-controller-manager")
	envtest := putExecutables(t, "etcd", "kube-apiserver", "kubectl")
	bare := putExecutables(t, "etcd")

	for _, tc := range []struct {
		name, dir     string
		args          []string
		warning, fail string
	}{
		{name: "all there", dir: full},
		{name: "no controller manager", dir: envtest, warning: "has no kube-controller-manager"},
		{name: "no controller manager, asked for", dir: envtest, args: []string{"kube-controller-manager"}, fail: "no executable kube-controller-manager"},
		{name: "no API server", dir: bare, fail: "no executable kube-apiserver"},
		{name: "not asked for the API server", dir: bare, args: []string{"etcd"}},
		{name: "relative", dir: "bin", fail: "make it absolute"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv(assetsEnv, tc.dir)
			var log bytes.Buffer
			got, err := run(context.Background(), tc.args, &log)
			if tc.fail != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fail) {
					t.Fatalf("run: %q, %v; want an error with %q", got, err, tc.fail)
				}
				return
			}
			if err != nil || got != tc.dir {
				t.Errorf("run: %q, %v; want %q", got, err, tc.dir)
			}
			if tc.warning == "" && log.Len() > 0 || !strings.Contains(log.String(), tc.warning) {
				t.Errorf("run says %q, want a warning with %q", log.String(), tc.warning)
			}
		})
	}
}

func TestCacheKey(t *testing.T) {
	base := recipe{dir: "a", kubernetes: "v1.2.3", etcd: "v3.4.5", sources: []byte("x")}
	key := base.key("linux", "amd64")
	if prefix := "v1.2.3-etcd3.4.5-linux-amd64-"; !strings.HasPrefix(key, prefix) || len(key) != len(prefix)+12 {
		t.Errorf("key is %q, want %s and 12 digits", key, prefix)
	}

	moved := base
	moved.dir = "b"
	if got := moved.key("linux", "amd64"); got != key {
		t.Errorf("another checkout has key %q, want the same as the first, %q", got, key)
	}

	edited, bumped := base, base
	edited.sources = []byte("y")
	bumped.kubernetes = "v1.2.4"
	for _, other := range []string{
		edited.key("linux", "amd64"), bumped.key("linux", "amd64"),
		base.key("darwin", "amd64"), base.key("linux", "arm64"),
	} {
		if other == key {
			t.Errorf("key %q came out of two recipes that differ", key)
		}
	}
}

func TestReadRecipe(t *testing.T) {
	r, err := readRecipe(".")
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(r.dir) {
		t.Errorf("the module's directory is %q, want an absolute path", r.dir)
	}
	flags := strings.Join(r.buildFlags(), " ")
	if want := "-X k8s.io/component-base/version.gitVersion=" + r.kubernetes + " "; !strings.Contains(flags, want) {
		t.Errorf("the build flags lack %q: %s", want, flags)
	}

	if _, err := readRecipe(t.TempDir()); err == nil || !strings.Contains(err.Error(), "go -C test/controlplane run .") {
		t.Errorf("outside the module: %v; want an error that says how to run the command", err)
	}
}

func TestRequiredVersion(t *testing.T) {
	mod := []byte("tool k8s.io/kubernetes/cmd/kubectl\nrequire a.io/b v1.0.0\nrequire (\n\tk8s.io/kubernetes v1.2.3 // indirect\n)\nreplace c.io/d => c.io/d v0.1.0\n")
	for path, want := range map[string]string{"a.io/b": "v1.0.0", "k8s.io/kubernetes": "v1.2.3"} {
		if got, err := requiredVersion(mod, path); err != nil || got != want {
			t.Errorf("version of %s: %q, %v; want %q", path, got, err, want)
		}
	}
	if got, err := requiredVersion(mod, "c.io/d"); err == nil {
		t.Errorf("version of a module that is only replaced: %q, want an error", got)
	}
}

// TestModFile catches a version bump that was only half made: Kubernetes
// v1.X.Y is built right only with its staging modules at v0.X.Y.
func TestModFile(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	kubernetes, err := requiredVersion(mod, kubernetesPath)
	if err != nil {
		t.Fatal(err)
	}
	staging := strings.Replace(kubernetes, "v1.", "v0.", 1)
	var tools []string
	replaced := 0
	for line := range strings.Lines(string(mod)) {
		f := strings.Fields(line)
		if len(f) == 4 && f[1] == "=>" {
			replaced++
			if f[0] != f[2] || f[3] != staging {
				t.Errorf("go.mod replaces %s by %s %s, want %s %s", f[0], f[2], f[3], f[0], staging)
			}
		}
		if len(f) == 1 && strings.HasPrefix(f[0], kubernetesPath+"/") {
			tools = append(tools, f[0])
		}
	}
	if replaced == 0 {
		t.Error("go.mod replaces no staging module")
	}

	var pkgs []string
	for _, b := range binaries {
		if b.module == kubernetesPath {
			pkgs = append(pkgs, b.pkg)
		}
	}
	slices.Sort(tools)
	slices.Sort(pkgs)
	if !slices.Equal(tools, pkgs) {
		t.Errorf("go.mod's tools are %q, want the packages of recipe.go, %q", tools, pkgs)
	}
}

func TestHalfBuiltIsCleanedUp(t *testing.T) {
	dir := putExecutables(t, "etcd")
	if err := os.Mkdir(filepath.Join(dir, ".build-killed"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := buildMissing(context.Background(), recipe{}, dir, []string{"etcd"}, os.Stderr); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".build-*")); len(left) > 0 {
		t.Errorf("an interrupted build's files are still there: %q", left)
	}
}

func TestPrinting(t *testing.T) {
	if got := lastLines("a\nb\nc\n", 2); got != "b\nc" {
		t.Errorf("the last 2 lines of three: %q", got)
	}
	if got, want := shellJoin([]string{"build", "-ldflags=-s -w", "it's"}), `build '-ldflags=-s -w' 'it'\''s'`; got != want {
		t.Errorf("shellJoin: %s, want %s", got, want)
	}
}
