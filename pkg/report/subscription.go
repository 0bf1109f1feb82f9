package report

import (
	"slices"
	"sync/atomic"
)

// Subscription receives the turns of fights. Who does not keep up loses the newest ones, which are counted: the register
// never waits.
type Subscription struct {
	// C receives. It is closed by Close.
	C chan Update

	register *Register
	lost     atomic.Uint64
	closed   bool // under the register's lock
}

// Subscribe returns a subscription with room for so many updates.
func (r *Register) Subscribe(room int) *Subscription {
	s := &Subscription{C: make(chan Update, room), register: r}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subs = append(r.subs, s)
	return s
}

// Lost returns how many updates found no room.
func (s *Subscription) Lost() uint64 { return s.lost.Load() }

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() {
	r := s.register
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	r.subs = slices.DeleteFunc(slices.Clone(r.subs), func(o *Subscription) bool { return o == s })
	close(s.C)
}

func (s *Subscription) send(u Update) {
	select {
	case s.C <- u:
	default:
		s.lost.Add(1)
	}
}
