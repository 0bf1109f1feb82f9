package policy

import (
	"path/filepath"
	"testing"
)

// glob returns the files that fit pattern, of which there must be some.
func glob(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files fit %s: %v", pattern, err)
	}
	return files
}
