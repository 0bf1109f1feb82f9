package audit

import (
	"slices"
	"sync"
	"sync/atomic"
)

// The window's bounds: what is further apart than any of them is not put in order.
const (
	windowTime   = 2_000_000 // microseconds
	windowEvents = 256
	windowBlocks = 8
)

// batchEvents is how many events are handed on at once, unless they are in too many blocks.
const batchEvents = 128

// batch is some events in order, which stay valid until each of its holders has released it.
type batch struct {
	events  []*Event
	blocks  []*block // that they are in
	holders atomic.Int32
}

var batches = sync.Pool{New: func() any { return new(batch) }}

func newBatch() *batch {
	b := batches.Get().(*batch)
	b.holders.Store(1)
	return b
}

func (b *batch) add(e *Event, in *block) {
	b.events = append(b.events, e)
	if !slices.Contains(b.blocks, in) {
		in.refs.Add(1)
		b.blocks = append(b.blocks, in)
	}
}

// hold adds a holder.
func (b *batch) hold() { b.holders.Add(1) }

// release lets go of the batch for one holder. The last one to do so must not use its events any more.
func (b *batch) release() {
	if b.holders.Add(-1) > 0 {
		return
	}
	for _, in := range b.blocks {
		in.release()
	}
	clear(b.events)
	clear(b.blocks)
	b.events, b.blocks = b.events[:0], b.blocks[:0]
	batches.Put(b)
}

// window puts events in order that are out of it by a little, and hands them on in batches.
type window struct {
	fn     func(*batch) // releases it
	events []windowed   // by time
	blocks int          // that the events are in
	next   *batch       // in order, about to be handed on
}

type windowed struct {
	*Event
	block *block
}

// add takes an event, which is kept with its block until its turn comes, and hands on those that have waited for long
// enough.
func (w *window) add(e *Event, b *block) {
	if b.held == 0 {
		b.refs.Add(1)
		w.blocks++
	}
	b.held++
	w.events = append(w.events, windowed{})
	i := len(w.events) - 1
	for ; i > 0 && w.events[i-1].Done > e.Done; i-- {
		w.events[i] = w.events[i-1]
	}
	w.events[i] = windowed{e, b}
	newest := w.events[len(w.events)-1].Done
	for len(w.events) > windowEvents || w.blocks > windowBlocks && len(w.events) > 0 || newest-w.events[0].Done > windowTime {
		w.pop()
	}
}

// pop moves the oldest event to the batch.
func (w *window) pop() {
	oldest := w.events[0]
	w.events[0] = windowed{}
	w.events = w.events[1:]
	if w.next == nil {
		w.next = newBatch()
	}
	w.next.add(oldest.Event, oldest.block)
	if b := oldest.block; b.held == 1 {
		b.held = 0
		w.blocks--
		b.release()
	} else {
		b.held--
	}
	if len(w.next.events) >= batchEvents || len(w.next.blocks) >= windowBlocks {
		w.hand()
	}
}

// hand hands the batch on.
func (w *window) hand() {
	if b := w.next; b != nil {
		w.next = nil
		w.fn(b)
	}
}

func (w *window) flush() {
	for len(w.events) > 0 {
		w.pop()
	}
	w.hand()
}
