//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
)

// lock refuses: without a lock that the system gives up when its holder is
// killed, two builds at once could spoil each other.
func lock(context.Context, string, io.Writer) (unlock func(), err error) {
	return nil, fmt.Errorf("building the control plane is supported on Linux, macOS and the BSDs, not on %s: set %s to a directory with the binaries",
		runtime.GOOS, assetsEnv)
}
