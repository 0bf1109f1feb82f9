package report

import (
	"errors"
	"fmt"
	"time"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// Breaker is what acts upon fights: an admission.Guard.
type Breaker interface {
	Release(now time.Time, k history.Key, path string) bool
	Pin(now, until time.Time, k history.Key, path string) bool
}

// What keeps a person from acting upon a fight.
var (
	ErrNoFight      = errors.New("there is no such fight here")
	ErrNotFoughtFor = errors.New("nothing is held down: it is a loop, is only observed, or has ended")
)

// MaxHold is how long a person may make a truce last.
const MaxHold = 7 * 24 * time.Hour

// Release ends the truce and the fight with this id: its parties have to be found fighting anew.
func (r *Register) Release(b Breaker, now time.Time, id, by string) (Fight, error) {
	return r.act(id, now, func(e *entry) error {
		if !e.State.Active() || e.State == Noticed {
			return ErrNotFoughtFor
		}
		b.Release(now, e.place.key, e.place.path) // false if it ended, or was forgotten, meanwhile
		e.end(now)
		r.turn(e, now, policy.Released, by)
		return nil
	})
}

// Hold makes the truce last until a given time, at most MaxHold away.
func (r *Register) Hold(b Breaker, now, until time.Time, id, by string) (Fight, error) {
	if d := until.Sub(now); d <= 0 || d > MaxHold {
		return Fight{}, fmt.Errorf("a truce can be held for up to %v, not for %v", MaxHold, d)
	}
	return r.act(id, now, func(e *entry) error {
		if !e.State.Active() || e.State == Noticed || e.ObservedOnly || !b.Pin(now, until, e.place.key, e.place.path) {
			return ErrNotFoughtFor
		}
		e.State, e.Until = Open, at(until)
		r.turn(e, now, policy.Pinned, by)
		return nil
	})
}

func (r *Register) act(id string, now time.Time, do func(*entry) error) (Fight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.find(id)
	if e == nil {
		return Fight{}, ErrNoFight
	}
	if err := do(e); err != nil {
		return Fight{}, err
	}
	return e.tell(now), nil
}
