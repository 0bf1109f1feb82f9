package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/truce-dev/truce/pkg/audit"
)

// showProgress shows on a terminal how far the reading has come, until the function that it returns is called.
func showProgress(w io.Writer, in *audit.Input) (hide func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		start := time.Now()
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				fmt.Fprint(f, "\r\x1b[K")
				return
			case now := <-ticker.C:
				total, read := in.Size()
				fmt.Fprintf(f, "\r\x1b[K%s", progress(now.Sub(start), total, read, in.Events()))
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		wait.Wait()
	})
}

// barWidth is the width of the progress bar.
const barWidth = 30

// progress says how much was read, how fast, and when it will be all.
func progress(took time.Duration, total, read, events int64) string {
	perSecond := float64(read) / max(took.Seconds(), 1e-3)
	text := fmt.Sprintf("%.1f MB, %d events, %.0f MB/s", float64(read)/1e6, events, perSecond/1e6)
	if total == 0 {
		return text
	}
	share := min(float64(read)/float64(total), 1)
	bar := make([]byte, barWidth)
	for i := range bar {
		bar[i] = '.'
		if float64(i) < share*barWidth {
			bar[i] = '#'
		}
	}
	left := "?"
	if perSecond > 0 {
		left = time.Duration(float64(max(total-read, 0)) / perSecond * float64(time.Second)).Round(time.Second).String()
	}
	return fmt.Sprintf("[%s] %3.0f %% of %.1f MB, %s, %s left", bar, 100*share, float64(total)/1e6, text, left)
}
