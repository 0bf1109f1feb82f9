package audit

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// blockSize is how much of an input is read at once, in bytes.
const blockSize = 512 << 10

// block is a part of an input that begins and ends between events. It is read by one goroutine and decoded by another.
type block struct {
	file string
	line int // of the first byte, from 0
	buf  []byte
	// ends is where each element ends, and lines where it begins; nil if they are the lines of buf.
	ends  []int32
	lines []int32
	// failure ends the reading of its file; it comes after what is in buf.
	failure error
	at      int // the line of the failure, from 0
	fatal   bool

	// events are those that were decoded and are wanted, for readers that keep the order.
	events []Event

	refs atomic.Int32
	held int // how many events the window has of it
}

// blocks are kept for use again, since the garbage collector would else clear as much memory as is read.
var blocks = sync.Pool{New: func() any { return &block{buf: make([]byte, 0, blockSize)} }}

func newBlock(file string, line int) *block {
	b := blocks.Get().(*block)
	b.file, b.line, b.buf, b.ends, b.lines, b.failure, b.fatal = file, line, b.buf[:0], nil, nil, nil, false
	b.events = b.events[:0]
	b.refs.Store(1)
	return b
}

// release lets go of the block. The last one to do so must not use what points into it any more.
func (b *block) release() {
	if b.refs.Add(-1) == 0 && cap(b.buf) >= blockSize && cap(b.buf) <= 4*blockSize {
		blocks.Put(b)
	}
}

// split hands the blocks of a file to emit, which reports false to end it.
func (f *file) split(count *atomic.Int64, emit func(*block) bool) error {
	r, err := f.open(count)
	if err != nil {
		return err
	}
	defer r.Close()
	head := bufio.NewReaderSize(r, 64<<10)
	start, _ := head.Peek(64 << 10) // an error shows at the next read
	if isDocument(start) {
		return f.splitDocuments(head, emit)
	}
	return f.splitLines(head, emit)
}

// splitLines reads blocks of whole lines. What is after the last line's end goes to the beginning of the next block.
func (f *file) splitLines(r io.Reader, emit func(*block) bool) error {
	b := newBlock(f.path, 0)
	for {
		n, err := fill(r, b)
		end := bytes.LastIndexByte(b.buf[len(b.buf)-n:], '\n')
		if end >= 0 {
			end += len(b.buf) - n + 1
		}
		switch {
		case err != nil:
			if errors.Is(err, io.EOF) {
				err = nil
			}
			b.failure, b.fatal = err, err != nil
			b.at = b.line + bytes.Count(b.buf, []byte{'\n'})
			if len(b.buf) > 0 || err != nil {
				emit(b)
			}
			return nil
		case end < 0 && len(b.buf) < maxElement:
			grown := make([]byte, len(b.buf), 2*cap(b.buf))
			copy(grown, b.buf)
			b.buf = grown
			continue
		case end < 0:
			line := b.line
			b.buf = b.buf[:0]
			b.failure, b.at = errTooLong, line
			rest, err := dropLine(r, b.buf[:cap(b.buf)])
			next := newBlock(f.path, line+1)
			next.buf = append(next.buf, rest...)
			if !emit(b) || err != nil {
				return ignoreEOF(err)
			}
			b = next
			continue
		}
		next := newBlock(f.path, b.line+bytes.Count(b.buf[:end], []byte{'\n'}))
		next.buf = append(next.buf, b.buf[end:]...)
		b.buf = b.buf[:end]
		if !emit(b) {
			return nil
		}
		b = next
	}
}

// fill reads until the block is full, and returns how much.
func fill(r io.Reader, b *block) (n int, err error) {
	start := len(b.buf)
	if cap(b.buf)-start < blockSize/4 {
		grown := make([]byte, start, 2*cap(b.buf))
		copy(grown, b.buf)
		b.buf = grown
	}
	for len(b.buf) < cap(b.buf) && err == nil {
		n, err = r.Read(b.buf[len(b.buf):cap(b.buf)])
		b.buf = b.buf[:len(b.buf)+n]
	}
	return len(b.buf) - start, err
}

// dropLine reads up to the end of a line, and returns what follows.
func dropLine(r io.Reader, scratch []byte) (rest []byte, err error) {
	for {
		n, err := r.Read(scratch)
		if i := bytes.IndexByte(scratch[:n], '\n'); i >= 0 {
			return bytes.Clone(scratch[i+1 : n]), err
		}
		if err != nil {
			return nil, err
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// splitDocuments reads blocks of elements.
func (f *file) splitDocuments(r io.Reader, emit func(*block) bool) error {
	d := documents{r: r}
	b := newBlock(f.path, 0)
	b.ends, b.lines = []int32{}, []int32{}
	for {
		element, line, err := d.next()
		if err == nil {
			b.buf = append(b.buf, element...)
			b.ends, b.lines = append(b.ends, int32(len(b.buf))), append(b.lines, int32(line))
		} else if !errors.Is(err, io.EOF) {
			b.failure, b.at = err, line
			b.fatal = !errors.Is(err, errNotJSON) && !errors.Is(err, errTooLong)
		}
		if len(b.buf) < blockSize && err == nil {
			continue
		}
		ended := errors.Is(err, io.EOF) || b.fatal
		if !emit(b) || ended {
			return nil
		}
		b = newBlock(f.path, 0)
		b.ends, b.lines = []int32{}, []int32{}
	}
}

// decode calls fn with every event of the block, decoded into e, and tells p of what is none.
func (b *block) decode(e *Event, p *Problems, fn func(*Event)) {
	e.At.File = b.file
	if b.ends != nil {
		from := int32(0)
		for i, end := range b.ends {
			e.At.Line = int(b.lines[i]) + 1
			b.unwrap(e, p, b.buf[from:end:end], fn)
			from = end
		}
	} else {
		b.decodeLines(e, p, fn)
	}
	if b.failure != nil {
		e.At.Line = b.at + 1
		p.add(e.At, b.failure)
	}
}

func (b *block) decodeLines(e *Event, p *Problems, fn func(*Event)) {
	e.At.Line = b.line
	for rest := b.buf; len(rest) > 0; {
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line, rest = rest[:i:i], rest[i+1:]
		} else {
			rest = nil
		}
		e.At.Line++
		b.unwrap(e, p, line, fn)
	}
}

func (b *block) unwrap(e *Event, p *Problems, raw []byte, fn func(*Event)) {
	at := e.At
	if err := e.unwrap(raw, fn); err != nil {
		p.add(at, err)
	}
	e.At = at
}
