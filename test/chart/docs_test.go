package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/truce-dev/truce/test/cluster"
)

// Values and Helm commands in the documents work: each is rendered.
func TestValuesAndCommandsInTheDocs(t *testing.T) {
	values, commands := 0, 0
	for _, name := range []string{"README.md", "docs/install.md", "docs/operations.md", "docs/security.md", "docs/notifications.md", "charts/truce/README.md"} {
		text, err := os.ReadFile(filepath.Join(cluster.Root(), filepath.FromSlash(name)))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```yaml\n(# values.yaml\n.*?)```").FindAllSubmatch(text, -1) {
			values++
			if _, err := tryRender(t, string(block[1])); err != nil {
				t.Errorf("%s: the values\n%s are refused: %v", name, block[1], err)
			}
		}
		for _, line := range regexp.MustCompile(`(?m)^ *helm (install|upgrade) truce charts/truce (.*)$`).FindAllSubmatch(text, -1) {
			if strings.Contains(string(line[2]), "--set-file") {
				continue // which needs the reader's file
			}
			commands++
			args := []string{"template", release, chartDir()}
			for _, a := range strings.Fields(string(line[2])) {
				if a != "--reset-then-reuse-values" && a != "--create-namespace" { // of which templating knows nothing
					args = append(args, a)
				}
			}
			if _, err := helm(t, args...); err != nil {
				t.Errorf("%s: %s fails: %v", name, line[0], err)
			}
		}
	}
	if values < 5 || commands < 3 {
		t.Errorf("the documents show %d values and %d commands", values, commands)
	}
}

// documented returns the YAML in docs/install.md that has a mark.
func documented(mark string) (string, error) {
	text, err := os.ReadFile(filepath.Join(cluster.Root(), "docs", "install.md"))
	if err != nil {
		return "", err
	}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1) {
		if strings.Contains(string(block[1]), mark) {
			return string(block[1]), nil
		}
	}
	return "", fmt.Errorf("docs/install.md shows no YAML with %q", mark)
}
