package report

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truce-dev/truce/pkg/policy"
)

// Things to report gather for a moment, unless there are so many that some might find no room.
func TestTheQueueGathersUntilItIsHalfFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 8
		r := newScene(t, policy.Warn, "Reject", Options{Queue: size}).recorder
		ctx, cancel := context.WithCancel(t.Context())
		go r.Run(ctx)
		defer synctest.Wait()
		defer cancel()
		put := func(n int) {
			for range n {
				r.put(&item{})
			}
			synctest.Wait()
		}
		put(1) // wakes the recorder, which then waits for more
		put(size/2 - 1)
		if n := len(r.queue); n != size/2-1 {
			t.Errorf("%d wait, want %d: it is not half full", n, size/2-1)
		}
		<-time.After(gather) // virtual
		synctest.Wait()
		if n := len(r.queue); n != 0 {
			t.Errorf("%d wait for longer than they should", n)
		}
		put(1)
		put(size / 2)
		if n := len(r.queue); n != 0 {
			t.Errorf("%d wait, though it is half full", n)
		}
	})
}
