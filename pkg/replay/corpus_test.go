package replay_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/replay"
	"github.com/truce-dev/truce/pkg/replay/variant"
)

const corpus = "../../testdata/corpus"

// policyOf returns a policy that watches everything, in a mode and with an action.
func policyOf(t *testing.T, mode, action string) *policy.Policy {
	t.Helper()
	p, err := policy.Load(fmt.Appendf(nil, `
apiVersion: truce.dev/v1alpha1
kind: Policy
mode: %s
rules:
  - name: everything
    match:
      excludeFields:
        - metadata.managedFields.**
        - metadata.resourceVersion
        - metadata.generation
        - metadata.uid
        - metadata.creationTimestamp
        - metadata.deletionTimestamp
    action: %s
`, mode, action), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tale is a story of the corpus.
type tale struct {
	*replay.Story
	file  string
	heavy bool // a quarter of the stories are four fifths of all writes
}

// tales returns the corpus. With -short, as under the race detector, which is ten times as slow, the tests below play the
// light stories only, each once.
func tales(t *testing.T) []tale {
	t.Helper()
	files, err := filepath.Glob(corpus + "/*.yaml")
	if err != nil || len(files) < 77 {
		t.Fatalf("%d stories, want 77 at least: %v", len(files), err)
	}
	all := make([]tale, len(files))
	for i, file := range files {
		s, err := replay.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = tale{s, file, len(s.Steps)*s.Laps > 300}
	}
	return all
}

// Every story is judged as it expects, whatever is done about fights. What is no fight is never stopped.
func TestCorpus(t *testing.T) {
	all := tales(t)
	for i, c := range []struct{ mode, action string }{
		{"Warn", "Throttle"}, {"Enforce", "Throttle"}, {"Enforce", "Reject"}, {"Enforce", "Hold"},
	} {
		t.Run(c.mode+" "+c.action, func(t *testing.T) {
			var files []string
			for j, s := range all {
				if !testing.Short() || !s.heavy && j%4 == i {
					files = append(files, s.file)
				}
			}
			p := policyOf(t, c.mode, c.action)
			report := replay.Run(files, replay.Options{Reviewer: func() replay.Reviewer { return guard(p) }})
			for _, err := range report.Errors {
				t.Error(err)
			}
			if len(report.Results) != len(files) {
				t.Errorf("%d stories, want %d", len(report.Results), len(files))
			}
			denied, held := 0, 0
			for _, r := range report.Results {
				if !r.OK {
					t.Errorf("%s: %s", r.ID, strings.Join(r.Why, "; "))
				}
				if r.Verdict != replay.VerdictFight && r.Denied+r.Held > 0 {
					t.Errorf("%s: the verdict is %s, and yet %d writes were denied and %d held", r.ID, r.Verdict, r.Denied, r.Held)
				}
				if r.Expect == replay.VerdictNone && r.Warned+r.Denied+r.Held > 0 {
					t.Errorf("%s: a look-alike, and yet %d writes were warned about, %d denied, %d held", r.ID, r.Warned, r.Denied, r.Held)
				}
				denied, held = denied+r.Denied, held+r.Held
			}
			if acts := c.mode == "Enforce"; denied > 0 != acts {
				t.Errorf("%d writes were denied", denied) // with Hold too: creations and deletions cannot be held
			}
			if held > 0 != (c.action == "Hold") {
				t.Errorf("%d writes were held", held)
			}
		})
	}
}

func guard(p *policy.Policy) *admission.Guard {
	return admission.NewGuard(p, history.New(admission.Bounds(p)), history.NewHasher())
}

// Other times, names and bystanders make the same story. The keys of look-alikes are not renamed: some are known by them.
func TestCorpusVariants(t *testing.T) {
	p := policyOf(t, "Warn", "Throttle")
	variants := []variant.Options{
		{Jitter: 0, Pace: 0.5, Names: true},
		{Jitter: 0.15, Pace: 1, Keys: true, Noise: 10},
		{Jitter: 0.3, Pace: 0.5, Writers: true},
		{Jitter: 0, Pace: 1, Names: true, Keys: true, Writers: true, Noise: 20},
		{Jitter: 0.15, Pace: 0.5, Names: true, Writers: true},
		{Jitter: 0.3, Pace: 1, Keys: true, Writers: true},
	}
	for j, s := range tales(t) {
		t.Run(s.ID, func(t *testing.T) {
			t.Parallel()
			for i, o := range variants {
				if testing.Short() && (s.heavy || j%len(variants) != i) {
					continue
				}
				o.Seed = uint64(j)
				o.Keys = o.Keys && s.Expect.Verdict != replay.VerdictNone
				v, err := variant.Of(s.Story, o)
				if err != nil {
					t.Fatal(err)
				}
				record, err := replay.Play(v, guard(p))
				if err != nil {
					t.Fatal(err)
				}
				if r := replay.Judge(v, record); !r.OK {
					t.Errorf("%+v: %s", o, strings.Join(r.Why, "; "))
				}
			}
		})
	}
}

// The index of the corpus lists every story and says how many writes it has. All of them are possible.
func TestCorpusHasTheWritesOfItsIndex(t *testing.T) {
	index, err := os.ReadFile(corpus + "/INDEX.md")
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for line := range strings.Lines(string(index)) {
		if columns := strings.Split(line, "|"); len(columns) > 5 {
			want[columns[1]] = columns[5]
		}
	}
	var files []string
	for _, s := range tales(t) {
		if !testing.Short() || !s.heavy {
			files = append(files, s.file)
		}
	}
	report := replay.Run(files, replay.Options{Reviewer: func() replay.Reviewer { return allow{} }})
	if len(report.Errors) > 0 || len(report.Results) != len(files) {
		t.Fatalf("%d stories, %v; want %d", len(report.Results), report.Errors, len(files))
	}
	for _, r := range report.Results {
		if fmt.Sprint(r.Writes) != want[r.ID] || r.Failed > 0 {
			t.Errorf("%s: %d writes and %d that are impossible, the index says %q", r.ID, r.Writes, r.Failed, want[r.ID])
		}
	}
}

// allow allows everything without a look.
type allow struct{}

func (allow) Review(time.Time, admission.Phase, []byte) (admission.Response, error) {
	return admission.Response{Allowed: true}, nil
}
