package report

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The permissions that the API asks for, as RBAC's nonResourceURLs: to read is get on all below AuthRoot, to act upon
// fights is post on it. They are not the paths that are served: every user of a cluster may get what is below /api,
// because that is where API servers tell what they have.
const (
	APIRoot  = "/api/v1"
	AuthRoot = "/truce"
)

//go:embed openapi.json
var openAPI []byte

// API serves the register and the journal, without asking who wants to know: see Authorize.
type API struct {
	Register *Register
	Journal  *Journal
	// Breaker acts upon fights; without one, nobody can.
	Breaker Breaker
	Now     func() time.Time

	streams chan struct{}
	mux     *http.ServeMux
}

// maxStreams is how many clients can listen to events at once.
const maxStreams = 64

// NewAPI returns the API of what r records.
func NewAPI(r *Recorder, b Breaker) *API {
	a := &API{
		Register: r.Register, Journal: r.Journal, Breaker: b, Now: r.now,
		streams: make(chan struct{}, maxStreams), mux: http.NewServeMux(),
	}
	a.mux.HandleFunc("GET "+APIRoot+"/fights", a.fights)
	a.mux.HandleFunc("GET "+APIRoot+"/fights/{id}", a.fight)
	a.mux.HandleFunc("POST "+APIRoot+"/fights/{id}/release", a.release)
	a.mux.HandleFunc("POST "+APIRoot+"/fights/{id}/hold", a.hold)
	a.mux.HandleFunc("GET "+APIRoot+"/changes", a.changes)
	a.mux.HandleFunc("GET "+APIRoot+"/events", a.events)
	a.mux.HandleFunc("GET "+APIRoot+"/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openAPI)
	})
	return a
}

// ServeHTTP answers with JSON, or with an error in a sentence.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	a.mux.ServeHTTP(w, r)
}

func (a *API) fights(w http.ResponseWriter, r *http.Request) {
	q, err := fightQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, Fights{Items: a.Register.Fights(a.Now(), q)})
}

func (a *API) fight(w http.ResponseWriter, r *http.Request) {
	f, ok := a.Register.Fight(a.Now(), r.PathValue("id"))
	if !ok {
		http.Error(w, ErrNoFight.Error(), http.StatusNotFound)
		return
	}
	answer(w, f)
}

func (a *API) changes(w http.ResponseWriter, r *http.Request) {
	q, err := changeQuery(r.URL.Query(), a.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, a.Journal.Changes(q))
}

func (a *API) release(w http.ResponseWriter, r *http.Request) {
	if a.Breaker == nil {
		http.Error(w, "this server cannot act upon fights", http.StatusNotImplemented)
		return
	}
	f, err := a.Register.Release(a.Breaker, a.Now(), r.PathValue("id"), userOf(r))
	answerAct(w, f, err)
}

// holdRequest is the body of a request to hold.
type holdRequest struct {
	// For is how long, such as 1h.
	For string `json:"for"`
}

func (a *API) hold(w http.ResponseWriter, r *http.Request) {
	if a.Breaker == nil {
		http.Error(w, "this server cannot act upon fights", http.StatusNotImplemented)
		return
	}
	var body holdRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&body); err != nil {
		http.Error(w, `the body must be JSON such as {"for":"1h"}: `+err.Error(), http.StatusBadRequest)
		return
	}
	d, err := time.ParseDuration(body.For)
	if err != nil || d <= 0 || d > MaxHold {
		http.Error(w, fmt.Sprintf("for: %q is no time of up to %v, such as 1h", body.For, MaxHold), http.StatusBadRequest)
		return
	}
	now := a.Now()
	f, err := a.Register.Hold(a.Breaker, now, now.Add(d), r.PathValue("id"), userOf(r))
	answerAct(w, f, err)
}

func answerAct(w http.ResponseWriter, f Fight, err error) {
	switch {
	case errors.Is(err, ErrNoFight):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		answer(w, f)
	}
}

func answer(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // an error means that the client is gone
}

// known refuses parameters that do not exist: a filter that is misspelt would answer with everything.
func known(q url.Values, names ...string) error {
next:
	for name := range q {
		for _, n := range names {
			if n == name {
				continue next
			}
		}
		return fmt.Errorf("there is no parameter %q", name)
	}
	return nil
}

func fightQuery(v url.Values) (q FightQuery, err error) {
	if err := known(v, "active", "namespace", "kind", "object"); err != nil {
		return q, err
	}
	if q.Active, err = boolean(v, "active"); err != nil {
		return q, err
	}
	q.Namespace, q.Kind, q.Object = v.Get("namespace"), v.Get("kind"), v.Get("object")
	return q, nil
}

func boolean(v url.Values, name string) (bool, error) {
	text := v.Get(name)
	if text == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s: %q is neither true nor false", name, text)
	}
	return b, nil
}

func changeQuery(v url.Values, now time.Time) (q ChangeQuery, err error) {
	if err := known(v, "object", "namespace", "field", "manager", "fight", "since", "until", "limit"); err != nil {
		return q, err
	}
	q.Object, q.Namespace, q.Field = v.Get("object"), v.Get("namespace"), v.Get("field")
	q.Manager, q.Fight = v.Get("manager"), v.Get("fight")
	if q.Since, err = instant(v, "since", now); err != nil {
		return q, err
	}
	if q.Until, err = instant(v, "until", now); err != nil {
		return q, err
	}
	if text := v.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > MaxChanges {
			return q, fmt.Errorf("limit: %q is no number from 1 to %d", text, MaxChanges)
		}
	}
	return q, nil
}

// instant reads a point in time, or how long ago it was.
func instant(v url.Values, name string, now time.Time) (time.Time, error) {
	text := v.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return time.Time{}, fmt.Errorf("%s: %q is neither a time such as 2006-01-02T15:04:05Z nor how long ago, such as 1h",
			name, text)
	}
	return now.Add(-d), nil
}
