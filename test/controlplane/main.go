// Command controlplane makes sure that a real Kubernetes control plane of the
// pinned version (kube-apiserver, kube-controller-manager and etcd) is built
// in the user's cache directory, and prints the directory that holds it.
//
// Run it from anywhere in the repository with
//
//	go -C test/controlplane run .
//
// The last line on standard output is the directory, fit for
// KUBEBUILDER_ASSETS; everything meant for people goes to standard error.
// README.md says why the binaries are built and not downloaded.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// assetsEnv is the variable that envtest itself reads, so setting it once
// points both envtest and this command at the same binaries.
const assetsEnv = "KUBEBUILDER_ASSETS"

// noteEvery is how often a build that is still running says so: a build of
// minutes without a word looks like one that hangs.
const noteEvery = 20 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	dir, err := run(ctx, os.Args[1:], os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "controlplane: %v\n", err)
		stop()
		os.Exit(1)
	}
	fmt.Println(dir)
}

// run returns the directory that holds the named binaries, having built the
// ones that were missing.
func run(ctx context.Context, args []string, log io.Writer) (string, error) {
	names, err := wantedBinaries(args)
	if err != nil {
		return "", err
	}

	if dir := os.Getenv(assetsEnv); dir != "" {
		warning, err := checkOverride(dir, names, len(args) > 0)
		if err != nil {
			return "", err
		}
		if warning != "" {
			fmt.Fprintf(log, "controlplane: warning: %s\n", warning)
		}
		return dir, nil
	}

	// "go -C DIR run ." starts this program in DIR, the module to build from.
	recipe, err := readRecipe(".")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no cache directory to build into (%w): set HOME or XDG_CACHE_HOME, or point %s at binaries you already have", err, assetsEnv)
	}
	dir := filepath.Join(cache, "truce", "controlplane", recipe.key(runtime.GOOS, runtime.GOARCH))

	// A binary gets its final name only once it is whole, so the usual case,
	// everything there, needs no lock.
	if len(missing(dir, names)) == 0 {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot make the directory for the binaries: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(dir, ".lock"), log)
	if err != nil {
		return "", err
	}
	defer unlock()
	return dir, buildMissing(ctx, recipe, dir, names, log)
}

// buildMissing builds what dir lacks. The caller holds dir's lock.
func buildMissing(ctx context.Context, recipe recipe, dir string, names []string, log io.Writer) error {
	// Whoever started one of these was killed while building: the lock is
	// ours, so nobody is using them.
	stale, _ := filepath.Glob(filepath.Join(dir, ".build-*"))
	for _, d := range stale {
		os.RemoveAll(d)
	}

	// Asked again under the lock: another process may have just built some.
	todo := missing(dir, names)
	if len(todo) == 0 {
		return nil
	}
	tmp, err := os.MkdirTemp(dir, ".build-")
	if err != nil {
		return fmt.Errorf("cannot make a temporary directory to build in: %w", err)
	}
	defer os.RemoveAll(tmp)

	for i, name := range todo {
		fmt.Fprintf(log, "controlplane: building %s %s, %d of %d (first time only, takes some minutes) …\n",
			name, recipe.version(name), i+1, len(todo))
		start := time.Now()
		out := filepath.Join(tmp, name+exeSuffix)
		if err := build(ctx, recipe, name, out, log); err != nil {
			return err
		}
		if err := checkVersion(ctx, recipe, name, out); err != nil {
			return err
		}
		if err := os.Rename(out, filepath.Join(dir, name+exeSuffix)); err != nil {
			return fmt.Errorf("cannot move the finished %s into place: %w", name, err)
		}
		fmt.Fprintf(log, "controlplane: built %s %s in %s\n", name, recipe.version(name), elapsed(start))
	}
	return nil
}

// build compiles one binary to out.
func build(ctx context.Context, recipe recipe, name, out string, log io.Writer) error {
	args := recipe.buildArgs(name, out)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = recipe.dir
	cmd.Env = append(os.Environ(), buildEnv(runtime.GOOS, runtime.GOARCH)...)
	// Interrupted, go ends its compilers and removes its work directory;
	// killed at once, it would leave both behind.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output

	stopNotes := noteWhile(log, "still building "+name)
	err := cmd.Run()
	stopNotes()

	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return stopped(name)
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("cannot build %s: there is no go command on the PATH; put Go's bin directory on it", name)
	}
	fmt.Fprintln(log, lastLines(output.String(), 40))
	return fmt.Errorf("building %s %s failed (%w); the lines above are the end of what this command said:\n"+
		"    cd %s && %s go %s\n"+
		"If it could not fetch a module, check the network and `go env GOPROXY`; if it ran out of space or memory, "+
		"free some (a build wants about 4 GB of disk and 3 GB of memory). Then run it again: finished binaries are kept. "+
		"To use binaries you already have, set %s to their directory",
		name, recipe.version(name), err,
		recipe.dir, strings.Join(buildEnv(runtime.GOOS, runtime.GOARCH), " "), shellJoin(args),
		assetsEnv)
}

func stopped(name string) error {
	return fmt.Errorf("stopped while building %s; run it again to go on from what is already compiled", name)
}

// checkVersion runs a finished binary once. The version is set by naming
// variables to the linker, which ignores a name that no longer exists, so
// only asking the binary shows that it took.
func checkVersion(ctx context.Context, recipe recipe, name, path string) error {
	out, err := exec.CommandContext(ctx, path, binaries[name].versionArgs...).CombinedOutput()
	if ctx.Err() != nil {
		return stopped(name)
	}
	if err != nil {
		return fmt.Errorf("the %s just built does not run (%w): %s", name, err, lastLines(string(out), 5))
	}
	if want := strings.TrimPrefix(recipe.version(name), "v"); !strings.Contains(string(out), want) {
		return fmt.Errorf("the %s just built does not say that its version is %s but: %s\n"+
			"The names of the version variables in recipe.go probably need to follow the new release", name, want, lastLines(string(out), 5))
	}
	return nil
}

// noteWhile writes what and the time since now to log until the function it
// returns is called.
func noteWhile(log io.Writer, what string) (stop func()) {
	start := time.Now()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(noteEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(log, "controlplane: %s, %s so far …\n", what, elapsed(start))
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

func elapsed(start time.Time) time.Duration {
	return time.Since(start).Round(time.Second)
}

// lastLines returns the last n lines of s: the first lines of a failed build
// are hundreds of module downloads, the cause comes last.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}

// shellJoin quotes arguments so that a printed command can be pasted.
func shellJoin(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = a
		if strings.ContainsAny(a, " '\"$") {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
