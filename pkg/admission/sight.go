package admission

import (
	"strconv"
	"time"

	"github.com/truce-dev/truce/pkg/policy"
)

// Sight is a write of which only the outcome is seen, by a watch: what admission is never asked about. Who wrote is known
// as far as managedFields tell.
type Sight struct {
	// Operation is CREATE, UPDATE or DELETE.
	Operation                string
	Group, Version, Resource string
	Kind, Namespace, Name    string
	// Old and New are the objects before and after, as JSON.
	Old, New []byte
}

// Observe judges a write that has been stored already, at now. It teaches the history as a review does, and nothing that
// comes of it stops anything.
func (g *Guard) Observe(now time.Time, s Sight) (resp Response, err error) {
	v := g.visits.Get().(*visit)
	v.now, v.phase, v.policy, v.sight = now, Validating, g.policy.Load(), true
	v.request = Request{
		Group: s.Group, Version: s.Version, Resource: s.Resource, Kind: s.Kind, Namespace: s.Namespace, Name: s.Name,
		Operation: s.Operation, Object: s.New, OldObject: s.Old, reader: v.request.reader,
	}
	if err = v.judge(); err == nil {
		v.respond(&resp)
	}
	if v.reset() {
		g.visits.Put(v)
	}
	return resp, err
}

// id tells requests apart. A write that was seen is known by what it made: a watch that begins anew may tell of it again.
func (v *visit) id() string {
	if !v.sight {
		return v.request.UID
	}
	m := &v.new
	if v.request.Operation == "DELETE" {
		m = &v.old
	}
	return m.UID + "/" + v.request.Operation + "/" + strconv.FormatUint(m.ResourceVersion, 10)
}

// mode returns what may be done at most.
func (v *visit) mode() policy.Mode {
	if v.sight {
		return policy.Audit
	}
	return v.policy.File.Mode
}
