package storm

import (
	"context"
	"net"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// line is a thin line to the API server: so many bytes come through it per second, and no more.
type line struct {
	limit *rate.Limiter
	bytes atomic.Int64
}

// chunk is how many bytes are read at once.
const chunk = 16 << 10

func newLine(bytesPerSecond float64) *line {
	return &line{limit: rate.NewLimiter(rate.Limit(bytesPerSecond), chunk)}
}

// dial connects through the line.
func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// The line is thin, and so is what the system keeps for it: otherwise megabytes wait where nobody sees them.
		if err := tcp.SetReadBuffer(4 * chunk); err != nil {
			return nil, err
		}
	}
	return l.wrap(conn), nil
}

func (l *line) wrap(conn net.Conn) *thinConn {
	ctx, cancel := context.WithCancel(context.Background())
	return &thinConn{Conn: conn, line: l, ctx: ctx, cancel: cancel}
}

// thinConn is a connection through a line.
type thinConn struct {
	net.Conn
	line   *line
	ctx    context.Context
	cancel context.CancelFunc
}

// Read waits until the line has room for what came.
func (c *thinConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b[:min(len(b), chunk)])
	c.line.bytes.Add(int64(n))
	if n > 0 {
		if err := c.line.limit.WaitN(c.ctx, n); err != nil {
			return n, net.ErrClosed
		}
	}
	return n, err
}

// Close ends the connection, and a Read that waits.
func (c *thinConn) Close() error {
	c.cancel()
	return c.Conn.Close()
}
