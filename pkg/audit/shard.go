package audit

import (
	"runtime"
	"sync"
)

// maxShards bounds how many goroutines judge writes. Each remembers objects of its own.
const maxShards = 8

// shardQueue is how many batches may wait for a shard: the others go on meanwhile.
const shardQueue = 2

// shards spreads events over goroutines by resource: what is known of objects of one resource never depends on those of
// another, so that the result is the same however many there are.
type shards struct {
	of   map[resource]int
	load []int64 // bytes of events so far
	// queues have, for each shard, what it is to take, in order.
	queues  []chan share
	next    []share
	running sync.WaitGroup
}

type resource struct{ group, name string }

// share is what of a batch is for one shard.
type share struct {
	batch  *batch
	events []*Event
}

// shares of which the events were taken, for use again.
var shares = sync.Pool{New: func() any { return new([]*Event) }}

// shardCount returns how many shards there are to be.
func shardCount() int { return min(runtime.GOMAXPROCS(0), maxShards) }

// newShards returns shards that hand their events to one function each, until they are told to finish.
func newShards(fns []func(*Event)) *shards {
	s := &shards{of: make(map[resource]int), load: make([]int64, len(fns)), next: make([]share, len(fns))}
	for _, fn := range fns {
		queue := make(chan share, shardQueue)
		s.queues = append(s.queues, queue)
		s.running.Go(func() {
			for one := range queue {
				for _, e := range one.events {
					fn(e)
				}
				clear(one.events)
				one.events = one.events[:0]
				shares.Put(&one.events)
				one.batch.release()
			}
		})
	}
	return s
}

// play hands a batch to the shards, and waits only for those that are behind.
func (s *shards) play(b *batch) {
	for _, e := range b.events {
		i := s.shardOf(e)
		s.load[i] += int64(len(e.Raw))
		if s.next[i].batch == nil {
			s.next[i] = share{b, *shares.Get().(*[]*Event)}
			b.hold()
		}
		s.next[i].events = append(s.next[i].events, e)
	}
	for i, one := range s.next {
		if one.batch != nil {
			s.next[i] = share{}
			s.queues[i] <- one
		}
	}
	b.release()
}

// finish waits until all that was handed over was taken.
func (s *shards) finish() {
	for _, q := range s.queues {
		close(q)
	}
	s.running.Wait()
}

// shardOf returns the shard of the event's resource: that with the least to do so far, when it is new.
func (s *shards) shardOf(e *Event) int {
	if i, ok := s.of[resource{string(e.Object.Group), string(e.Object.Resource)}]; ok {
		return i
	}
	least := 0
	for i, load := range s.load {
		if load < s.load[least] {
			least = i
		}
	}
	s.of[resource{string(e.Object.Group), string(e.Object.Resource)}] = least
	return least
}
