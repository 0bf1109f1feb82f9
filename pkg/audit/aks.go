package audit

import (
	"strconv"

	"github.com/truce-dev/truce/pkg/admission"
)

// fromAKSAudit makes an event of a row of Azure Monitor's table AKSAudit or AKSAuditAdmin, whose columns are the members
// of an event under other names. Columns that hold objects are objects, or text with JSON in it.
func (e *Event) fromAKSAudit(row []byte, fn func(*Event)) error {
	*e = Event{
		Raw: row, At: e.At,
		Level: textOf(row, "Level"), Stage: textOf(row, "Stage"), ID: textOf(row, "AuditId"),
		Verb: textOf(row, "Verb"), uri: admission.Find(row, "RequestUri"), UserAgent: textOf(row, "UserAgent"),
		user: column(row, "User"), impersonated: object(column(row, "ImpersonatedUser")),
		SourceIPs: column(row, "SourceIps"), Annotations: object(column(row, "Annotations")),
		request: present(column(row, "RequestObject")), response: present(column(row, "ResponseObject")),
		Status:   object(column(row, "ResponseStatus")),
		Received: parseTime(textOf(row, "RequestReceivedTime")), Done: parseTime(textOf(row, "StageReceivedTime")),
	}
	e.Object.decode(column(row, "ObjectRef"))
	e.Code, _ = strconv.Atoi(string(admission.Find(e.Status, "code")))
	if e.Done == 0 {
		e.Done = parseTime(textOf(row, "TimeGenerated"))
	}
	if e.Received == 0 {
		e.Received = e.Done
	}
	if e.Verb == nil || e.Done == 0 {
		return errForeign
	}
	fn(e)
	return nil
}

func column(row []byte, name string) []byte {
	raw := admission.Find(row, name)
	if len(raw) > 0 && raw[0] == '"' {
		return admission.Text(raw)
	}
	return raw
}
