//go:build unix

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// asTruce makes the test binary be truce.
const asTruce = "TRUCE_TEST_AS_TRUCE"

func TestMain(m *testing.M) {
	if os.Getenv(asTruce) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// At a terminal, truce shows how far it has come, and at Ctrl-C it prints what it has and ends. The log comes through a
// pipe that does not end, so that only Ctrl-C can end it.
func TestCtrlCAtATerminal(t *testing.T) {
	log, err := os.ReadFile(busyLog(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"audit", "fights"}, "spec.replicas"},
		{[]string{"audit", "top", "--limit=3"}, "deployments.apps/status"},
	} {
		t.Run(c.args[1], func(t *testing.T) {
			cmd := exec.Command(os.Args[0], c.args...)
			cmd.Env = append(os.Environ(), asTruce+"=1")
			feed, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			var stdout bytes.Buffer
			cmd.Stdout = &stdout
			// Standard error is the terminal, and truce the terminal's program: what is typed there reaches it.
			terminal, tty, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer terminal.Close()
			cmd.Stderr = tty
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 2} // of which standard error is the terminal
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			tty.Close()
			fed := make(chan error, 1)
			go func() {
				_, err := feed.Write(log)
				fed <- err
			}()
			var shown tail
			read := make(chan struct{})
			go func() {
				defer close(read)
				_, _ = io.Copy(&shown, terminal) // it ends with an error when the last program at the terminal does
			}()
			eventually(t, "the terminal shows that events were read", func() bool { return strings.Contains(shown.String(), " events, ") })
			if err := <-fed; err != nil {
				t.Fatal(err)
			}
			eventually(t, "a later line takes the place of an earlier one", func() bool { return strings.Count(shown.String(), "\r\x1b[K") > 2 })
			if _, err := terminal.Write([]byte{3}); err != nil { // Ctrl-C
				t.Fatal(err)
			}
			defer feed.Close()
			if err := cmd.Wait(); err != nil {
				t.Errorf("truce: %v", err)
			}
			<-read
			if !strings.Contains(shown.String(), "truce: interrupted; this is what was found in the first ") {
				t.Errorf("the terminal shows %q", shown.String())
			}
			if !strings.Contains(stdout.String(), c.want) {
				t.Errorf("it printed:\n%s", stdout.String())
			}
		})
	}
}
