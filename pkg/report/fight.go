package report

import (
	"time"

	"github.com/truce-dev/truce/pkg/policy"
)

// Fight is a fight or a loop over one field of one object, as it is now. A fight that ended and began again is the same
// one: its id is made of the object and the field, so that all replicas agree on it.
type Fight struct {
	// ID is "f-" and 12 hexadecimal digits.
	ID string `json:"id"`
	// Kind is fight, or loop: one writer churning, nobody undone.
	Kind   string `json:"kind"`
	Object Object `json:"object"`
	// Field is the field's path; $exists is the object's existence. It is empty for writes that changed nothing.
	Field string `json:"field,omitzero"`
	// Signal is how it was found: see docs/detection.md.
	Signal string        `json:"signal"`
	Rule   string        `json:"rule"`
	Mode   policy.Mode   `json:"mode"`
	Action policy.Action `json:"action"`
	// Parties fight; at most as many as the history tells apart.
	Parties []Writer `json:"parties"`
	State   State    `json:"state"`
	// Reversals are writes that undid another one, attempts that were stopped included. Writes are all that changed the
	// field, or tried to, since FirstSeen.
	Reversals int       `json:"reversals"`
	Writes    int       `json:"writes"`
	Prevented Prevented `json:"prevented"`
	// RatePerMinute is how often the field was written lately, attempts included.
	RatePerMinute float64 `json:"ratePerMinute"`
	// FirstSeen is the first write that counts towards it, Detected when it was found, LastSeen its last write.
	FirstSeen time.Time `json:"firstSeen"`
	Detected  time.Time `json:"detected"`
	LastSeen  time.Time `json:"lastSeen"`
	// Until is when the truce ends, or, while Probing, when the probe will have stood for long enough.
	Until time.Time `json:"until,omitzero"`
	Ended time.Time `json:"ended,omitzero"`
	// ObservedOnly: admission never sees these writes; a watch reported them, and nothing can be done about them.
	ObservedOnly bool `json:"observedOnly,omitzero"`
	// Turns are its first and its latest turns, oldest first.
	Turns []Turn `json:"turns,omitzero"`
}

// State is how a fight stands: one of a closed set.
type State string

// The states.
const (
	Open    State = "Open"    // the truce lasts
	Probing State = "Probing" // one change was let through to see whether it is undone
	Ended   State = "Ended"
	Noticed State = "Noticed" // a loop, which goes on
)

// Active reports whether it goes on.
func (s State) Active() bool { return s != Ended && s != "" }

// Prevented is how many writes, or changes of the field in them, were not stored.
type Prevented struct {
	Throttled int `json:"throttled"`
	Rejected  int `json:"rejected"`
	Held      int `json:"held"`
}

// Total returns the sum.
func (p Prevented) Total() int { return p.Throttled + p.Rejected + p.Held }

// Turn is a turning point of a fight.
type Turn struct {
	Time time.Time   `json:"time"`
	Turn policy.Turn `json:"turn"`
	// Until is when the truce that this turn begins ends, or the probe will have stood for long enough.
	Until time.Time `json:"until,omitzero"`
	// By is the user who made it, if a person did.
	By string `json:"by,omitzero"`
}

// Object names an object. A name that ends in * stands for the objects whose names are generated from it.
type Object struct {
	Group     string `json:"group"`
	Resource  string `json:"resource"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String returns the object as kubectl takes it, without the namespace: serviceaccounts/web.
func (o Object) String() string {
	if o.Group == "" {
		return o.Resource + "/" + o.Name
	}
	return o.Resource + "." + o.Group + "/" + o.Name
}

// Writer is who wrote. What is not known is left out.
type Writer struct {
	User    string `json:"user,omitzero"`
	Manager string `json:"manager,omitzero"`
	Pod     string `json:"pod,omitzero"`
}
