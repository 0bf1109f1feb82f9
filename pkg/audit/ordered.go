package audit

import (
	"context"
	"runtime"
	"sync"
)

// Ordered reads all of the input and calls fn, from one goroutine, in the order of time, with the events that Filter wants
// and for which wants, which is called by several goroutines, reports true. An event is valid until fn returns. If ctx
// ends, so does Ordered, without an error, once what was read by then was handed on.
//
// Events are in order within a log but for a few moments, since requests that end at the same time write to it by chance:
// window puts those right. Several logs are merged.
func (in *Input) Ordered(ctx context.Context, wants func(*Event) bool, fn func(*Event)) error {
	return in.batches(ctx, func() func(*Event) bool { return wants }, func(b *batch) {
		for _, e := range b.events {
			fn(e)
		}
		b.release()
	})
}

// batches is Ordered with many events at once, which fn releases when they are no longer of use. Each goroutine that
// decodes has a wants of its own.
func (in *Input) batches(ctx context.Context, each func() func(*Event) bool, fn func(*batch)) error {
	in.heed(ctx)
	n := runtime.GOMAXPROCS(0)
	work := make(chan *parsed, n)
	var workers, readers sync.WaitGroup
	for range n {
		wants := each()
		workers.Go(func() {
			for p := range work {
				p.parse(in, wants)
				close(p.done)
			}
		})
	}
	heads := make([]*head, len(in.sets))
	for i := range in.sets {
		h := &head{queue: make(chan *parsed, max(1, 2*n/len(in.sets)))}
		heads[i] = h
		readers.Go(func() {
			defer close(h.queue)
			for j := range in.sets[i].files {
				if ctx.Err() != nil {
					return
				}
				if err := in.sets[i].files[j].split(&in.read, h.send(ctx, work)); err != nil {
					h.err = err
					return
				}
			}
		})
	}
	w := window{fn: fn}
	for {
		var first *head
		for _, h := range heads {
			if h.peek() && (first == nil || h.event().Done < first.event().Done) {
				first = h
			}
		}
		if first == nil {
			break
		}
		w.add(first.event(), first.current.block)
		first.next++
	}
	w.flush()
	readers.Wait()
	close(work)
	workers.Wait()
	for _, h := range heads {
		if h.err != nil {
			return h.err
		}
	}
	return nil
}

// parsed is a block whose events are decoded, or will be once done is closed.
type parsed struct {
	block *block
	done  chan struct{}
}

func (p *parsed) parse(in *Input, wants func(*Event) bool) {
	var e Event
	seen := int64(0)
	p.block.decode(&e, &in.Problems, func(e *Event) {
		seen++
		switch {
		case !in.Filter.Wants(e) || !wants(e):
		case !e.find(): // here, where many do so at once
			in.Problems.add(e.At, errNotJSON)
		default:
			p.block.events = append(p.block.events, *e)
		}
	})
	in.seen.Add(seen)
}

// head is where one set has got to.
type head struct {
	queue   chan *parsed // in the order of the set
	current *parsed
	next    int // index into the events of current
	err     error
}

// send returns a function that has a block parsed, and puts it into the queue. It reports false once ctx ended.
func (h *head) send(ctx context.Context, work chan<- *parsed) func(*block) bool {
	return func(b *block) bool {
		p := &parsed{block: b, done: make(chan struct{})}
		h.queue <- p
		work <- p
		return ctx.Err() == nil
	}
}

// peek waits for the set's next event, and reports false at its end.
func (h *head) peek() bool {
	for {
		if h.current != nil {
			if h.next < len(h.current.block.events) {
				return true
			}
			h.current.block.release()
			h.current, h.next = nil, 0
		}
		p, ok := <-h.queue
		if !ok {
			return false
		}
		<-p.done
		h.current = p
	}
}

func (h *head) event() *Event { return &h.current.block.events[h.next] }
