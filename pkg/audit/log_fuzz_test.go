package audit_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/audit"
	"github.com/truce-dev/truce/pkg/policy"
)

// Whatever a log holds, it is read to its end, nothing is found in it that the same events in another order of lines
// would crash on, and reading it twice tells the same.
func FuzzLog(f *testing.F) {
	samples, err := filepath.Glob("testdata/clouds/*")
	if err != nil || len(samples) == 0 {
		f.Fatal(samples, err)
	}
	for _, s := range samples {
		text, err := os.ReadFile(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(eventsFrom(0, 3)))
	f.Add([]byte(`{"items":[` + event(1) + `]}`))
	by, err := audit.ParseDimensions([]string{"user", "object", "agent", "ip", "path", "code", "level"})
	if err != nil {
		f.Fatal(err)
	}
	q, err := audit.NewQuery(`verb != "" && objectRef.name != "x" && (code > 0 || user.username == "y")`)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 || bytes.HasPrefix(text, []byte{0x28, 0xb5, 0x2f, 0xfd}) || bytes.HasPrefix(text, []byte{0x1f, 0x8b}) {
			return // compression is somebody else's parser
		}
		open := func() *audit.Input { return input(t, string(text)) }
		in := open()
		top, err := audit.CountTop(context.Background(), in, audit.TopOptions{By: by, Per: time.Minute, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		again := open()
		fights, err := audit.FindFights(context.Background(), again, policy.Default())
		if err != nil {
			t.Fatal(err)
		}
		// Who counts requests does not look into objects, and so does not see that one is broken.
		if in.Events() != again.Events() || in.Problems.Count() > again.Problems.Count() || top.Requests > in.Events() ||
			fights.Coverage.Judged < 0 {
			t.Errorf("%d and %d events, %d and %d problems, %d requests", in.Events(), again.Events(), in.Problems.Count(),
				again.Problems.Count(), top.Requests)
		}
		if _, err := audit.RunBacktests(context.Background(), open(), audit.NamedPolicy{Policy: policy.Default(), Mode: policy.Enforce}); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.FindTimeline(context.Background(), open(), audit.TimelineOptions{Kind: "deployment", Name: "web", Limit: 5}); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.FindRelists(context.Background(), open(), time.Second, 5); err != nil {
			t.Fatal(err)
		}
		if err := q.Run(context.Background(), open(), 3, func(*audit.Event) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}
