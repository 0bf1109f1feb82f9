package audit

import (
	"bytes"
	"strings"
	"time"

	"github.com/truce-dev/truce/pkg/admission"
)

// Operations, as admission calls them.
const (
	opCreate = "CREATE"
	opUpdate = "UPDATE"
	opDelete = "DELETE"
)

// isWrite reports whether an event tells of a write that was stored, or found nothing to change. What was denied, failed
// or was a dry run never came so far.
func isWrite(e *Event) bool {
	switch string(e.Verb) {
	case "create", "update", "patch", "delete", "deletecollection":
	default:
		return false
	}
	return e.OK() && len(e.Object.Resource) > 0 && !bytes.Contains(e.uri, []byte("dryRun="))
}

// operation returns what admission calls a write: a patch or an update may have created its object.
func operation(e *Event) string {
	switch string(e.Verb) {
	case "create":
		return opCreate
	case "delete", "deletecollection":
		return opDelete
	}
	if e.Code == 201 {
		return opCreate
	}
	return opUpdate
}

// unseenByAdmission reports whether the API server never calls webhooks for a resource: they could lock everybody out.
func unseenByAdmission(group, resource string) bool {
	return group == "admissionregistration.k8s.io" && (strings.HasSuffix(resource, "configurations") ||
		strings.Contains(resource, "admissionpolic"))
}

// request returns the request of a recorded write as a webhook would be told of it, but for the objects. Its strings stay
// valid.
func (in *interner) request(e *Event) admission.Request {
	o := &e.Object
	r := admission.Request{
		UID: string(e.ID), Group: in.text(o.Group), Version: in.text(o.Version), Resource: in.text(o.Resource),
		Subresource: in.text(o.Subresource), Namespace: in.text(o.Namespace), Name: in.text(o.Name),
		Operation: operation(e), FieldManager: in.text(e.Query("fieldManager")),
	}
	if r.Group == "" && r.Resource == "namespaces" {
		r.Namespace = r.Name // a namespace counts as being in itself
	}
	r.User = in.user(e.as())
	if r.FieldManager == "" && e.Response() == nil {
		// Nothing tells who owns the fields, so what the API server makes a manager of has to do.
		r.FieldManager = in.text(e.agent())
	}
	return r
}

// user reads a raw user. There are few, and most of them write often.
func (in *interner) user(raw []byte) (u admission.UserInfo) {
	if u, ok := in.users[string(raw)]; ok {
		return u
	}
	u.Username = in.text(textOf(raw, "username"))
	each(admission.Find(raw, "groups"), func(g []byte) bool {
		u.Groups = append(u.Groups, in.text(admission.Text(g)))
		return true
	})
	if extra := admission.Find(raw, "extra"); extra != nil {
		each(admission.Find(extra, "authentication.kubernetes.io/pod-name"), func(pod []byte) bool {
			u.Pod = in.text(admission.Text(pod))
			return false
		})
	}
	if in.users == nil || len(in.users) >= maxUsers {
		in.users = make(map[string]admission.UserInfo)
	}
	if len(raw) <= maxUser {
		in.users[string(raw)] = u
	}
	return u
}

// interner keeps one string for all bytes that are equal, and what was read of raw users.
type interner struct {
	known map[string]string
	users map[string]admission.UserInfo
}

// Bounds of an interner. Names of objects are among the strings, so it may begin anew any time.
const (
	maxInterned = 1 << 16
	maxUsers    = 1 << 10
	maxUser     = 4 << 10 // bytes
)

func (in *interner) text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := in.known[string(b)]; ok {
		return s
	}
	if in.known == nil || len(in.known) >= maxInterned {
		in.known = make(map[string]string)
	}
	s := string(b)
	in.known[s] = s
	return s
}

// when is the time at which a write counts: when it was answered, which is right after it was stored.
func when(e *Event) time.Time { return e.Done.Time() }
