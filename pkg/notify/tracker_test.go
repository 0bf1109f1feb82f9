package notify

import (
	"fmt"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/report"
)

func TestOneFightOverManyObjectsIsOneMessage(t *testing.T) {
	s := newScene(t, plainReceiver+"  fights: {every: 30m}\n")
	names := []string{}
	for i := range 50 {
		names = append(names, fmt.Sprintf("web-%02d", i))
		s.register.start(s.now, names[i])
	}
	s.pass(2 * time.Second)
	s.want()
	s.pass(8 * time.Second)
	s.want("Started 50")
	s.pass(30*time.Minute - 10*time.Second)
	s.want()
	s.pass(10 * time.Second)
	s.want("Ongoing 50")
	s.register.end(s.now, names[:49]...)
	s.pass(time.Minute)
	s.want()
	s.register.end(s.now, names[49])
	s.pass(10 * time.Second)
	s.want("Ended 50")
	s.pass(time.Hour)
	s.want()
	if n := len(s.notifier.teller[0].tracker.groups); n != 0 {
		t.Errorf("%d groups are kept after all has ended", n)
	}
}

func TestFightsThatGoOnStartingDoNotPutTheMessageOff(t *testing.T) {
	s := newScene(t, plainReceiver)
	for i := range 5 {
		s.register.start(s.now, fmt.Sprint("web-", i))
		s.pass(time.Second)
	}
	s.want("Started 3")
}

func TestOtherWritersAreAnotherMessage(t *testing.T) {
	s := newScene(t, plainReceiver)
	s.register.start(s.now, "a")
	s.register.start(s.now, "b", "blue", "red") // the same two, the other way round
	s.register.start(s.now, "c", "blue", "green")
	s.register.start(s.now, "d", "blue")
	s.pass(5 * time.Second)
	got := map[int]int{}
	for _, m := range s.receiver.take(t) {
		got[len(m.Groups[0].Fights)]++
	}
	if got[2] != 1 || got[1] != 2 {
		t.Errorf("messages by their number of fights: %v", got)
	}
}

func TestThePauseBetweenFightsOfTheSameWriters(t *testing.T) {
	s := newScene(t, plainReceiver)
	s.register.start(s.now, "web")
	s.pass(5 * time.Second)
	s.register.end(s.now, "web")
	s.pass(5 * time.Second)
	s.want("Started 1", "Ended 1")

	s.register.start(s.now, "web")
	s.pass(time.Minute)
	s.register.end(s.now, "web")
	s.pass(time.Minute)
	s.want() // it came and went within the pause

	s.register.start(s.now, "web")
	s.pass(7 * time.Minute)
	s.want()
	s.pass(2 * time.Minute)
	s.want("Started 1")
}

func TestWhichFightsAreTold(t *testing.T) {
	tests := []struct {
		name, fights string
		told         bool
	}{
		{"all by default", "{}", true},
		{"in a namespace that fits", "{namespaces: ['sh*']}", true},
		{"in no other one", "{namespaces: [kube-system]}", false},
		{"a resource with its group", "{resources: [ingresses.networking.k8s.io]}", true},
		{"a group", "{resources: ['*.networking.k8s.io']}", true},
		{"no other resource", "{resources: [deployments.apps]}", false},
		{"no loops alone", "{kinds: [loop]}", false},
		{"both kinds", "{kinds: [loop, fight]}", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, plainReceiver+"  fights: "+test.fights+"\n")
			s.register.start(s.now, "web")
			s.pass(5 * time.Second)
			if told := len(s.receiver.take(t)) == 1; told != test.told {
				t.Errorf("told: %v, want %v", told, test.told)
			}
		})
	}
}

func TestAFightThatTheRegisterForgotHasEnded(t *testing.T) {
	s := newScene(t, plainReceiver)
	s.register.start(s.now, "web")
	s.pass(5 * time.Second)
	clear(s.register.fights)
	s.pass(5 * time.Second)
	s.want("Started 1", "Ended 1")
}

func TestThereAreOnlySoManyGroups(t *testing.T) {
	s := newScene(t, plainReceiver)
	tr := s.notifier.teller[0].tracker
	for i := range maxGroups + 5 {
		s.register.start(s.now, fmt.Sprint("web-", i), fmt.Sprint("writer-", i))
	}
	tr.see(s.now, s.register.Fights(s.now, report.FightQuery{}))
	if len(tr.groups) != maxGroups || tr.forgotten != 5 {
		t.Errorf("%d groups, %d forgotten", len(tr.groups), tr.forgotten)
	}
}
