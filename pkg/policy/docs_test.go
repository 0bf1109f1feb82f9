package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPoliciesInTheDocs loads every policy that a document shows.
func TestPoliciesInTheDocs(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1) {
			if text := string(block[1]); !strings.Contains(text, "kind: Policy") || strings.Contains(text, "audit.k8s.io") {
				continue // an audit policy is the API server's
			}
			shown++
			if _, err := Load(block[1], file); err != nil {
				t.Error(err)
			}
		}
	}
	if shown == 0 {
		t.Error("no document shows a policy")
	}
}
