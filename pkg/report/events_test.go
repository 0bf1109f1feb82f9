package report

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/truce-dev/truce/pkg/policy"
)

// sink takes Events as an API server would.
type sink struct {
	created chan *corev1.Event
	fail    error
	block   chan struct{} // nil: it answers at once
	names   sync.Map      // of the Events it has
}

func (s *sink) Create(e *corev1.Event) (*corev1.Event, error) {
	if s.block != nil {
		<-s.block
	}
	if s.fail != nil {
		return nil, s.fail
	}
	if _, there := s.names.LoadOrStore(e.Name, true); there {
		return nil, apierrors.NewAlreadyExists(corev1.Resource("events"), e.Name)
	}
	s.created <- e
	return e, nil
}

func (s *sink) Update(e *corev1.Event) (*corev1.Event, error)          { return s.Create(e) }
func (s *sink) Patch(e *corev1.Event, _ []byte) (*corev1.Event, error) { return s.Create(e) }

func (s *sink) next(t *testing.T) *corev1.Event {
	t.Helper()
	select {
	case e := <-s.created:
		return e
	case <-time.After(30 * time.Second):
		t.Fatal("no Event")
		return nil
	}
}

// events waits until there are n Events of a result: they are counted after they were written.
func (s *scene) events(result string, n float64) {
	s.t.Helper()
	end := time.Now().Add(30 * time.Second)
	for got := -1.0; got != n; <-time.After(time.Millisecond) {
		if got = s.metric("truce_kubernetes_events_total", "result", result); got != n && time.Now().After(end) {
			s.t.Fatalf("%v Events are %s, want %v", got, result, n)
		}
	}
}

func TestEventsTellTheStory(t *testing.T) {
	to := &sink{created: make(chan *corev1.Event, 100)}
	events := NewEvents(to)
	defer events.Stop()
	s := newScene(t, policy.Enforce, "Reject", Options{Events: events})
	s.fight(5)
	e := to.next(t)
	if e.Reason != "FightStarted" || e.Type != corev1.EventTypeWarning || e.Namespace != "shop" || e.Source.Component != "truce" {
		t.Errorf("%+v", e)
	}
	want := corev1.ObjectReference{APIVersion: "v1", Kind: "ServiceAccount", Namespace: "shop", Name: "web", UID: "uid-web"}
	if diff := cmp.Diff(want, e.InvolvedObject); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(e.Message, "metadata.annotations[k] is fought over by system:serviceaccount:shop:red,manager=red and "+
		"system:serviceaccount:shop:blue,manager=blue: 3 reversals (Reversal). Reject until 2026-03-01T12:05:05Z (rule all) [f-") {
		t.Error(e.Message)
	}
	s.write(5*time.Minute, "red", "red")
	if e := to.next(t); e.Reason != "FightProbed" || e.Type != corev1.EventTypeNormal {
		t.Errorf("%+v", e)
	}
	s.write(time.Second, "blue", "blue")
	if e := to.next(t); e.Reason != "FightResumed" || !strings.Contains(e.Message, "2 of 5 writes were not stored so far") {
		t.Errorf("%+v", e)
	}
	id := s.only().ID
	if _, err := s.recorder.Register.Hold(s.guard, s.now, s.now.Add(time.Hour), id, "ann@example.com"); err != nil {
		t.Fatal(err)
	}
	if e := to.next(t); e.Reason != "TruceHeld" || !strings.Contains(e.Message, "by ann@example.com") {
		t.Errorf("%+v", e)
	}
	if _, err := s.recorder.Register.Release(s.guard, s.now, id, ""); err != nil {
		t.Fatal(err)
	}
	if e := to.next(t); e.Reason != "FightReleased" || !strings.Contains(e.Message, "by an operator") {
		t.Errorf("%+v", e)
	}
	s.events(eventWritten, 5)
}

func TestWhatEventsSay(t *testing.T) {
	f := fightAt(policy.Warn)
	for _, c := range []struct {
		name   string
		turn   policy.Turn
		change func(*Fight)
		reason string
		want   string
	}{
		{"nothing is stopped in mode Warn", policy.Started, func(*Fight) {}, "FightStarted", "Nothing is stopped in mode Warn; Enforce would hold it until"},
		{"or if it is only observed", policy.Started, func(f *Fight) { f.ObservedOnly = true }, "FightStarted", "Admission never sees these writes"},
		{"one with itself", policy.Started, func(f *Fight) { f.Parties = f.Parties[:1] }, "FightStarted", "a with itself"},
		{"by nobody knows whom", policy.Started, func(f *Fight) { f.Parties = nil }, "FightStarted", "by unknown writers"},
		{"an end", policy.EndedNow, func(*Fight) {}, "FightEnded", "The fight over spec.x has ended: 3 of 9 writes were not stored"},
		{"a loop", policy.Noticed, func(f *Fight) { f.Kind, f.Parties = "loop", f.Parties[:1] }, "LoopNoticed", "a wrote spec.x 9 times in a row to no effect (Reversal)"},
		{"a loop over nothing", policy.Noticed, func(f *Fight) { f.Kind, f.Field = "loop", "" }, "LoopNoticed", "a and b wrote it 9 times"},
		{"the end of a loop", policy.EndedNow, func(f *Fight) { f.Kind, f.Parties = "loop", f.Parties[:1] }, "LoopEnded", "a no longer writes spec.x over and over"},
		{"what is too long is cut", policy.Started, func(f *Fight) { f.Field = strings.Repeat("é", 2000) }, "FightStarted", "é…"},
	} {
		g := f
		c.change(&g)
		reason, message := eventText(Update{Turn: c.turn, Fight: g})
		if reason != c.reason || !strings.Contains(message, c.want) || len(message) > maxEvent {
			t.Errorf("%s: %s, %s", c.name, reason, message)
		}
	}
}

func fightAt(mode policy.Mode) Fight {
	return Fight{
		ID: "f-1", Kind: "fight", Field: "spec.x", Signal: "Reversal", Rule: "all", Mode: mode, Action: policy.ActionHold,
		Parties: []Writer{{User: "a"}, {User: "b"}}, State: Open, Reversals: 4, Writes: 9, Prevented: Prevented{Held: 3}, Until: noon,
	}
}

// Two replicas see the same fight, as they do where a watch tells both of it. One of them writes the Event.
func TestReplicasWriteAnEventOnce(t *testing.T) {
	to := &sink{created: make(chan *corev1.Event, 100)}
	for _, want := range []string{eventWritten, eventShared} {
		events := NewEvents(to)
		s := newScene(t, policy.Enforce, "Reject", Options{Events: events})
		s.fight(5)
		s.events(want, 1)
		events.Stop()
	}
	e := to.next(t)
	if wrong := validation.IsDNS1123Subdomain(e.Name); len(wrong) > 0 || !strings.HasPrefix(e.Name, "truce.f-") {
		t.Errorf("the Event's name is %s: %v", e.Name, wrong)
	}
	if len(to.created) != 0 || len(e.Annotations) != 0 {
		t.Errorf("%d more Events, annotations %v", len(to.created), e.Annotations)
	}
}

// A fight has many turns of one kind, and each its Event.
func TestEachTurnHasAnEventOfItsOwn(t *testing.T) {
	f := fightAt(policy.Enforce)
	seen := map[string]bool{}
	for n := range 3 * maxTurns {
		turn := policy.Probed
		if n%2 == 1 {
			turn = policy.Resumed
		}
		f.Turns = append(f.Turns, Turn{Time: noon.Add(time.Duration(n) * time.Minute), Turn: turn})
		if len(f.Turns) > maxTurns {
			f.Turns = f.Turns[1:]
		}
		name := eventName(Update{Turn: turn, Fight: f})
		if seen[name] {
			t.Fatalf("turn %d: there is an Event %s already", n, name)
		}
		seen[name] = true
	}
}

func TestEventsThatAreRefusedAreCounted(t *testing.T) {
	to := &sink{created: make(chan *corev1.Event, 1), fail: errors.New("no room")}
	events := NewEvents(to)
	s := newScene(t, policy.Enforce, "Reject", Options{Events: events})
	s.fight(5)
	s.events(eventFailed, 1)
	events.Stop()
}

// An API server that takes no Events, or takes them for ever to take, holds up nothing.
func TestASlowAPIServerHoldsUpNothing(t *testing.T) {
	to := &sink{created: make(chan *corev1.Event, 10_000), block: make(chan struct{})}
	events := NewEvents(to)
	s := newScene(t, policy.Enforce, "Reject", Options{Events: events})
	for i := range 1_500 { // more turns than client-go queues
		s.name, s.stored = "o-"+string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676)), "none"
		s.fight(5)
	}
	if n := len(s.fights()); n != 1_500 {
		t.Errorf("%d fights", n)
	}
	close(to.block)
	events.Stop()
}

func TestTheKindOfAScaleIsThatOfItsObject(t *testing.T) {
	to := &sink{created: make(chan *corev1.Event, 10)}
	events := NewEvents(to)
	defer events.Stop()
	s := newScene(t, policy.Enforce, "Reject", Options{Events: events})
	s.fight(5)
	to.next(t)
	u := Update{Turn: policy.Started, Fight: s.only()}
	u.Fight.ID = "f-another"
	on := s.recorder.Register.fights[place{path: field, key: s.keyOf()}].object
	on.Subresource, on.Kind, on.Resource, on.Group, on.Version = "scale", "Scale", "widgets", "example.com", "v1"
	events.tell(u, on) // nobody knows what kind of object that is
	on.Resource, on.Group = "deployments", "apps"
	events.tell(u, on)
	if e := to.next(t); e.InvolvedObject.Kind != "Deployment" || e.InvolvedObject.APIVersion != "apps/v1" {
		t.Errorf("%+v", e.InvolvedObject)
	}
}
