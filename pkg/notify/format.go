package notify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/template"
	"text/template/parse"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

// format makes a request's body and headers of a message.
type format interface {
	fill(r *http.Request, m *Message) error
}

// chat is a format of one JSON body.
type chat func(*Message) ([]byte, error)

func (c chat) fill(r *http.Request, m *Message) error {
	body, err := c(m)
	if err != nil {
		return err
	}
	setBody(r, "application/json", body)
	return nil
}

func setBody(r *http.Request, contentType string, body []byte) {
	r.Header.Set("Content-Type", contentType)
	r.ContentLength = int64(len(body))
	r.Body = io.NopCloser(bytes.NewReader(body))
}

// asJSON is a message as it is.
func asJSON(m *Message) ([]byte, error) { return json.Marshal(m) }

// templated is a format that the file gives.
type templated struct {
	body        *template.Template
	contentType string
}

// maxBody is how long a body that a template makes may be, in bytes.
const maxBody = 256 << 10

// functions are what templates can call besides the language's own.
var functions = template.FuncMap{
	"json": func(v any) (string, error) {
		b, err := json.Marshal(v)
		return string(b), err
	},
	"utc": utc,
}

func parseTemplate(text string) (*template.Template, error) {
	t, err := template.New("body").Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return nil, err
	}
	for _, each := range t.Templates() {
		if each.Tree != nil {
			countSteps(each.Root)
		}
	}
	return t, nil
}

// countSteps makes each turn of a loop in list, and each execution of list, write nothing, which is a write all the same:
// that is where bounded can end a template that would not end by itself.
func countSteps(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.RangeNode:
			countSteps(n.List)
			countSteps(n.ElseList)
		case *parse.IfNode:
			countSteps(n.List)
			countSteps(n.ElseList)
		case *parse.WithNode:
			countSteps(n.List)
			countSteps(n.ElseList)
		}
	}
	list.Nodes = append([]parse.Node{&parse.TextNode{NodeType: parse.NodeText, Pos: list.Pos}}, list.Nodes...)
}

func (t templated) fill(r *http.Request, m *Message) error {
	body, err := t.execute(m)
	if err != nil {
		return err
	}
	setBody(r, t.contentType, body)
	return nil
}

func (t templated) execute(m *Message) ([]byte, error) {
	var b bounded
	if err := t.body.Execute(&b, m); err != nil {
		return nil, fmt.Errorf("the template of the body: %w", err)
	}
	return b.Bytes(), nil
}

// maxSteps is how many pieces a template may write.
const maxSteps = 10_000

// bounded is a buffer that a template cannot make grow without end, nor write to without end.
type bounded struct {
	bytes.Buffer
	steps int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.steps++; b.steps > maxSteps {
		return 0, fmt.Errorf("it takes more than %d steps", maxSteps)
	}
	if b.Len()+len(p) > maxBody {
		return 0, fmt.Errorf("it makes more than %d bytes", maxBody)
	}
	return b.Buffer.Write(p)
}

// tryTemplate returns what is wrong with a template. It is executed with a message of each phase, with awkward names in
// them, so that what is wrong shows before there is a fight.
func tryTemplate(text, contentType string) error {
	body, err := parseTemplate(text)
	if err != nil {
		return err
	}
	for _, m := range samples() {
		out, err := templated{body: body}.execute(&m)
		if err != nil {
			return err
		}
		if isJSON(contentType) && !json.Valid(out) {
			return fmt.Errorf("with a message of phase %s it does not make JSON: write texts as {{json .Title}}, "+
				"without quotes around it; or give another contentType", m.Phase)
		}
	}
	return nil
}

func isJSON(contentType string) bool { return contentType == "" || contentType == "application/json" }

// samples are a message of each phase.
func samples() []Message {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f := report.Fight{
		ID: "f-7c1e0b52a9d4", Kind: "fight", Object: report.Object{Resource: "serviceaccounts", Namespace: "shop", Name: "web"},
		Field: `metadata.annotations["\x]`, Signal: "SelfReversal", Rule: "everything", Mode: policy.Enforce,
		Action: policy.ActionHold, State: report.Open, Parties: []report.Writer{{User: `o'"\<&>`, Manager: "m"}},
		FirstSeen: now, Detected: now, LastSeen: now, Until: now.Add(time.Minute),
	}
	var all []Message
	for _, phase := range []Phase{Started, Ongoing, Ended} {
		all = append(all, about([]Group{newGroup("g-0123456789ab", phase, []report.Fight{f})}, "", now))
	}
	d := newDigester(Changes{Every: policy.Duration(time.Hour)}, "", now)
	d.add([]report.Change{{Time: now, Object: f.Object, Field: f.Field, Writer: f.Parties[0], Outcome: report.Stored}})
	return append(all, d.message("", now.Add(time.Hour)))
}

// events is CloudEvents 1.0 over HTTP.
type events struct {
	source     string
	structured bool
}

// eventTypes are the types of events.
var eventTypes = map[Phase]string{
	Started: "dev.truce.fight.started", Ongoing: "dev.truce.fight.ongoing", Ended: "dev.truce.fight.ended",
	Summary: "dev.truce.changes",
}

func (e events) fill(r *http.Request, m *Message) error {
	event := cloudevents.NewEvent()
	event.SetID(m.Key)
	event.SetSource(e.source)
	event.SetType(eventTypes[m.Phase])
	event.SetTime(m.Time)
	if len(m.Groups) > 0 {
		event.SetSubject(m.Groups[0].ID)
	}
	if err := event.SetData(cloudevents.ApplicationJSON, m); err != nil {
		return err
	}
	ctx := binding.WithForceBinary(r.Context())
	if e.structured {
		ctx = binding.WithForceStructured(r.Context())
	}
	return cehttp.WriteRequest(ctx, (*binding.EventMessage)(&event), r)
}

// target is where and how a receiver is told.
type target struct {
	kind   string // the label type of the metric
	place  place
	format format
	// many: one message can be about several groups.
	many bool
}

func newTarget(r *Receiver, cluster string) (target, error) {
	switch {
	case r.Slack != nil:
		return target{"slack", place{urlFile: r.Slack.URLFile}, chat(slackBody), true}, nil
	case r.Teams != nil:
		return target{"teams", place{urlFile: r.Teams.URLFile}, chat(teamsBody), true}, nil
	case r.CloudEvents != nil:
		c := r.CloudEvents
		source := cmp.Or(c.Source, "/truce")
		if c.Source == "" && cluster != "" {
			source += "/" + escapePath(cluster)
		}
		return target{"cloudevents", place{c.URL, c.URLFile, c.Headers}, events{source, c.Mode == Structured}, false}, nil
	case r.HTTP != nil:
		h := r.HTTP
		t := target{"http", place{h.URL, h.URLFile, h.Headers}, chat(asJSON), false}
		if h.Body != "" {
			body, err := parseTemplate(h.Body)
			if err != nil {
				return target{}, err
			}
			t.format = templated{body, cmp.Or(h.ContentType, "application/json")}
		}
		return t, nil
	}
	return target{}, errors.New("a receiver of no type")
}

// request makes the request that tells a message, and returns the secrets in it, which no error may hold.
func (t *target) request(ctx context.Context, m *Message) (*http.Request, secrets, error) {
	to, hidden, err := t.place.read()
	if err != nil {
		return nil, hidden, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url.String(), nil)
	if err != nil {
		return nil, hidden, err
	}
	for _, h := range to.headers {
		r.Header.Set(h[0], h[1])
	}
	if err := t.format.fill(r, m); err != nil {
		return nil, hidden, unfit{err}
	}
	r.Header.Set("User-Agent", "truce")
	return r, hidden, nil
}
