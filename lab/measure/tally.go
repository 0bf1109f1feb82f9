package measure

import (
	"context"
	"errors"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/truce-dev/truce/pkg/registration"
)

// Tally counts, from the client's side, what becomes of writes. It is safe for concurrent use.
type Tally struct {
	mu     sync.Mutex
	writes Writes
	told   []Told
}

// Writes are numbers of writes. Each one attempted is one of Stored, Held, Denied, Conflicts, Busy and Failed.
type Writes struct {
	Attempted int
	Stored    int // the resourceVersion changed
	Held      int // accepted, but the resourceVersion stayed
	Denied    int // by Truce
	Conflicts int // somebody else was faster
	Busy      int // the API server or the machine was too busy
	Failed    int
	Failure   error // the latest
}

// Told is something that clients were told, and how often.
type Told struct {
	Warning bool // or else an error
	Text    string
	Count   int

	kind  string // the text without what differs from object to object
	shown bool
}

// Wrote counts a write: what was sent, and what came back.
func (t *Tally) Wrote(sent, got metav1.Object, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := &t.writes
	w.Attempted++
	switch {
	case err == nil && got.GetResourceVersion() != sent.GetResourceVersion():
		w.Stored++
	case err == nil:
		w.Held++
	case DeniedByTruce(err):
		w.Denied++
		t.tellLocked(false, err.Error())
	case apierrors.IsConflict(err):
		w.Conflicts++
	case Transient(err):
		w.Busy++
	default:
		w.Failed++
		w.Failure = err
	}
}

// HandleWarningHeader notes a warning that came with an answer. client-go calls it before it returns the answer.
func (t *Tally) HandleWarningHeader(_ int, _, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tellLocked(true, text)
}

// DeniedByTruce reports whether an error is Truce's: a 429 or 403 of its webhook.
func DeniedByTruce(err error) bool {
	return (apierrors.IsTooManyRequests(err) || apierrors.IsForbidden(err)) &&
		strings.Contains(err.Error(), `admission webhook "`+registration.ValidatingName+`"`)
}

// Transient reports whether an error says that the API server or the machine was too busy: whoever tries again may well
// succeed.
func Transient(err error) bool {
	return err != nil && !DeniedByTruce(err) && (apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) ||
		apierrors.IsTooManyRequests(err) || errors.Is(err, context.DeadlineExceeded) ||
		strings.Contains(err.Error(), "etcdserver: request timed out")) // which has no reason of its own
}

// maxTold is how many kinds of messages are kept.
const maxTold = 4

func (t *Tally) tellLocked(warning bool, text string) {
	kind := withoutNumbers(text)
	for i := range t.told {
		if told := &t.told[i]; told.kind == kind && told.Warning == warning {
			told.Count++
			return
		}
	}
	if len(t.told) < maxTold {
		t.told = append(t.told, Told{Warning: warning, Text: text, Count: 1, kind: kind})
	}
}

// withoutNumbers makes messages equal that differ in counts and times only.
func withoutNumbers(text string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, text)
}

// Now returns the numbers so far.
func (t *Tally) Now() Writes {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.writes
}

// Untold returns what clients were told for the first time since it was last asked.
func (t *Tally) Untold() []Told {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []Told
	for i := range t.told {
		if told := &t.told[i]; !told.shown {
			told.shown = true
			list = append(list, *told)
		}
	}
	return list
}
