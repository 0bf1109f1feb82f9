// Command truce is Truce's command line for operators. Installed as kubectl-truce it is `kubectl truce` as well.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set at build time, with -ldflags '-X main.version=v1.2.3'.
var version = ""

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// errSilent is the error of a command that has said already what is wrong.
var errSilent = errors.New("")

// run executes the command line and returns the exit code: 0, 1 if it failed or found something to complain about, or 2
// if it found what --fail-on names.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot(filepath.Base(args[0]))
	root.SetArgs(args[1:])
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.Execute(); err != nil {
		if errors.Is(err, errFound) {
			return 2
		}
		if !errors.Is(err, errSilent) {
			fmt.Fprintln(stderr, "truce: "+err.Error())
		}
		return 1
	}
	return 0
}

func newRoot(name string) *cobra.Command {
	use := "truce"
	if name == "kubectl-truce" {
		use = "kubectl truce" // what its user typed, and what help has to show
	}
	root := &cobra.Command{
		Use:           use,
		Short:         "Keep Kubernetes controllers from fighting over the fields of objects",
		SilenceUsage:  true,
		SilenceErrors: true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: use},
	}
	root.AddCommand(newFights(), newDescribe(), newTimeline(), newRelease(), newHold(), newAudit(), newReplay(), newLint(),
		newPolicy(), newVersion())
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionOf())
			return err
		},
	}
}

// versionOf returns the version set at build time, or the module's if it was installed with go install.
func versionOf() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
