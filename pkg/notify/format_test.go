package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
	"github.com/truce-dev/truce/test/golden"
)

// hostile is a name with markup of every kind in it, and a line that is not its own.
const hostile = "<!channel> [click](https://evil.example) *b* `c` :bomb:\nsecond {{.}} \"'"

// stories are messages of all kinds.
func stories() map[string]Message {
	var r register
	fight := func(name string, parties ...string) report.Fight { return r.start(noon, name, parties...) }
	many := []report.Fight{}
	for i := range 14 {
		many = append(many, fight(fmt.Sprintf("web-%02d", i)))
		many[i].RatePerMinute = float64(100 - i)
	}
	self := fight("pizza", "chef")
	self.Mode, self.Prevented = policy.Warn, report.Prevented{}
	over := fight("web")
	over.State, over.Ended, over.Until = report.Ended, noon.Add(30*time.Minute), time.Time{}
	evil := fight("evil")
	evil.Field = "metadata.annotations[" + hostile + "]"
	evil.Parties = []report.Writer{{User: hostile, Manager: hostile}, {User: "blue"}}
	loop := fight("loop", "chef")
	loop.Kind, loop.State, loop.Field, loop.Reversals, loop.Until = "loop", report.Noticed, "", 0, time.Time{}
	group := func(phase Phase, fights ...report.Fight) Group {
		return newGroup(groupID(fights[0].Kind, partiesOf(&fights[0])), phase, fights)
	}
	d := newDigester(Changes{Every: policy.Duration(24 * time.Hour)}, "truce-1", noon)
	d.add(changes())
	return map[string]Message{
		"started": about([]Group{group(Started, many...)}, "production", noon),
		"ongoing": about([]Group{group(Ongoing, self)}, "", noon),
		"ended":   about([]Group{group(Ended, over)}, "", noon),
		"several": about([]Group{group(Started, self), group(Started, loop)}, "", noon),
		"hostile": about([]Group{group(Started, evil)}, "", noon),
		"changes": d.message("production", noon.Add(24*time.Hour)),
	}
}

// changes are some of which a summary tells, their values being known.
func changes() []report.Change {
	webhook := report.Object{Group: "admissionregistration.k8s.io", Resource: "validatingwebhookconfigurations", Name: "check"}
	deployment := report.Object{Group: "apps", Resource: "deployments", Namespace: "kube-system", Name: "coredns"}
	argo := report.Writer{User: "system:serviceaccount:argocd:controller", Manager: "argocd-controller"}
	change := func(o report.Object, field string, w report.Writer, outcome report.Outcome) report.Change {
		return report.Change{
			Time: noon, Object: o, Field: field, Writer: w, Verb: "UPDATE", From: "0123456789abcdef", To: "fedcba9876543210",
			FromValue: `"old-value-5309"`, ToValue: `"new-value-5309"`, Outcome: outcome,
		}
	}
	all := []report.Change{
		change(webhook, "webhooks[check].clientConfig.caBundle", report.Writer{User: "jane@example.com", Manager: "kubectl-edit"}, report.Stored),
		change(deployment, "spec.replicas", argo, report.Held),
		change(deployment, "spec.replicas", argo, report.Unseen), // another replica tells of it
		change(deployment, "spec.replicas", argo, report.DryRun), // it was never stored
	}
	for i := range 7 {
		all = append(all, change(deployment, fmt.Sprint("metadata.annotations[", i, "]"), argo, report.Stored))
	}
	return all
}

func TestSlackBlocks(t *testing.T) {
	for name, m := range stories() {
		t.Run(name, func(t *testing.T) {
			body, err := slackBody(&m)
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "testdata/slack-"+name+".json", string(indented(t, body)))
			checkSlack(t, body)
		})
	}
}

// checkSlack holds a body to Slack's bounds, beyond which it refuses the whole message.
func checkSlack(t *testing.T, body []byte) {
	t.Helper()
	var m slack.WebhookMessage
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	if n := len(m.Blocks.BlockSet); n > 50 {
		t.Errorf("%d blocks", n)
	}
	within := func(text *slack.TextBlockObject, most int) {
		if n := len([]rune(text.Text)); n == 0 || n > most {
			t.Errorf("a text of %d characters, at most %d can be: %.80q", n, most, text.Text)
		}
		if strings.Contains(text.Text, "<!channel>") {
			t.Errorf("the whole channel is called: %q", text.Text)
		}
	}
	for _, b := range m.Blocks.BlockSet {
		switch b := b.(type) {
		case *slack.HeaderBlock:
			within(b.Text, 150)
		case *slack.SectionBlock:
			within(b.Text, 3000)
			if len(b.Fields) > 10 {
				t.Errorf("%d fields", len(b.Fields))
			}
			for _, f := range b.Fields {
				within(f, 2000)
			}
		}
	}
	if strings.Contains(m.Text, "<!channel>") {
		t.Errorf("the whole channel is called: %q", m.Text)
	}
}

func TestTheLargestMessagesFit(t *testing.T) {
	long := strings.Repeat("ü<&", 400)
	var r register
	var groups []Group
	for i := range 300 {
		var fights []report.Fight
		for j := range 20 {
			f := r.start(noon, fmt.Sprint(i, "-", j), long, long+"2", fmt.Sprint(i))
			f.Object.Name, f.Field = long, long
			fights = append(fights, f)
		}
		groups = append(groups, newGroup(fmt.Sprint("g-", i), Started, fights))
	}
	d := newDigester(Changes{Every: policy.Duration(time.Hour)}, "truce-1", noon)
	for i := range 3 * maxDigestPairs {
		d.add([]report.Change{{Time: noon, Object: report.Object{Resource: "pods", Namespace: long, Name: fmt.Sprint(i, long)},
			Field: long, Writer: report.Writer{User: long, Manager: long}, Outcome: report.Stored}})
	}
	if len(d.items) != maxDigestPairs || d.total != 3*maxDigestPairs {
		t.Errorf("%d items, %d changes", len(d.items), d.total)
	}
	for _, m := range []Message{about(groups, long, noon), d.message(long, noon.Add(time.Hour))} {
		body, err := slackBody(&m)
		if err != nil {
			t.Fatal(err)
		}
		checkSlack(t, body)
		if body, err = teamsBody(&m); err != nil || len(body) > 28<<10 {
			t.Errorf("%d bytes for Teams, which takes 28 KiB: %v", len(body), err)
		}
	}
}

func TestTeamsCards(t *testing.T) {
	for name, m := range stories() {
		t.Run(name, func(t *testing.T) {
			body, err := teamsBody(&m)
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "testdata/teams-"+name+".json", string(indented(t, body)))
		})
	}
}

func TestPlainText(t *testing.T) {
	var b bytes.Buffer
	all := stories()
	for _, name := range []string{"started", "ongoing", "ended", "several", "hostile", "changes"} {
		fmt.Fprintf(&b, "== %s\n%s\n%s\n", name, all[name].Title, all[name].Text)
	}
	golden.Check(t, "testdata/text.golden", b.String())
}

func TestCloudEvents(t *testing.T) {
	for _, mode := range []string{Binary, Structured} {
		t.Run(mode, func(t *testing.T) {
			s := newScene(t, "cluster: production\nreceivers:\n- name: bus\n  cloudEvents: {url: 'https://bus.example/', mode: "+mode+"}\n")
			m := stories()["started"]
			to := &s.notifier.teller[0].to
			r, _, err := to.request(t.Context(), &m)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := r.Write(&b); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "testdata/cloudevents-"+strings.ToLower(mode)+".http", string(bytes.ReplaceAll(b.Bytes(), []byte("\r\n"), []byte("\n"))))

			// The SDK reads what it is, just as a receiver would.
			if r, _, err = to.request(t.Context(), &m); err != nil {
				t.Fatal(err)
			}
			event, err := binding.ToEvent(t.Context(), cehttp.NewMessageFromHttpRequest(r))
			if err != nil {
				t.Fatal(err)
			}
			if err := event.Validate(); err != nil {
				t.Error(err)
			}
			var got Message
			if err := event.DataAs(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(m, got); diff != "" {
				t.Errorf("the data (-sent +received):\n%s", diff)
			}
			if event.Source() != "/truce/production" || event.Type() != "dev.truce.fight.started" || event.Subject() != m.Groups[0].ID {
				t.Errorf("source %q, type %q, subject %q", event.Source(), event.Type(), event.Subject())
			}
		})
	}
}

func TestTemplates(t *testing.T) {
	s := newScene(t, `receivers:
- name: pager
  http:
    url: https://pager.example/
    headers: [{name: X-Route, value: truce}]
    body: |
      {"dedup_key": {{json .Key}}, "action": "{{if eq .Phase "Ended"}}resolve{{else}}trigger{{end}}",
       "summary": {{json .Title}}, "details": {{json .Text}}}
`)
	for _, name := range []string{"started", "ended", "hostile", "changes"} {
		m := stories()[name]
		r, _, err := s.notifier.teller[0].to.request(t.Context(), &m)
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ DedupKey, Action, Summary, Details string }
		dec := json.NewDecoder(r.Body)
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.Summary != m.Title || got.Details != m.Text || r.Header.Get("X-Route") != "truce" || r.Method != http.MethodPost {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestNoMessageHoldsAValue(t *testing.T) {
	for name, m := range stories() {
		for kind, f := range map[string]format{
			"slack": chat(slackBody), "teams": chat(teamsBody), "json": chat(asJSON), "events": events{source: "/truce"},
		} {
			r, _ := http.NewRequest(http.MethodPost, "https://receiver.example/", nil)
			if err := f.fill(r, &m); err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := r.Write(&b); err != nil {
				t.Fatal(err)
			}
			for _, value := range []string{"5309", "0123456789abcdef", "fedcba9876543210"} {
				if strings.Contains(b.String(), value) {
					t.Errorf("%s of %s holds a value or its hash: %s", kind, name, b.String())
				}
			}
		}
	}
}
