package stage

import (
	"fmt"
	"strings"
)

// Action is what Truce does in a run of a scene.
type Action string

// The actions, in the order in which they are shown.
const (
	Calm     Action = "calm"    // nobody fights, and Truce is not there
	Without  Action = "without" // a fight without Truce
	Warn     Action = "warn"
	Throttle Action = "throttle"
	Reject   Action = "reject"
	Hold     Action = "hold"
	Late     Action = "late" // Truce is switched on in the middle of the fight, and holds
)

var titles = map[Action]string{
	Calm: "Calm", Without: "No Truce", Warn: "Warn", Throttle: "Throttle", Reject: "Reject", Hold: "Hold", Late: "Hold, late",
}

// Title is its name in tables.
func (a Action) Title() string { return titles[a] }

// Fights reports whether anybody fights.
func (a Action) Fights() bool { return a != Calm }

// Enforced reports whether Truce acts from the beginning on.
func (a Action) Enforced() bool { return a == Throttle || a == Reject || a == Hold }

// Registered reports whether Truce is there from the beginning on.
func (a Action) Registered() bool { return a == Warn || a.Enforced() }

// ParseAction reads the name of one of those allowed.
func ParseAction(name string, allowed []Action) (Action, error) {
	names := make([]string, len(allowed))
	for i, a := range allowed {
		if strings.EqualFold(name, string(a)) {
			return a, nil
		}
		names[i] = string(a)
	}
	return "", fmt.Errorf("there is no action %q here: give %s", name, strings.Join(names, ", "))
}
