package audit

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/page"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

// What a report has at most.
const (
	maxJournal    = 20_000 // changes, of all goroutines together
	reportRows    = 50
	reportPer     = time.Minute
	reportListPer = 10 * time.Second
)

// journal keeps the changes that fights are made of, the first ones.
type journal struct {
	room    int
	changes []report.Change
	hasher  history.Hasher
	differ  admission.Differ
}

// note keeps the change that a verdict is about.
func (j *journal) note(w *write, v *admission.Verdict) {
	if len(j.changes) >= j.room || v.Signal == history.NoSignal {
		return
	}
	c := report.Change{
		Time: when(w.event), Object: report.ObjectOf(w.key), Field: v.Path, Writer: report.WriterOf(v.Writer),
		Verb: w.Operation, Outcome: report.Stored, Fight: report.IDOf(w.key, v.Path),
	}
	switch {
	case v.Path == history.Exists:
		c.From, c.To = "absent", "present"
		if w.Operation == opDelete {
			c.From, c.To = c.To, c.From
		}
	case v.Path != "":
		changes, _, err := j.differ.Diff(w.OldObject, w.Object)
		if err != nil {
			return
		}
		for i := range changes {
			if string(changes[i].Path) == v.Path {
				c.From, c.To = j.hash(changes[i].Old), j.hash(changes[i].New)
			}
		}
	}
	j.changes = append(j.changes, c)
}

func (j *journal) hash(raw []byte) string {
	if raw == nil {
		return "absent"
	}
	return fmt.Sprintf("%016x", uint64(j.hasher.Sum(raw)))
}

// WriteReport reads the input and writes all that can be said of it as one page that loads nothing. now is its present.
func WriteReport(ctx context.Context, in *Input, p *policy.Policy, now time.Time, w io.Writer) error {
	all, err := newFinders(p)
	if err != nil {
		return err
	}
	hasher := history.NewHasher() // one for all, so that equal values look equal
	for _, f := range all {
		f.journal = &journal{room: maxJournal / len(all), hasher: hasher}
	}
	by := TopOptions{By: []Dimension{"user", "verb", "resource"}, Per: reportPer, Limit: reportRows}
	var counters []*counter
	var listings []*listing
	found, err := all.find(ctx, in, func() func(*Event) bool {
		c, l := newCounter(by), newListing(reportListPer)
		counters, listings = append(counters, c), append(listings, l)
		return func(e *Event) bool {
			c.add(e)
			l.add(e)
			return tells(e)
		}
	})
	if err != nil {
		return err
	}
	top, relists := topOf(counters, by), relistsOf(listings, reportRows)
	changes := all[0].journal.changes
	slices.SortStableFunc(changes, func(a, b report.Change) int { return a.Time.Compare(b.Time) })
	data := page.Data{
		Title: "Audit report", Generated: now, Fights: found.Fights, Changes: changes,
		Text: "What the API server's audit log tells about controllers that undo each other, found by the code that Truce's " +
			"webhook runs. Values of fields are not in it, hashes are.",
		Facts:    found.facts(top, in),
		Sections: []page.Section{top.section(), top.bursts(), relists.section(), relists.storms(), found.suspects()},
	}
	data.Sections = append(data.Sections, page.Section{Title: "What could not be judged", Text: found.Coverage.String()})
	return page.Report(w, data)
}

func (f *Fights) facts(top *Top, in *Input) []page.Fact {
	fights, loops := 0, 0
	bytes := int64(0)
	for _, one := range f.Fights {
		if one.Kind == kindLoop {
			loops++
		} else {
			fights++
		}
		bytes += one.Bytes
	}
	return []page.Fact{
		{Name: "Period", Value: length(top.To.Sub(top.From)), Note: period(top.From, top.To)},
		{Name: "Fights", Value: number(int64(fights)), Note: number(int64(loops)) + " loops"},
		{Name: "Written by them", Value: size(bytes), Note: "the object's size, once per write"},
		{Name: "Writes", Value: number(f.Coverage.Writes), Note: number(f.Coverage.Judged) + " judged"},
		{Name: "Requests", Value: number(top.Requests), Note: number(int64(in.Problems.Count())) + " lines left out"},
	}
}

func (t *Top) section() page.Section {
	s := page.Section{
		Title: "Who calls", Empty: "Nobody.",
		Columns: []page.Column{
			{Name: "Requests", Kind: page.Number}, {Name: "Per minute", Kind: page.Number}, {Name: "Peak", Kind: page.Number},
			{Name: "Errors", Kind: page.Number}, {Name: "User", Kind: page.Code}, {Name: "Verb"}, {Name: "Resource", Kind: page.Code},
		},
	}
	for _, r := range t.Rows {
		s.Rows = append(s.Rows, []any{
			r.Requests, rate(r.PerMinute), r.Peak, r.Errors, r.Key["user"], r.Key["verb"], r.Key["resource"],
		})
	}
	return s
}

func (t *Top) bursts() page.Section {
	s := page.Section{
		Title: "Bursts", Text: fmt.Sprintf("Intervals of %gs with three times as many requests as usual.", t.PerSeconds),
		Empty: "None.", Columns: []page.Column{
			{Name: "At"}, {Name: "Requests", Kind: page.Number}, {Name: "Times as usual", Kind: page.Number}, {Name: "Most by", Kind: page.Code},
		},
	}
	for _, b := range t.Bursts {
		most := fmt.Sprintf("%s %s %s", b.Most["user"], b.Most["verb"], b.Most["resource"])
		s.Rows = append(s.Rows, []any{clock(b.At), b.Requests, fmt.Sprintf("%.1f", b.Times), most})
	}
	return s
}

func (r *Relists) section() page.Section {
	s := page.Section{
		Title: "Who lists everything", Empty: "Nobody.",
		Columns: []page.Column{
			{Name: "Full lists", Kind: page.Number}, {Name: "Cached", Kind: page.Number}, {Name: "Quorum", Kind: page.Number},
			{Name: "Streamed", Kind: page.Number}, {Name: "Watches", Kind: page.Number}, {Name: "410", Kind: page.Number},
			{Name: "429", Kind: page.Number}, {Name: "User", Kind: page.Code}, {Name: "Resource", Kind: page.Code},
		},
	}
	for _, c := range r.Clients {
		s.Rows = append(s.Rows, []any{c.Full, c.Cached, c.Quorum, c.Streamed, c.Watches, c.Gone, c.Throttled, c.User, c.Resource})
	}
	return s
}

func (r *Relists) storms() page.Section {
	s := page.Section{
		Title: "List storms", Text: fmt.Sprintf("Intervals of %gs with three times as many full lists as usual.", r.PerSeconds),
		Empty: "None.", Columns: []page.Column{
			{Name: "At"}, {Name: "Lists", Kind: page.Number}, {Name: "Writes", Kind: page.Number}, {Name: "410", Kind: page.Number},
			{Name: "429", Kind: page.Number}, {Name: "Most by", Kind: page.Code}, {Name: "API server started"},
		},
	}
	for _, st := range r.Storms {
		started := "no"
		if st.Restart {
			started = "yes"
		}
		s.Rows = append(s.Rows, []any{clock(st.At), st.Lists, st.Writes, st.Gone, st.Throttled, st.Most, started})
	}
	return s
}

func (f *Fights) suspects() page.Section {
	s := page.Section{
		Title: "Written by turns", Text: "At level Metadata, which does not tell what changed.", Empty: "Nothing.",
		Columns: []page.Column{
			{Name: "Object", Kind: page.Code}, {Name: "Writes", Kind: page.Number}, {Name: "Turns", Kind: page.Number}, {Name: "Writers"},
		},
	}
	for _, one := range f.Suspects {
		s.Rows = append(s.Rows, []any{one.name(), one.Writes, one.Turns, fmt.Sprint(one.Writers)})
	}
	return s
}
