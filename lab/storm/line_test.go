package storm

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// through returns a line and both ends of a connection through it.
func through(t *testing.T, bytesPerSecond float64) (*line, net.Conn, *thinConn) {
	t.Helper()
	l := newLine(bytesPerSecond)
	far, near := net.Pipe()
	c := l.wrap(near)
	t.Cleanup(func() {
		far.Close()
		c.Close()
	})
	return l, far, c
}

func TestThinLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, perSecond = 100 * chunk, 10 * chunk
		l, far, c := through(t, perSecond)
		go func() {
			_, _ = far.Write(make([]byte, size)) // what is not read shows below
			far.Close()
		}()
		began := time.Now()
		n, err := io.Copy(io.Discard, c)
		if err != nil || n != size || l.bytes.Load() != size {
			t.Errorf("%d bytes came, %d were counted, %v; want %d", n, l.bytes.Load(), err, size)
		}
		// The first chunk comes at once.
		if took, want := time.Since(began), 9900*time.Millisecond; (took - want).Abs() > 50*time.Millisecond {
			t.Errorf("it took %v, want %v", took, want)
		}
	})
}

func TestCloseEndsAReadThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, far, c := through(t, 1) // a byte per second
		go func() { _, _ = far.Write(make([]byte, 2*chunk)) }()
		failed := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, c)
			failed <- err
		}()
		synctest.Wait()
		c.Close()
		if err := <-failed; !errors.Is(err, net.ErrClosed) {
			t.Errorf("the reader was told %v", err)
		}
	})
}

func TestGoneIsCounted(t *testing.T) {
	w := &watcher{}
	for _, err := range []error{
		nil, errors.New("no network"), apierrors.NewInternalError(errors.New("broken")),
		apierrors.NewResourceExpired("too old resource version"), apierrors.NewGenericServerResponse(http.StatusGone, "watch", schema.GroupResource{Resource: "pods"}, "x", "", 0, true),
	} {
		w.see(err)
	}
	if got := w.gone.Load(); got != 2 {
		t.Errorf("%d answers were 410 Gone, want 2", got)
	}
}
