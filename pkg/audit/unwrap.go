package audit

import (
	"bytes"
	"errors"

	"github.com/truce-dev/truce/pkg/admission"
)

// maxWraps is how deep events may be wrapped: a list of log entries whose message is a line of a container's log.
const maxWraps = 6

// unwrap calls fn with every event in raw, which is one JSON value or a line of text that ends in one. e is what events
// are decoded into. The error is that of the first thing in raw that is no event; those beside it are read all the same.
func (e *Event) unwrap(raw []byte, fn func(*Event)) error { return e.unwrapTo(raw, fn, maxWraps) }

func (e *Event) unwrapTo(raw []byte, fn func(*Event), depth int) error {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil
	}
	if depth == 0 {
		return errForeign
	}
	switch raw[0] {
	case '{':
	case '[':
		return e.unwrapList(raw, fn, depth)
	default:
		return e.unwrapLine(raw, fn, depth)
	}
	end, err := e.decode(raw)
	switch {
	case end < 0:
		if end = admission.SkipValue(raw, 0); end < 0 || end == len(raw) {
			return err
		}
		return e.unwrapRow(raw, end, fn, depth)
	case end < len(raw):
		return e.unwrapRow(raw, end, fn, depth)
	case err != nil:
		return e.unwrapObject(raw, fn, depth)
	}
	fn(e)
	return nil
}

// maxPrefix is how long what stands before the event on its line may be: a time, a stream, a host.
const maxPrefix = 256

// unwrapLine reads a line in whose beginning something else stands: CloudWatch exports a time, container runtimes a time,
// a stream and a flag, syslog a header.
func (e *Event) unwrapLine(line []byte, fn func(*Event), depth int) error {
	at := bytes.IndexByte(line[:min(len(line), maxPrefix)], '{')
	if at <= 0 || line[at-1] != ' ' && line[at-1] != '\t' {
		return errNotJSON
	}
	return e.unwrapTo(line[at:], fn, depth-1)
}

// unwrapRow reads several values in a row, as Kinesis writes them without anything between. The first one ends at end.
func (e *Event) unwrapRow(raw []byte, end int, fn func(*Event), depth int) (first error) {
	at := 0
	for at < len(raw) {
		if end < 0 || raw[at] != '{' {
			return errors.Join(first, errNotJSON)
		}
		if err := e.unwrapTo(raw[at:end:end], fn, depth-1); first == nil {
			first = err
		}
		at = end + len(raw[end:]) - len(bytes.TrimLeft(raw[end:], " \t\r\n,"))
		end = admission.SkipValue(raw, at)
	}
	return first
}

func (e *Event) unwrapList(raw []byte, fn func(*Event), depth int) (first error) {
	if admission.SkipValue(raw, 0) != len(raw) {
		return errNotJSON
	}
	each(raw, func(element []byte) bool {
		if err := e.unwrapTo(element, fn, depth-1); first == nil {
			first = err
		}
		return true
	})
	return first
}

// unwrapObject reads what an object wraps. Which member that is, tells who wrapped it.
func (e *Event) unwrapObject(raw []byte, fn func(*Event), depth int) error {
	var inner []byte
	at, done := admission.First(raw, 0)
	for !done {
		key, value, next := admission.Member(raw, at)
		if next < 0 {
			return errNotJSON
		}
		switch string(key) {
		case "protoPayload": // Cloud Logging
			return e.fromCloudLogging(raw, fn)
		case "AuditId": // Azure Monitor, table AKSAudit
			return e.fromAKSAudit(raw, fn)
		case "items", // EventList
			"events", "logEvents", // CloudWatch: filter-log-events; subscriptions
			"records", // Azure Event Hubs
			"entries": // Cloud Logging: entries.list
			if len(value) > 0 && value[0] == '[' {
				inner = value
			}
		case "message", "@message", // CloudWatch
			"log",   // Azure Monitor, in properties; Docker
			"log_s", // Azure Monitor, table AzureDiagnostics
			"properties":
			if inner == nil {
				inner = value
			}
		}
		if at, done = admission.Next(raw, next, '}'); at < 0 {
			return errNotJSON
		}
	}
	switch {
	case len(inner) == 0:
		return errForeign
	case inner[0] == '[':
		return e.unwrapList(inner, fn, depth-1)
	case inner[0] == '{':
		return e.unwrapTo(inner, fn, depth-1)
	case inner[0] == '"':
		return e.unwrapTo(admission.Text(inner), fn, depth-1)
	}
	return errForeign
}
