package audit

import (
	"bytes"
	"strconv"

	"github.com/truce-dev/truce/pkg/admission"
)

// Cloud Logging (GKE) does not keep audit events as they are but makes them log entries of its own schema. docs/audit.md
// has the table of what becomes what; here it is read backwards.

// fromCloudLogging makes an event of a log entry, a raw object.
func (e *Event) fromCloudLogging(entry []byte, fn func(*Event)) error {
	p := admission.Find(entry, "protoPayload")
	if object(p) == nil || string(textOf(p, "serviceName")) != "k8s.io" {
		return errForeign
	}
	*e = Event{Raw: entry, At: e.At, Stage: []byte(stageComplete)}
	var level string
	switch e.request, e.response = object(admission.Find(p, "request")), object(admission.Find(p, "response")); {
	case e.response != nil:
		level = "RequestResponse"
	case e.request != nil:
		level = "Request"
	default:
		level = levelMetadata
	}
	e.Level = []byte(level)
	operation := admission.Find(entry, "operation")
	e.ID = textOf(operation, "id")
	if string(admission.Find(operation, "last")) != "true" && string(admission.Find(operation, "first")) == "true" {
		e.Stage = []byte("ResponseStarted") // of a long request, whose end is an entry of its own
	}
	e.user = admission.Find(p, "authenticationInfo")
	e.impersonated = cloudUser(e.user)
	meta := admission.Find(p, "requestMetadata")
	e.UserAgent = textOf(meta, "callerSuppliedUserAgent")
	if ip := admission.Find(meta, "callerIp"); ip != nil {
		e.SourceIPs = append(append([]byte{'['}, ip...), ']')
	}
	e.Status = object(admission.Find(p, "status"))
	e.Code = httpStatus(admission.Find(e.Status, "code"))
	e.Received = parseTime(textOf(entry, "timestamp"))
	e.Done = e.Received
	e.Annotations = object(admission.Find(entry, "labels"))
	e.cloudMethod(textOf(p, "methodName"), textOf(p, "resourceName"))
	if e.Verb == nil || e.Done == 0 {
		return errForeign
	}
	fn(e)
	return nil
}

// cloudUser makes a raw user, as in an audit event, of authenticationInfo.
func cloudUser(info []byte) []byte {
	name := admission.Find(info, "principalEmail")
	if len(name) == 0 || name[0] != '"' {
		return nil
	}
	return append(append([]byte(`{"username":`), name...), '}')
}

// cloudMethod reads io.k8s.apps.v1.deployments.status.patch and apps/v1/namespaces/shop/deployments/web/status.
func (e *Event) cloudMethod(method, resource []byte) {
	dot := bytes.LastIndexByte(method, '.')
	if dot < 0 {
		return
	}
	e.Verb = method[dot+1:]
	parts := bytes.Split(resource, []byte{'/'})
	if len(parts) < 3 {
		return
	}
	o := &e.Object
	o.Group, o.Version, parts = parts[0], parts[1], parts[2:]
	if string(o.Group) == "core" {
		o.Group = nil
	}
	if string(parts[0]) == "namespaces" && len(parts) > 2 {
		o.Namespace, parts = parts[1], parts[2:]
	}
	o.Resource = parts[0]
	if len(parts) > 1 {
		o.Name = parts[1]
	}
	if len(parts) > 2 {
		o.Subresource = parts[2]
	}
	if string(o.Resource) == "namespaces" {
		o.Namespace = o.Name
	}
}

// httpStatus returns the HTTP status of a google.rpc.Code.
func httpStatus(raw []byte) int {
	code, _ := strconv.Atoi(string(raw))
	switch code {
	case 0:
		return 200
	case 3, 9, 11:
		return 400
	case 4:
		return 504
	case 5:
		return 404
	case 6, 10:
		return 409
	case 7:
		return 403
	case 8:
		return 429
	case 12:
		return 501
	case 14:
		return 503
	case 16:
		return 401
	}
	return 500
}

// textOf returns the text of a member, nil if it is no string.
func textOf(object []byte, key string) []byte { return admission.Text(admission.Find(object, key)) }
