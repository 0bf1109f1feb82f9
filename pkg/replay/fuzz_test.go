package replay

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzStory parses anything, and plays what is a story and short.
func FuzzStory(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/stories/*.yaml", corpus + "/syn-*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		story, err := Parse(data, "x.yaml")
		if (story == nil) == (err == nil) {
			t.Fatalf("story %v, error %v; want one of them", story, err)
		}
		if err != nil || len(story.Steps)*story.Laps > 200 {
			return
		}
		record, err := Play(story, allow{})
		if err != nil {
			return
		}
		if record.Writes+record.Failed != len(story.Steps)*story.Laps {
			t.Errorf("%d writes and %d failed of %d", record.Writes, record.Failed, len(story.Steps)*story.Laps)
		}
		if record.Stored > record.Writes {
			t.Errorf("%d stored of %d", record.Stored, record.Writes)
		}
		Judge(story, record)
	})
}
