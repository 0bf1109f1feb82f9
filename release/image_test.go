package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var both = platforms{{"linux", "amd64"}, {"linux", "arm64"}}

func made(t *testing.T, all platforms) (*builder, v1.Hash) {
	t.Helper()
	b, err := newBuilder(t.Context(), "..", filepath.Join(t.TempDir(), "dist"), "v1.2.3-test")
	if err != nil {
		t.Fatal(err)
	}
	digest, err := b.image(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	return b, digest
}

func TestImage(t *testing.T) {
	b, digest := made(t, both)
	index := indexOf(t, b, digest)

	t.Run("a valid image of both platforms, not run by root", func(t *testing.T) {
		if err := validate.Index(index); err != nil {
			t.Error(err)
		}
		manifest, err := index.IndexManifest()
		if err != nil || len(manifest.Manifests) != 2 {
			t.Fatalf("%d platforms: %v", len(manifest.Manifests), err)
		}
		for i, m := range manifest.Manifests {
			if m.Platform.OS != both[i].os || m.Platform.Architecture != both[i].arch {
				t.Errorf("platform %d is %v", i, m.Platform)
			}
			img, err := index.Image(m.Digest)
			if err != nil {
				t.Fatal(err)
			}
			config, err := img.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if config.Architecture != both[i].arch || config.Config.User != "65532:65532" || config.Config.Entrypoint[0] != "/webhook" {
				t.Errorf("the configuration is %+v", config)
			}
			if got := config.Config.Labels["org.opencontainers.image.revision"]; got != b.revision || got == "" {
				t.Errorf("the revision is %q", got)
			}
		}
	})

	t.Run("the SBOM lists what is in it", func(t *testing.T) {
		data, err := os.ReadFile(filepath.Join(b.out, "truce-v1.2.3-test.cdx.json"))
		if err != nil {
			t.Fatal(err)
		}
		bom := cyclonedx.BOM{}
		if err := json.Unmarshal(data, &bom); err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, c := range *bom.Components {
			found[c.Name] = true
			if c.Version == "" || !strings.HasPrefix(c.PackageURL, "pkg:golang/") {
				t.Errorf("the component %s has version %q and purl %q", c.Name, c.Version, c.PackageURL)
			}
		}
		for _, name := range []string{"stdlib", "k8s.io/api", "github.com/spf13/cobra", rootsModule} {
			if !found[name] {
				t.Errorf("%s is not listed", name)
			}
		}
		if found["github.com/google/go-containerregistry"] {
			t.Error("what only makes the image is listed")
		}
	})

	root := t.TempDir()
	unpack(t, index, root)
	t.Run("nothing else is in it", func(t *testing.T) {
		var names []string
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				rel, _ := filepath.Rel(root, path)
				names = append(names, rel)
			}
			return err
		})
		if got := strings.Join(names, " "); err != nil || got != "etc/group etc/passwd etc/ssl/certs/ca-certificates.crt truce webhook" {
			t.Errorf("its files are %s: %v", got, err)
		}
		pem, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
		if n := strings.Count(string(pem), "BEGIN CERTIFICATE"); err != nil || n < 80 {
			t.Errorf("%d certificate authorities: %v", n, err)
		}
	})
	if runtime.GOOS == "linux" {
		t.Run("it runs in a bare root folder as nobody in particular", func(t *testing.T) { runs(t, b, root) })
	}
}

// The same commit makes the same bytes, wherever and whenever.
func TestImageIsReproducible(t *testing.T) {
	here := platforms{{"linux", runtime.GOARCH}}
	_, first := made(t, here)
	b, second := made(t, here)
	if first != second {
		t.Errorf("two builds make %s and %s", first, second)
	}
	written, err := os.ReadFile(filepath.Join(b.out, "truce-v1.2.3-test-image.digest"))
	if err != nil || strings.TrimSpace(string(written)) != second.String() {
		t.Errorf("the digest's file says %q: %v", written, err)
	}
}

// indexOf reads the image back from the layout, the way other tools do.
func indexOf(t *testing.T, b *builder, digest v1.Hash) v1.ImageIndex {
	t.Helper()
	top, err := layout.ImageIndexFromPath(filepath.Join(b.out, "image"))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 2 || manifest.Manifests[0].Digest != digest {
		t.Fatalf("the layout holds %+v, want the image %s and its SBOM", manifest.Manifests, digest)
	}
	sbom, err := top.Image(manifest.Manifests[1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := sbom.Manifest(); err != nil || m.Subject == nil || m.Subject.Digest != digest {
		t.Errorf("the SBOM refers to %+v: %v", m.Subject, err)
	}
	index, err := top.ImageIndex(digest)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// unpack makes the root folder of this machine's platform.
func unpack(t *testing.T, index v1.ImageIndex, root string) {
	t.Helper()
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range manifest.Manifests {
		if m.Platform.Architecture != runtime.GOARCH {
			continue
		}
		img, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		files := tar.NewReader(mutate.Extract(img))
		for {
			h, err := files.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(root, h.Name)
			if h.Typeflag == tar.TypeDir {
				if err := os.MkdirAll(path, os.FileMode(h.Mode)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if h.Uid != 0 || h.Gid != 0 {
				t.Errorf("%s belongs to %d:%d", h.Name, h.Uid, h.Gid)
			}
			data, err := io.ReadAll(files)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, os.FileMode(h.Mode)); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatalf("no image for linux/%s", runtime.GOARCH)
}

// runs runs both programs of an unpacked image.
func runs(t *testing.T, b *builder, root string) {
	for _, c := range []struct{ args, says string }{
		{"/truce version", "v1.2.3-test"},
		{"/truce lint /nowhere", "no such file"},
		{"/webhook --version", fmt.Sprintf("truce webhook v1.2.3-test, revision %s, ", b.revision)},
		{"/webhook --check-config", "OK"},
	} {
		out, err := inRoot(root, strings.Fields(c.args)...).CombinedOutput()
		if !strings.Contains(string(out), c.says) || err != nil && c.says != "no such file" {
			t.Errorf("%s says %s, want %q: %v", c.args, out, c.says, err)
		}
	}

	// What a kubelet mounts writable is all that it can write to.
	if err := os.Mkdir(filepath.Join(root, "certs"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "certs"), 0o777); err != nil {
		t.Fatal(err)
	}
	ops := freeAddress(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := inRoot(root, "/webhook", "--self-cert-dir=/certs", "--listen=127.0.0.1:0", "--ops-listen="+ops, "--shutdown-delay=0s")
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ready := false; !ready; {
		select {
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			<-ended
			t.Fatalf("it was not ready within a minute:\n%s", log.String())
		case err := <-ended:
			t.Fatalf("it ended: %v\n%s", err, log.String())
		case <-tick.C:
			if resp, err := http.Get("http://" + ops + "/readyz"); err == nil {
				resp.Body.Close()
				ready = resp.StatusCode == http.StatusOK
			}
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("it did not end in good order: %v\n%s", err, log.String())
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
