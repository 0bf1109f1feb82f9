package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/policy"
)

// asProgram makes the test binary be the program, for tests of signals and exit codes.
const asProgram = "TRUCE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestCheckConfig(t *testing.T) {
	dir := t.TempDir()
	good, broken := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "broken.yaml")
	replace(t, good, policyIn(policy.Enforce))
	replace(t, broken, []byte(brokenPolicy))
	receivers := filepath.Join(dir, "receivers.yaml")
	replace(t, receivers, []byte("apiVersion: truce.dev/v1alpha1\nkind: Notifications\nreceivers:\n- name: a\n  slak: {}\n"))
	tests := []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr []string // parts of its lines
	}{
		{
			name: "a good policy", args: []string{"--policy", good},
			stdout: "OK: " + good + " (mode Enforce, 1 rules)\n",
		},
		{
			name: "with the mode of the flag", args: []string{"--policy", good, "--mode", "Audit"},
			stdout: "OK: " + good + " (mode Audit, 1 rules)\n",
		},
		{
			name: "the built-in policy", args: []string{},
			stdout: fmt.Sprintf("OK: built-in policy (mode Warn, %d rules)\n", len(policy.Default().File.Rules)),
		},
		{
			name: "a broken policy, with every problem", args: []string{"--policy", broken}, code: exitFailed,
			stderr: []string{broken + ":3:7: mode: ", broken + ":6:3: rules[0].matches: "},
		},
		{
			name: "receivers that are wrong, too", args: []string{"--policy", broken, "--notify", receivers}, code: exitFailed,
			stderr: []string{broken + ":3:7: mode: ", broken + ":6:3: rules[0].matches: ", receivers + ":5:3: receivers[0].slak: unknown key"},
		},
		{
			name: "a file that is not there", args: []string{"--policy", good + ".gone"}, code: exitFailed,
			stderr: []string{"good.yaml.gone: no such file or directory"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := runToEnd(t, append(test.args, "--check-config")...)
			if code != test.code || stdout.String() != test.stdout {
				t.Errorf("exit code %d, stdout %q; want %d, %q", code, stdout.String(), test.code, test.stdout)
			}
			lines := strings.FieldsFunc(stderr.String(), func(r rune) bool { return r == '\n' })
			if len(lines) != len(test.stderr) {
				t.Fatalf("%d lines, want %d:\n%s", len(lines), len(test.stderr), stderr.String())
			}
			for i, want := range test.stderr {
				if !strings.Contains(lines[i], want) {
					t.Errorf("line %q, want %q", lines[i], want)
				}
			}
		})
	}
}

func TestSignals(t *testing.T) {
	// program starts the program as a process of its own and waits until it serves.
	program := func(t *testing.T, delay string) (cmd *exec.Cmd, stderr *buffer, ended <-chan error) {
		t.Helper()
		cmd = exec.Command(os.Args[0], "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0",
			"--self-cert-dir", t.TempDir(), "--shutdown-delay", delay)
		stderr = &buffer{}
		cmd.Env, cmd.Stderr = append(os.Environ(), asProgram+"=1"), stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		result := make(chan error, 1)
		go func() { result <- cmd.Wait() }()
		t.Cleanup(func() { cmd.Process.Kill() })
		stderr.wait(t, "serving", 1)
		return cmd, stderr, result
	}
	signal := func(t *testing.T, cmd *exec.Cmd, s os.Signal) {
		t.Helper()
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(t *testing.T, ended <-chan error) int {
		t.Helper()
		select {
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return exit.ExitCode()
			}
			if err != nil {
				t.Fatal(err)
			}
			return 0
		case <-time.After(patience):
			t.Fatal("it does not end")
			return -1
		}
	}
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(s.String()+" ends it with 0", func(t *testing.T) {
			cmd, stderr, ended := program(t, "10ms")
			signal(t, cmd, s)
			if code := wait(t, ended); code != exitOK {
				t.Errorf("exit code %d", code)
			}
			if len(stderr.entries("stopped")) != 1 {
				t.Errorf("it does not say that it stopped:\n%s", stderr.String())
			}
		})
	}
	t.Run("a second signal ends it at once", func(t *testing.T) {
		cmd, stderr, ended := program(t, "10m")
		signal(t, cmd, syscall.SIGTERM)
		stderr.wait(t, "stopping", 1)
		signal(t, cmd, syscall.SIGTERM)
		if code := wait(t, ended); code != exitFailed {
			t.Errorf("exit code %d, want %d", code, exitFailed)
		}
	})
}

func TestStopsWithNothingToDo(t *testing.T) {
	p := start(t)
	p.stop()
	if code := p.exitCode(); code != exitOK {
		t.Errorf("exit code %d; log:\n%s", code, p.stderr.String())
	}
}
