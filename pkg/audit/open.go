package audit

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is how far back zstd may look, in bytes, which is what it needs in memory: level 19 uses 8 MiB.
const maxWindow = 32 << 20

// open opens a file and takes off its compression, which its first bytes tell. count is told how much was read of what
// is in the file itself; it may be nil.
func (f *file) open(count *atomic.Int64) (io.ReadCloser, error) {
	var raw io.ReadCloser = io.NopCloser(f.stdin)
	if f.stdin == nil {
		opened, err := os.Open(f.path)
		if err != nil {
			return nil, fmt.Errorf("opening an audit log: %w", err)
		}
		raw = opened
	}
	if count != nil {
		raw = &counted{raw, count}
	}
	buffered := bufio.NewReaderSize(raw, 64<<10)
	magic, _ := buffered.Peek(4) // an error shows at the next read
	var plain io.Reader
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			raw.Close()
			return nil, fmt.Errorf("reading %s, which is compressed with gzip: %w", f.path, err)
		}
		plain = z
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			raw.Close()
			return nil, fmt.Errorf("reading %s, which is compressed with zstd: %w", f.path, err)
		}
		return &opened{z, func() error { z.Close(); return raw.Close() }}, nil
	default:
		plain = buffered
	}
	return &opened{plain, raw.Close}, nil
}

type opened struct {
	io.Reader
	close func() error
}

func (o *opened) Close() error { return o.close() }

// counted adds what is read to a counter.
type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// interruptible is a reader that ends when its context does, even if there is nothing to be read yet: a pipe may be silent
// for as long as it likes. What is being read then is lost.
type interruptible struct {
	ctx  context.Context
	r    io.Reader
	buf  []byte
	rest []byte // of buf, not yet taken
	err  error
	read chan int
	left bool // what is being read will never be taken
}

func newInterruptible(ctx context.Context, r io.Reader) *interruptible {
	return &interruptible{ctx: ctx, r: r, buf: make([]byte, 64<<10), read: make(chan int, 1)}
}

func (i *interruptible) Read(b []byte) (int, error) {
	if i.left {
		return 0, io.EOF
	}
	if len(i.rest) == 0 && i.err == nil {
		go func() {
			n, err := i.r.Read(i.buf)
			i.err = err
			i.read <- n
		}()
		select {
		case n := <-i.read:
			i.rest = i.buf[:n]
		case <-i.ctx.Done():
			i.left = true
			return 0, io.EOF
		}
	}
	n := copy(b, i.rest)
	if i.rest = i.rest[n:]; len(i.rest) == 0 {
		return n, i.err
	}
	return n, nil
}
