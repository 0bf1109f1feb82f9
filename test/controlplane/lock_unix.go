//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// lock takes the lock at path, waiting for whoever has it. The system gives
// the lock up when its holder ends, however it ends, so none is ever stale.
func lock(ctx context.Context, path string, log io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open the build lock: %w", err)
	}
	var stopNotes func()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("cannot lock %s (%w): set XDG_CACHE_HOME to a directory on a local disk", path, err)
		}
		if stopNotes == nil {
			fmt.Fprintln(log, "controlplane: another process is building the binaries, waiting for it …")
			stopNotes = noteWhile(log, "still waiting for the other process")
			defer stopNotes()
		}
		// Polled, not blocked in the system call, so that an interrupt ends
		// the wait.
		select {
		case <-ctx.Done():
			f.Close()
			return nil, errors.New("stopped while waiting for another process to build the binaries")
		case <-time.After(250 * time.Millisecond):
		}
	}
	return func() { f.Close() }, nil
}
