package notify

import (
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/report"
)

func TestSummariesOfChanges(t *testing.T) {
	s := newScene(t, plainReceiver+"  changes: {every: 1h, namespaces: [kube-*], resources: [deployments.apps]}\n")
	s.pass(time.Minute)
	s.journal.changes = append(s.journal.changes, changes()...)
	s.pass(50 * time.Minute) // it is noon and three minutes at the start
	s.want()
	s.pass(10 * time.Minute)
	got := s.receiver.take(t)
	if len(got) != 1 || got[0].Changes == nil || got[0].Changes.Total != 8 || got[0].Changes.Objects != 1 {
		t.Fatalf("got %+v", got)
	}
	d := got[0].Changes
	if item := d.Items[0]; item.Changes != 8 || item.Prevented != 1 || len(item.Fields) != maxItemFields || !item.MoreFields {
		t.Errorf("got %+v", item)
	}
	if !d.Until.Equal(noon.Truncate(time.Hour).Add(time.Hour)) || d.Replica != "truce-1" {
		t.Errorf("from %v until %v by %q", d.From, d.Until, d.Replica)
	}
	s.pass(3 * time.Hour)
	s.want() // nothing changed
}

func TestASummaryWaitsForAReceiverThatIsGone(t *testing.T) {
	s := newScene(t, plainReceiver+"  changes: {every: 1h}\n")
	s.receiver.set(answer(503, "", ""))
	s.pass(time.Second)
	for range maxSummaries + 2 {
		s.journal.changes = append(s.journal.changes, report.Change{Time: s.now, Object: report.Object{Resource: "pods", Name: "a"}, Outcome: report.Stored})
		s.pass(time.Hour)
	}
	s.receiver.take(t)
	s.receiver.set(nil)
	s.pass(backoffMax)
	if got := s.receiver.take(t); len(got) != maxSummaries || s.count("http", resultDropped) != 2 {
		t.Errorf("%d summaries, %v dropped", len(got), s.count("http", resultDropped))
	}
}
