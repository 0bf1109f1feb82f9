package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// builder is what all parts of a release have in common.
type builder struct {
	root, out string
	version   string // v1.2.3
	revision  string // the commit
	// time is the commit's: everything made bears it, so that it does not depend on when it was made.
	time time.Time
}

// platform is what Go calls GOOS and GOARCH.
type platform struct{ os, arch string }

type platforms []platform

func (p platform) String() string { return p.os + "_" + p.arch }

// exe is what the names of programs end in.
func (p platform) exe() string {
	if p.os == "windows" {
		return ".exe"
	}
	return ""
}

var semantic = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

// newBuilder empties the directory for what is made.
func newBuilder(ctx context.Context, root, out, version string) (*builder, error) {
	b := &builder{version: version}
	var err error
	if b.root, err = filepath.Abs(root); err != nil {
		return nil, err
	}
	if b.out, err = filepath.Abs(out); err != nil {
		return nil, err
	}
	mod, err := os.ReadFile(filepath.Join(b.root, "go.mod"))
	if err != nil || !strings.HasPrefix(string(mod), "module github.com/truce-dev/truce\n") {
		return nil, fmt.Errorf("%s is no checkout of Truce", b.root)
	}
	if err := b.ask(ctx); err != nil {
		return nil, err
	}
	if !semantic.MatchString(b.version) {
		return nil, fmt.Errorf("-version is %q, it must be like v1.2.3", b.version)
	}
	// Only what an earlier run made is deleted.
	const mark = ".made-by-truce-release"
	entries, err := os.ReadDir(b.out)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(b.out, mark)); len(entries) > 0 && err != nil {
		return nil, fmt.Errorf("%s holds what this program did not make: move it away, or choose another -out", b.out)
	}
	if err := os.RemoveAll(b.out); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return nil, err
	}
	return b, os.WriteFile(filepath.Join(b.out, mark), nil, 0o644)
}

// ask asks git for the revision, its time and, if it is not given, the version. A tree that is no checkout has neither:
// what is made of it says so.
func (b *builder) ask(ctx context.Context) error {
	var err error
	if b.revision, err = b.git(ctx, "rev-parse", "HEAD"); err != nil {
		fmt.Fprintf(os.Stderr, "release: no revision is known (%v)\n", err)
		b.revision, b.time = "unknown", time.Unix(0, 0).UTC()
		if b.version == "" {
			b.version = "v0.0.0-unknown"
		}
		return nil
	}
	seconds, err := b.git(ctx, "log", "-1", "--format=%ct")
	if err != nil {
		return err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("the commit's time: %w", err)
	}
	b.time = time.Unix(unix, 0).UTC()
	if b.version != "" {
		return nil
	}
	if b.version, err = b.git(ctx, "describe", "--tags", "--always", "--dirty"); err != nil {
		return err
	}
	if !semantic.MatchString(b.version) { // nothing is tagged yet
		b.version = "v0.0.0-" + b.version
	}
	return nil
}

func (b *builder) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = b.root
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// build builds one of the commands for a platform and returns its path.
func (b *builder) build(ctx context.Context, p platform, command string) (string, error) {
	path := filepath.Join(b.out, "bin", p.String(), command+p.exe())
	// No path, no date and no state of the checkout gets into the binary; version and revision do.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags",
		fmt.Sprintf("-s -w -buildid= -X main.version=%s -X main.revision=%s", b.version, b.revision), "-o", path, "./cmd/"+command)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s for %s: %w\n%s", command, p, err, out)
	}
	return path, nil
}
