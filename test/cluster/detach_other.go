//go:build !unix

package cluster

import "os/exec"

func detach(*exec.Cmd) {}

func interrupt(cmd *exec.Cmd) error { return cmd.Process.Kill() }
