package audit_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/truce-dev/truce/pkg/audit"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

// batches makes EventLists of the lines of the busy sample.
func batches(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../test/auditbench/testdata/busy.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for len(lines) > 0 {
		n := min(10, len(lines))
		out = append(out, `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[`+strings.Join(lines[:n], ",")+`]}`)
		lines = lines[n:]
	}
	return out
}

func newSink(t *testing.T) *audit.Sink {
	t.Helper()
	o := report.Options{Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: time.Now}
	s, err := audit.NewSink(policy.Default(), o, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func post(s *audit.Sink, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
	return w
}

// What a sink finds, the register has, and under the ids that everybody else has it.
func TestASinkFindsFightsAsTheyHappen(t *testing.T) {
	in := input(t, "", "../../test/auditbench/testdata/busy.jsonl")
	want, err := audit.FindFights(context.Background(), in, policy.Default())
	if err != nil || len(want.Fights) != 1 {
		t.Fatal(want, err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSink(t)
		ctx, cancel := context.WithCancel(context.Background())
		turns := s.Recorder().Register.Subscribe(100)
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		for _, b := range batches(t) {
			for range 2 { // an API server that got no answer sends it again
				if w := post(s, b); w.Code != http.StatusOK {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
			}
			time.Sleep(500 * time.Millisecond) //nolint:forbidigo // virtual time
		}
		time.Sleep(3 * time.Second) //nolint:forbidigo // virtual time
		if stats := s.Stats(); stats.Events != 2*147 || stats.ShedBatches != 0 || stats.Refused != 0 || stats.QueuedBytes != 0 {
			t.Errorf("%+v", stats)
		}
		fights := s.Recorder().Register.Fights(time.Now(), report.FightQuery{})
		changes := s.Recorder().Journal.Changes(report.ChangeQuery{Fight: want.Fights[0].ID})
		cancel()
		<-done
		turns.Close()
		started := 0
		for u := range turns.C {
			if u.Turn == policy.Started {
				started++
			}
		}
		if started != 1 || len(fights) != 1 || fights[0].ID != want.Fights[0].ID || fights[0].Field != "spec.replicas" || len(fights[0].Parties) != 2 {
			t.Errorf("%d started; %+v, want %+v", started, fights, want.Fights[0].Fight)
		}
		if len(changes.Items) == 0 || changes.Items[0].Field != "spec.replicas" {
			t.Errorf("changes: %+v", changes.Items)
		}
	})
}

// A sink that nobody empties answers at once, and counts what it sheds.
func TestASinkShedsLoad(t *testing.T) {
	s := newSink(t)
	large := strings.Repeat("x", 10<<20)
	for i := range 10 {
		if w := post(s, large); w.Code != http.StatusOK {
			t.Fatalf("batch %d: %d %s", i, w.Code, w.Body)
		}
	}
	if stats := s.Stats(); stats.ShedBatches != 4 || stats.ShedBytes != 40<<20 || stats.QueuedBytes != 60<<20 {
		t.Errorf("%+v", stats)
	}
	if w := post(s, strings.Repeat("x", 33<<20)); w.Code != http.StatusOK || s.Stats().ShedBatches != 5 {
		t.Errorf("a batch that is too large: %d, %+v", w.Code, s.Stats())
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

func TestASinkSurvivesWhatIsNoBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink(t)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		for _, body := range []string{"", "hello", "{", `{"items":[{}]}`, string(bytes.Repeat([]byte("["), 100_000))} {
			post(s, body)
		}
		post(s, `{"kind":"EventList","items":[`+event(1)+`]}`)
		synctest.Wait()
		if stats := s.Stats(); stats.Events != 1 || stats.Refused != 4 || stats.Batches != 6 {
			t.Errorf("%+v", stats)
		}
		cancel()
		<-done
	})
}
