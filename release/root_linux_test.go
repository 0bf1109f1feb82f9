package main

import (
	"os"
	"os/exec"
	"syscall"
)

// inRoot makes a command that runs in a root folder, without an environment, as the image's user. Who is not root
// becomes that user in a user namespace.
func inRoot(root string, args ...string) *exec.Cmd {
	attr := &syscall.SysProcAttr{Chroot: root}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: 65532, Gid: 65532}
	} else {
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 65532, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 65532, HostID: os.Getegid(), Size: 1}}
	}
	return &exec.Cmd{Path: args[0], Args: args, Dir: "/", Env: []string{"PATH=/"}, SysProcAttr: attr}
}
