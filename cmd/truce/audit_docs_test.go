package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	auditpolicy "k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/truce-dev/truce/test/golden"
)

// What docs/audit.md says that commands print, they print.
func TestTheDocumentationOfAudit(t *testing.T) {
	const path = "../../docs/audit.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	log, metadata := busyLog(t), metadataLog(t)
	var out strings.Builder
	blocks := 0
	rest := string(text)
	for {
		before, after, found := strings.Cut(rest, "```console\n$ truce ")
		out.WriteString(before)
		if !found {
			break
		}
		blocks++
		command, _, _ := strings.Cut(after, "\n")
		_, rest, _ = strings.Cut(after, "```\n")
		line := strings.NewReplacer("metadata.log", metadata, "audit.log", log).Replace(command)
		code, stdout, stderr := truce(words(line)...)
		if code != 0 || stderr != "" {
			t.Errorf("%s: exit code %d: %s", command, code, stderr)
		}
		out.WriteString("```console\n$ truce " + command + "\n" + stdout + "```\n")
	}
	if blocks < 6 {
		t.Errorf("%d examples", blocks)
	}
	if *golden.Update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), out.String()); diff != "" {
		t.Errorf("docs/audit.md differs (-want +got); go test -update writes it anew:\n%s", diff)
	}
}

// metadataLog is busyLog as it would have been recorded at level Metadata.
func metadataLog(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(busyLog(t))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		var e auditv1.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		e.Level, e.RequestObject, e.ResponseObject = auditv1.LevelMetadata, nil, nil
		if err := json.NewEncoder(&out).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "metadata.log")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The API server takes the policy and the kubeconfig that docs/audit.md shows.
func TestTheFilesInTheDocumentationOfAudit(t *testing.T) {
	text, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[string]int)
	for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
		file, _, _ := strings.Cut(block, "```")
		switch {
		case strings.Contains(file, "kind: Policy"):
			kinds["Policy"]++
			if _, err := auditpolicy.LoadPolicyFromBytes([]byte(file)); err != nil {
				t.Error(err)
			}
		case strings.Contains(file, "kind: Config"):
			kinds["Config"]++
			if c, err := clientcmd.RESTConfigFromKubeConfig([]byte(file)); err != nil || c.Host != "http://127.0.0.1:9444" {
				t.Errorf("%+v, %v", c, err)
			}
		}
	}
	if kinds["Policy"] != 1 || kinds["Config"] != 1 {
		t.Errorf("%v", kinds)
	}
}

// words splits a command line as a shell does, with single quotes.
func words(line string) (out []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}
