package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// user is who the image's processes run as, by number, so that a kubelet can see that it is not root.
const user = "65532:65532"

const cycloneDX types.MediaType = "application/vnd.cyclonedx+json"

// image makes the container image for all platforms: an OCI layout in a directory and as one file, and the SBOM, which
// the layout also has as an artifact that refers to the image. It returns the image's digest.
func (b *builder) image(ctx context.Context, all platforms) (v1.Hash, error) {
	base, err := b.base()
	if err != nil {
		return v1.Hash{}, err
	}
	var index v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	var binaries []string
	for _, p := range all {
		img, paths, err := b.platformImage(ctx, p, base)
		if err != nil {
			return v1.Hash{}, err
		}
		binaries = append(binaries, paths...)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.os, Architecture: p.arch}},
		})
	}
	index = mutate.Annotations(index, b.annotations()).(v1.ImageIndex)
	digest, err := index.Digest()
	if err != nil {
		return v1.Hash{}, err
	}

	sbom, err := b.sbom(binaries)
	if err != nil {
		return v1.Hash{}, err
	}
	name := "truce-" + b.version
	if err := os.WriteFile(filepath.Join(b.out, name+".cdx.json"), sbom, 0o644); err != nil {
		return v1.Hash{}, err
	}
	subject, err := partial.Descriptor(index)
	if err != nil {
		return v1.Hash{}, err
	}
	artifact, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer(sbom, cycloneDX))
	if err != nil {
		return v1.Hash{}, err
	}
	artifact = mutate.Subject(mutate.ConfigMediaType(artifact, cycloneDX), *subject).(v1.Image)

	dir := filepath.Join(b.out, "image")
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": b.version,
		"io.containerd.image.name":          "truce-dev/truce:" + b.version,
	})); err != nil {
		return v1.Hash{}, err
	}
	if err := path.AppendImage(artifact); err != nil {
		return v1.Hash{}, err
	}
	if err := b.tarTree(dir, filepath.Join(b.out, name+"-image.tar")); err != nil {
		return v1.Hash{}, err
	}
	fmt.Printf("image %s %s\n", b.version, digest)
	return digest, os.WriteFile(filepath.Join(b.out, name+"-image.digest"), []byte(digest.String()+"\n"), 0o644)
}

func (b *builder) annotations() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "truce",
		"org.opencontainers.image.description": "Sees and stops Kubernetes controllers that fight over fields",
		"org.opencontainers.image.version":     b.version,
		"org.opencontainers.image.revision":    b.revision,
		"org.opencontainers.image.created":     b.time.Format(time.RFC3339),
		"org.opencontainers.image.source":      "https://github.com/truce-dev/truce",
		"org.opencontainers.image.licenses":    "Apache-2.0",
	}
}

// platformImage makes the image for one platform, and returns the paths of its binaries too.
func (b *builder) platformImage(ctx context.Context, p platform, base v1.Layer) (v1.Image, []string, error) {
	var files []file
	var paths []string
	for _, command := range []string{"truce", "webhook"} {
		path, err := b.build(ctx, p, command)
		if err != nil {
			return nil, nil, err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		paths = append(paths, path)
		files = append(files, file{command, data, 0o755})
	}
	programs, err := b.layer(files)
	if err != nil {
		return nil, nil, err
	}
	img, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON),
		mutate.Addendum{Layer: base, History: v1.History{CreatedBy: "CA certificates, users", Created: v1.Time{Time: b.time}}},
		mutate.Addendum{Layer: programs, History: v1.History{CreatedBy: "go build", Created: v1.Time{Time: b.time}}})
	if err != nil {
		return nil, nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, nil, err
	}
	config.OS, config.Architecture, config.Created = p.os, p.arch, v1.Time{Time: b.time}
	config.Config = v1.Config{
		User: user, WorkingDir: "/", Entrypoint: []string{"/webhook"}, Env: []string{"PATH=/"}, Labels: b.annotations(),
	}
	img, err = mutate.ConfigFile(img, config)
	return img, paths, err
}

// base is what the programs need around them: the roots that Mozilla trusts, and names for who runs them. There is no
// shell, no package manager and no libc.
func (b *builder) base() (v1.Layer, error) {
	var roots bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue // a file of roots cannot say that one is trusted in part
		}
		if err := pem.Encode(&roots, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return b.layer([]file{
		{"etc/group", []byte("root:x:0:\nnonroot:x:65532:\n"), 0o644},
		{"etc/passwd", []byte("root:x:0:0:root:/:/none\nnonroot:x:65532:65532:nonroot:/:/none\n"), 0o644},
		{"etc/ssl/certs/ca-certificates.crt", roots.Bytes(), 0o644},
	})
}

// file is a file of a layer.
type file struct {
	name string
	data []byte
	mode int64
}

// layer makes a layer of files, in their order, which belong to root.
func (b *builder) layer(files []file) (v1.Layer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	made := map[string]bool{}
	for _, f := range files {
		for i, c := range f.name {
			if dir := f.name[:i] + "/"; c == '/' && !made[dir] {
				made[dir] = true
				if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: b.time}); err != nil {
					return nil, err
				}
			}
		}
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: b.time}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	data := buf.Bytes()
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
		tarball.WithMediaType(types.OCILayer))
}

// tarTree packs a directory into one file, in the order of names.
func (b *builder) tarTree(dir, path string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	w := tar.NewWriter(out)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Mode: 0o644, Size: int64(len(data)), ModTime: b.time}); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.Close()
}
