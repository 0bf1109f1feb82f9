package admission

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestTheDecisionInTheREADME plays the table that explains a decision, as it stands there.
func TestTheDecisionInTheREADME(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (\d+):(\d\d) \| (\w+) \| (oven-\d) \| (oven-\d)(, a new label)? \| (.*) \| (.*) \|$`)
	rows := row.FindAllStringSubmatch(string(text), -1)
	if len(rows) != 8 {
		t.Fatalf("the table has %d rows that can be read, want 8", len(rows))
	}
	h := newHand(t, policyWith("Reject"))
	for _, r := range rows {
		minutes, _ := strconv.Atoi(r[1])
		seconds, _ := strconv.Atoi(r[2])
		h.now = start.Add(time.Duration(minutes)*time.Minute + time.Duration(seconds)*time.Second)
		h.by(r[3], r[3])
		old, updated := h.annotation(r[4]), h.annotation(r[5])
		if r[6] != "" {
			updated["metadata"].(map[string]any)["labels"] = map[string]any{"new": "label"}
		}
		got := h.review(Validating, old, updated)
		if want := !strings.Contains(r[8], "403"); got.Allowed != want {
			t.Errorf("%s:%s allowed %v, want %v", r[1], r[2], got.Allowed, want)
		}
		if until := regexp.MustCompile(`until (\d+):(\d\d)`).FindStringSubmatch(r[7]); until != nil {
			m, _ := strconv.Atoi(until[1])
			s, _ := strconv.Atoi(until[2])
			want := start.Add(time.Duration(m)*time.Minute + time.Duration(s)*time.Second)
			if len(got.Verdicts) == 0 || !got.Verdicts[0].Until.Equal(want) {
				t.Errorf("%s:%s until %+v, want %v", r[1], r[2], got.Verdicts, want)
			}
		}
		if got.Allowed {
			h.version++
		}
	}
}
