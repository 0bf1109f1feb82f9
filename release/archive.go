package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// plugin is an archive with kubectl-truce.
type plugin struct {
	platform
	name, sha256 string
}

// archives packs, for each platform, both programs, and the command line alone as a kubectl plugin. It returns the
// plugins.
func (b *builder) archives(ctx context.Context, all platforms) ([]plugin, error) {
	license, err := os.ReadFile(filepath.Join(b.root, "LICENSE"))
	if err != nil {
		return nil, err
	}
	var plugins []plugin
	for _, p := range all {
		files := []file{{"LICENSE", license, 0o644}}
		var cli []byte
		for _, command := range []string{"truce", "webhook"} {
			path, err := b.build(ctx, p, command)
			if err != nil {
				return nil, err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			if command == "truce" {
				cli = data
			}
			files = append(files, file{command + p.exe(), data, 0o755})
		}
		if _, _, err := b.pack(p, "truce", files); err != nil {
			return nil, err
		}
		name, sum, err := b.pack(p, "kubectl-truce", []file{files[0], {"kubectl-truce" + p.exe(), cli, 0o755}})
		if err != nil {
			return nil, err
		}
		plugins = append(plugins, plugin{p, name, sum})
	}
	return plugins, nil
}

// pack writes an archive, which is a zip where people expect one. It returns its name and SHA-256.
func (b *builder) pack(p platform, what string, files []file) (name, sum string, err error) {
	var buf bytes.Buffer
	name = fmt.Sprintf("%s-%s-%s.tar.gz", what, b.version, p)
	if p.os == "windows" {
		name = strings.TrimSuffix(name, "tar.gz") + "zip"
		err = b.zip(&buf, files)
	} else {
		err = b.tarGz(&buf, files)
	}
	if err != nil {
		return "", "", err
	}
	return name, fmt.Sprintf("%x", sha256.Sum256(buf.Bytes())), os.WriteFile(filepath.Join(b.out, name), buf.Bytes(), 0o644)
}

func (b *builder) tarGz(buf *bytes.Buffer, files []file) error {
	z := gzip.NewWriter(buf)
	w := tar.NewWriter(z)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: b.time}); err != nil {
			return err
		}
		if _, err := w.Write(f.data); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return z.Close()
}

func (b *builder) zip(buf *bytes.Buffer, files []file) error {
	w := zip.NewWriter(buf)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: b.time}
		h.SetMode(os.FileMode(f.mode))
		entry, err := w.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := entry.Write(f.data); err != nil {
			return err
		}
	}
	return w.Close()
}

// krew writes the manifest by which kubectl's plugin manager installs the plugin.
func (b *builder) krew(plugins []plugin) error {
	var w strings.Builder
	fmt.Fprintf(&w, `apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: truce
spec:
  version: %s
  homepage: https://github.com/truce-dev/truce
  shortDescription: See controllers that fight over fields
  description: |
    The command line of Truce, which sees and stops controllers that undo each other's writes: checks policies, prints
    the webhook configurations that they need, replays documented fights.
  platforms:
`, b.version)
	for _, p := range plugins {
		fmt.Fprintf(&w, `    - selector:
        matchLabels: {os: %s, arch: %s}
      uri: https://github.com/truce-dev/truce/releases/download/%s/%s
      sha256: %s
      bin: kubectl-truce%s
`, p.os, p.arch, b.version, p.name, p.sha256, p.exe())
	}
	return os.WriteFile(filepath.Join(b.out, "truce.krew.yaml"), []byte(w.String()), 0o644)
}

// chart packages the Helm chart with the release's version.
func (b *builder) chart(ctx context.Context, helm string) error {
	cmd := exec.CommandContext(ctx, helm, "package", filepath.Join(b.root, "charts", "truce"),
		"--version", strings.TrimPrefix(b.version, "v"), "--app-version", b.version, "--destination", b.out)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("packaging the chart: %w\n%s", err, out)
	}
	return nil
}

// checksums writes the SHA-256 of each file beside it, as sha256sum -c reads them.
func (b *builder) checksums() error {
	entries, err := os.ReadDir(b.out)
	if err != nil {
		return err
	}
	var lines []string
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(b.out, e.Name()))
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%x  %s\n", sha256.Sum256(data), e.Name()))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) })
	return os.WriteFile(filepath.Join(b.out, "checksums.txt"), []byte(strings.Join(lines, "")), 0o644)
}
