package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

// truceAt is a replica that tells what it is given, and notes what it is asked to do.
type truceAt struct {
	*httptest.Server
	fights  []report.Fight
	changes report.Changes
	acts    []string
	auth    string
}

func newTruceAt(t *testing.T) *truceAt {
	r := &truceAt{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/fights", func(w http.ResponseWriter, req *http.Request) {
		r.auth = req.Header.Get("Authorization")
		_ = json.NewEncoder(w).Encode(report.Fights{Items: r.fights})
	})
	mux.HandleFunc("GET /api/v1/changes", func(w http.ResponseWriter, req *http.Request) {
		r.acts = append(r.acts, req.URL.RawQuery)
		_ = json.NewEncoder(w).Encode(r.changes)
	})
	mux.HandleFunc("POST /api/v1/fights/{id}/{act}", func(w http.ResponseWriter, req *http.Request) {
		for _, f := range r.fights {
			if f.ID == req.PathValue("id") {
				var body bytes.Buffer
				_, _ = body.ReadFrom(req.Body)
				r.acts = append(r.acts, req.PathValue("act")+body.String())
				_ = json.NewEncoder(w).Encode(f)
				return
			}
		}
		http.Error(w, "there is no such fight here", http.StatusNotFound)
	})
	r.Server = httptest.NewServer(mux)
	t.Cleanup(r.Close)
	return r
}

func fightOf(id, namespace, name string, since time.Duration) report.Fight {
	now := time.Now()
	return report.Fight{
		ID: id, Kind: "fight", Object: report.Object{Resource: "serviceaccounts", Namespace: namespace, Name: name},
		Field: "metadata.annotations[k]", Signal: "Reversal", Rule: "all", Mode: policy.Enforce, Action: policy.ActionHold,
		Parties: []report.Writer{{User: "system:serviceaccount:shop:red", Manager: "red"}, {User: "system:serviceaccount:shop:blue"}},
		State:   report.Open, Reversals: 3, Writes: 5, Prevented: report.Prevented{Held: 2}, RatePerMinute: 60,
		FirstSeen: now.Add(-since), Detected: now.Add(-since), LastSeen: now, Until: now.Add(5*time.Minute + 59*time.Second),
		Turns: []report.Turn{{Time: now.Add(-since), Turn: policy.Started, Until: now.Add(5 * time.Minute)}},
	}
}

func TestFightsOfAllReplicas(t *testing.T) {
	a, b := newTruceAt(t), newTruceAt(t)
	a.fights = []report.Fight{fightOf("f-aaaaaaaaaaaa", "shop", "web", 150*time.Second)}
	b.fights = []report.Fight{fightOf("f-aaaaaaaaaaaa", "shop", "web", 150*time.Second), fightOf("f-bbbbbbbbbbbb", "pizza", "api", time.Hour)}
	ended := fightOf("f-cccccccccccc", "shop", "old", time.Hour)
	ended.State = report.Ended
	b.fights = append(b.fights, ended)
	urls := []string{"--url", a.URL, "--url", b.URL, "--token", "secret"}

	code, out, errs := truce(append([]string{"fights", "-A"}, urls...)...)
	if code != 0 || errs != "" || a.auth != "Bearer secret" {
		t.Fatalf("%d: %s; authorization %q", code, errs, a.auth)
	}
	for _, want := range []string{
		"ID               NAMESPACE   OBJECT                FIELD                     PARTIES          AGE   PER MIN   STATE",
		"f-aaaaaaaaaaaa   shop        serviceaccounts/web   metadata.annotations[k]   red, shop:blue   2m    120.0     Open",
		"f-bbbbbbbbbbbb   pizza", "(5m)", "   4\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "cccccccccccc") {
		t.Errorf("one that ended:\n%s", out)
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"fights", "-A", "--ended"}, []string{"f-cccccccccccc"}},
		{[]string{"fights", "-n", "pizza"}, []string{"f-bbbbbbbbbbbb"}},
		{[]string{"fights", "-A", "-o", "wide"}, []string{"SIGNAL", "system:serviceaccount:shop:red,manager=red"}},
		{[]string{"fights", "-A", "-o", "json"}, []string{`"id": "f-aaaaaaaaaaaa"`, `"writes": 10`}},
		{[]string{"fights", "-A", "-o", "yaml"}, []string{"id: f-aaaaaaaaaaaa"}},
		{[]string{"describe", "fight", "f-aaaa"}, []string{"Prevented:   4 (0 throttled, 0 rejected, 4 held)", "Turns:", "Started, until"}},
	} {
		code, out, errs := truce(append(c.args, urls...)...)
		for _, want := range c.want {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%v: %d %s\n%s\nwant %s", c.args, code, errs, out, want)
			}
		}
	}
}

func TestAReplicaThatDoesNotAnswerIsLeftOut(t *testing.T) {
	a, gone := newTruceAt(t), newTruceAt(t)
	gone.Close()
	code, out, errs := truce("fights", "-A", "--url", a.URL, "--url", gone.URL)
	if code != 0 || out != "" || !strings.Contains(errs, "left out: "+gone.URL) || !strings.Contains(errs, "No fights.") {
		t.Errorf("%d\n%s\n%s", code, out, errs)
	}
	if code, _, errs := truce("fights", "-A", "--url", gone.URL); code != 1 || !strings.Contains(errs, gone.URL) {
		t.Errorf("%d %s", code, errs)
	}
}

func TestReleaseAndHoldReachTheReplicasThatKnowTheFight(t *testing.T) {
	a, b := newTruceAt(t), newTruceAt(t)
	a.fights = []report.Fight{fightOf("f-aaaaaaaaaaaa", "shop", "web", time.Second)}
	urls := []string{"--url", a.URL, "--url", b.URL}
	for _, c := range []struct {
		args []string
		act  string
		say  string
	}{
		{[]string{"release", "f-aaaaaaaaaaaa"}, "release", "The truce over metadata.annotations[k] of serviceaccounts/web has ended."},
		{[]string{"hold", "f-aaaa", "--for", "2h"}, `hold{"for":"2h0m0s"}`, "lasts until "},
	} {
		a.acts = nil
		code, out, errs := truce(append(c.args, urls...)...)
		if code != 0 || fmt.Sprint(a.acts) != "["+c.act+"]" || b.acts != nil || !strings.Contains(out, c.say) {
			t.Errorf("%v: %d %s%s; asked for %q, %q", c.args, code, out, errs, a.acts, b.acts)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"release", "f-bbbb"}, "there is no fight f-bbbb"},
		{[]string{"hold", "f-aaaa", "--for", "169h"}, "--for: 169h0m0s is out of bounds"},
		{[]string{"hold", "f-aaaa", "--for", "0s"}, "--for: 0s is out of bounds"},
		{[]string{"timeline", "web"}, `"web" is no KIND/NAME`},
		{[]string{"fights", "-o", "table"}, `-o: "table" is none of`},
	} {
		if code, _, errs := truce(append(c.args, urls...)...); code != 1 || !strings.Contains(errs, c.want) {
			t.Errorf("%v: %d %s", c.args, code, errs)
		}
	}
}

func TestTheTimelineMarksFlips(t *testing.T) {
	a, b := newTruceAt(t), newTruceAt(t)
	at := time.Now()
	change := func(s int, from, to string, flip bool) report.Change {
		return report.Change{
			Time: at.Add(time.Duration(s) * time.Second), Object: report.Object{Resource: "serviceaccounts", Namespace: "shop", Name: "web"},
			Field: "spec.a", Writer: report.Writer{Manager: "red"}, Verb: "UPDATE", From: from, To: to, Reversal: flip, Outcome: report.Stored,
		}
	}
	a.changes = report.Changes{Key: "k", Items: []report.Change{change(1, "absent", "0000000000000001", false),
		change(3, "0000000000000002", "0000000000000001", true)}}
	b.changes = report.Changes{Key: "k", Items: []report.Change{change(2, "0000000000000001", "0000000000000002", false)}}
	code, out, errs := truce("timeline", "ServiceAccounts/web", "-n", "shop", "--field", "spec.a", "--url", a.URL, "--url", b.URL)
	if code != 0 || errs != "" {
		t.Fatalf("%d %s", code, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 4 || !strings.Contains(lines[1], "absent → A") || !strings.Contains(lines[2], "A → B") ||
		!strings.Contains(lines[3], "B → A") || !strings.Contains(lines[3], "↺") || strings.Contains(lines[2], "↺") {
		t.Error(out)
	}
	if a.acts[0] != "field=spec.a&namespace=shop&object=serviceaccounts%2Fweb" {
		t.Errorf("asked for %s", a.acts[0])
	}
	b.changes.Key = "other"
	if _, _, errs := truce("timeline", "serviceaccounts/web", "--url", a.URL, "--url", b.URL); !strings.Contains(errs, "different keys") {
		t.Errorf("no word about the keys: %s", errs)
	}
	if got := letter(25) + letter(26) + letter(27+26); got != "ZAABB" {
		t.Errorf("letters %s", got)
	}
}
