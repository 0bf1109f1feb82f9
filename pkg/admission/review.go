package admission

import (
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

// Request is what is decoded of an AdmissionReview's request: enough to know what is written, by whom and how.
//
// Object and OldObject point into the body that was decoded. The strings are cut from one copy of the rest of the body:
// who keeps one for long should clone it, or keeps all of that. A Request, and User.Groups, may be used again for the
// next review.
type Request struct {
	UID string
	// Group, Version and Resource are those that the webhook is registered for, as is Kind.
	Group, Version, Resource, Subresource, Kind string

	Name, Namespace string
	// Operation is CREATE, UPDATE, DELETE or CONNECT.
	Operation string
	User      UserInfo
	// Object and OldObject are raw JSON objects, nil where there is none. Only their extent is known to be right, not
	// that all that is in them is JSON.
	Object, OldObject jsontext.Value
	// Meta and OldMeta are their metadata, if somebody read those already; nil if not.
	Meta, OldMeta *Meta
	DryRun        bool
	// FieldManager and Propagation are the options fieldManager and propagationPolicy; often the client sets none.
	FieldManager, Propagation string

	reader envelopeReader // scratch memory
}

// UserInfo is who makes a request.
type UserInfo struct {
	Username string
	Groups   []string
	// Pod is the name of the Pod that a service account's token is bound to, if any.
	Pod string
}

// BadReview says why a body is not an AdmissionReview that can be judged.
type BadReview struct {
	// Where is the member at fault, such as request.uid; empty for the body as a whole.
	Where string
	What  string
}

// Error returns a sentence without a full stop.
func (e *BadReview) Error() string {
	if e.Where == "" {
		return e.What
	}
	return e.Where + ": " + e.What
}

// badObject makes err, which concerns the object at where, a *BadReview if it is none yet.
func badObject(where string, err error) error {
	var bad *BadReview
	if errors.As(err, &bad) {
		return err
	}
	return &BadReview{Where: where, What: err.Error()}
}

// Decode reads an AdmissionReview (admission.k8s.io/v1) into r, whose former content is gone. Unknown members are
// ignored, of a member that comes twice the last one counts, and what is not UTF-8 is replaced by U+FFFD in strings. The
// error is a *BadReview.
//
// The objects are nearly all of a review. Where they are is found by a scan that is faster than any decoder, because it
// does not look at what is in them; the decoder then reads the few hundred bytes around them. If the scan finds anything
// unusual, the decoder reads everything.
func Decode(body []byte, r *Request) error {
	object, oldObject, ok := findObjects(body)
	if !ok {
		return r.decode(body)
	}
	if err := r.decode(r.reader.cut(body, object, oldObject)); err != nil {
		if whole := r.decode(body); whole != nil {
			return whole // with the offset in the body
		}
		return err
	}
	r.Object, r.OldObject = object.value(body), oldObject.value(body)
	return nil
}

// findObjects returns where request.object and request.oldObject are in a body. It reports false if that is not plain:
// the body has to be decoded to know.
func findObjects(body []byte) (object, oldObject span, ok bool) {
	at := skipSpace(body, 0)
	if at >= len(body) || body[at] != '{' || len(body) > 1<<30 {
		return object, oldObject, false
	}
	at, done := begin(body, at)
	requests := 0
	for !done {
		// Not nextMember: that would go through the request once more than needed.
		key, value := memberAhead(body, at)
		if value < 0 {
			return object, oldObject, false
		}
		var next int
		if string(key) == `"request"` && body[value] == '{' {
			requests++
			object, oldObject, next = findInRequest(body, value)
		} else {
			next = skipValue(body, value)
		}
		if next < 0 {
			return object, oldObject, false
		}
		if at, done = following(body, next, '}'); at < 0 {
			return object, oldObject, false
		}
	}
	return object, oldObject, requests == 1
}

// findInRequest returns where the objects are in the request that begins at body[at], and the index after it, or -1.
func findInRequest(body []byte, at int) (object, oldObject span, next int) {
	at, done := begin(body, at)
	for !done {
		key, value := memberAhead(body, at)
		if value < 0 {
			return object, oldObject, -1
		}
		if next = skipValue(body, value); next < 0 {
			return object, oldObject, -1
		}
		var found *span
		switch string(key) {
		case `"object"`:
			found = &object
		case `"oldObject"`:
			found = &oldObject
		}
		if found != nil {
			*found = span{int32(value), int32(next)} // if it comes again, the decoder goes over the first one, too
			if body[value] != '{' && string(found.in(body)) != "null" {
				return object, oldObject, -1
			}
		}
		if at, done = following(body, next, '}'); at < 0 {
			return object, oldObject, -1
		}
	}
	return object, oldObject, at + 1
}

// memberAhead returns the key, with its quotes, of the member that begins at b[i], and where its value begins, -1 if
// there is no member or its key has escapes.
func memberAhead(b []byte, i int) (key []byte, value int) {
	if i >= len(b) || b[i] != '"' {
		return nil, -1
	}
	end := skipString(b, i)
	if end < 0 || hasEscape(b[i:end]) {
		return nil, -1
	}
	colon := skipSpace(b, end)
	if colon >= len(b) || b[colon] != ':' {
		return nil, -1
	}
	value = skipSpace(b, colon+1)
	if value >= len(b) {
		return nil, -1
	}
	return b[i:end], value
}
