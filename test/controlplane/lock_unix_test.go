//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	var log bytes.Buffer
	unlock, err := lock(context.Background(), path, &log)
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, path, &log); err == nil || !strings.Contains(log.String(), "another process") {
		t.Errorf("while the lock is held: %v, having said %q; want it to say that it waits, and to stop with its context", err, log.String())
	}

	unlock()
	unlock, err = lock(context.Background(), path, &log)
	if err != nil {
		t.Fatalf("after the lock was given up: %v", err)
	}
	unlock()
}
