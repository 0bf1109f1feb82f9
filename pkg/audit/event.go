package audit

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/truce-dev/truce/pkg/admission"
)

// Event is one audit event. Its text and raw values point into what was read: who keeps some of it copies it.
type Event struct {
	// Raw is the event as JSON, without what a cloud wrapped it in.
	Raw []byte
	// Level, Stage and Verb are as in audit.k8s.io/v1: RequestResponse, ResponseComplete, patch.
	Level, Stage, Verb []byte
	ID, UserAgent      []byte
	// Object is what the request is about; all empty for requests that are about no resource.
	Object ObjectRef
	// Code is the HTTP status of the response, 0 if it is not known.
	Code int
	// Received is when the request came, Done when it reached the stage.
	Received, Done Micros
	// Annotations, SourceIPs, Status are raw, nil if there are none.
	Annotations, SourceIPs, Status []byte
	// At is where the event was read.
	At Position

	uri, user, impersonated []byte // raw
	request, response       []byte // once they were looked for
	objects                 []byte // raw members that they are among, nil once they were
}

// ObjectRef names the object of a request.
type ObjectRef struct {
	Group, Version, Resource, Subresource, Namespace, Name, UID, ResourceVersion []byte
}

// Position is a place in an input.
type Position struct {
	File string
	// Line counts from 1. In a document of many lines it is that on which the event begins.
	Line int
}

// String returns file:line.
func (p Position) String() string { return p.File + ":" + strconv.Itoa(p.Line) }

// Stages and levels that matter here.
const (
	stageComplete = "ResponseComplete"
	stagePanic    = "Panic"

	levelMetadata = "Metadata"
)

var (
	errNotJSON = errors.New("it is not JSON")
	errForeign = errors.New("it is no audit event")
)

// decode reads an event out of raw, which begins with a JSON object, and returns the index after that. errForeign: it is
// JSON, as far as it was looked at, but something else. errNotJSON: it does not end.
//
// The request's and the response's objects are most of a log, and few who read events look at them. So if raw looks like
// what an API server writes, they are passed over, and looked for when somebody asks.
func (e *Event) decode(raw []byte) (end int, err error) {
	if end, err = e.read(raw, true); end != len(raw) && e.objects != nil {
		return e.read(raw, false)
	}
	return end, err
}

// read is decode. If lazy, what follows the objects is taken to be at the end of raw: it was only if so is the event's end.
func (e *Event) read(raw []byte, lazy bool) (end int, err error) {
	*e = Event{Raw: raw, At: e.At}
	group, kind, seen, listed := false, false, false, true
	at, done := admission.First(raw, 0)
	for !done {
		key, start := admission.Ahead(raw, at)
		if start < 0 {
			return -1, errNotJSON
		}
		if lazy && (string(key) == "requestObject" || string(key) == "responseObject") {
			lazy = false
			if after := afterObjects(raw, start); after >= 0 {
				e.objects = raw[at : after-1]
				at = after
				continue
			}
		}
		next := admission.SkipValue(raw, start)
		if next < 0 {
			return -1, errNotJSON
		}
		value := raw[start:next:next]
		switch string(key) {
		case "kind":
			kind, listed = string(value) == `"Event"`, false
		case "apiVersion":
			group, listed = bytes.HasPrefix(value, []byte(`"audit.k8s.io/`)), false
		case "level":
			e.Level = admission.Text(value)
		case "auditID":
			e.ID = admission.Text(value)
			seen = true
		case "stage":
			e.Stage = admission.Text(value)
		case "requestURI":
			e.uri = value
		case "verb":
			e.Verb = admission.Text(value)
		case "user":
			e.user = value
		case "impersonatedUser":
			e.impersonated = object(value)
		case "userAgent":
			e.UserAgent = admission.Text(value)
		case "sourceIPs":
			e.SourceIPs = value
		case "objectRef":
			e.Object.decode(value)
		case "responseStatus":
			e.Status = object(value)
			e.Code, _ = strconv.Atoi(string(admission.Find(value, "code")))
		case "requestObject":
			e.request = present(value)
		case "responseObject":
			e.response = present(value)
		case "requestReceivedTimestamp":
			e.Received = parseTime(admission.Text(value))
		case "stageTimestamp":
			e.Done = parseTime(admission.Text(value))
		case "annotations":
			e.Annotations = object(value)
		}
		if at, done = admission.Next(raw, next, '}'); at < 0 {
			return -1, errNotJSON
		}
	}
	// In an EventList, as an API server posts it, events do not say what they are.
	listed = listed && e.Stage != nil && e.Level != nil
	if !seen || !listed && (!group || !kind && e.Stage == nil) {
		return at + 1, errForeign
	}
	if e.Done == 0 {
		e.Done = e.Received
	}
	if e.Received == 0 {
		e.Received = e.Done
	}
	return at + 1, nil
}

// What an API server writes after the objects begins with requestReceivedTimestamp. Its length in bytes, annotations
// included, is most often below usualTail; if it is above maxTail, the objects are gone through.
const (
	usualTail = 512
	maxTail   = 4 << 10
)

// tailAt returns where in raw, but not before from, the comma is after which that begins, -1 if nowhere.
func tailAt(raw []byte, from int) int {
	for _, near := range [...]int{usualTail, maxTail} {
		found := -1
		for at := max(from, len(raw)-near); ; at = found + 1 {
			i := anchored(raw[at:], `,"request`, `ReceivedTimestamp":"`)
			if i < 0 {
				break
			}
			found = at + i
		}
		if found >= 0 {
			return found
		}
	}
	return -1
}

// afterObjects returns where in raw, an event, the member after the objects begins, the first one of which has its value
// at start; -1 if that is not plain to see. What it returns is right if raw is JSON and the event ends where raw does:
// brackets are as many as there are, so what goes from there to the one that closes the event is in no other.
//
// If raw is no JSON, or several events in a row, there is most likely an auditID among what is passed over, or one brace
// too many.
func afterObjects(raw []byte, start int) int {
	if c := raw[start]; c != '{' && c != '[' {
		return -1
	}
	at := tailAt(raw, start)
	if at < 0 {
		return -1
	}
	objects := raw[start:at]
	if names(objects) || bytes.Count(objects, []byte{'{'}) != bytes.Count(objects, []byte{'}'}) {
		return -1
	}
	return at + 1
}

// names reports whether there is an auditID in raw.
func names(raw []byte) bool { return anchored(raw, `"audit`, `ID":`) >= 0 }

// anchored returns where in raw there is before, followed by after; -1 if nowhere. The first byte of after is to be one
// that is rare in what Kubernetes writes, as capitals are: then it takes next to nothing.
func anchored(raw []byte, before, after string) int {
	for from := 0; ; from++ {
		i := bytes.IndexByte(raw[from:], after[0])
		if i < 0 {
			return -1
		}
		from += i
		if at := from - len(before); at >= 0 && string(raw[at:from]) == before && bytes.HasPrefix(raw[from:], []byte(after)) {
			return at
		}
	}
}

// find looks for the objects that decode passed over. It reports false if that is something else.
func (e *Event) find() bool {
	raw := e.objects
	if raw == nil {
		return true
	}
	e.objects = nil
	// What begins at a name of the response and ends where the objects do is the response: in another object it would end
	// before. What is before it is the request, and need not be gone through.
	const request, response = `"requestObject":`, `"responseObject":`
	if at := anchored(raw, response[:len(`"response`)], response[len(`"response`):]); at >= 0 {
		start := at + len(response)
		whole := start < len(raw) && admission.SkipValue(raw, start) == len(raw)
		switch {
		case whole && at == 0:
			e.response = present(raw[start:])
			return true
		case whole && bytes.HasPrefix(raw, []byte(request)) && raw[at-1] == ',':
			e.request, e.response = present(raw[len(request):at-1:at-1]), present(raw[start:])
			return true
		}
	}
	for at := 0; ; {
		key, value, next := admission.Member(raw, at)
		if next < 0 {
			return false
		}
		switch string(key) {
		case "requestObject":
			e.request = present(value)
		case "responseObject":
			e.response = present(value)
		}
		if next == len(raw) {
			return true
		}
		if at, _ = admission.Next(raw, next, '}'); at < 0 {
			return false
		}
	}
}

// Request returns the raw object that was sent, or a patch; nil if the level leaves it out.
func (e *Event) Request() []byte {
	e.find()
	return e.request
}

// Response returns the raw object of the answer; nil if the level leaves it out.
func (e *Event) Response() []byte {
	e.find()
	return e.response
}

func (r *ObjectRef) decode(raw []byte) {
	if object(raw) == nil {
		return
	}
	at, done := admission.First(raw, 0)
	for !done {
		key, value, next := admission.Member(raw, at)
		if next < 0 {
			return
		}
		switch string(key) {
		case "resource":
			r.Resource = admission.Text(value)
		case "namespace":
			r.Namespace = admission.Text(value)
		case "name":
			r.Name = admission.Text(value)
		case "uid":
			r.UID = admission.Text(value)
		case "apiGroup":
			r.Group = admission.Text(value)
		case "apiVersion":
			r.Version = admission.Text(value)
		case "resourceVersion":
			r.ResourceVersion = admission.Text(value)
		case "subresource":
			r.Subresource = admission.Text(value)
		}
		if at, done = admission.Next(raw, next, '}'); at < 0 {
			return
		}
	}
}

// object returns a raw value if it is an object.
func object(raw []byte) []byte {
	if len(raw) > 1 && raw[0] == '{' {
		return raw
	}
	return nil
}

// present returns a raw value if it is an object or a list, as a JSON patch is.
func present(raw []byte) []byte {
	if len(raw) > 1 && (raw[0] == '{' || raw[0] == '[') {
		return raw
	}
	return nil
}

// URI returns the request's path and query.
func (e *Event) URI() []byte { return admission.Text(e.uri) }

// User returns who made the request: whom the client impersonated, if it did.
func (e *Event) User() []byte { return admission.Text(admission.Find(e.as(), "username")) }

// as returns the raw user that the request was made as.
func (e *Event) as() []byte {
	if e.impersonated != nil {
		return e.impersonated
	}
	return e.user
}

// Complete reports whether the event is the last one of its request. Every request has one such event, long ones such as
// watches several others.
func (e *Event) Complete() bool {
	return string(e.Stage) == stageComplete || string(e.Stage) == stagePanic
}

// OK reports whether the request succeeded.
func (e *Event) OK() bool { return e.Code >= 200 && e.Code < 300 }

// Query returns the first value of a parameter of the request's URI, nil if there is none.
func (e *Event) Query(name string) []byte {
	_, query, _ := bytes.Cut(e.URI(), []byte{'?'})
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte{'&'})
		key, value, _ := bytes.Cut(pair, []byte{'='})
		if string(key) == name {
			return unescapeQuery(value)
		}
	}
	return nil
}

// each calls fn with the elements of a raw list until it reports false.
func each(list []byte, fn func(element []byte) bool) {
	if len(list) == 0 || list[0] != '[' {
		return
	}
	at, done := admission.First(list, 0)
	for !done {
		next := admission.SkipValue(list, at)
		if next < 0 || !fn(list[at:next:next]) {
			return
		}
		if at, done = admission.Next(list, next, ']'); at < 0 {
			return
		}
	}
}
