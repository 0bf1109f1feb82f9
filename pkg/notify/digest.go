package notify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/truce-dev/truce/pkg/report"
)

// Digest is what changed on chosen resources in a span of time, as one replica saw it.
type Digest struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	// Replica is the one whose reviews these are; the others tell of theirs.
	Replica string `json:"replica,omitzero"`
	// Total is how many changes there were, Objects on how many objects.
	Total   int `json:"total"`
	Objects int `json:"objects"`
	// Items are who changed what, the most changed first; at most 30. More is how many are left out.
	Items []Item `json:"items"`
	More  int    `json:"more,omitzero"`
}

// Item is what one writer changed on one object. It holds no value of a field.
type Item struct {
	Object report.Object `json:"object"`
	Writer report.Writer `json:"writer"`
	// Fields are the fields, at most 5; MoreFields says that there were others.
	Fields     []string  `json:"fields"`
	MoreFields bool      `json:"moreFields,omitzero"`
	Changes    int       `json:"changes"`
	Prevented  int       `json:"prevented,omitzero"` // of these changes, those that were not stored
	Last       time.Time `json:"last"`
}

// What a digest holds at most.
const (
	maxItems       = 30
	maxItemFields  = 5
	maxDigestPairs = 2000 // of objects and writers that are kept apart; further ones are only counted
)

// digester sums changes up as they come. It is not safe for concurrent use.
type digester struct {
	which   Changes
	replica string
	from    time.Time
	items   map[pair]*Item
	objects map[report.Object]bool
	total   int
}

type pair struct {
	object report.Object
	writer report.Writer
}

func newDigester(which Changes, replica string, now time.Time) *digester {
	d := &digester{which: which, replica: replica}
	d.reset(now)
	return d
}

func (d *digester) reset(from time.Time) {
	d.from, d.total = from.UTC(), 0
	d.items, d.objects = map[pair]*Item{}, map[report.Object]bool{}
}

// add counts changes. Those that passed this replica by are for the one to tell that they did not.
func (d *digester) add(changes []report.Change) {
	for i := range changes {
		c := &changes[i]
		if c.Outcome == report.Unseen || c.Outcome == report.DryRun || !fits(d.which.Namespaces, c.Object.Namespace) ||
			!fits(d.which.Resources, resourceOf(c.Object)) {
			continue
		}
		d.total++
		p := pair{c.Object, report.Writer{User: c.Writer.User, Manager: c.Writer.Manager}}
		item := d.items[p]
		if item == nil {
			if len(d.items) >= maxDigestPairs {
				continue
			}
			item = &Item{Object: p.object, Writer: p.writer}
			d.items[p] = item
			d.objects[c.Object] = true
		}
		item.Changes++
		switch c.Outcome {
		case report.Held, report.Rejected, report.Throttled:
			item.Prevented++
		}
		item.Last = later(item.Last, c.Time)
		if !slices.Contains(item.Fields, c.Field) {
			if len(item.Fields) < maxItemFields {
				item.Fields = append(item.Fields, c.Field)
			} else {
				item.MoreFields = true
			}
		}
	}
}

// due reports whether the time that a digest covers has passed.
func (d *digester) due(now time.Time) bool {
	every := time.Duration(d.which.Every)
	return now.UTC().Truncate(every).After(d.from)
}

// message returns what changed up to now.
func (d *digester) message(cluster string, now time.Time) Message {
	until := now.UTC().Truncate(time.Duration(d.which.Every))
	out := &Digest{From: d.from.Truncate(time.Second), Until: until, Replica: d.replica, Total: d.total, Objects: len(d.objects)}
	for _, item := range d.items { // sorted below
		out.Items = append(out.Items, *item)
	}
	slices.SortFunc(out.Items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(b.Changes, a.Changes), cmp.Compare(name(a.Object), name(b.Object)),
			cmp.Compare(a.Writer.String(), b.Writer.String()))
	})
	if n := len(out.Items); n > maxItems {
		out.Items, out.More = out.Items[:maxItems], n-maxItems
	}
	m := Message{
		Key: fmt.Sprintf("changes/%s/%s", d.replica, until.Format(keyTime)), Phase: Summary, Time: now.UTC().Truncate(time.Millisecond),
		Cluster: cluster, Changes: out,
	}
	m.Title = fmt.Sprintf("%s on %s since %s", plural(out.Total, "change"), plural(out.Objects, "object"), utc(out.From))
	var b strings.Builder
	fmt.Fprintln(&b, m.Title)
	for i := range out.Items {
		fmt.Fprintf(&b, "- %s\n", out.Items[i].line())
	}
	if out.More > 0 {
		fmt.Fprintf(&b, "and %d more\n", out.More)
	}
	m.Text = b.String()
	return m
}

// line says what an item is about in one line.
func (it *Item) line() string {
	fields := strings.Join(it.Fields, ", ")
	if it.MoreFields {
		fields += ", …"
	}
	s := fmt.Sprintf("%s: %s by %s", name(it.Object), plural(it.Changes, "change"), short(it.Writer))
	if it.Prevented > 0 {
		s += fmt.Sprintf(" (%d not stored)", it.Prevented)
	}
	return cut(oneLine(s)+": "+oneLine(fields), 300)
}
