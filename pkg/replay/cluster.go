package replay

import (
	"fmt"
	"strconv"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
)

// A Reviewer is what a story is played through: *admission.Guard, the code behind the webhook. It is called by one
// goroutine at a time.
type Reviewer interface {
	Review(now time.Time, phase admission.Phase, body []byte) (admission.Response, error)
}

// age is how old the objects are that are there before a story starts.
const age = 7 * 24 * time.Hour

// Cluster is a simulated API server, as far as writes and admission webhooks are concerned: it merges, keeps
// managedFields, calls the mutating and then the validating webhook, honours what they say, and stores, with a new
// resourceVersion, only what changed. It is not for concurrent use.
type Cluster struct {
	seed     string // makes the uids of this cluster its own
	reviewer Reviewer
	unseen   bool  // the API server does not send these objects to webhooks: a watch reports them
	version  int64 // the last resourceVersion given out
	reviews  int
	created  int
	objects  map[string]*object // by the short name of the story
	live     map[identity]string
}

// object is a stored object. It is replaced, never changed.
type object struct {
	id      identity
	content map[string]any            // all but metadata.managedFields
	fields  entries                   // metadata.managedFields
	deduced bool                      // its content does not fit the schema of its kind, or there is none
	applied map[string]map[string]any // by manager and subresource: the configuration last applied
	raw     []byte                    // as JSON; made when first needed
}

// configuration is what a manager applied last, or nil.
func (o *object) configuration(by string) any {
	if o == nil || o.applied[by] == nil {
		return nil
	}
	return o.applied[by]
}

func (o *object) json() ([]byte, error) {
	if o.raw == nil {
		raw, err := encoded(o.content, o.fields)
		if err != nil {
			return nil, err
		}
		o.raw = raw
	}
	return o.raw, nil
}

// NewCluster returns the cluster of a story, with the objects that are there before step 1, some days old at now.
func NewCluster(now time.Time, s *Story, r Reviewer) (*Cluster, error) {
	c := &Cluster{
		seed: s.ID, reviewer: r, unseen: s.Visible == VisibleWatch, version: 1000,
		objects: make(map[string]*object), live: make(map[identity]string),
	}
	for _, o := range s.Objects {
		if o.State == nil {
			continue
		}
		if err := c.add(now.Add(-age), o, s.Tracked); err != nil {
			return nil, fmt.Errorf("%s: objects.%s: %w", s.File, o.Key, err)
		}
	}
	return c, nil
}

// add stores an object that is there before the story starts. What its metadata say is kept.
func (c *Cluster) add(created time.Time, o Object, tracked bool) error {
	id, err := identityOf(o.State)
	if err != nil {
		return err
	}
	if other, taken := c.live[id]; taken {
		return fmt.Errorf("%s is objects.%s already", id, other)
	}
	c.created++
	c.version++
	metadata := c.systemMetadata(id, created)
	metadata["resourceVersion"] = strconv.FormatInt(c.version, 10)
	own, _ := o.State["metadata"].(map[string]any)
	for key, v := range own {
		metadata[key] = v
	}
	delete(metadata, "managedFields")
	stored := &object{id: id, content: tidy(with(o.State, metadata, "metadata")), deduced: !isBuiltIn(id.gvk)}
	if tracked {
		err := stored.track(func(deduced bool) error {
			made := change{now: created, gvk: id.gvk, deduced: deduced, next: stored.content}
			stored.fields, err = made.setup()
			return err
		})
		if err != nil {
			return err
		}
	}
	c.objects[o.Key], c.live[id] = stored, o.Key
	return nil
}

// track runs do with the schema of the object's kind or, for good, without it if that fails: a story may be loose
// with types where the real API server would refuse.
func (o *object) track(do func(deduced bool) error) error {
	if !o.deduced {
		if do(false) == nil {
			return nil
		}
		o.deduced = true
	}
	return do(true)
}

// systemMetadata returns what the API server adds to the metadata of a new object.
func (c *Cluster) systemMetadata(id identity, now time.Time) map[string]any {
	m := map[string]any{
		"uid":               uuid(c.seed, "object", c.created, id),
		"creationTimestamp": now.UTC().Format(time.RFC3339),
	}
	if hasGeneration(id.gvk) {
		m["generation"] = int64(1)
	}
	return m
}

// Request is one write.
type Request struct {
	Writer *Writer
	Object string // key
	Op     string
	Sub    string
	Merge  map[string]any
	DryRun bool
}

// Outcome is what became of a write.
type Outcome struct {
	Code     int    // as in HTTP: 200, 201; 403, 429 and the like if a webhook denied it; 404, 409 if it was impossible
	Message  string // of a failure
	Reviewed bool   // it came as far as the webhooks
	Stored   bool   // the stored object changed, and with it its resourceVersion
	Warnings []string
	Held     bool // a webhook changed the write
	Findings []Finding
}

// Finding is a field that a webhook named, and why.
type Finding struct {
	Kind    string // VerdictFight or VerdictLoop
	Path    string // "" for writes that change nothing
	Parties []history.Writer
}

// Denied reports whether a webhook turned the write away.
func (o Outcome) Denied() bool { return o.Reviewed && o.Code >= 400 }

// Write plays one write at a point in virtual time. The error is about the story or the reviewer; what the API server
// would answer is in the Outcome.
func (c *Cluster) Write(now time.Time, r Request) (Outcome, error) {
	if r.Writer == nil {
		return Outcome{}, fmt.Errorf("a write of %s has no writer", r.Object)
	}
	a := attempt{cluster: c, now: now, Request: r, old: c.objects[r.Object]}
	if a.old != nil {
		a.id = a.old.id
	}
	var failure *Outcome
	var err error
	switch {
	case r.Op == OpDelete:
		failure = a.prepareDelete()
	case r.Op == OpCreate || r.Op == OpApply && a.old == nil:
		failure, err = a.prepareCreate()
	default:
		failure, err = a.prepareUpdate()
	}
	if err != nil {
		return Outcome{}, err
	}
	if failure != nil {
		return *failure, nil
	}
	return a.run()
}

// store makes the outcome of an attempt the state of the cluster.
func (c *Cluster) store(a *attempt) {
	c.version++
	if a.operation == admissionv1.Delete {
		delete(c.live, a.id)
		delete(c.objects, a.Object)
		return
	}
	content := with(a.next, strconv.FormatInt(c.version, 10), "metadata", "resourceVersion")
	next := &object{id: a.id, content: content, fields: a.fields, deduced: a.deduced, applied: a.applied}
	c.objects[a.Object], c.live[a.id] = next, a.Object
}

// Object returns the stored object of that key as JSON, or nil.
func (c *Cluster) Object(key string) ([]byte, error) {
	o := c.objects[key]
	if o == nil {
		return nil, nil
	}
	return o.json()
}
