package admission

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// MaxBody is the largest review that is read, in bytes. The API server takes objects of up to 3 MiB, and a review of an
// update holds two.
const MaxBody = 16 << 20

// Observer is told of every review once it is answered. Its methods must not block.
type Observer interface {
	Reviewed(phase Phase, resp *Response, took time.Duration)
	Refused(phase Phase, status int)
	Panicked(phase Phase, value any, stack []byte)
}

// Handler serves the reviews of one phase.
type Handler struct {
	Guard    *Guard
	Phase    Phase
	Observer Observer
	// Now is the clock, read once per request.
	Now func() time.Time
}

var _ http.Handler = (*Handler)(nil)

// exchange is the memory of a request and its answer, which others use after it.
type exchange struct {
	body, answer []byte
	resp         Response
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// maxKept is how large a body or answer may be for its memory to be kept.
const maxKept = 1 << 20

func (x *exchange) release() {
	writes := x.resp.Writes
	clear(writes)
	x.resp = Response{Writes: writes[:0]}
	if cap(x.body) <= maxKept && cap(x.answer) <= maxKept {
		exchanges.Put(x)
	}
}

// firstRead is how much room is made for a body at first.
const firstRead = 256 << 10

// ServeHTTP answers 200 with a verdict, or an HTTP error if there is none: 400, 405, 413, 415 for what is not a review,
// 500 if we failed. It never answers a fault of ours with a denial: the API server would block the write, whatever the
// webhook's failurePolicy says.
func (h *Handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	now := h.Now()
	defer h.rescue(w)
	x := exchanges.Get().(*exchange)
	defer x.release()
	status, err := x.read(w, req)
	if err != nil {
		h.refuse(w, status, err)
		return
	}
	if err := h.Guard.review(now, h.Phase, x.body, &x.resp); err != nil {
		h.refuse(w, http.StatusBadRequest, err)
		return
	}
	h.Observer.Reviewed(h.Phase, &x.resp, h.Now().Sub(now))
	x.answer = x.resp.AppendJSON(x.answer[:0])
	w.Header().Set("Content-Type", mediaType)
	// An error means that the API server is gone; there is nobody to tell.
	_, _ = w.Write(x.answer)
}

// rescue answers a panic.
func (h *Handler) rescue(w http.ResponseWriter) {
	if p := recover(); p != nil {
		h.Observer.Panicked(h.Phase, p, debug.Stack())
		http.Error(w, "truce: internal error", http.StatusInternalServerError)
	}
}

func (h *Handler) refuse(w http.ResponseWriter, status int, err error) {
	h.Observer.Refused(h.Phase, status)
	http.Error(w, "truce: "+err.Error(), status)
}

// mediaType is the content type of reviews.
const mediaType = "application/json"

// read reads the body. If that is not to be, the error says why, and the status goes with it.
func (x *exchange) read(w http.ResponseWriter, req *http.Request) (status int, err error) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed, fmt.Errorf("%s is not allowed here, only POST is", req.Method)
	}
	if given := req.Header.Get("Content-Type"); given != mediaType {
		if t, _, err := mime.ParseMediaType(given); err != nil || t != mediaType {
			return http.StatusUnsupportedMediaType, fmt.Errorf("the content type is %q, it must be %s", given, mediaType)
		}
	}
	if req.ContentLength > MaxBody {
		return http.StatusRequestEntityTooLarge, errTooLarge
	}
	// One more than is announced, so that the end is read without growing. What is announced is not believed at once:
	// a client that sends no more than headers must not take up megabytes.
	b := x.body[:0]
	if n := min(int(req.ContentLength)+1, firstRead); n > cap(b) {
		b = make([]byte, 0, n)
	}
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := req.Body.Read(b[len(b):min(cap(b), MaxBody+1)])
		b = b[:len(b)+n]
		x.body = b
		if n > 0 {
			// net/http told the connection's goroutine of this, and put it in line behind us. Let it go first: else another
			// thread comes for it, sleeping and waking, which costs two streams at once a tenth of all their time.
			runtime.Gosched()
		}
		switch {
		case len(b) > MaxBody:
			return http.StatusRequestEntityTooLarge, errTooLarge
		case errors.Is(err, io.EOF):
			return 0, nil
		case err != nil:
			return http.StatusBadRequest, fmt.Errorf("reading the body: %w", err)
		}
	}
}

var errTooLarge = fmt.Errorf("the body is larger than %d bytes", MaxBody)
