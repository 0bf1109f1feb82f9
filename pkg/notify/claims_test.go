package notify

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

var claimsName = types.NamespacedName{Namespace: "truce-system", Name: "truce-notifications"}

// replicas are two that tell the same receiver, each of what it sees.
func replicas(t *testing.T, client *fake.Clientset) (s *scene, other *register) {
	s = newScene(t, plainReceiver)
	other = &register{}
	f := load(t, plainReceiver)
	one := s.replica(f, &Claims{client.CoreV1(), claimsName, "one"}, prometheus.NewRegistry(), &s.register)
	two := s.replica(f, &Claims{client.CoreV1(), claimsName, "two"}, prometheus.NewRegistry(), other)
	s.notifier = &Notifier{teller: append(one.teller, two.teller...)}
	return s, other
}

func TestOneReplicaTellsOfWhatBothSee(t *testing.T) {
	client := fake.NewClientset()
	s, other := replicas(t, client)
	s.register.start(s.now, "web")
	other.start(s.now, "web")
	other.start(s.now, "other", "green", "blue")
	s.pass(5 * time.Second)
	s.want("Started 1", "Started 1") // each fight once
	s.pass(4 * time.Hour)
	s.want("Ongoing 1", "Ongoing 1")

	// The first replica no longer sees it. That is not the end.
	told := s.notifier.teller[0].tracker.groups
	if len(told) != 1 {
		t.Fatalf("%d groups", len(told))
	}
	s.register.end(s.now, "web")
	other.end(s.now, "web", "other")
	s.pass(10 * time.Second)
	s.want("Ended 1", "Ended 1")
}

func TestAReplicaThatNoLongerSeesAFightDoesNotEndIt(t *testing.T) {
	s, other := replicas(t, fake.NewClientset())
	s.register.start(s.now, "web") // told by the first
	s.pass(5 * time.Second)
	other.start(s.now, "web")
	s.pass(5 * time.Second)
	s.want("Started 1")
	other.end(s.now, "web")
	s.pass(time.Minute)
	s.want()
	s.register.end(s.now, "web")
	s.pass(time.Minute)
	s.want("Ended 1")
}

func TestTheOtherReplicaGoesOnWhenOneIsGone(t *testing.T) {
	s, other := replicas(t, fake.NewClientset())
	s.register.start(s.now, "web")
	other.start(s.now, "web")
	s.pass(5 * time.Second)
	s.want("Started 1")
	s.notifier.teller = s.notifier.teller[1:]
	s.pass(4 * time.Hour)
	s.want("Ongoing 1")
	other.end(s.now, "web")
	s.pass(time.Minute)
	s.want("Ended 1")
}

func TestAReplicaThatStartsAnewDoesNotRepeatItself(t *testing.T) {
	client := fake.NewClientset()
	s, _ := replicas(t, client)
	s.register.start(s.now, "web")
	s.pass(5 * time.Second)
	s.want("Started 1")
	s.notifier = s.replica(load(t, plainReceiver), &Claims{client.CoreV1(), claimsName, "one-again"}, prometheus.NewRegistry(), &s.register)
	s.pass(time.Hour)
	s.want()
	s.pass(4 * time.Hour)
	s.want("Ongoing 1")
}

func TestWithoutTheAPIServerEachReplicaTells(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("*", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, claimsName.Name, errors.New("no"))
	})
	s, other := replicas(t, client)
	s.register.start(s.now, "web")
	other.start(s.now, "web")
	s.pass(5 * time.Second)
	s.want("Started 1", "Started 1")
	if log := s.log.String(); !strings.Contains(log, "replicas cannot agree") || !strings.Contains(log, "truce-system/truce-notifications") {
		t.Errorf("the log does not say why: %s", log)
	}
}

func TestALostRaceIsRunAgain(t *testing.T) {
	client := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: claimsName.Namespace, Name: claimsName.Name}})
	races := 3
	client.PrependReactor("update", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		if races--; races >= 0 {
			return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, claimsName.Name, errors.New("changed"))
		}
		return false, nil, nil
	})
	c := &Claims{client.CoreV1(), claimsName, "one"}
	mine, err := c.take(t.Context(), noon, []claim{{"r.g-1", Started, time.Hour, time.Minute}})
	if err != nil || !mine[0] || races >= 0 {
		t.Errorf("got %v, %v after races", mine, err)
	}
}

func TestWhoMayTell(t *testing.T) {
	const every, pause = time.Hour, 10 * time.Minute
	tests := []struct {
		last Phase
		age  time.Duration
		want Phase
		may  bool
	}{
		{"", 0, Started, true},
		{Started, 0, Started, false}, {Started, 2*every - 1, Started, false}, {Started, 2 * every, Started, true},
		{Started, every - claimSlack - time.Second, Ongoing, false}, {Started, every - claimSlack, Ongoing, true},
		{Ongoing, every + claimSlack - time.Second, Ended, false}, {Ongoing, every + claimSlack, Ended, true},
		{Ended, pause - time.Second, Ended, false}, {Ended, pause, Ended, true},
		{Ended, pause - time.Second, Started, false}, {Ended, pause, Started, true},
		{Ended, 0, Ongoing, true},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s after %s %v ago", test.want, test.last, test.age), func(t *testing.T) {
			last := ""
			if test.last != "" {
				last = entry{test.last, noon.Add(-test.age), "other"}.String()
			}
			c := &Claims{Replica: "one"}
			if test.age%time.Second != 0 {
				last = entry{test.last, noon.Add(-test.age.Truncate(time.Second)), "other"}.String()
			}
			if may := c.may(last, claim{phase: test.want, every: every, pause: pause}, noon); may != test.may {
				t.Errorf("may: %v", may)
			}
		})
	}
}

func TestTheConfigMapStaysSmall(t *testing.T) {
	data := map[string]string{"old": entry{Started, noon.Add(-claimsAge), "x"}.String(), "broken": "what is this"}
	for i := range maxClaims + 10 {
		data[fmt.Sprint("r.g-", i)] = entry{Ended, noon.Add(time.Duration(i-maxClaims) * time.Second), "x"}.String()
	}
	prune(data, noon)
	if len(data) != maxClaims || data["old"] != "" || data["broken"] != "" || data["r.g-9"] != "" || data["r.g-10"] == "" {
		t.Errorf("%d entries", len(data))
	}
}
