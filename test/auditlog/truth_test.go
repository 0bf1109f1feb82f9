package auditlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/audit"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/replay"
	"github.com/truce-dev/truce/test/cluster"
	"github.com/truce-dev/truce/test/golden"
)

// minWrites is how many writes of a story are played at each level, if it has as many: at least so many, and some more
// than the webhook needed to find all that it finds.
const minWrites = 40

// What the webhook finds in a story, the real API server's log of it shows as far as the level allows, and nothing else.
// Stories last for hours: their writes are made as fast as the API server takes them, and then the log is moved to the
// times of the story, which are those of requestReceivedTimestamp, stageTimestamp and the objects' creationTimestamp.
// testdata/lost.txt says what each level loses, and which stories a real API server does not let happen.
func TestTheCorpusInTheLogsOfARealAPIServer(t *testing.T) {
	admin, recorded := clients(t)
	stories := load(t)
	kinds := customKinds(stories)
	for id, status := range kinds {
		define(t, admin, id, status)
	}
	for id := range kinds {
		served(t, admin, id)
	}
	outcomes := make([]outcome, len(stories))
	work := make(chan int)
	var players sync.WaitGroup
	for range 8 {
		players.Go(func() {
			for i := range work {
				outcomes[i] = perform(stories[i], fmt.Sprintf("s%d", i), admin, recorded)
			}
		})
	}
	for i := range stories {
		work <- i
	}
	close(work)
	players.Wait()
	log := recordedBy(t, outcomes)
	var text strings.Builder
	played := 0
	for _, o := range outcomes {
		if o.refused != nil {
			fmt.Fprintf(&text, "not played: %s: %v\n", o.story.ID, o.refused)
			continue
		}
		played++
	}
	for i, l := range levels {
		fmt.Fprintf(&text, "%s loses\n", l.name)
		var innocent []string
		for _, o := range outcomes {
			if o.refused != nil {
				continue
			}
			got, suspects := found(t, moved(t, log, o.stages[i]))
			if len(o.found) == 0 && suspects > 0 {
				innocent = append(innocent, o.story.ID)
			}
			if extra := minus(got, o.found); len(extra) > 0 {
				t.Errorf("%s: %s: the log shows what the webhook does not find: %v, besides %v", o.story.ID, l.name, extra,
					slices.Sorted(maps.Keys(o.found)))
			}
			if missing := minus(o.found, got); len(missing) > 0 {
				fmt.Fprintf(&text, "  %s: %s", o.story.ID, strings.Join(missing, ", "))
				if suspects > 0 {
					fmt.Fprintf(&text, " (the object is named as a suspect)")
				}
				text.WriteByte('\n')
			}
		}
		for _, id := range innocent {
			fmt.Fprintf(&text, "%s suspects, without reason: %s\n", l.name, id)
		}
	}
	t.Logf("%d of %d stories played", played, len(outcomes))
	golden.Check(t, "testdata/lost.txt", text.String())
}

// outcome is what became of a story.
type outcome struct {
	story   *replay.Story
	refused error // why a real API server does not let it happen
	// found is what the webhook's code finds, as "fight spec.replicas".
	found  map[string]bool
	stages []*stage // one per level
}

// clients returns one with all rights, and one per level whose requests are recorded at it.
func clients(t *testing.T) (admin *client, recorded []*client) {
	t.Helper()
	admin = newClient(t, shared.Config)
	admin.must(request{method: http.MethodPost, path: "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", body: map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": map[string]any{"name": writersGroup},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
		"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": writersGroup}},
	}})
	for _, l := range levels {
		config, err := shared.User("recorder-"+l.short, l.group, "system:masters")
		if err != nil {
			t.Fatal(err)
		}
		recorded = append(recorded, newClient(t, unlimited(config)))
	}
	return admin, recorded
}

func unlimited(c *rest.Config) *rest.Config {
	c.QPS, c.Burst = -1, -1
	return c
}

func load(t *testing.T) []*replay.Story {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(cluster.Root(), "testdata", "corpus", "*.yaml"))
	if err != nil || len(files) < 70 {
		t.Fatalf("%d stories: %v", len(files), err)
	}
	var all []*replay.Story
	for _, file := range files {
		s, err := replay.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		s.File = filepath.Base(file)
		all = append(all, s)
	}
	return all
}

// errEnough ends a story before its end.
var errEnough = errors.New("enough was played")

// errImpossible ends a story that the real API server does not let go on as the simulated one does.
var errImpossible = errors.New("impossible")

// perform plays a story at all levels, one after the other, and on the simulated API server.
func perform(s *replay.Story, id string, admin *client, recorded []*client) (o outcome) {
	o.story = s
	reviewer := &reviewer{found: make(map[string]bool)}
	p := policy.Default()
	reviewer.guard = admission.NewGuard(p, history.New(admission.Bounds(p)), history.NewHasher())
	simulated, err := replay.NewCluster(replay.Epoch, s, reviewer)
	if err != nil {
		return outcome{story: s, refused: err}
	}
	var accepted []bool // by the simulated API server
	enough := minWrites
	err = s.Writes(func(w replay.Write) error {
		before := len(reviewer.found)
		defer func() {
			if n := len(accepted); len(reviewer.found) > before {
				enough = max(enough, n+n/8)
			}
		}()
		out, err := simulated.Write(replay.Epoch.Add(w.At), replay.Request{
			Writer: w.Writer, Object: w.Object, Op: w.Step.Op, Sub: w.Step.Sub, Merge: w.Merge,
		})
		accepted = append(accepted, out.Code < 300)
		return err
	})
	if err != nil {
		return outcome{story: s, refused: err}
	}
	o.found = reviewer.found
	for i, l := range levels {
		stage := newStage(recorded[i], admin, s, id+l.short)
		o.stages = append(o.stages, stage)
		err := stage.setUp()
		n := 0
		if err == nil {
			err = s.Writes(func(w replay.Write) error {
				if n == enough {
					return errEnough
				}
				ok := accepted[n]
				n++
				if err := stage.play(w); err != nil && ok {
					return fmt.Errorf("%w: %s %s: %w", errImpossible, w.Step.Op, w.Object, err)
				}
				return nil
			})
		}
		stage.clear()
		if err != nil && !errors.Is(err, errEnough) {
			o.refused = errors.New(strings.ReplaceAll(err.Error(), stage.id, "x"))
			return o
		}
	}
	return o
}

// reviewer keeps what the webhook's code names.
type reviewer struct {
	guard *admission.Guard
	found map[string]bool
}

func (r *reviewer) Review(now time.Time, phase admission.Phase, body []byte) (admission.Response, error) {
	response, err := r.guard.Review(now, phase, body)
	if phase == admission.Validating {
		for _, v := range response.Verdicts {
			if v.Reason != policy.ReasonNone {
				r.found[v.Kind()+" "+v.Path] = true
			}
		}
	}
	return response, err
}

// recordedBy waits until the log has the last requests, and returns its lines by audit ID.
func recordedBy(t *testing.T, outcomes []outcome) map[string][]byte {
	t.Helper()
	want := 0
	for _, o := range outcomes {
		for _, s := range o.stages {
			want += len(s.times)
		}
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		lines := make(map[string][]byte)
		text, err := os.ReadFile(shared.AuditLog)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var e struct {
				AuditID string `json:"auditID"`
			}
			if json.Unmarshal(line, &e) == nil {
				lines[e.AuditID] = line
			}
		}
		if len(lines) == want {
			return lines
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d requests are in the log", len(lines), want)
		}
	}
}

var (
	stamps  = regexp.MustCompile(`"(requestReceivedTimestamp|stageTimestamp)":"[^"]*"`)
	birth   = regexp.MustCompile(`"creationTimestamp":"[^"]*"`)
	uidText = regexp.MustCompile(`"uid":"([^"]*)"`)
)

// moved returns the log of a stage at the times of its story.
func moved(t *testing.T, lines map[string][]byte, s *stage) []byte {
	t.Helper()
	var b bytes.Buffer
	for n := 1; n <= s.n; n++ {
		id := fmt.Sprintf("%s-%d", s.id, n)
		line, at := lines[id], s.times[id].UTC()
		line = stamps.ReplaceAll(line, fmt.Appendf(nil, `"$1":"%s"`, at.Format("2006-01-02T15:04:05.000000Z")))
		for _, uid := range uidText.FindAllSubmatch(line, -1) {
			if born, ok := s.created[string(uid[1])]; ok {
				line = birth.ReplaceAll(line, fmt.Appendf(nil, `"creationTimestamp":"%s"`, born.UTC().Format(time.RFC3339)))
			}
		}
		b.Write(line)
	}
	return b.Bytes()
}

// found returns what a log shows, as "fight spec.replicas", and how many objects it names as suspects.
func found(t *testing.T, log []byte) (all map[string]bool, suspects int) {
	t.Helper()
	in, err := audit.Open([]string{audit.Stdin}, bytes.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	f, err := audit.FindFights(context.Background(), in, policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	if in.Problems.Count() > 0 {
		t.Error(in.Problems.String())
	}
	all = make(map[string]bool)
	for _, one := range f.Fights {
		all[one.Kind+" "+one.Field] = true
	}
	return all, len(f.Suspects)
}

func minus(a, b map[string]bool) []string {
	var out []string
	for k := range a {
		if !b[k] {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}
