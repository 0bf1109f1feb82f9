// Package admission is Truce's core on the wire side: an AdmissionReview comes in, an AdmissionResponse goes out.
//
// A Guard decodes the review, works out which fields the write changes, teaches the history what was stored and what
// is proposed now, asks the policy for a verdict on each contested field, and answers. Its Handler serves that over
// HTTP. Whatever goes wrong on our side is an HTTP error, never a denial: the webhook's failurePolicy decides then.
package admission

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// Phase is which of the two webhooks a review came through.
type Phase uint8

// The phases. An update passes the mutating webhook first, which alone can hold a field, and the validating one right
// before it is stored. Only the latter is a write; the API server may call the former several times for it.
const (
	Mutating Phase = iota
	Validating
)

// String returns the phase's name, a metric label.
func (p Phase) String() string {
	if p == Mutating {
		return "mutating"
	}
	return "validating"
}

// BreakGlass is the annotation that exempts an object until the time it names (RFC 3339).
const BreakGlass = "truce.dev/exempt-until"

// Guard reviews writes. It is safe for concurrent use.
type Guard struct {
	// Journal: responses tell of every write that rules watch, not only of contested ones. Not to be changed once there
	// are reviews.
	Journal bool

	store  *history.Store
	pairs  *history.Pairs
	hasher history.Hasher
	policy atomic.Pointer[policy.Policy]
	visits sync.Pool
}

// NewGuard returns a Guard that judges by p and remembers in s, whose bounds become those of p. The values it remembers
// are hashed with h.
func NewGuard(p *policy.Policy, s *history.Store, h history.Hasher) *Guard {
	g := &Guard{store: s, pairs: history.NewPairs(), hasher: h}
	g.SetPolicy(p)
	g.visits.New = func() any { return newVisit(g) }
	return g
}

// SetPolicy makes p the policy in force. Reviews under way end under the one they began with; histories and fights stay.
func (g *Guard) SetPolicy(p *policy.Policy) {
	g.store.SetBounds(Bounds(p))
	g.policy.Store(p)
}

// Policy returns the policy in force.
func (g *Guard) Policy() *policy.Policy { return g.policy.Load() }

// Bounds returns the bounds that a policy sets for its history.
func Bounds(p *policy.Policy) history.Bounds {
	h := p.File.History
	b := history.Bounds{
		Objects: h.Objects, Fields: h.FieldsPerObject, States: h.StatesPerField, Writers: h.WritersPerObject,
		Memory: time.Duration(h.Memory),
	}
	for _, r := range p.File.Rules {
		b.RunGap = max(b.RunGap, time.Duration(r.Detect.Loops.Within))
	}
	return b
}

// Review judges one AdmissionReview at now. The error is a *BadReview: the body is not one, and nothing was learnt.
// The response may point into body.
func (g *Guard) Review(now time.Time, phase Phase, body []byte) (resp Response, err error) {
	err = g.review(now, phase, body, &resp)
	return resp, err
}

// Judge is Review for a write that was decoded elsewhere, such as one in an audit log. Nothing of r is kept.
func (g *Guard) Judge(now time.Time, phase Phase, r *Request) (resp Response, err error) {
	v := g.visits.Get().(*visit)
	v.now, v.phase, v.policy = now, phase, g.policy.Load()
	reader := v.request.reader
	v.request = *r
	if err = v.judge(); err == nil {
		v.respond(&resp)
	}
	v.request = Request{reader: reader} // its groups are r's, and must not be used again
	if v.reset() {
		g.visits.Put(v)
	}
	return resp, err
}

// review is Review into resp, which is empty. The frames from here to the diff are kept small: the goroutine of a request
// begins with a small stack, and to grow it takes longer than to decode a small review (docs/benchmarks.md).
func (g *Guard) review(now time.Time, phase Phase, body []byte, resp *Response) error {
	v := g.visits.Get().(*visit)
	v.now, v.phase, v.policy = now, phase, g.policy.Load()
	err := v.review(body, resp)
	if v.reset() { // not deferred: a visit that panicked is not used again
		g.visits.Put(v)
	}
	return err
}
