package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/pkg/audit"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

// lostAtRequest are the fights that a log at level Request does not show, and why.
var lostAtRequest = map[string]string{}

// What the webhook finds, the API server's audit log shows: at RequestResponse all of it, at Request what clients sent
// tells, at Metadata no fight over a field. Nothing else is found at any level.
func TestFightsAreInTheAuditLog(t *testing.T) {
	t.Parallel()
	for _, tt := range slices.Concat(annotationFights, fightsOfEveryKind) {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, modeRule("Warn"))
			fields, _, _, write := tt.begin(s)
			n := until(t, patience, 50*time.Millisecond, func(i int) bool {
				write(i)
				return len(s.hook.turns("Started")) >= len(tt.fields)
			})
			// Where the log is taken to begin, nothing is known of the object yet: the first write teaches that. And the webhook
			// also sees writes that lose a race, which may tell it sooner.
			laps(t, 6, 50*time.Millisecond, func(i int) { write(n + i) })
			ids := map[string]string{} // of the webhook's fights, by field
			_, body := get(t, "GET", "http://"+s.hook.OpsAddress+"/api/v1/fights?kind=fight&namespace="+s.ns, "")
			var known report.Fights
			if err := json.Unmarshal([]byte(body), &known); err != nil {
				t.Fatal(err)
			}
			for _, f := range known.Items {
				ids[f.Field] = f.ID
			}
			log, err := os.ReadFile(shared.AuditLog)
			if err != nil {
				t.Fatal(err)
			}
			for _, level := range []string{"RequestResponse", "Request", "Metadata"} {
				got, found := map[string]bool{}, fightsIn(t, log, level, s)
				for _, f := range found.Fights {
					got[f.Field] = true
					if f.ID != ids[f.Field] {
						t.Errorf("%s: the fight over %s is %s, which the webhook calls %s", level, f.Field, f.ID, ids[f.Field])
					}
					if f.Kind != "fight" || len(f.Parties) != 2 && !tt.oneUser {
						t.Errorf("%s: %+v", level, f)
					}
				}
				want := fields
				if _, lost := lostAtRequest[tt.name]; level == "Metadata" || level == "Request" && lost {
					want = map[string]bool{}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: fights (-want +got):\n%s%s", level, diff, found.Coverage)
				}
			}
		})
	}
}

// fightsIn returns what the log shows of a scene, as if it had been recorded at a level.
func fightsIn(t *testing.T, log []byte, level string, s *scene) *audit.Fights {
	t.Helper()
	var mine bytes.Buffer
	for line := range bytes.Lines(log) {
		if !bytes.Contains(line, []byte(s.ns)) {
			continue
		}
		var e map[string]json.RawMessage
		if err := json.Unmarshal(line, &e); err != nil {
			continue // the last line, while it is written
		}
		if level != "RequestResponse" {
			delete(e, "responseObject")
		}
		if level == "Metadata" {
			delete(e, "requestObject")
		}
		e["level"], _ = json.Marshal(level)
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		mine.Write(append(text, '\n'))
	}
	in, err := audit.Open([]string{audit.Stdin}, &mine)
	if err != nil {
		t.Fatal(err)
	}
	in.Filter.Namespaces, in.Filter.Users = []string{s.ns}, []string{"system:serviceaccount:" + s.ns + ":*"}
	found, err := audit.FindFights(context.Background(), in, policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	return found
}
