package audit

import (
	"bytes"
	"errors"
	"io"

	"github.com/truce-dev/truce/pkg/admission"
)

// maxElement is the largest event that is read, in bytes. The API server takes objects of 3 MiB at most, and an event has
// two; wrapped in a string, quotes double.
const maxElement = 32 << 20

var errTooLong = errors.New("it is longer than 32 MiB")

// isDocument reports whether what begins with head is JSON over many lines, or a list too long for a line, rather than
// lines with an event each.
func isDocument(head []byte) bool {
	head = bytes.TrimLeft(head, " \t\r\n\ufeff")
	if len(head) == 0 || head[0] != '{' && head[0] != '[' {
		return false
	}
	if head[0] == '[' {
		return true
	}
	line := bytes.IndexByte(head, '\n')
	if end := admission.SkipValue(head, 0); end >= 0 {
		return line >= 0 && line < end
	}
	if line >= 0 {
		// A line that was cut off is followed by one that begins.
		after := bytes.TrimLeft(head[line:], "\r\n")
		return len(after) == 0 || after[0] != '{' || bytes.HasSuffix(bytes.TrimSpace(head[:line]), []byte{'['})
	}
	// One long line: a list in an object, or a large event.
	at, done := admission.First(head, 0)
	for !done && at >= 0 {
		key, _, next := admission.Member(head, at)
		if next < 0 {
			name := head[at:min(len(head), at+16)]
			for list := range lists {
				if bytes.HasPrefix(name, []byte(`"`+list+`"`)) {
					return true
				}
			}
			return false
		}
		if lists[string(key)] {
			return true
		}
		at, done = admission.Next(head, next, '}')
	}
	return false
}

// lists are the members in which a document has its events, or what they are wrapped in.
var lists = map[string]bool{"items": true, "events": true, "logEvents": true, "records": true, "entries": true}

// documents splits a stream of JSON into elements: lines if it is plain; otherwise the values in a row, or what is in the
// lists that they are or have.
type documents struct {
	r     io.Reader
	buf   []byte
	at    int // in buf
	line  int // of at, from 0
	eof   bool
	plain bool
	nest  []byte // closing brackets of what at is in
}

// next returns the next element and its line, from 0. It is valid until the next call. The error is io.EOF at the end;
// errNotJSON and errTooLong concern what stands there, and the rest is read as lines from then on.
func (d *documents) next() (element []byte, line int, err error) {
	if d.plain {
		return d.nextLine()
	}
	for {
		c, err := d.peek()
		if err != nil {
			return nil, d.line, err
		}
		switch {
		case c == ',' || c == ']' || c == '}':
			d.skip(1)
			if n := len(d.nest); c != ',' {
				if n == 0 || d.nest[n-1] != c {
					return d.fail(errNotJSON)
				}
				d.nest = d.nest[:n-1]
			}
		case c == '[' && len(d.nest) < 3:
			d.skip(1)
			d.nest = append(d.nest, ']')
		case c == '{' && len(d.nest) == 0:
			element, line, err := d.object()
			if err != nil {
				return d.fail(err)
			}
			if element != nil {
				return element, line, nil
			}
		case len(d.nest) > 0 && d.nest[len(d.nest)-1] == '}': // what follows the list in its object
			found, err := d.member()
			if err != nil {
				return d.fail(err)
			}
			if found {
				d.nest = append(d.nest, ']')
			}
		default:
			line := d.line
			element, err := d.value()
			if err != nil {
				return d.fail(err)
			}
			return element, line, nil
		}
	}
}

// fail makes the rest be read as lines, from the next one on.
func (d *documents) fail(err error) ([]byte, int, error) {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errNotJSON
	}
	if !errors.Is(err, errNotJSON) && !errors.Is(err, errTooLong) {
		return nil, d.line, err // of the reader
	}
	line := d.line
	d.plain, d.nest = true, nil
	if _, _, skipped := d.nextLine(); skipped != nil && !errors.Is(skipped, errTooLong) && !errors.Is(skipped, io.EOF) {
		return nil, line, skipped
	}
	return nil, line, err
}

// object reads an object at the top. If it has a list of events, only up to there: nil is returned, and the elements
// follow. Otherwise it is an element itself.
func (d *documents) object() (element []byte, line int, err error) {
	line = d.line
	at := 1 // from d.at
	for {
		at, err = d.spaceAt(at)
		if err != nil {
			return nil, line, err
		}
		switch c := d.buf[d.at+at]; c {
		case '}':
			element = d.buf[d.at : d.at+at+1]
			d.skip(at + 1)
			return element, line, nil
		case ',':
			at++
		case '"':
			end, err := d.endAt(at)
			if err != nil {
				return nil, line, err
			}
			list := lists[string(d.buf[d.at+at+1:d.at+end-1])]
			if end, err = d.spaceAt(end); err != nil {
				return nil, line, err
			}
			if d.buf[d.at+end] != ':' {
				return nil, line, errNotJSON
			}
			if end, err = d.spaceAt(end + 1); err != nil {
				return nil, line, err
			}
			if list && d.buf[d.at+end] == '[' {
				d.skip(end + 1)
				d.nest = append(d.nest, '}', ']')
				return nil, line, nil
			}
			if at, err = d.endAt(end); err != nil {
				return nil, line, err
			}
		default:
			return nil, line, errNotJSON
		}
	}
}

// member passes a member of an object. If its value is a list of events, only up to there, and found is true.
func (d *documents) member() (found bool, err error) {
	if c, err := d.peek(); err != nil || c != '"' {
		return false, errors.Join(err, errNotJSON)
	}
	key, err := d.value()
	if err != nil {
		return false, err
	}
	list := lists[string(admission.Text(key))]
	if c, err := d.peek(); err != nil || c != ':' {
		return false, errors.Join(err, errNotJSON)
	}
	d.skip(1)
	c, err := d.peek()
	if err != nil {
		return false, err
	}
	if list && c == '[' {
		d.skip(1)
		return true, nil
	}
	_, err = d.value()
	return false, err
}

// value reads the value at d.at.
func (d *documents) value() ([]byte, error) {
	end, err := d.endAt(0)
	if err != nil {
		return nil, err
	}
	v := d.buf[d.at : d.at+end]
	d.skip(end)
	return v, nil
}

// endAt returns where the value that begins at an offset from d.at ends, and reads until it does.
func (d *documents) endAt(at int) (int, error) {
	for {
		end := admission.SkipValue(d.buf, d.at+at)
		if end > 0 && (end < len(d.buf) || d.eof) {
			return end - d.at, nil
		}
		// Twice as much before it is looked at again, so that a large value costs no more than a few looks.
		for enough := 2 * (len(d.buf) - d.at); len(d.buf)-d.at < enough && !d.eof; {
			if err := d.more(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				return 0, err
			}
		}
		if d.eof {
			if end := admission.SkipValue(d.buf, d.at+at); end > 0 {
				return end - d.at, nil
			}
			return 0, io.ErrUnexpectedEOF
		}
	}
}

// spaceAt returns the first offset from d.at, from at on, that is no space.
func (d *documents) spaceAt(at int) (int, error) {
	for {
		for ; d.at+at < len(d.buf); at++ {
			switch d.buf[d.at+at] {
			case ' ', '\t', '\r', '\n':
				continue
			}
			return at, nil
		}
		if err := d.more(); err != nil {
			return 0, err
		}
	}
}

// peek passes space and returns the next byte.
func (d *documents) peek() (byte, error) {
	at, err := d.spaceAt(0)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
		if len(d.nest) > 0 {
			d.nest = nil
			err = errNotJSON
		}
		d.skip(len(d.buf) - d.at)
	}
	if err != nil {
		return 0, err
	}
	d.skip(at)
	return d.buf[d.at], nil
}

func (d *documents) skip(n int) {
	d.line += bytes.Count(d.buf[d.at:d.at+n], []byte{'\n'})
	d.at += n
}

// nextLine returns the next line, without its end.
func (d *documents) nextLine() ([]byte, int, error) {
	line := d.line
	from := d.at
	for {
		if i := bytes.IndexByte(d.buf[from:], '\n'); i >= 0 {
			text := d.buf[d.at : from+i]
			d.at, d.line = from+i+1, d.line+1
			return text, line, nil
		}
		from = len(d.buf)
		if d.eof {
			text := d.buf[d.at:]
			d.at = len(d.buf)
			if len(text) == 0 {
				return nil, line, io.EOF
			}
			return text, line, nil
		}
		pending := from - d.at
		switch err := d.more(); {
		case errors.Is(err, io.ErrUnexpectedEOF): // then d.eof is set
		case errors.Is(err, errTooLong):
			return nil, line, d.drop()
		case err != nil:
			return nil, line, err
		}
		from = d.at + pending
	}
}

// drop forgets a line that is too long, up to its end.
func (d *documents) drop() error {
	for {
		d.at = len(d.buf)
		if err := d.more(); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return errTooLong
			}
			return err
		}
		if i := bytes.IndexByte(d.buf[d.at:], '\n'); i >= 0 {
			d.at, d.line = d.at+i+1, d.line+1
			return errTooLong
		}
	}
}

// more reads more into the buffer, keeping what is from d.at on. io.ErrUnexpectedEOF: there is no more.
func (d *documents) more() error {
	if d.eof {
		return io.ErrUnexpectedEOF
	}
	kept := len(d.buf) - d.at
	if kept >= maxElement {
		return errTooLong
	}
	if d.at > 0 && (len(d.buf) == cap(d.buf) || d.at > cap(d.buf)/2) {
		d.buf = append(d.buf[:0], d.buf[d.at:]...)
		d.at = 0
	}
	if cap(d.buf)-len(d.buf) < 64<<10 {
		grown := make([]byte, len(d.buf), max(2*cap(d.buf), blockSize))
		copy(grown, d.buf)
		d.buf = grown
	}
	n, err := d.r.Read(d.buf[len(d.buf):cap(d.buf)])
	d.buf = d.buf[:len(d.buf)+n]
	switch {
	case errors.Is(err, io.EOF):
		d.eof = true
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
	case err != nil:
		return err
	}
	return nil
}
