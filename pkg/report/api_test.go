package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/truce-dev/truce/pkg/policy"
)

// asked answers a request as the API does.
func asked(a *API, method, path, body string) (int, string) {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

func TestTheAPIAnswers(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	s.fight(7)
	a := NewAPI(s.recorder, s.guard)
	id := s.only().ID
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/api/v1/fights", "", 200, `{"items":[{"id":"` + id + `"`},
		{"GET", "/api/v1/fights?active=true&namespace=shop&kind=fight&object=serviceaccounts/web", "", 200, `"id":`},
		{"GET", "/api/v1/fights?namespace=other", "", 200, `{"items":[]}`},
		{"GET", "/api/v1/fights?kind=loop", "", 200, `{"items":[]}`},
		{"GET", "/api/v1/fights?object=serviceaccounts/we", "", 200, `{"items":[]}`},
		{"GET", "/api/v1/fights?active=yes", "", 400, `active: "yes" is neither true nor false`},
		{"GET", "/api/v1/fights?name=web", "", 400, `there is no parameter "name"`},
		{"GET", "/api/v1/fights/" + id[:10], "", 200, `{"id":"` + id + `"`},
		{"GET", "/api/v1/fights/f-000000000000", "", 404, "there is no such fight here"},
		{"GET", "/api/v1/changes?object=serviceaccounts/shop/web&since=1h&limit=2", "", 200, `"truncated":true`},
		{"GET", "/api/v1/changes?since=2026-03-01T13:00:00Z", "", 200, `{"items":[]}`},
		{"GET", "/api/v1/changes?until=1h", "", 200, `{"items":[]}`},
		{"GET", "/api/v1/changes?since=yesterday", "", 400, `since: "yesterday" is neither a time`},
		{"GET", "/api/v1/changes?since=-1h", "", 400, `since: "-1h" is neither a time`},
		{"GET", "/api/v1/changes?limit=0", "", 400, `limit: "0" is no number from 1 to 10000`},
		{"GET", "/api/v1/changes?limit=10001", "", 400, `limit: "10001"`},
		{"GET", "/api/v1/changes?limit=10000", "", 200, `"items":[{`},
		{"GET", "/api/v1/changes?name=web", "", 400, `there is no parameter "name"`},
		{"GET", "/api/v1/events?since=1h", "", 400, `there is no parameter "since"`},
		{"GET", "/api/v1/openapi.json", "", 200, `"openapi": "3.1.0"`},
		{"GET", "/api/v1/", "", 404, ""},
		{"GET", "/api/v1/fights/" + id + "/release", "", 405, ""},
		{"POST", "/api/v1/fights", "", 405, ""},
		{"POST", "/api/v1/fights/" + id + "/hold", "", 400, `the body must be JSON such as {"for":"1h"}`},
		{"POST", "/api/v1/fights/" + id + "/hold", `{"for":"long"}`, 400, `for: "long" is no time of up to 168h0m0s`},
		{"POST", "/api/v1/fights/" + id + "/hold", `{"for":"168h0m1s"}`, 400, `for: "168h0m1s" is no time`},
		{"POST", "/api/v1/fights/" + id + "/hold", `{"for":"168h"}`, 200, `"turn":"Pinned"`},
		{"POST", "/api/v1/fights/f-000000000000/hold", `{"for":"1h"}`, 404, "there is no such fight here"},
		{"POST", "/api/v1/fights/" + id + "/release", "", 200, `"state":"Ended"`},
		{"POST", "/api/v1/fights/" + id + "/release", "", 409, "nothing is held down"},
		{"GET", "/api/v1/fights?active=true", "", 200, `{"items":[]}`},
	} {
		if status, body := asked(a, c.method, c.path, c.body); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, status, body, c.status, c.want)
		}
	}
}

func TestAServerThatCannotActSaysSo(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	a := NewAPI(s.recorder, nil)
	for _, act := range []string{"release", "hold"} {
		if status, _ := asked(a, "POST", "/api/v1/fights/f-000000000000/"+act, ""); status != http.StatusNotImplemented {
			t.Errorf("%s: %d", act, status)
		}
	}
}

// schemaOf compiles a schema of the OpenAPI document.
func schemaOf(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("openapi.json#/components/schemas/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatTheAPIAnswersIsWhatItsDocumentSays(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{Key: "k"})
	s.fight(7)
	if _, err := s.recorder.Register.Hold(s.guard, s.now, s.now.Add(time.Hour), s.only().ID, "ann"); err != nil {
		t.Fatal(err)
	}
	a := NewAPI(s.recorder, s.guard)
	for path, schema := range map[string]string{
		"/api/v1/fights": "Fights", "/api/v1/fights/" + s.only().ID: "Fight", "/api/v1/changes?limit=3": "Changes",
	} {
		_, body := asked(a, "GET", path, "")
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := schemaOf(t, schema).Validate(v); err != nil {
			t.Errorf("%s: %v\n%s", path, err, body)
		}
	}
	if err := schemaOf(t, "Fight").Validate(map[string]any{"id": "x"}); err == nil {
		t.Error("the schema takes anything")
	}
}

func TestTheDocumentHasEveryPathAndParameter(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	s := newScene(t, policy.Enforce, "Reject", Options{})
	a := NewAPI(s.recorder, s.guard)
	for path, operations := range doc.Paths {
		for method := range operations {
			if method == "parameters" {
				continue
			}
			_, pattern := a.mux.Handler(httptest.NewRequest(strings.ToUpper(method), strings.ReplaceAll(path, "{id}", "x"), nil))
			if pattern != strings.ToUpper(method)+" "+path {
				t.Errorf("%s %s is served as %q", method, path, pattern)
			}
			var op struct{ Parameters []struct{ Name string } }
			_ = json.Unmarshal(operations[method], &op)
			for _, p := range op.Parameters {
				if path == "/api/v1/events" {
					continue // its answer does not end
				}
				if status, body := asked(a, "GET", path+"?"+p.Name+"=", ""); status != 200 {
					t.Errorf("%s?%s=: %d %s", path, p.Name, status, body)
				}
			}
		}
	}
	if len(doc.Paths) != 7 {
		t.Errorf("%d paths", len(doc.Paths))
	}
}

// sse reads events from a stream as long as want asks for more.
func sse(t *testing.T, body io.Reader, want func(event, data string) bool) {
	t.Helper()
	event := ""
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && !want(event, data) {
			return
		}
	}
	t.Fatalf("the stream ended: %v", lines.Err())
}

func TestEventsAreStreamed(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	s.fight(5)
	server := httptest.NewServer(NewAPI(s.recorder, s.guard))
	defer server.Close()
	resp, err := http.Get(server.URL + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got []string
	sse(t, resp.Body, func(event, data string) bool {
		var f Fight
		var c Change
		if event == "fight" && json.Unmarshal([]byte(data), &f) == nil {
			got = append(got, fmt.Sprint("fight ", f.Reversals))
		} else if json.Unmarshal([]byte(data), &c) == nil {
			got = append(got, fmt.Sprint("change ", c.Outcome))
		}
		if len(got) == 1 { // what there was; now something happens
			s.write(time.Second, "red", "red")
		}
		return len(got) < 3
	})
	slices.Sort(got[1:]) // the two may fall on either side of a look at what is new
	if diff := cmp.Diff([]string{"fight 3", "change Rejected", "fight 4"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestListenersAreBounded(t *testing.T) {
	s := newScene(t, policy.Enforce, "Reject", Options{})
	a := NewAPI(s.recorder, s.guard)
	for range maxStreams {
		a.streams <- struct{}{}
	}
	if status, body := asked(a, "GET", "/api/v1/events", ""); status != 503 || !strings.Contains(body, "64 clients listen already") {
		t.Errorf("%d %s", status, body)
	}
}

func TestLocalKeepsOtherSitesOut(t *testing.T) {
	h := Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "in") }))
	for _, c := range []struct {
		name, method, host string
		header             []string
		want               int
	}{
		{"curl", "GET", "127.0.0.1:8081", nil, 200},
		{"curl acts", "POST", "localhost:8081", nil, 200},
		{"IPv6", "GET", "[::1]:8081", nil, 200},
		{"a page of ours acts", "POST", "localhost:8081", []string{"Origin", "http://localhost:8081"}, 200},
		{"a page of another site acts", "POST", "localhost:8081", []string{"Origin", "https://evil.example"}, 403},
		{"a site whose name resolves to us", "GET", "evil.example:8081", nil, 403},
	} {
		r := httptest.NewRequest(c.method, "http://"+c.host+"/", nil)
		for pair := range slices.Chunk(c.header, 2) {
			r.Header.Set(pair[0], pair[1])
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != c.want {
			t.Errorf("%s: %d", c.name, w.Code)
		}
	}
}

func TestWithoutAnAPIServerNobodyGetsThrough(t *testing.T) {
	var g *Gate
	w := httptest.NewRecorder()
	g.Guard(http.NotFoundHandler(), Permission).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/fights", nil))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "--kubeconfig") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
