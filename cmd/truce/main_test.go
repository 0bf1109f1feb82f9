package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// truce runs the command line and returns what it does.
func truce(args ...string) (code int, stdout, stderr string) {
	var out, problems bytes.Buffer
	code = run(append([]string{"/usr/local/bin/truce"}, args...), &out, &problems)
	return code, out.String(), problems.String()
}

// command is one command line and what it is to print.
type command struct {
	name   string
	args   []string
	code   int
	stdout string
	stderr string
}

func try(t *testing.T, commands []command) {
	t.Helper()
	for _, c := range commands {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := truce(c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if diff := cmp.Diff(c.stdout, stdout); diff != "" {
				t.Errorf("stdout (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.stderr, stderr); diff != "" {
				t.Errorf("stderr (-want +got):\n%s", diff)
			}
		})
	}
}

// written writes a file into a folder of the test's own, and makes that the current one.
func written(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Run("as it was installed", func(t *testing.T) {
		code, stdout, stderr := truce("version")
		if code != 0 || strings.TrimSpace(stdout) == "" || stderr != "" {
			t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
		}
	})
	version = "v1.2.3"
	t.Cleanup(func() { version = "" })
	try(t, []command{
		{name: "as it was built", args: []string{"version"}, stdout: "v1.2.3\n"},
		{name: "of something", args: []string{"version", "now"}, code: 1, stderr: "truce: unknown command \"now\" for \"truce version\"\n"},
	})
}

func TestCommandsThatDoNotExist(t *testing.T) {
	try(t, []command{
		{
			name: "a command", args: []string{"quarrel"}, code: 1,
			stderr: "truce: unknown command \"quarrel\" for \"truce\"\n",
		},
		{
			name: "one that is close to another", args: []string{"replya"}, code: 1,
			stderr: "truce: unknown command \"replya\" for \"truce\"\n\nDid you mean this?\n\treplay\n\n",
		},
		{
			name: "a flag", args: []string{"replay", "--speed=2", "x"}, code: 1, stderr: "truce: unknown flag: --speed\n",
		},
		{name: "no policy to lint", args: []string{"lint"}, code: 1, stderr: "truce: requires at least 1 arg(s), only received 0\n"},
		{name: "no story to play", args: []string{"replay"}, code: 1, stderr: "truce: requires at least 1 arg(s), only received 0\n"},
	})
}

// Help names the command as its user typed it.
func TestHelp(t *testing.T) {
	for binary, want := range map[string]string{"truce": "truce", "kubectl-truce": "kubectl truce"} {
		for _, args := range [][]string{nil, {"--help"}, {"replay", "--help"}, {"lint", "-h"}, {"policy"}, {"policy", "webhooks", "-h"}, {"audit"}, {"audit", "fights", "-h"}} {
			var out, problems bytes.Buffer
			if code := run(append([]string{filepath.Join("/somewhere", binary)}, args...), &out, &problems); code != 0 || problems.Len() > 0 {
				t.Errorf("%s %v: exit code %d, stderr %q", binary, args, code, problems.String())
			}
			usage := "Usage:\n  " + want
			for _, a := range args {
				if !strings.HasPrefix(a, "-") {
					usage += " " + a
				}
			}
			if !strings.Contains(out.String(), usage) || strings.Contains(out.String(), "kubectl-truce") {
				t.Errorf("%s %v: help has no %q:\n%s", binary, args, usage, out.String())
			}
		}
	}
}
