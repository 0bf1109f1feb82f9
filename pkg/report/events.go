package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/policy"
)

// Events tells of fights in Kubernetes Events on the objects that are fought over, one for each turn, so that kubectl
// describe tells the story. client-go aggregates them, limits their rate per object, and writes them in the background:
// a slow API server costs Events, nothing else. A nil Events tells nobody.
type Events struct {
	broadcaster record.EventBroadcaster
	recorder    record.EventRecorder
	results     *prometheus.CounterVec
}

// NewEvents returns an Events that writes to sink until Stop.
func NewEvents(sink record.EventSink) *Events {
	e := &Events{broadcaster: record.NewBroadcaster()}
	e.broadcaster.StartRecordingToSink(&countingSink{sink, e})
	e.recorder = e.broadcaster.NewRecorder(runtime.NewScheme(), corev1.EventSource{Component: "truce"})
	return e
}

// Stop gives up on what is not written yet.
func (e *Events) Stop() {
	if e != nil {
		e.broadcaster.Shutdown()
	}
}

// tell queues an Event about a turn. It does not block.
func (e *Events) tell(u Update, on admission.Object) {
	if e == nil {
		return
	}
	kind, version, group := on.Kind, on.Version, on.Group
	if on.Subresource == "scale" {
		// The request's kind is Scale; kubectl describe looks for that of the object.
		if kind = scaled[on.Resource]; kind == "" {
			return
		}
	}
	ref := &corev1.ObjectReference{
		APIVersion: strings.TrimPrefix(group+"/"+version, "/"), Kind: kind, Namespace: strings.Clone(on.Namespace),
		Name: strings.Clone(on.Name), UID: types.UID(strings.Clone(on.UID)),
	}
	kindOfEvent := corev1.EventTypeNormal
	if u.Turn == policy.Started || u.Turn == policy.Resumed || u.Turn == policy.Noticed {
		kindOfEvent = corev1.EventTypeWarning
	}
	reason, message := eventText(u)
	e.recorder.AnnotatedEventf(ref, map[string]string{nameOfEvent: eventName(u)}, kindOfEvent, reason, "%s", message)
}

// nameOfEvent is the annotation by which an Event's name gets past client-go, which makes names of its own.
const nameOfEvent = "truce.dev/name"

// eventName names a turn of a fight, so that of several replicas that come upon it only one writes the Event: the API
// server has no two of one name. It is made of the fight, which turn of its kind this is, and the minute: replicas that come
// upon one on both sides of a minute's end write two.
func eventName(u Update) string {
	n, minute := 0, int64(0)
	for _, t := range u.Fight.Turns {
		if t.Turn == u.Turn {
			n, minute = n+1, t.Time.Unix()/60
		}
	}
	return fmt.Sprintf("truce.%s.%s-%d.%x", u.Fight.ID, strings.ToLower(string(u.Turn)), n, minute)
}

// scaled are the kinds of the built-in resources that have a scale.
var scaled = map[string]string{
	"deployments": "Deployment", "statefulsets": "StatefulSet", "replicasets": "ReplicaSet",
	"replicationcontrollers": "ReplicationController",
}

// maxEvent is how long an Event's message may be, in bytes; the API server's own bound.
const maxEvent = 1024

// eventText returns the reason and the message of a turn's Event.
func eventText(u Update) (reason, message string) {
	f := &u.Fight
	until := f.Until.Format(time.RFC3339)
	who := partiesText(f.Parties)
	if f.Kind == "loop" {
		who = strings.TrimSuffix(who, " with itself")
	}
	id := " [" + f.ID + "]"
	switch u.Turn {
	case policy.Started:
		reason = "FightStarted"
		message = fmt.Sprintf("%s is fought over by %s: %d reversals (%s). %s%s", f.Field, who, f.Reversals, f.Signal,
			measure(f, until), id)
	case policy.Probed:
		reason = "FightProbed"
		message = fmt.Sprintf("The truce over %s has passed: one change of it was let through. If nobody undoes it, the "+
			"fight ends at %s%s", f.Field, until, id)
	case policy.Resumed:
		reason = "FightResumed"
		message = fmt.Sprintf("%s is still fought over by %s: the change that was let through was undone. %d of %d writes "+
			"were not stored so far. %s%s", f.Field, who, f.Prevented.Total(), f.Writes, measure(f, until), id)
	case policy.Noticed:
		reason = "LoopNoticed"
		message = fmt.Sprintf("%s wrote %s %d times in a row to no effect (%s)%s", who, orObject(f.Field), f.Writes, f.Signal, id)
	case policy.Released:
		reason = "FightReleased"
		message = fmt.Sprintf("The truce over %s was ended by %s%s", f.Field, by(f), id)
	case policy.Pinned:
		reason = "TruceHeld"
		message = fmt.Sprintf("The truce over %s was made to last by %s. %s%s", f.Field, by(f), measure(f, until), id)
	default:
		reason = "FightEnded"
		message = fmt.Sprintf("The fight over %s has ended: %d of %d writes were not stored%s", f.Field, f.Prevented.Total(),
			f.Writes, id)
		if f.Kind == "loop" {
			reason, message = "LoopEnded", fmt.Sprintf("%s no longer writes %s over and over%s", who, orObject(f.Field), id)
		}
	}
	if len(message) > maxEvent {
		message = strings.ToValidUTF8(message[:maxEvent-len("…")], "") + "…"
	}
	return reason, message
}

// measure says what is done about a fight.
func measure(f *Fight, until string) string {
	switch {
	case f.ObservedOnly:
		return "Admission never sees these writes: nothing can be done about them here"
	case f.Mode == policy.Enforce:
		return fmt.Sprintf("%s until %s (rule %s)", f.Action, until, f.Rule)
	}
	return fmt.Sprintf("Nothing is stopped in mode %s; Enforce would %s it until %s (rule %s)", f.Mode,
		strings.ToLower(string(f.Action)), until, f.Rule)
}

func by(f *Fight) string {
	if len(f.Turns) > 0 && f.Turns[len(f.Turns)-1].By != "" {
		return f.Turns[len(f.Turns)-1].By
	}
	return "an operator"
}

func orObject(field string) string {
	if field == "" {
		return "it"
	}
	return field
}

func partiesText(all []Writer) string {
	switch len(all) {
	case 0:
		return "unknown writers"
	case 1:
		return all[0].String() + " with itself"
	}
	names := make([]string, len(all))
	for i, w := range all {
		names[i] = w.String()
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// The results of an Event, a metric label.
const (
	eventWritten = "written"
	eventShared  = "shared" // another replica wrote it
	eventFailed  = "failed"
)

// countingSink counts what becomes of Events.
type countingSink struct {
	sink   record.EventSink
	events *Events
}

func (s *countingSink) count(e *corev1.Event, err error) (*corev1.Event, error) {
	if results := s.events.results; results != nil {
		result := eventWritten
		switch {
		case apierrors.IsAlreadyExists(err):
			result = eventShared
		case err != nil:
			result = eventFailed
		}
		results.WithLabelValues(result).Inc()
	}
	return e, err
}

// Create, Update and Patch write an Event.
func (s *countingSink) Create(e *corev1.Event) (*corev1.Event, error) {
	named := *e
	if name := e.Annotations[nameOfEvent]; name != "" {
		named.Name, named.Annotations = name, nil
	}
	return s.count(s.sink.Create(&named))
}

func (s *countingSink) Update(e *corev1.Event) (*corev1.Event, error) {
	return s.count(s.sink.Update(e))
}

func (s *countingSink) Patch(e *corev1.Event, data []byte) (*corev1.Event, error) {
	return s.count(s.sink.Patch(e, data))
}
