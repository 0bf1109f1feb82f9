package audit

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// sparkWidth is how wide the small timelines in tables are.
const sparkWidth = 24

// WriteTable writes the rows, what the log is like over time, and bursts.
func (t *Top) WriteTable(w io.Writer) error {
	columns := []string{"REQUESTS", "SHARE", "PER MIN", "PEAK", "PEAK AT", "ERRORS"}
	for _, d := range t.By {
		columns = append(columns, strings.ToUpper(string(d)))
	}
	tab := newTable(w, columns...)
	for _, r := range t.Rows {
		cells := []string{
			number(r.Requests), fmt.Sprintf("%.1f %%", 100*r.Share), rate(r.PerMinute), number(int64(r.Peak)), clock(r.PeakAt),
			number(r.Errors),
		}
		for _, d := range t.By {
			cells = append(cells, short(r.Key[d], maxCell))
		}
		tab.row(cells...)
	}
	if err := tab.flush(); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s requests, %s; %s in no row\n", number(t.Requests), period(t.From, t.To), number(t.Others))
	if len(t.Intervals) > 1 {
		fmt.Fprintf(&b, "over time  %s\n", spark(t.Intervals, 60))
	}
	for _, burst := range t.Bursts {
		var most []string
		for _, d := range t.By {
			most = append(most, short(printText(burst.Most[d]), maxCell))
		}
		fmt.Fprintf(&b, "burst at %s: %s requests in %gs, %.0f times as many as usual, %s of them by %s\n", clock(burst.At),
			number(int64(burst.Requests)), t.PerSeconds, burst.Times, number(int64(burst.Of)), strings.Join(most, " "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printText(s string) string { return strings.Map(printable, s) }

// WriteTable writes the fights with the parties below each, then what the log could not tell.
func (f *Fights) WriteTable(w io.Writer) error {
	var b strings.Builder
	if len(f.Fights) == 0 {
		fmt.Fprintf(&b, "No fights, no loops.\n")
	} else {
		tab := newTable(&b, "WRITES", "BYTES", "PER MIN", "REVERSALS", "FIRST SEEN", "LAST SEEN", "OVER TIME", "FOUND BY", "OBJECT", "FIELD")
		for _, one := range f.Fights {
			tab.row(number(int64(one.Writes)), size(one.Bytes), rate(one.RatePerMinute), number(int64(one.Reversals)),
				clock(one.FirstSeen), clock(one.LastSeen), one.spark(), one.Signal, short(nameOf(one.Object), 2*maxCell), short(one.Field, maxCell))
		}
		if err := tab.flush(); err != nil {
			return err
		}
		b.WriteByte('\n')
		for _, one := range f.Fights {
			one.describe(&b)
		}
	}
	f.describeSuspects(&b)
	fmt.Fprintf(&b, "%s\n%s", period(f.From, f.To), f.Coverage.String())
	_, err := io.WriteString(w, b.String())
	return err
}

// spark is the fight over time, from its first write to its last.
func (f *Fight) spark() string {
	return "|" + spark(f.series.counts, sparkWidth) + "|"
}

func (f *Fight) describe(b *strings.Builder) {
	field := printText(f.Field)
	if field == "" {
		field = "nothing at all"
	}
	fmt.Fprintf(b, "%s: %s of %s\n", f.Kind, field, printText(nameOf(f.Object)))
	for _, p := range f.Parties {
		fmt.Fprintf(b, "  %s\n", printText(whoIs(p)))
	}
	if len(f.Agents) > 0 {
		fmt.Fprintf(b, "  programs: %s\n", printText(strings.Join(f.Agents, ", ")))
	}
	if f.ObservedOnly {
		fmt.Fprintf(b, "  no webhook is ever called for %s: Truce can report this and do nothing about it\n", f.Object.Resource)
	}
	if f.Doubt != "" {
		fmt.Fprintf(b, "  look at it first: %s\n", f.Doubt)
	}
}

func (f *Fights) describeSuspects(b *strings.Builder) {
	if len(f.Suspects) == 0 {
		return
	}
	b.WriteString("\nWritten by turns, at level Metadata, which does not tell what changed:\n")
	for _, s := range f.Suspects[:min(len(f.Suspects), 10)] {
		fmt.Fprintf(b, "  %s: %d writes, %d turns of %s\n", printText(s.name()), s.Writes, s.Turns, printText(strings.Join(s.Writers, ", ")))
	}
	if more := len(f.Suspects) - 10; more > 0 {
		fmt.Fprintf(b, "  and %d more\n", more)
	}
	b.WriteByte('\n')
}

// String says how many writes there were and which of them could not be judged, and why.
func (c Coverage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s writes, %s judged\n", number(c.Writes), number(c.Judged))
	lines := []struct {
		n    int64
		what string
	}{
		{c.MetadataOnly, "at level Metadata: who, what and when, but not which fields; only creations and deletions are judged"},
		{c.RequestOnly, "at level Request: the objects are worked out from what was sent; defaults and other webhooks' changes are not known"},
		{c.FirstSeen, "the first of their objects in this log: what they changed is not known"},
		{c.Missed, "upon a version of the object that is not in the log"},
		{c.Late, "recorded after a later write of the same object, or twice"},
		{c.Unreadable, "could not be made sense of"},
		{c.Forgotten, "objects forgotten to keep memory bounded: their next writes count as first ones"},
	}
	lines = slices.DeleteFunc(lines, func(l struct {
		n    int64
		what string
	},
	) bool {
		return l.n == 0
	})
	for _, l := range lines {
		fmt.Fprintf(&b, "  %s %s\n", number(l.n), l.what)
	}
	return b.String()
}

// Backtests are what one or several policies would have done, side by side.
type Backtests []*Backtest

// WriteTable writes what each policy would have done, whom it would have hit, and what to look at before it enforces.
func (all Backtests) WriteTable(w io.Writer) error {
	var b strings.Builder
	columns := []string{"WRITES"}
	for _, t := range all {
		columns = append(columns, strings.ToUpper(string(t.Mode))+" "+t.Policy)
	}
	tab := newTable(&b, columns...)
	for _, line := range []struct {
		name string
		n    func(t *Backtest) int64
	}{
		{"judged", func(t *Backtest) int64 { return t.Recorded }},
		{"warned about", func(t *Backtest) int64 { return t.Warned }},
		{"throttled", func(t *Backtest) int64 { return t.Throttled }},
		{"rejected", func(t *Backtest) int64 { return t.Rejected }},
		{"held", func(t *Backtest) int64 { return t.Held }},
		{"with nothing left to do", func(t *Backtest) int64 { return t.Moot }},
		{"stored", func(t *Backtest) int64 { return t.Stored }},
		{"fights", func(t *Backtest) int64 { return t.count(kindFight) }},
		{"loops", func(t *Backtest) int64 { return t.count(kindLoop) }},
	} {
		cells := []string{line.name}
		for _, t := range all {
			cells = append(cells, number(line.n(t)))
		}
		tab.row(cells...)
	}
	if err := tab.flush(); err != nil {
		return err
	}
	for i, t := range all {
		if err := t.describe(&b, all, i); err != nil {
			return err
		}
	}
	if len(all) > 0 {
		fmt.Fprintf(&b, "\n%s\n%s", period(all[0].From, all[0].To), all[0].Coverage.String())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Backtest) count(kind string) (n int64) {
	for _, f := range t.Fights {
		if f.Kind == kind {
			n++
		}
	}
	return n
}

// maxTold is how many writers and fights are told of each policy.
const maxTold = 20

func (t *Backtest) describe(b *strings.Builder, all Backtests, i int) error {
	fmt.Fprintf(b, "\n%s, mode %s\n\n", printText(t.Policy), t.Mode)
	if len(t.Writers) > 0 {
		tab := newTable(b, "WRITER", "WARNED", "THROTTLED", "REJECTED", "HELD", "OVER")
		for _, hit := range t.Writers[:min(len(t.Writers), maxTold)] {
			over := short(hit.Fights[0], 2*maxCell)
			if more := len(hit.Fights) - 1; more > 0 {
				over += fmt.Sprintf(" and %d more", more)
			}
			tab.row(whoIs(hit.Writer), number(hit.Warned), number(int64(hit.Throttled)), number(int64(hit.Rejected)), number(int64(hit.Held)), over)
		}
		if err := tab.flush(); err != nil {
			return err
		}
		b.WriteByte('\n')
	}
	for _, f := range t.Fights[:min(len(t.Fights), maxTold)] {
		fmt.Fprintf(b, "%s: %s of %s: %d reversals, %d stopped\n", f.Kind, printText(f.Field), printText(nameOf(f.Object)), f.Reversals, f.Prevented.Total())
		if f.Doubt != "" {
			fmt.Fprintf(b, "  look at it first: %s\n", f.Doubt)
		}
		if len(all) > 1 && !all[1-min(i, 1)].has(f) {
			fmt.Fprintf(b, "  only here\n")
		}
	}
	if more := len(t.Fights) - maxTold; more > 0 {
		fmt.Fprintf(b, "and %d more\n", more)
	}
	return nil
}

func (t *Backtest) has(f *Fight) bool {
	return slices.ContainsFunc(t.Fights, func(o *Fight) bool { return o.ID == f.ID && o.Kind == f.Kind })
}
