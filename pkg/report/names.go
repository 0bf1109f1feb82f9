package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unique"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
)

// IDOf names the fight over a field. It is the same in all replicas, after a restart, and in audit logs.
func IDOf(k history.Key, path string) string {
	// No part holds a newline; group, resource and namespace none of what the others may hold.
	sum := sha256.Sum256([]byte(strings.Join([]string{k.Group, k.Resource, k.Namespace, k.Name, path}, "\n")))
	return "f-" + hex.EncodeToString(sum[:6])
}

// ObjectOf names an object, sharing the memory of names that are equal.
func ObjectOf(k history.Key) Object {
	name := k.Name
	if rest, ok := strings.CutPrefix(name, "~"); ok { // a family: the owner's uid, and what names are generated from
		_, name, _ = strings.Cut(rest, "/")
		name += "*"
	}
	return unique.Make(Object{Group: k.Group, Resource: k.Resource, Namespace: k.Namespace, Name: name}).Value()
}

// WriterOf names a writer, likewise.
func WriterOf(w history.Writer) Writer {
	return unique.Make(Writer{User: w.User, Manager: w.Manager, Pod: w.Pod}).Value()
}

func writersOf(all []history.Writer) []Writer {
	out := make([]Writer, len(all))
	for i, w := range all {
		out[i] = WriterOf(w)
	}
	return out
}

// valueOf names a value.
func valueOf(v history.Value) string {
	switch v {
	case history.Absent:
		return "absent"
	case history.Present:
		return "present"
	}
	return fmt.Sprintf("%016x", uint64(v))
}

// at is a time as the API tells it.
func at(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

func changeOf(it *item, fight string) Change {
	c := Change{
		Time: at(it.at), Object: ObjectOf(it.key), Field: it.write.Path, Writer: WriterOf(it.write.Writer),
		Verb: verbOf(it.object), From: valueOf(it.write.From), To: valueOf(it.write.To),
		FromValue: it.write.FromText, ToValue: it.write.ToText, Reversal: it.write.Reversal, Outcome: it.outcome, Fight: fight,
	}
	if it.write.Unseen {
		c.Time, c.Verb = at(it.write.At), "UPDATE"
	}
	return c
}

// verbOf returns the operation, as one of the strings of this process.
func verbOf(o admission.Object) string {
	switch o.Operation {
	case "CREATE":
		return "CREATE"
	case "DELETE":
		return "DELETE"
	}
	return "UPDATE"
}

// String names a writer for people: user, then manager and pod if they are known.
func (w Writer) String() string {
	s := w.User
	if w.Manager != "" {
		s += ",manager=" + strings.ReplaceAll(w.Manager, " ", "_")
	}
	if w.Pod != "" {
		s += ",pod=" + w.Pod
	}
	if s == "" {
		return "unknown"
	}
	return strings.TrimPrefix(s, ",")
}
