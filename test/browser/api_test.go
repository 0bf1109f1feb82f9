package browser

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/page"
)

// api stands in for Truce's HTTP API, with the real page beside it.
type api struct {
	*httptest.Server
	scene *scene
	token string // what it asks for, if anything

	mu        sync.Mutex
	listeners map[chan string]bool
	meanwhile func()        // called after the list of fights is read, and before it is sent
	slow      string        // the namespace whose changes are answered late,
	release   chan struct{} // when this is closed
	asked     []string      // what was asked of it, with the query
}

func serve(t *testing.T, s *scene) *api {
	t.Helper()
	a := &api{scene: s, listeners: map[chan string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ui/api/v1/fights", a.guarded(func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		known := slices.Clone(a.scene.fights)
		meanwhile := a.meanwhile
		a.mu.Unlock()
		if meanwhile != nil {
			meanwhile()
		}
		answer(w, fights{known})
	}))
	mux.HandleFunc("GET /ui/api/v1/fights/{id}", a.guarded(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, f := range a.scene.fights {
			if f.ID == r.PathValue("id") {
				answer(w, f)
				return
			}
		}
		http.Error(w, "there is no fight "+r.PathValue("id"), http.StatusNotFound)
	}))
	mux.HandleFunc("GET /ui/api/v1/changes", a.guarded(a.changes))
	mux.HandleFunc("GET /ui/api/v1/events", a.guarded(a.events))
	mux.Handle("/ui/", http.StripPrefix("/ui", page.Handler()))
	// The API server's proxy keeps the header Authorization to itself.
	mux.HandleFunc("/proxy/", func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", r.Header.Get("X-Truce-Authorization"))
		http.StripPrefix("/proxy", mux).ServeHTTP(w, r)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { // an address that is not relative ends here
		t.Errorf("the page asked for %s, outside the folder that it is served from", r.URL)
		http.NotFound(w, r)
	})
	a.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		a.CloseClientConnections()
		a.Close()
	})
	return a
}

func (a *api) guarded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.asked = append(a.asked, strings.TrimPrefix(r.URL.String(), "/ui/api/v1/"))
		token := a.token
		a.mu.Unlock()
		if token != "" && r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		h(w, r)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func (a *api) changes(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if !known(w, r, "object", "namespace", "field", "manager", "fight", "since", "until", "limit") {
		return
	}
	if slow := query.Get("namespace"); slow != "" && slow == a.slow {
		<-a.release
	}
	since := time.Time{}
	if s := query.Get("since"); s != "" {
		var err error
		if since, err = time.Parse(time.RFC3339Nano, s); err != nil {
			http.Error(w, "since: "+err.Error(), http.StatusBadRequest)
			return
		}
	}
	found := changes{Items: []change{}}
	for _, c := range a.scene.changes {
		fits := (query.Get("field") == "" || query.Get("field") == c.Field) &&
			(query.Get("fight") == "" || query.Get("fight") == c.Fight) && (query.Get("manager") == "" || query.Get("manager") == c.Writer.Manager) && !c.Time.Before(since)
		if fits {
			found.Items = append(found.Items, c)
		}
	}
	answer(w, found)
}

// known answers as the real API does when it is asked for a parameter that it does not have.
func known(w http.ResponseWriter, r *http.Request, names ...string) bool {
	for name := range r.URL.Query() {
		if !slices.Contains(names, name) {
			http.Error(w, fmt.Sprintf("there is no parameter %q", name), http.StatusBadRequest)
			return false
		}
	}
	return true
}

func (a *api) events(w http.ResponseWriter, r *http.Request) {
	if !known(w, r, "object", "namespace", "field", "manager", "fight") {
		return
	}
	events := make(chan string, 1000)
	a.mu.Lock()
	a.listeners[events] = true // before the page can know
	a.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, ": hello\n\n")
	flusher := w.(http.Flusher)
	flusher.Flush()
	defer func() {
		a.mu.Lock()
		delete(a.listeners, events)
		a.mu.Unlock()
	}()
	for {
		select {
		case <-r.Context().Done():
			return
		case e, ok := <-events:
			if !ok {
				return
			}
			fmt.Fprint(w, e)
			flusher.Flush()
		}
	}
}

// tell sends an event to everybody who listens, and reports whether anybody does.
func (a *api) tell(event string, v any) bool {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for l := range a.listeners {
		l <- fmt.Sprintf("event: %s\ndata: %s\n\n", event, data)
	}
	return len(a.listeners) > 0
}

// add adds a fight to what the API knows.
func (a *api) add(f *fight) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.scene.fights = append(a.scene.fights, f)
}

// hangUp ends all streams.
func (a *api) hangUp() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for l := range a.listeners {
		close(l)
		delete(a.listeners, l)
	}
}

func (a *api) wasAsked(part string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, asked := range a.asked {
		if strings.Contains(asked, part) {
			return true
		}
	}
	return false
}
