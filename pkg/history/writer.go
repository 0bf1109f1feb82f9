package history

import "strings"

// Writer is who wrote. An empty part is unknown: a client that set no field manager on an object that tracks none, a
// write this process did not see.
type Writer struct {
	User    string // the authenticated user
	Manager string // the field manager
	Pod     string // the pod of a service account's token; tells replicas of one controller apart
}

// Differs reports whether w and o are certainly two different parties. What is unknown of either differs from nothing,
// so two unknown writers may be one.
func (w Writer) Differs(o Writer) bool {
	return differ(w.User, o.User) || differ(w.Manager, o.Manager) || differ(w.Pod, o.Pod)
}

func differ(a, b string) bool { return a != b && a != "" && b != "" }

// Known reports whether anything is known of w.
func (w Writer) Known() bool { return w != Writer{} }

// Clone returns a Writer that shares no memory with w, which may point into a request's body.
func (w Writer) Clone() Writer {
	return Writer{strings.Clone(w.User), strings.Clone(w.Manager), strings.Clone(w.Pod)}
}
