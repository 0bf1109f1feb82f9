package replay

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is how a set of stories went.
type Report struct {
	Results []Result
	Errors  []error // stories that could not be read or played
}

// OK reports whether every story was played and met what it expects.
func (r Report) OK() bool {
	return len(r.Errors) == 0 && !slices.ContainsFunc(r.Results, func(s Result) bool { return !s.OK })
}

// Share is how many of how many.
type Share struct{ Some, All int }

// String reads 57 of 59 (96.6 %).
func (s Share) String() string {
	if s.All == 0 {
		return "none of none"
	}
	return fmt.Sprintf("%d of %d (%.1f %%)", s.Some, s.All, 100*float64(s.Some)/float64(s.All))
}

// Recall is how many of the stories with something to flag were flagged as they expect, in time, with all they name.
func (r Report) Recall() (s Share) {
	for _, result := range r.Results {
		if result.Expect != VerdictNone {
			s.All++
			s.Some += count(result.OK)
		}
	}
	return s
}

// Precision is how many of the stories that were flagged have something to flag.
func (r Report) Precision() (s Share) {
	for _, result := range r.Results {
		if result.Verdict != VerdictNone {
			s.All++
			s.Some += count(result.Expect != VerdictNone)
		}
	}
	return s
}

// WriteJSON writes one JSON object per story and line. Errors are not part of it.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, result := range r.Results {
		if err := enc.Encode(result); err != nil {
			return fmt.Errorf("writing a report: %w", err)
		}
	}
	return nil
}

// WriteTable writes one line per story, then recall, precision, and what went wrong with the stories that missed. Of
// the errors it gives the number only.
func (r Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STORY\tEXPECT\tVERDICT\tOK\tFLAGGED\tWRITES\tSTORED\tWARNED\tDENIED\tHELD\tFIELDS")
	for _, s := range r.Results {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", s.name(), s.Expect, s.Verdict, s.mark(), s.flagged(),
			s.Writes, s.Stored, s.Warned, s.Denied, s.Held, s.fields())
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("writing a report: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nrecall     %s\nprecision  %s\n", r.Recall(), r.Precision())
	missed := 0
	for _, s := range r.Results {
		missed += count(!s.OK)
	}
	fmt.Fprintf(&b, "missed     %d of %d\n", missed, len(r.Results))
	for _, s := range r.Results {
		if !s.OK {
			fmt.Fprintf(&b, "  %s: %s\n", s.ID, strings.Join(s.Why, "; "))
		}
	}
	if len(r.Errors) > 0 {
		fmt.Fprintf(&b, "not played %d\n", len(r.Errors))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing a report: %w", err)
	}
	return nil
}

func (s Result) name() string {
	if s.Visible == VisibleWatch {
		return s.ID + " (watch)"
	}
	return s.ID
}

func (s Result) mark() string {
	if s.OK {
		return "ok"
	}
	return "MISSED"
}

func (s Result) flagged() string {
	if s.FlaggedAtSeconds == nil {
		return "-"
	}
	return time.Duration(*s.FlaggedAtSeconds * float64(time.Second)).Round(time.Millisecond).String()
}

// fields is the first of the fields, and how many more there are.
func (s Result) fields() string {
	switch len(s.Fields) {
	case 0:
		return "-"
	case 1:
		return s.Fields[0]
	}
	return fmt.Sprintf("%s and %d more", s.Fields[0], len(s.Fields)-1)
}
