package admission

import (
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// What a review must say of itself.
const (
	reviewVersion = "admission.k8s.io/v1"
	reviewKind    = "AdmissionReview"
)

// podName is the key of userInfo.extra under which the API server tells the Pod that a token is bound to.
const podName = "authentication.kubernetes.io/pod-name"

// decode reads all of a review; the objects stay raw, and point into raw.
func (r *Request) decode(raw []byte) error {
	*r = Request{reader: r.reader, User: UserInfo{Groups: r.User.Groups[:0]}}
	e := &r.reader
	e.start(raw)
	var version, kind string
	found := false
	if e.enter("", '{') {
		for e.next() {
			switch string(e.key()) {
			case "apiVersion":
				e.str("apiVersion", &version)
			case "kind":
				e.str("kind", &kind)
			case "request":
				if found = e.enter("request", '{'); found {
					r.decodeRequest(e)
				}
			default:
				e.value()
			}
		}
	}
	e.finish()
	if len(raw) > maxText {
		e.release()
	}
	switch {
	case e.err != nil:
		return e.err
	case version != reviewVersion:
		return &BadReview{Where: "apiVersion", What: fmt.Sprintf("it must be %q, not %q", reviewVersion, shortened(version))}
	case kind != reviewKind:
		return &BadReview{Where: "kind", What: fmt.Sprintf("it must be %q, not %q", reviewKind, shortened(kind))}
	case !found:
		return &BadReview{Where: "request", What: "there is none"}
	case r.UID == "":
		return &BadReview{Where: "request.uid", What: "there is none"}
	}
	return nil
}

func (r *Request) decodeRequest(e *envelopeReader) {
	for e.next() {
		switch string(e.key()) {
		case "uid":
			e.str("request.uid", &r.UID)
		case "kind":
			if e.enter("request.kind", '{') {
				r.decodeKind(e)
			}
		case "resource":
			if e.enter("request.resource", '{') {
				r.decodeResource(e)
			}
		case "subResource":
			e.str("request.subResource", &r.Subresource)
		case "name":
			e.str("request.name", &r.Name)
		case "namespace":
			e.str("request.namespace", &r.Namespace)
		case "operation":
			e.str("request.operation", &r.Operation)
		case "userInfo":
			if e.enter("request.userInfo", '{') {
				r.User.decode(e)
			}
		case "object":
			r.Object = e.object("request.object")
		case "oldObject":
			r.OldObject = e.object("request.oldObject")
		case "dryRun":
			e.boolean("request.dryRun", &r.DryRun)
		case "options":
			if e.enter("request.options", '{') {
				r.decodeOptions(e)
			}
		default:
			e.value()
		}
	}
}

func (r *Request) decodeKind(e *envelopeReader) {
	for e.next() {
		if string(e.key()) == "kind" {
			e.str("request.kind.kind", &r.Kind)
		} else {
			e.value()
		}
	}
}

func (r *Request) decodeResource(e *envelopeReader) {
	for e.next() {
		switch string(e.key()) {
		case "group":
			e.str("request.resource.group", &r.Group)
		case "version":
			e.str("request.resource.version", &r.Version)
		case "resource":
			e.str("request.resource.resource", &r.Resource)
		default:
			e.value()
		}
	}
}

func (r *Request) decodeOptions(e *envelopeReader) {
	for e.next() {
		switch string(e.key()) {
		case "fieldManager":
			e.str("request.options.fieldManager", &r.FieldManager)
		case "propagationPolicy":
			e.str("request.options.propagationPolicy", &r.Propagation)
		default:
			e.value()
		}
	}
}

func (u *UserInfo) decode(e *envelopeReader) {
	for e.next() {
		switch string(e.key()) {
		case "username":
			e.str("request.userInfo.username", &u.Username)
		case "groups":
			u.Groups = u.Groups[:0]
			if e.enter("request.userInfo.groups", '[') {
				for e.next() {
					var group string
					e.str("request.userInfo.groups", &group)
					u.Groups = append(u.Groups, group)
				}
			}
		case "extra":
			if e.enter("request.userInfo.extra", '{') {
				u.decodeExtra(e)
			}
		default:
			e.value()
		}
	}
}

func (u *UserInfo) decodeExtra(e *envelopeReader) {
	for e.next() {
		if string(e.key()) != podName {
			e.value()
			continue
		}
		const where = "request.userInfo.extra[" + podName + "]"
		u.Pod = ""
		if !e.enter(where, '[') {
			continue
		}
		for first := true; e.next(); first = false {
			var pod string
			if e.str(where, &pod); first {
				u.Pod = pod
			}
		}
	}
}

// object reads an object without looking into it, nil if there is null.
func (e *envelopeReader) object(where string) jsontext.Value {
	if e.err == nil {
		switch e.dec.PeekKind() {
		case '{':
			return e.value()
		case 'n', jsontext.KindInvalid:
			e.value()
		default:
			e.wrong(where, "an object")
		}
	}
	return nil
}
