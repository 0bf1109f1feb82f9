package notify

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/pkg/policy"
)

func TestAFileWithEverythingInIt(t *testing.T) {
	f := load(t, `cluster: production
receivers:
- name: on-call
  slack: {urlFile: /etc/truce/notify/slack}
- name: bus
  cloudEvents: {url: 'http://broker.example/', mode: Structured, source: /here}
  fights: {kinds: [fight, loop], every: 1h, pause: 30m, namespaces: ['team-*'], resources: [deployments.apps]}
  changes: {every: 1h, resources: ['*.rbac.authorization.k8s.io']}
- name: daily
  teams: {urlFile: /etc/truce/notify/teams}
  changes: {}
`)
	want := []Receiver{
		{Name: "on-call", Slack: &Chat{URLFile: "/etc/truce/notify/slack"}, Fights: &Fights{
			Kinds: []string{"fight"}, Every: policy.Duration(4 * time.Hour), Pause: policy.Duration(10 * time.Minute),
		}},
		{Name: "bus", CloudEvents: &CloudEvents{URL: "http://broker.example/", Mode: "Structured", Source: "/here"},
			Fights: &Fights{
				Kinds: []string{"fight", "loop"}, Namespaces: []string{"team-*"}, Resources: []string{"deployments.apps"},
				Every: policy.Duration(time.Hour), Pause: policy.Duration(30 * time.Minute),
			},
			Changes: &Changes{Resources: []string{"*.rbac.authorization.k8s.io"}, Every: policy.Duration(time.Hour)}},
		{Name: "daily", Teams: &Chat{URLFile: "/etc/truce/notify/teams"}, Changes: &Changes{Every: policy.Duration(24 * time.Hour)}},
	}
	if diff := cmp.Diff(want, f.Receivers); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProblemsAreToldAllAtOnceWithTheirPlaces(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // line:column: path: the beginning of the message
	}{
		{"an empty file", "", []string{"1:1: is empty; a list of receivers starts with"}},
		{"a policy", "apiVersion: truce.dev/v1alpha1\nkind: Policy\nreceivers: []\n", []string{
			"2:7: kind: must be `Notifications`", "3:12: receivers: is empty: nobody would be told",
		}},
		{"no receivers", head, []string{"1:1: receivers: must be given"}},
		{"another version", "apiVersion: truce.dev/v2\nkind: Notifications\nreceivers:\n- name: a\n  slack: {urlFile: x}\n",
			[]string{"1:13: apiVersion: must be `truce.dev/v1alpha1`"}},
		{"an unknown key", head + "receivers:\n- name: a\n  slak: {urlFile: x}\n", []string{
			"5:3: receivers[0].slak: unknown key; did you mean `slack`?",
		}},
		{"two types", head + "receivers:\n- name: a\n  slack: {urlFile: x}\n  teams: {urlFile: x}\n",
			[]string{"4:3: receivers[0]: must have one of"}},
		{"a name twice", head + "receivers:\n- name: a\n  slack: {urlFile: x}\n- name: a\n  slack: {urlFile: x}\n",
			[]string{"6:9: receivers[1].name: `a` is the name of receivers[0] already"}},
		{"a secret in the file", head + "receivers:\n- name: a\n  slack: {url: 'https://hooks.example/T0'}\n", []string{
			"5:10: receivers[0].slack.urlFile: must be given", "5:11: receivers[0].slack.url: unknown key; there are `urlFile`",
		}},
		{"no URL", head + "receivers:\n- name: a\n  http: {url: receiver.example}\n",
			[]string{"5:15: receivers[0].http.url: is no URL that starts with https:// or http://"}},
		{"two URLs", head + "receivers:\n- name: a\n  http: {url: 'https://a.example', urlFile: x}\n",
			[]string{"5:9: receivers[0].http: must have one of `url` and `urlFile`"}},
		{"headers", head + "receivers:\n- name: a\n  http:\n    url: https://a.example\n    headers:\n    - {name: 'a b', value: x}\n" +
			"    - {name: Host, value: x}\n    - {name: X-A}\n    - {name: X-B, value: \"a\\r\\nb\"}\n", []string{
			"8:14: receivers[0].http.headers[0].name: is no name of a header",
			"9:14: receivers[0].http.headers[1].name: is no name of a header",
			"10:7: receivers[0].http.headers[2]: must have one of `value` and `valueFile`",
			"11:26: receivers[0].http.headers[3].value: has a character that a header cannot have",
		}},
		{"a template that is none", head + "receivers:\n- name: a\n  http: {url: 'https://a.example', body: '{{.Title'}\n",
			[]string{"5:42: receivers[0].http.body: template: body:1: unclosed action"}},
		{"a template of what there is not", head + "receivers:\n- name: a\n  http: {url: 'https://a.example', body: '{{.Value}}'}\n",
			[]string{"5:42: receivers[0].http.body: the template of the body: template: body:1:2: executing"}},
		{"a template that does not make JSON", head + "receivers:\n- name: a\n  http: {url: 'https://a.example', body: '{\"text\": \"{{.Text}}\"}'}\n",
			[]string{"5:42: receivers[0].http.body: with a message of phase Started it does not make JSON"}},
		{"a template that makes too much", head + "receivers:\n- name: a\n  http:\n    url: https://a.example\n    contentType: text/plain\n" +
			"    body: '{{define \"a\"}}{{template \"b\"}}{{template \"b\"}}{{end}}{{define \"b\"}}" + strings.Repeat("x", 9000) +
			"{{end}}" + strings.Repeat("{{template \"a\"}}", 20) + "'\n",
			[]string{"8:11: receivers[0].http.body: the template of the body: it makes more than"}},
		{"a template that does not end", head + "receivers:\n- name: a\n  http: {url: 'https://a.example', body: '{{$n := 999999999999}}{{range $n}}{{end}}'}\n",
			[]string{"5:42: receivers[0].http.body: the template of the body: it takes more than 10000 steps"}},
		{"a template that calls itself", head + "receivers:\n- name: a\n  http: {url: 'https://a.example', body: '{{define \"a\"}}{{template \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}'}\n",
			[]string{"5:42: receivers[0].http.body: the template of the body: "}},
		{"a mode", head + "receivers:\n- name: a\n  cloudEvents: {url: 'https://a.example', mode: binary}\n",
			[]string{"5:49: receivers[0].cloudEvents.mode: must be `Binary` or `Structured`"}},
		{"times", head + "receivers:\n- name: a\n  slack: {urlFile: x}\n  fights: {every: 59s, pause: 8d}\n  changes: {every: 4m}\n", []string{
			"6:19: receivers[0].fights.every: must be between 1m and 30 days", "6:31: receivers[0].fights.pause: must be between",
			"7:20: receivers[0].changes.every: must be between",
		}},
		{"patterns", head + "receivers:\n- name: a\n  slack: {urlFile: x}\n  fights: {kinds: [war], namespaces: ['a?'], resources: [deployment]}\n", []string{
			"6:20: receivers[0].fights.kinds[0]: must be `fight` or `loop`",
			"6:39: receivers[0].fights.namespaces[0]: may have `*`",
			"6:58: receivers[0].fights.resources[0]: `deployment`: the core group has no such resource; did you mean `deployments.apps`?",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Load([]byte(test.text), "notify.yaml")
			var got policy.Problems
			if !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			if len(got) != len(test.want) {
				t.Fatalf("%d problems, want %d:\n%v", len(got), len(test.want), err)
			}
			for i, want := range test.want {
				if text := got[i].String(); !strings.HasPrefix(text, "notify.yaml:"+want) {
					t.Errorf("got  %s\nwant %s", text, want)
				}
			}
		})
	}
}

func TestAFileThatIsNotThere(t *testing.T) {
	_, err := LoadFile(filepath.Join(t.TempDir(), "gone.yaml"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "--notify") {
		t.Errorf("got %v", err)
	}
}

// The examples of the documentation are good.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, part := range strings.Split(string(text), "```") {
		example, ok := strings.CutPrefix(part, "yaml\napiVersion: truce.dev")
		if i%2 == 0 || !ok {
			continue
		}
		n++
		if _, err := Load([]byte("apiVersion: truce.dev"+example), "example.yaml"); err != nil {
			t.Errorf("example %d: %v", n, err)
		}
	}
	if n < 2 {
		t.Errorf("%d examples", n)
	}
}
