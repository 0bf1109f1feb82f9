package admission

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// envelopeReader reads the JSON around the objects. Its methods keep the first error, and do nothing after it.
type envelopeReader struct {
	dec *jsontext.Decoder
	buf bytes.Buffer
	// text is a copy of what is read, for strings to be cut from; empty if that is too large to be kept by them.
	text    string
	size    int
	err     error
	scratch []byte
}

// maxText is how large an envelope may be for its strings to be cut from a copy of it.
const maxText = 32 << 10

// cut returns body with null in place of the objects at the given spans. It is valid until the next cut.
func (e *envelopeReader) cut(body []byte, a, b span) []byte {
	if a.start > b.start {
		a, b = b, a
	}
	out := e.scratch[:0]
	from := int32(0)
	for _, s := range [...]span{a, b} {
		if !s.absent() {
			out = append(append(out, body[from:s.start]...), "null"...)
			from = s.end
		}
	}
	out = append(out, body[from:]...)
	if cap(out) <= maxText {
		e.scratch = out
	}
	return out
}

// start begins to read raw.
func (e *envelopeReader) start(raw []byte) {
	e.text, e.size, e.err = "", len(raw), nil
	if len(raw) <= maxText {
		e.text = string(raw)
	}
	e.buf = *bytes.NewBuffer(raw) // which the decoder reads without copying it
	if e.dec == nil {
		e.dec = new(jsontext.Decoder)
	}
	e.dec.Reset(&e.buf, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// release lets go of what was read, if it is too large to be kept until the next review.
func (e *envelopeReader) release() {
	e.dec, e.buf = nil, bytes.Buffer{}
}

// fail keeps err, the decoder's.
func (e *envelopeReader) fail(err error) {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		e.err = &BadReview{What: "the body is empty"}
		return
	}
	where := strings.ReplaceAll(strings.TrimPrefix(string(syntax.JSONPointer), "/"), "/", ".")
	e.err = &BadReview{
		Where: shortened(where),
		What:  fmt.Sprintf("the body is not JSON at byte %d of %d: %v", syntax.ByteOffset, e.size, syntax.Err),
	}
}

// shortened returns s, cut if it is too long for a message.
func shortened(s string) string {
	if len(s) > 128 {
		return s[:128] + "…"
	}
	return s
}

// wrong says that the value that comes next is not of the right kind.
func (e *envelopeReader) wrong(where, want string) {
	e.err = &BadReview{Where: where, What: fmt.Sprintf("it must be %s, not %s", want, kindName(e.dec.PeekKind()))}
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't', 'f':
		return "a boolean"
	}
	return "null"
}

// finish makes sure that there is nothing after the review.
func (e *envelopeReader) finish() {
	if e.err != nil {
		return
	}
	switch _, err := e.dec.ReadToken(); {
	case errors.Is(err, io.EOF):
	case err != nil:
		e.fail(err)
	default:
		e.err = &BadReview{What: fmt.Sprintf("there is something after the review, before byte %d", e.dec.InputOffset())}
	}
}

// value reads the next value, whatever it is.
func (e *envelopeReader) value() jsontext.Value {
	if e.err != nil {
		return nil
	}
	v, err := e.dec.ReadValue()
	if err != nil {
		e.fail(err)
		return nil
	}
	return v
}

// token reads what opens or closes an object or list.
func (e *envelopeReader) token() {
	if e.err == nil {
		if _, err := e.dec.ReadToken(); err != nil {
			e.fail(err)
		}
	}
}

// next reports whether there is another member or element, and reads the closing bracket if not.
func (e *envelopeReader) next() bool {
	if e.err != nil {
		return false
	}
	switch e.dec.PeekKind() {
	case '}', ']':
		e.token()
		return false
	}
	return true
}

// enter goes into the object or list that comes next. It reports false if there is null instead.
func (e *envelopeReader) enter(where string, open jsontext.Kind) bool {
	if e.err != nil {
		return false
	}
	switch e.dec.PeekKind() {
	case open:
		e.token()
		return e.err == nil
	case 'n':
		e.value()
	case jsontext.KindInvalid:
		e.value() // for its error
	default:
		e.wrong(where, kindName(open))
	}
	return false
}

// key reads the next member's name. It is valid until the next read.
func (e *envelopeReader) key() []byte {
	v := e.value()
	if e.err != nil {
		return nil
	}
	return unquoted(v)
}

// str reads a string into s; null leaves it.
func (e *envelopeReader) str(where string, s *string) {
	if e.err != nil {
		return
	}
	switch e.dec.PeekKind() {
	case '"':
	case 'n', jsontext.KindInvalid:
		e.value()
		return
	default:
		e.wrong(where, "a string")
		return
	}
	v := e.value()
	if e.err != nil {
		return
	}
	var text string
	if end := int(e.dec.InputOffset()) - 1; end < len(e.text) {
		text = e.text[end-len(v)+2 : end]
	} else {
		text = string(v[1 : len(v)-1])
	}
	if hasEscape(v) || !utf8.ValidString(text) {
		text = string([]rune(string(unquoted(v)))) // each wrong byte becomes U+FFFD
	}
	*s = text
}

func (e *envelopeReader) boolean(where string, b *bool) {
	if e.err != nil {
		return
	}
	switch e.dec.PeekKind() {
	case 't', 'f':
		*b = string(e.value()) == "true"
	case 'n', jsontext.KindInvalid:
		e.value()
	default:
		e.wrong(where, "a boolean")
	}
}
