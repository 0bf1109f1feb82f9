package audit_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/pkg/audit"
)

// The objects of an event are passed over until somebody asks for them. Whatever is in them, they are found then, and
// what is not one event alone is not taken for one.
func TestObjectsThatArePassedOver(t *testing.T) {
	const head = `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"%s","stage":"ResponseComplete","verb":"update",` +
		`"user":{"username":"u"},"objectRef":{"resource":"configmaps","name":"c"},"responseStatus":{"code":200}`
	const tail = `,"requestReceivedTimestamp":"2025-01-01T00:00:00Z","stageTimestamp":"2025-01-01T00:00:01Z"%s}`
	line := func(id, objects string, annotations ...string) string {
		return fmt.Sprintf(head, id) + objects + fmt.Sprintf(tail, strings.Join(annotations, ""))
	}
	objects := func(request, response string) string {
		return `,"requestObject":` + request + `,"responseObject":` + response
	}
	for _, c := range []struct {
		name, log string
		want      []string // ID, request, response
		problems  int
	}{
		{"both", line("1", objects(`{"a":1}`, `{"b":2}`)), []string{`1 {"a":1} {"b":2}`}, 0},
		{"annotations behind them", line("1", objects(`{"a":1}`, `{"b":2}`), `,"annotations":{"k":"v"}`), []string{`1 {"a":1} {"b":2}`}, 0},
		{"the response alone", line("1", `,"responseObject":{"b":2}`), []string{`1  {"b":2}`}, 0},
		{"the request alone", line("1", `,"requestObject":[{"op":"add"}]`), []string{`1 [{"op":"add"}] `}, 0},
		{"null", line("1", objects(`null`, `{"b":2}`)), []string{`1  {"b":2}`}, 0},
		{"none", line("1", ""), []string{"1  "}, 0},
		{"a request that has a response in it", line("1", objects(`{"a":1,"responseObject":{"x":1}}`, `{"b":2}`)),
			[]string{`1 {"a":1,"responseObject":{"x":1}} {"b":2}`}, 0},
		{"a response that has one in it", line("1", objects(`{"a":1}`, `{"b":2,"responseObject":{"x":1}}`)),
			[]string{`1 {"a":1} {"b":2,"responseObject":{"x":1}}`}, 0},
		{"an object that has times as an event has", line("1", objects(`{"a":1}`, `{"b":2,"requestReceivedTimestamp":"2024-01-01T00:00:00Z"}`)),
			[]string{`1 {"a":1} {"b":2,"requestReceivedTimestamp":"2024-01-01T00:00:00Z"}`}, 0},
		{"annotations that do", line("1", objects(`{"a":1}`, `{"b":2}`), `,"annotations":{"a":"b","requestReceivedTimestamp":"2024-01-01T00:00:00Z"}`),
			[]string{`1 {"a":1} {"b":2}`}, 0},
		{"an object that is an event", line("1", objects(`{"a":1}`, line("x", objects(`{"c":1}`, `{"d":2}`)))),
			[]string{`1 {"a":1} ` + line("x", objects(`{"c":1}`, `{"d":2}`))}, 0},
		{"text with braces", line("1", objects(`{"a":"}{{"}`, `{"b":"\"responseObject\":{"}`)), []string{`1 {"a":"}{{"} {"b":"\"responseObject\":{"}`}, 0},
		{"two events in a row", line("1", objects(`{"a":1}`, `{"b":2}`)) + line("2", objects(`{"c":1}`, `{"d":2}`)),
			[]string{`1 {"a":1} {"b":2}`, `2 {"c":1} {"d":2}`}, 0},
		{"a line that was cut off, and the next one behind it", line("1", objects(`{"a":1}`, `{"b":2}`))[:330] + line("2", objects(`{"c":1}`, `{"d":2}`)), nil, 1},
		{"a line that was cut off in between", line("1", objects(`{"a":1}`, `{"b":{`)), nil, 1},
		{"members behind the objects", line("1", objects(`{"a":1}`, `{"b":2}`)+`,"verb":"patch"`), []string{`1 {"a":1} {"b":2}`}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := input(t, c.log+"\n")
			var got []string
			err := in.Ordered(context.Background(), func(*audit.Event) bool { return true }, func(e *audit.Event) {
				if e.Done.Time().Second() != 1 || string(e.User()) != "u" || e.Code != 200 {
					t.Errorf("%+v", e)
				}
				got = append(got, fmt.Sprintf("%s %s %s", e.ID, e.Request(), e.Response()))
			})
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" || in.Problems.Count() != c.problems {
				t.Errorf("(-want +got):\n%s%v %s", diff, err, in.Problems.String())
			}
		})
	}
}
