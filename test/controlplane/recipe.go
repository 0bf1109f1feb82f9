package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

const (
	modulePath     = "github.com/truce-dev/truce/test/controlplane"
	kubernetesPath = "k8s.io/kubernetes"
	etcdPath       = "go.etcd.io/etcd/server/v3"
)

// binary is how one binary is built and asked for its version.
type binary struct {
	pkg         string   // what go build is given
	module      string   // the module in go.mod whose version it has
	versionArgs []string // the arguments that make it print its version
}

// binaries are all that can be asked for. The Kubernetes ones are also named
// by go.mod's tool directives: that keeps their dependencies in go.mod, where
// go mod tidy would otherwise drop them.
var binaries = map[string]binary{
	"etcd":                    {"./etcd", etcdPath, []string{"--version"}},
	"kube-apiserver":          {kubernetesPath + "/cmd/kube-apiserver", kubernetesPath, []string{"--version"}},
	"kube-controller-manager": {kubernetesPath + "/cmd/kube-controller-manager", kubernetesPath, []string{"--version"}},
	"kube-scheduler":          {kubernetesPath + "/cmd/kube-scheduler", kubernetesPath, []string{"--version"}},
	"kubectl":                 {kubernetesPath + "/cmd/kubectl", kubernetesPath, []string{"version", "--client"}},
}

// defaultBinaries are what envtest needs to start an API server, and the
// controllers that turn a Deployment into Pods. etcd is first because it is
// the quickest: whatever is wrong with a machine shows early.
var defaultBinaries = []string{"etcd", "kube-apiserver", "kube-controller-manager"}

// exeSuffix is what the names of executables end in on this system.
var exeSuffix = map[string]string{"windows": ".exe"}[runtime.GOOS]

// wantedBinaries turns the command's arguments into names of binaries.
func wantedBinaries(args []string) ([]string, error) {
	if len(args) == 0 {
		return defaultBinaries, nil
	}
	var names []string
	for _, a := range args {
		if _, ok := binaries[a]; !ok {
			known := make([]string, 0, len(binaries))
			for name := range binaries {
				known = append(known, name)
			}
			slices.Sort(known)
			return nil, fmt.Errorf("%q is not a binary this command can build; it can build %s", a, strings.Join(known, ", "))
		}
		if !slices.Contains(names, a) {
			names = append(names, a)
		}
	}
	return names, nil
}

// missing returns the names that dir has no executable for.
func missing(dir string, names []string) []string {
	var gone []string
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name+exeSuffix))
		if err != nil || !info.Mode().IsRegular() || (runtime.GOOS != "windows" && info.Mode()&0o111 == 0) {
			gone = append(gone, name)
		}
	}
	return gone
}

// checkOverride says whether the directory a developer brings has the wanted
// binaries. The sets that people download for envtest have no
// kube-controller-manager, and most tests do without it, so lacking it is
// only worth a warning unless it was asked for by name.
func checkOverride(dir string, names []string, named bool) (warning string, err error) {
	// A relative path would mean one directory to this command, which runs in
	// its own folder, and another to the tests.
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("%s is %q, a relative path: make it absolute", assetsEnv, dir)
	}
	var needed, optional []string
	for _, name := range missing(dir, names) {
		if name == "kube-controller-manager" && !named {
			optional = append(optional, name)
		} else {
			needed = append(needed, name)
		}
	}
	if len(needed) > 0 {
		return "", fmt.Errorf("%s is %s, which has no executable %s: put it there, or unset %s to have it built",
			assetsEnv, dir, strings.Join(needed, ", "), assetsEnv)
	}
	if len(optional) > 0 {
		return fmt.Sprintf("%s (from %s) has no %s, so no controller will act on Deployments, Jobs and the like",
			dir, assetsEnv, strings.Join(optional, ", ")), nil
	}
	return "", nil
}

// recipe is all that decides what the binaries are made of.
type recipe struct {
	dir        string // of the module to build in, absolute
	kubernetes string // version, such as v1.37.2
	etcd       string // version, such as v3.7.0
	sources    []byte // contents of the files in dir that the build reads
}

// readRecipe reads the recipe from the module in dir.
func readRecipe(dir string) (recipe, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return recipe{}, fmt.Errorf("cannot tell which directory this is: %w", err)
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if errors.Is(err, os.ErrNotExist) || err == nil && !strings.HasPrefix(string(mod), "module "+modulePath+"\n") {
		return recipe{}, fmt.Errorf("%s is not the module that pins the control plane: run this as `go -C test/controlplane run .` from the top of the repository", dir)
	}
	if err != nil {
		return recipe{}, fmt.Errorf("cannot read the pinned versions: %w", err)
	}

	r := recipe{dir: dir}
	if r.kubernetes, err = requiredVersion(mod, kubernetesPath); err != nil {
		return recipe{}, err
	}
	if r.etcd, err = requiredVersion(mod, etcdPath); err != nil {
		return recipe{}, err
	}
	r.sources = mod
	for _, name := range []string{"go.sum", filepath.Join("etcd", "main.go")} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return recipe{}, fmt.Errorf("cannot read a file that the build needs: %w", err)
		}
		r.sources = append(r.sources, data...)
	}
	return r, nil
}

// requiredVersion finds the version of path that mod, the text of a go.mod,
// requires. Asking the go command would be exact too, but takes longer than
// all else that this command does when the binaries are there.
func requiredVersion(mod []byte, path string) (string, error) {
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(fields) >= 2 && fields[0] == path && strings.HasPrefix(fields[1], "v") {
			return fields[1], nil
		}
	}
	return "", fmt.Errorf("go.mod requires no version of %s: run `go mod tidy` in test/controlplane", path)
}

// version is the version of the named binary.
func (r recipe) version(name string) string {
	if binaries[name].module == etcdPath {
		return r.etcd
	}
	return r.kubernetes
}

// key names the directory that binaries of this recipe go to: readable up to
// the platform, then a hash of everything else that changes what is built, so
// that no change of the recipe can ever leave an old binary in use.
func (r recipe) key(goos, goarch string) string {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version())
	fmt.Fprintln(h, buildEnv(goos, goarch))
	fmt.Fprintln(h, r.buildFlags())
	h.Write(r.sources)
	return fmt.Sprintf("%s-etcd%s-%s-%s-%s", r.kubernetes, strings.TrimPrefix(r.etcd, "v"), goos, goarch,
		hex.EncodeToString(h.Sum(nil))[:12])
}

// buildArgs are the arguments of the go command that builds name to out.
func (r recipe) buildArgs(name, out string) []string {
	args := append([]string{"build"}, r.buildFlags()...)
	return append(args, "-o", out, binaries[name].pkg)
}

// buildFlags are the flags that every binary is built with: those of the
// upstream release build, so that the binaries act as the released ones do.
func (r recipe) buildFlags() []string {
	ldflags := []string{"-s", "-w"}
	numbers := strings.SplitN(strings.TrimPrefix(r.kubernetes, "v"), ".", 3)
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, v := range [][2]string{
			{"gitVersion", r.kubernetes},
			{"gitMajor", numbers[0]},
			{"gitMinor", numbers[1]},
			// A module does not tell the commit that it was made from; the
			// tag names the same commit.
			{"gitCommit", r.kubernetes},
			{"gitTreeState", "clean"},
			// Fixed, so that the same recipe always makes the same bytes.
			{"buildDate", "1970-01-01T00:00:00Z"},
		} {
			ldflags = append(ldflags, "-X", pkg+"."+v[0]+"="+v[1])
		}
	}
	return []string{
		"-buildvcs=false", // Truce's own commit says nothing about these binaries
		"-trimpath",
		"-tags=selinux,notest,grpcnotrace",
		"-ldflags=" + strings.Join(ldflags, " "),
	}
}

// buildEnv is what the build's environment is overridden with: whatever
// could make the outcome differ from one machine to another. GOFLAGS says
// what is the default anyway, since empty it would not override one that was
// set with go env -w.
func buildEnv(goos, goarch string) []string {
	return []string{"CGO_ENABLED=0", "GOOS=" + goos, "GOARCH=" + goarch, "GOFLAGS=-mod=readonly", "GOWORK=off"}
}
