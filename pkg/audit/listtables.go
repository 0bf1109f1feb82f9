package audit

import (
	"cmp"
	"fmt"
	"io"
	"strings"
)

// WriteTable writes the clients, then the storms with what else there was at the time.
func (r *Relists) WriteTable(w io.Writer) error {
	var b strings.Builder
	tab := newTable(&b, "FULL LISTS", "PER MIN", "PEAK", "CACHED", "QUORUM", "STREAMED", "WATCHES", "SHORT", "AVERAGE", "410", "429", "USER", "AGENT", "RESOURCE")
	for _, c := range r.Clients {
		tab.row(number(c.Full), rate(c.PerMinute), number(int64(c.Peak)), number(c.Cached), number(c.Quorum), number(c.Streamed),
			number(c.Watches), number(c.ShortWatches), fmt.Sprintf("%.1fs", c.WatchSeconds), number(c.Gone), number(c.Throttled),
			short(c.User, maxCell), short(c.Agent, maxCell), c.Resource)
	}
	if err := tab.flush(); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\n%s\n", period(r.From, r.To))
	if len(r.Lists) > 1 {
		for _, line := range []struct {
			name   string
			counts []uint32
		}{{"full lists", r.Lists}, {"writes", r.Writes}, {"410 Gone", r.Gone}, {"429", r.Throttled}} {
			fmt.Fprintf(&b, "%-10s |%s|\n", line.name, spark(line.counts, 60))
		}
	}
	for _, s := range r.Storms {
		fmt.Fprintf(&b, "storm at %s: %s full lists in %gs, %.0f times as many as usual, most by %s; around it %s writes, %s watches ended, %s times 410, %s times 429",
			clock(s.At), number(int64(s.Lists)), r.PerSeconds, s.Times, printText(s.Most), number(int64(s.Writes)), number(int64(s.Watches)),
			number(int64(s.Gone)), number(int64(s.Throttled)))
		if s.Restart {
			b.WriteString("; an API server started")
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteTable writes one line per change; those that brought back an earlier value are marked.
func (t *Timeline) WriteTable(w io.Writer) error {
	var b strings.Builder
	if t.Truncated {
		fmt.Fprintf(&b, "only the last %d changes; there are earlier ones\n\n", len(t.Changes))
	}
	tab := newTable(&b, "TIME", "WRITER", "FIELD", "FROM", "TO", "NOTE")
	for _, c := range t.Changes {
		mark := ""
		switch {
		case c.Outcome == outcomeFailed:
			mark = fmt.Sprintf("%s failed: %d %s", strings.ToLower(c.Verb), c.Code, short(c.Message, maxCell))
		case c.Outcome == outcomeUnknown:
			mark = strings.ToLower(c.Verb) + ", what changed is not known"
		case c.Reversal:
			mark = "↩ back to an earlier value"
		}
		tab.row(c.Time.UTC().Format("01-02 15:04:05.000"), short(whoIs(c.Writer), maxCell), short(c.Field, maxCell),
			short(cmp.Or(c.FromValue, c.From), maxCell/2), short(cmp.Or(c.ToValue, c.To), maxCell/2), mark)
	}
	if err := tab.flush(); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\n%s", t.Coverage.String())
	_, err := io.WriteString(w, b.String())
	return err
}
