package report

import (
	"cmp"
	"slices"
	"time"
)

// MergeFights makes one list of what several replicas tell. Each sees a part of the writes: what they counted adds up,
// and the one that saw a fight last tells how it stands.
func MergeFights(replicas ...[]Fight) []Fight {
	byID := map[string]Fight{}
	for _, all := range replicas {
		for _, f := range all {
			if g, ok := byID[f.ID]; ok {
				f = mergeFight(f, g)
			}
			byID[f.ID] = f
		}
	}
	out := make([]Fight, 0, len(byID))
	for _, f := range byID {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Fight) int {
		if x, y := a.State.Active(), b.State.Active(); x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func mergeFight(a, b Fight) Fight {
	// A replica that has not seen a write for long takes the fight for ended before the others do.
	if b.State.Active() && !a.State.Active() || b.State.Active() == a.State.Active() && b.LastSeen.After(a.LastSeen) {
		a, b = b, a
	}
	if !b.State.Active() && a.State.Active() && b.Ended.Before(a.Detected) {
		return a // an earlier round of it
	}
	if a.ObservedOnly && b.ObservedOnly {
		return a // each sees all of it
	}
	a.Writes += b.Writes
	a.Reversals = max(a.Reversals, b.Reversals)
	a.Prevented.Throttled += b.Prevented.Throttled
	a.Prevented.Rejected += b.Prevented.Rejected
	a.Prevented.Held += b.Prevented.Held
	a.RatePerMinute += b.RatePerMinute
	if b.FirstSeen.Before(a.FirstSeen) {
		a.FirstSeen = b.FirstSeen
	}
	if b.Detected.Before(a.Detected) {
		a.Detected = b.Detected
	}
	for _, p := range b.Parties {
		if !slices.Contains(a.Parties, p) {
			a.Parties = append(slices.Clip(a.Parties), p)
		}
	}
	a.Turns = append(slices.Clone(a.Turns), b.Turns...)
	slices.SortStableFunc(a.Turns, func(x, y Turn) int { return x.Time.Compare(y.Time) })
	a.Turns = slices.CompactFunc(a.Turns, func(x, y Turn) bool { // one decision, that each replica came to
		return x.Turn == y.Turn && y.Time.Sub(x.Time) < time.Minute
	})
	return a
}

// sameWrite is how far apart in time two replicas may tell of the same write, of which one only saw what it left.
const sameWrite = time.Minute

// MergeChanges makes one list of what several replicas tell, in the order of time. A write that one of them saw and
// another learnt of later is told once, as long as they hash values with the same key.
func MergeChanges(replicas ...Changes) Changes {
	var out Changes
	type value struct {
		Object
		field, to string
	}
	seen := map[value][]time.Time{}
	for i, r := range replicas {
		if i == 0 {
			out.Key = r.Key
		} else if r.Key != out.Key {
			out.Key = ""
		}
		out.Truncated = out.Truncated || r.Truncated
		for _, c := range r.Items {
			if c.Outcome != Unseen {
				v := value{c.Object, c.Field, c.To}
				seen[v] = append(seen[v], c.Time)
			}
		}
	}
	out.Items = []Change{}
	for _, r := range replicas {
		for _, c := range r.Items {
			if c.Outcome == Unseen && slices.ContainsFunc(seen[value{c.Object, c.Field, c.To}], func(t time.Time) bool {
				return t.Sub(c.Time).Abs() < sameWrite
			}) {
				continue
			}
			out.Items = append(out.Items, c)
		}
	}
	slices.SortStableFunc(out.Items, func(a, b Change) int { return a.Time.Compare(b.Time) })
	return out
}
