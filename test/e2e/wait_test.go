package e2e

import (
	"testing"
	"time"
)

// patience is how long something may take that takes far less on an idle machine.
const patience = 60 * time.Second

// eventually waits until done reports true, and fails the test if it does not within patience. what completes the
// sentence "it did not come true that …".
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	within(t, patience, what, done)
}

// within is eventually with a patience of the caller's choice.
func within(t *testing.T, patience time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come true within %s that %s", patience, what)
		}
		<-tick.C
	}
}

// laps calls lap n times, every so often, as controllers do whose work is triggered by each other's writes.
func laps(t *testing.T, n int, every time.Duration, lap func(i int)) {
	t.Helper()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range n {
		if t.Failed() {
			t.FailNow()
		}
		lap(i)
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// until calls lap every so often until done or the time is over, and returns how often.
func until(t *testing.T, limit, every time.Duration, lap func(i int) (done bool)) int {
	t.Helper()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i, end := 0, time.Now().Add(limit); ; i++ {
		if lap(i) {
			return i + 1
		}
		if time.Now().After(end) {
			return i + 1
		}
		<-tick.C
	}
}
