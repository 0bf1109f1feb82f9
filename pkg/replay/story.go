package replay

import "time"

// Verdicts of a story: what its writes amount to, and what a reviewer made of them.
const (
	VerdictFight = "fight" // parties undo each other
	VerdictLoop  = "loop"  // a single writer churns; advisory only
	VerdictNone  = "none"  // nothing to say
)

// Operations of a step.
const (
	OpUpdate = "update"
	OpApply  = "apply" // server-side apply, with force, as controllers do
	OpCreate = "create"
	OpDelete = "delete"
)

// Subresources a step can write.
const (
	SubStatus = "status"
	SubScale  = "scale"
)

// Who can see the writes of a story.
const (
	VisibleAdmission = "admission"
	VisibleWatch     = "watch" // the API server never sends these objects to webhooks
)

// A Story is an incident, or a harmless look-alike, as a timed sequence of writes, with what must be said of it.
// Parse makes one; it is not changed afterwards, so it may be played by several goroutines at once.
type Story struct {
	File    string // where it was read from; used in errors
	ID      string
	Title   string
	Source  string
	Shape   string
	Basis   string
	Visible string // VisibleAdmission or VisibleWatch
	Tags    []string
	Expect  Expect
	Tracked bool // the objects there before step 1 carry managedFields
	Objects []Object
	Writers []Writer
	Steps   []Step        // one lap
	Laps    int           // at least 1
	Every   time.Duration // lap n starts at n*Every
}

// Expect is what must be said of a story.
type Expect struct {
	Verdict string        // VerdictFight, VerdictLoop or VerdictNone
	Or      string        // another verdict that is right too, or ""
	Fields  []string      // contested fields that must be named
	Parties []string      // names of the writers that must be named
	Within  time.Duration // from step 1; both must be named by then
}

// Object is an object as it stands before step 1.
type Object struct {
	Key   string         // the short name steps use
	State map[string]any // nil: not there yet
}

// Writer is one of a story's writers.
type Writer struct {
	Name    string
	User    string
	Manager string // "": the client sent no fieldManager option
	Extra   map[string][]string
}

// Step is one write of a lap.
type Step struct {
	Line   int           // in the story's file
	At     time.Duration // from the start of the lap
	By     string        // writer; like Object it may contain lap expressions
	Object string        // key of the object
	Op     string
	Sub    string         // "", SubStatus or SubScale
	Merge  map[string]any // JSON merge patch; the whole object for OpCreate; nil for OpDelete
}

// Writer returns the writer of that name.
func (s *Story) Writer(name string) (*Writer, bool) {
	for i := range s.Writers {
		if s.Writers[i].Name == name {
			return &s.Writers[i], true
		}
	}
	return nil, false
}
