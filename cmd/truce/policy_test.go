package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/test/golden"
)

const sound = "apiVersion: truce.dev/v1alpha1\nkind: Policy\nrules: [{name: everything}]\n"

func TestLint(t *testing.T) {
	written(t, map[string]string{
		"sound.yaml":  sound,
		"quoted.yaml": "apiVersion: truce.dev/v1alpha1\nkind: Policy\nrules: [{name: a, match: {resources: [*]}}]\n",
		"bad.yaml": `apiVersion: truce.dev/v1alpha1
kind: Policy
mode: enforce
rules:
  - name: everything
    acton: Hold
    throttle: {burst: 0}
  - name: everything
    detect: {reversals: {count: 1001}}
`,
	})
	bad := strings.Join([]string{
		"bad.yaml:3:7: mode: must be `Audit`, `Warn` or `Enforce`, not `enforce`; did you mean `Enforce`?",
		"bad.yaml:6:5: rules[0].acton: unknown key; did you mean `action`?",
		"bad.yaml:7:23: rules[0].throttle.burst: must be between 1 and 1,000, not `0`",
		"bad.yaml:8:11: rules[1].name: `everything` is taken by the entry at index 0",
		"bad.yaml:9:33: rules[1].detect.reversals.count: must be between 0 and 1,000, not `1001`",
		"",
	}, "\n")
	quoted := "quoted.yaml:3:1: is not YAML: did not find expected alphabetic or numeric character; a pattern that starts with `*` needs quotes\n"
	none := "reading the policy: open none.yaml: no such file or directory\n"
	try(t, []command{
		{name: "a sound policy", args: []string{"lint", "sound.yaml"}},
		{name: "a policy full of mistakes", args: []string{"lint", "bad.yaml"}, code: 1, stderr: bad},
		{name: "what is no YAML", args: []string{"lint", "quoted.yaml"}, code: 1, stderr: quoted},
		{name: "what is not there", args: []string{"lint", "none.yaml"}, code: 1, stderr: none},
		{
			name: "several, each is looked at", args: []string{"lint", "none.yaml", "sound.yaml", "bad.yaml", "quoted.yaml"}, code: 1,
			stderr: none + bad + quoted,
		},
	})
}

func TestWhatIsBuiltIn(t *testing.T) {
	try(t, []command{
		{name: "the default policy", args: []string{"policy", "default"}, stdout: string(policy.DefaultYAML())},
		{name: "the schema", args: []string{"policy", "schema"}, stdout: string(policy.Schema())},
		{
			name: "with an argument", args: []string{"policy", "default", "x"}, code: 1,
			stderr: "truce: unknown command \"x\" for \"truce policy default\"\n",
		},
	})
	t.Run("what is printed can be linted", func(t *testing.T) {
		_, stdout, _ := truce("policy", "default")
		written(t, map[string]string{"default.yaml": stdout})
		if code, _, stderr := truce("lint", "default.yaml"); code != 0 {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	})
}

func TestWebhooks(t *testing.T) {
	goldens, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	written(t, map[string]string{
		"hold.yaml": `apiVersion: truce.dev/v1alpha1
kind: Policy
rules: [{name: a, match: {resources: [services], fields: [spec.**]}, action: Hold}]
`,
		"bad.yaml": "kind: Policy\n",
		"ca.pem":   "# ours\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"key.pem":  "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
	})
	for _, c := range []struct {
		name string
		args []string
	}{
		{"default", nil},
		{"hold", []string{"hold.yaml", "--name=edge", "--service=system/guard", "--ca-bundle=ca.pem"}},
		{"url", []string{"hold.yaml", "--url=https://10.0.0.7:8443/"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := truce(append([]string{"policy", "webhooks"}, c.args...)...)
			if code != 0 || stderr != "" {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			golden.Check(t, filepath.Join(goldens, "webhooks-"+c.name+".golden"), stdout)
		})
	}
	service := func(s string) string {
		return "truce: --service is \"" + s + "\", it must be namespace/name or namespace/name:port\n"
	}
	var bad []command
	for _, s := range []string{
		"", "truce", "/truce", "truce/", "a/b/c", "a/b:", "a/b:x", "a/b:443x", "a/b:0", "a/b:-1", "a/b:65536", "a/:443", "a/b:1:2",
	} {
		bad = append(bad, command{name: "service " + s, args: []string{"policy", "webhooks", "--service", s}, code: 1, stderr: service(s)})
	}
	for _, u := range []string{
		"http://a:443", "a:443", "https://", "https://a/validate", "https://a?x=1", "https://a/#x", "https://me@a", "https://a b", "%",
	} {
		bad = append(bad, command{
			name: "URL " + u, args: []string{"policy", "webhooks", "--url", u}, code: 1,
			stderr: "truce: --url is \"" + u + "\", it must be https://host:port without a path\n",
		})
	}
	try(t, append(bad, []command{
		{
			name: "a CA that is not there", args: []string{"policy", "webhooks", "--ca-bundle=none.pem"}, code: 1,
			stderr: "truce: reading --ca-bundle: open none.pem: no such file or directory\n",
		},
		{
			name: "a CA that is a key", args: []string{"policy", "webhooks", "--ca-bundle=key.pem"}, code: 1,
			stderr: "truce: --ca-bundle: key.pem holds no PEM certificate\n",
		},
		{
			name: "two policies", args: []string{"policy", "webhooks", "hold.yaml", "bad.yaml"}, code: 1,
			stderr: "truce: accepts at most 1 arg(s), received 2\n",
		},
		{
			name: "a policy that is none", args: []string{"policy", "webhooks", "bad.yaml"}, code: 1,
			stderr: "truce: bad.yaml:1:1: apiVersion: must be given\nbad.yaml:1:1: rules: must be given\n",
		},
		{name: "the largest port", args: []string{"policy", "webhooks", "hold.yaml", "--service=a/b:65535"}, stdout: port(t, goldens, "65535")},
		{name: "the smallest port", args: []string{"policy", "webhooks", "hold.yaml", "--service=a/b:1"}, stdout: port(t, goldens, "1")},
	}...))
}

// port is the golden file of a policy that holds, with another endpoint.
func port(t *testing.T, goldens, number string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(goldens, "webhooks-hold.golden"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		switch strings.TrimSpace(line) {
		case "name: guard":
			line = "      name: b\n"
		case "name: edge":
			line = "  name: truce\n"
		case "namespace: system":
			line = "      namespace: a\n"
		case "path: /validate", "path: /mutate":
			line += "      port: " + number + "\n"
		}
		if !strings.Contains(line, "caBundle") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
