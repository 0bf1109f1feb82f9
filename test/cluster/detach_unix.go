//go:build unix

package cluster

import (
	"os/exec"
	"syscall"
)

// detach puts a process, and those that it starts, into a group of its own: Ctrl-C at a terminal then reaches only us,
// and we end them in good order.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// interrupt sends SIGINT to a detached process and those that it started.
func interrupt(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
