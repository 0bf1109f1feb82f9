package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestArchives(t *testing.T) {
	b, err := newBuilder(t.Context(), "..", filepath.Join(t.TempDir(), "dist"), "v1.2.3-test")
	if err != nil {
		t.Fatal(err)
	}
	here := platform{"linux", runtime.GOARCH}
	plugins, err := b.archives(t.Context(), platforms{here})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.krew(plugins), b.checksums()); err != nil {
		t.Fatal(err)
	}

	for name, want := range map[string]string{
		"truce-v1.2.3-test-" + here.String() + ".tar.gz":         "LICENSE truce webhook",
		"kubectl-truce-v1.2.3-test-" + here.String() + ".tar.gz": "LICENSE kubectl-truce",
	} {
		if got := strings.Join(namesIn(t, filepath.Join(b.out, name)), " "); got != want {
			t.Errorf("%s holds %s, want %s", name, got, want)
		}
	}

	var krew struct {
		Metadata struct{ Name string }
		Spec     struct {
			Version   string
			Platforms []struct {
				URI, SHA256, Bin string
				Selector         struct{ MatchLabels map[string]string }
			}
		}
	}
	data, err := os.ReadFile(filepath.Join(b.out, "truce.krew.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &krew); err != nil {
		t.Fatal(err)
	}
	p := krew.Spec.Platforms[0]
	archive, err := os.ReadFile(filepath.Join(b.out, filepath.Base(p.URI)))
	if err != nil {
		t.Fatal(err)
	}
	if krew.Metadata.Name != "truce" || krew.Spec.Version != "v1.2.3-test" || p.Bin != "kubectl-truce" ||
		p.SHA256 != fmt.Sprintf("%x", sha256.Sum256(archive)) || p.Selector.MatchLabels["os"] != "linux" {
		t.Errorf("the krew manifest does not fit its archive:\n%s", data)
	}

	sums, err := os.ReadFile(filepath.Join(b.out, "checksums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(sums), "\n"); n != 3 || !strings.Contains(string(sums), p.SHA256+"  "+filepath.Base(p.URI)+"\n") {
		t.Errorf("the checksums are\n%s", sums)
	}
}

func namesIn(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}

func TestOnlyItsOwnDirectoryIsEmptied(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newBuilder(t.Context(), "..", dir, "v1.2.3"); err == nil || !strings.Contains(err.Error(), "holds what this program did not make") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

// A tree without its history makes a release too, which says that it knows none.
func TestATreeThatIsNoCheckout(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "go.mod"), []byte("module github.com/truce-dev/truce\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(root))
	b, err := newBuilder(t.Context(), root, filepath.Join(t.TempDir(), "dist"), "")
	if err != nil || b.revision != "unknown" || b.version != "v0.0.0-unknown" || b.time.Unix() != 0 {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := newBuilder(t.Context(), t.TempDir(), t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "is no checkout of Truce") {
		t.Errorf("error %v", err)
	}
}

func TestVersions(t *testing.T) {
	for version, good := range map[string]bool{
		"v1.2.3": true, "v0.0.0-7bd4c12-dirty": true, "1.2.3": false, "v1.2": false, "latest": false, "v1.2.3 -X main.evil=1": false,
	} {
		if _, err := newBuilder(t.Context(), "..", filepath.Join(t.TempDir(), "dist"), version); (err == nil) != good {
			t.Errorf("%q: %v", version, err)
		}
	}
}
