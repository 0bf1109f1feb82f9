package browser

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"
)

// The JSON of the API, as the page meets it.
type (
	fights struct {
		Items []*fight `json:"items"`
	}
	changes struct {
		Items     []change `json:"items"`
		Truncated bool     `json:"truncated,omitzero"`
	}
	fight struct {
		ID            string         `json:"id"`
		Kind          string         `json:"kind"`
		Object        object         `json:"object"`
		Field         string         `json:"field,omitzero"`
		Signal        string         `json:"signal"`
		Rule          string         `json:"rule"`
		Mode          string         `json:"mode"`
		Action        string         `json:"action"`
		Parties       []writer       `json:"parties"`
		State         string         `json:"state"`
		Reversals     int            `json:"reversals"`
		Writes        int            `json:"writes"`
		Prevented     map[string]int `json:"prevented"`
		RatePerMinute float64        `json:"ratePerMinute"`
		FirstSeen     time.Time      `json:"firstSeen"`
		Detected      time.Time      `json:"detected"`
		LastSeen      time.Time      `json:"lastSeen"`
		Until         time.Time      `json:"until,omitzero"`
		Ended         time.Time      `json:"ended,omitzero"`
		ObservedOnly  bool           `json:"observedOnly,omitzero"`
		Turns         []turn         `json:"turns,omitzero"`
	}
	turn struct {
		Time  time.Time `json:"time"`
		Turn  string    `json:"turn"`
		Until time.Time `json:"until,omitzero"`
		By    string    `json:"by,omitzero"`
	}
	object struct {
		Group     string `json:"group"`
		Resource  string `json:"resource"`
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	}
	writer struct {
		User    string `json:"user,omitzero"`
		Manager string `json:"manager,omitzero"`
		Pod     string `json:"pod,omitzero"`
	}
	change struct {
		Time      time.Time `json:"time"`
		Object    object    `json:"object"`
		Field     string    `json:"field"`
		Writer    writer    `json:"writer"`
		Verb      string    `json:"verb"`
		From      string    `json:"from"`
		To        string    `json:"to"`
		FromValue string    `json:"fromValue,omitzero"`
		ToValue   string    `json:"toValue,omitzero"`
		Reversal  bool      `json:"reversal,omitzero"`
		Outcome   string    `json:"outcome"`
		Fight     string    `json:"fight,omitzero"`
	}
)

var (
	archetype = writer{User: "system:serviceaccount:archetype:controller"}
	argocd    = writer{User: "system:serviceaccount:argocd:argocd-application-controller", Manager: "argocd-controller"}
	hpa       = writer{User: "system:serviceaccount:kube-system:horizontal-pod-autoscaler", Manager: "kube-controller-manager"}
	flux      = writer{User: "system:serviceaccount:flux-system:kustomize-controller", Manager: "kustomize-controller", Pod: "kustomize-controller-6c9f8d-x2x7b"}
	operator  = writer{User: "system:serviceaccount:db:postgres-operator", Manager: "postgres-operator"}
	person    = writer{User: "ana@example.com", Manager: "kubectl-edit"}
)

// scene is a cluster's fights and changes, and the present that they are told at.
type scene struct {
	now     time.Time
	fights  []*fight
	changes []change
}

func hash(value string) string {
	if value == "absent" || value == "present" {
		return value
	}
	h := fnv.New64a()
	h.Write([]byte(value))
	return fmt.Sprintf("%016x", h.Sum64()*0x9e3779b97f4a7c15)
}

// write adds a write of f's field to the scene, with what it does to f's counts.
func (s *scene) write(f *fight, at time.Time, by writer, from, to string, reversal bool, outcome string) {
	c := change{
		Time: at.Truncate(time.Millisecond), Object: f.Object, Field: f.Field, Writer: by, Verb: "UPDATE",
		From: hash(from), To: hash(to), Reversal: reversal, Outcome: outcome, Fight: f.ID,
	}
	s.changes = append(s.changes, c)
	f.Writes++
	if reversal {
		f.Reversals++
	}
	switch outcome {
	case "Held":
		f.Prevented["held"]++
	case "Throttled":
		f.Prevented["throttled"]++
	case "Rejected":
		f.Prevented["rejected"]++
	}
	f.LastSeen = c.Time
}

// cluster is a cluster in trouble: a controller that fights itself and is held, two that fight over replicas, a ring of
// three under probe, a loop, a fight that is over, and writes in peace.
func cluster(now time.Time) *scene {
	s := &scene{now: now.Truncate(time.Millisecond)}
	s.signature()
	s.replicas()
	s.ring()
	s.loop()
	s.over()
	s.peace()
	slices.SortFunc(s.changes, func(a, b change) int { return a.Time.Compare(b.Time) })
	return s
}

func (s *scene) add(f *fight) *fight {
	f.Prevented = map[string]int{"throttled": 0, "rejected": 0, "held": 0}
	if f.Kind == "" {
		f.Kind = "fight"
	}
	s.fights = append(s.fights, f)
	return f
}

func (s *scene) signature() {
	f := s.add(&fight{
		ID: "f-7c1e0b52a9d4", Object: object{Resource: "serviceaccounts", Namespace: "shop", Name: "checkout"},
		Field: "metadata.annotations[archetype.example.com/signature]", Signal: "SelfReversal", Rule: "service-accounts",
		Mode: "Enforce", Action: "Hold", Parties: []writer{archetype}, State: "Open", RatePerMinute: 31,
		FirstSeen: s.now.Add(-200 * time.Second),
	})
	values := []string{"server", "worker"}
	stored, at := "worker", f.FirstSeen
	truce := time.Time{}
	for i := 0; at.Before(s.now); i++ {
		next := values[i%2]
		switch {
		case at.Before(truce):
			if next != stored {
				s.write(f, at, archetype, stored, next, true, "Held")
			}
		default:
			s.write(f, at, archetype, stored, next, i > 1, "Stored")
			stored = next
			if f.Detected.IsZero() && f.Reversals == 8 {
				f.Detected, truce = at, at.Add(60*time.Second)
				f.Turns = append(f.Turns, turn{Time: at, Turn: "Started", Until: truce})
			} else if !f.Detected.IsZero() && f.Until.IsZero() {
				f.Turns = append(f.Turns, turn{Time: at, Turn: "Probed", Until: at.Add(60 * time.Second)})
				next := at.Add(1700 * time.Millisecond)
				truce = next.Add(2 * time.Minute)
				f.Turns = append(f.Turns, turn{Time: next, Turn: "Resumed", Until: truce})
				f.Until = truce
			}
		}
		at = at.Add(time.Duration(1800+(i%5)*90) * time.Millisecond)
	}
}

func (s *scene) replicas() {
	f := s.add(&fight{
		ID: "f-15fe20c3b7aa", Object: object{Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web"},
		Field: "spec.replicas", Signal: "Reversal", Rule: "replicas", Mode: "Enforce", Action: "Throttle",
		Parties: []writer{argocd, hpa}, State: "Open", RatePerMinute: 6.2, FirstSeen: s.now.Add(-11 * time.Minute),
	})
	at := f.FirstSeen
	for i := 0; at.Before(s.now); i++ {
		by, from, to := hpa, "3", "5"
		if i%2 == 1 {
			by, from, to = argocd, "5", "3"
		}
		outcome := "Stored"
		if !f.Detected.IsZero() && i%6 != 0 && i%6 != 3 {
			outcome = "Throttled"
		}
		s.write(f, at, by, from, to, i > 0, outcome)
		c := &s.changes[len(s.changes)-1]
		c.FromValue, c.ToValue = from, to
		if f.Reversals == 3 && f.Detected.IsZero() {
			f.Detected, f.Until = at, at.Add(11*time.Minute)
			f.Turns = append(f.Turns, turn{Time: at, Turn: "Started", Until: f.Until})
		}
		at = at.Add(time.Duration(8+(i*5)%7) * time.Second)
	}
}

func (s *scene) ring() {
	f := s.add(&fight{
		ID: "f-b00c4e91f6d2", Object: object{Resource: "configmaps", Namespace: "db", Name: "postgres-settings"},
		Field: "data[max_connections]", Signal: "Reversal", Rule: "everything-else", Mode: "Enforce", Action: "Reject",
		Parties: []writer{flux, operator, person}, State: "Probing", RatePerMinute: 0.4, FirstSeen: s.now.Add(-70 * time.Minute),
	})
	by := []writer{flux, operator, person}
	values := []string{"100", "200", "150"}
	at := f.FirstSeen
	for i := 0; at.Before(s.now.Add(-4 * time.Minute)); i++ {
		outcome := "Stored"
		if !f.Detected.IsZero() {
			outcome = "Rejected"
		}
		s.write(f, at, by[i%3], values[(i+2)%3], values[i%3], i > 2, outcome)
		if f.Reversals == 4 && f.Detected.IsZero() {
			f.Detected = at
			f.Turns = append(f.Turns, turn{Time: at, Turn: "Started", Until: at.Add(20 * time.Minute)},
				turn{Time: at.Add(22 * time.Minute), Turn: "Pinned", Until: at.Add(36 * time.Minute), By: "ana@example.com"})
		}
		at = at.Add(time.Duration(100+(i*37)%160) * time.Second)
	}
	f.Until = s.now.Add(7 * time.Minute)
	f.Turns = append(f.Turns, turn{Time: s.now.Add(-3 * time.Minute), Turn: "Probed", Until: f.Until})
	s.write(f, s.now.Add(-3*time.Minute), flux, "150", "100", true, "Stored")
}

func (s *scene) loop() {
	f := s.add(&fight{
		ID: "f-0a93d5e8c114", Kind: "loop", Object: object{Group: "networking.k8s.io", Resource: "ingresses", Namespace: "edge", Name: "storefront"},
		Signal: "IneffectiveLoop", Rule: "everything-else", Mode: "Warn", Action: "Throttle", ObservedOnly: false,
		Parties: []writer{{User: "system:serviceaccount:edge:normaliser"}}, State: "Noticed", RatePerMinute: 58,
		FirstSeen: s.now.Add(-3 * time.Minute), Detected: s.now.Add(-2 * time.Minute),
	})
	for at := f.FirstSeen; at.Before(s.now); at = at.Add(1030 * time.Millisecond) {
		s.write(f, at, f.Parties[0], "same", "same", false, "Warned")
	}
	f.Turns = []turn{{Time: f.Detected, Turn: "Noticed"}}
}

func (s *scene) over() {
	f := s.add(&fight{
		ID: "f-e2d7710fa35b", Object: object{Group: "networking.k8s.io", Resource: "networkpolicies", Namespace: "payments", Name: "default-deny"},
		Field: "$exists", Signal: "Reversal", Rule: "everything-else", Mode: "Warn", Action: "Throttle",
		Parties: []writer{{User: "system:serviceaccount:security:policy-maker", Manager: "maker"}, {User: "system:serviceaccount:ops:cleaner", Pod: "cleaner-7d4f"}},
		State:   "Ended", FirstSeen: s.now.Add(-5 * time.Hour),
	})
	at := f.FirstSeen
	for i := range 14 {
		by, from, to := f.Parties[0], "absent", "present"
		if i%2 == 1 {
			by, from, to = f.Parties[1], "present", "absent"
		}
		s.write(f, at, by, from, to, i > 1, "Warned")
		if f.Detected.IsZero() && f.Reversals == 3 {
			f.Detected = at
			f.Turns = append(f.Turns, turn{Time: at, Turn: "Started", Until: at.Add(5 * time.Minute)})
		}
		at = at.Add(time.Duration(35+(i*11)%20) * time.Second)
	}
	f.Ended = at.Add(14 * time.Minute)
	f.Turns = append(f.Turns, turn{Time: f.Ended, Turn: "Ended"})
}

// peace adds writes that nobody minds.
func (s *scene) peace() {
	add := func(ago time.Duration, resource, group, namespace, name, field string, by writer, from, to string) {
		s.changes = append(s.changes, change{
			Time: s.now.Add(-ago).Truncate(time.Millisecond), Object: object{group, resource, namespace, name}, Field: field,
			Writer: by, Verb: "UPDATE", From: hash(from), To: hash(to), Outcome: "Stored",
		})
	}
	for i := range 12 {
		add(time.Duration(50-4*i)*time.Minute, "deployments", "apps", "billing", "invoices", "spec.template.spec.containers[name=api].image",
			argocd, fmt.Sprint("v1.", i), fmt.Sprint("v1.", i+1))
	}
	add(42*time.Minute, "deployments", "apps", "shop", "web", "metadata.labels[team]", person, "absent", "storefront")
	add(17*time.Minute, "services", "", "edge", "gateway", "spec.ports[port=443].nodePort", flux, "31000", "31443")
	add(6*time.Minute, "configmaps", "", "db", "postgres-settings", "data[work_mem]", operator, "4MB", "16MB")
}

// crowd is one fight with n writes within the last hour.
func crowd(now time.Time, n int) *scene {
	s := &scene{now: now.Truncate(time.Millisecond)}
	f := s.add(&fight{
		ID: "f-c0ffee000001", Object: object{Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web"},
		Field: "spec.replicas", Signal: "Reversal", Rule: "replicas", Mode: "Enforce", Action: "Throttle", State: "Open",
		Parties: []writer{argocd, hpa, flux}, RatePerMinute: float64(n) / 60, FirstSeen: s.now.Add(-time.Hour),
	})
	values := []string{"3", "5", "7"}
	step := time.Hour / time.Duration(n)
	for i := range n {
		outcome := "Stored"
		if i > n/3 && i%4 != 0 {
			outcome = "Throttled"
		}
		jitter := time.Duration((i*7919)%101) * step / 200
		s.write(f, f.FirstSeen.Add(time.Duration(i)*step+jitter), f.Parties[i%3], values[(i+2)%3], values[i%3], i > 2, outcome)
	}
	f.Detected = f.FirstSeen.Add(20 * time.Minute)
	f.Until = s.now.Add(10 * time.Minute)
	f.Turns = []turn{{Time: f.Detected, Turn: "Started", Until: f.Until}}
	return s
}
