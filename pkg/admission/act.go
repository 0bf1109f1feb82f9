package admission

import (
	"time"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// Release ends the fight over a field, as a person decides. It reports whether there was one.
func (g *Guard) Release(now time.Time, k history.Key, path string) (ok bool) {
	g.store.Update(k, func(o *history.Object) {
		if f := o.Field([]byte(path)); f != nil {
			_, ok = policy.Release(now, f)
		}
	})
	return ok
}

// Pin makes the truce over a field last until a given time, as a person decides. It reports whether there is a fight.
func (g *Guard) Pin(now, until time.Time, k history.Key, path string) (ok bool) {
	g.store.Update(k, func(o *history.Object) {
		if f := o.Field([]byte(path)); f != nil {
			ok = policy.Pin(now, until, f)
		}
	})
	return ok
}
