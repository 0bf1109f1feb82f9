package audit

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// Relists is who lists everything, and when many did at once.
type Relists struct {
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// PerSeconds is the length of the intervals.
	PerSeconds float64  `json:"perSeconds"`
	Clients    []Lister `json:"clients"`
	Storms     []Storm  `json:"storms"`
	// Lists, Writes, Gone (410) and Throttled (429) are what was in each interval from From on.
	Lists     []uint32 `json:"lists"`
	Writes    []uint32 `json:"writes"`
	Gone      []uint32 `json:"gone"`
	Throttled []uint32 `json:"throttled"`
}

// Lister is a client that lists a resource.
type Lister struct {
	User     string `json:"user"`
	Agent    string `json:"agent"`
	Resource string `json:"resource"`
	// Full are lists of everything: Cached ones that the API server's cache may answer (resourceVersion=0), Quorum ones
	// that etcd has to (none at all), Streamed ones through a watch (sendInitialEvents).
	Full     int64 `json:"full"`
	Cached   int64 `json:"cached"`
	Quorum   int64 `json:"quorum"`
	Streamed int64 `json:"streamed"`
	// Pages are the further pages of lists.
	Pages int64 `json:"pages"`
	// Watches that ended, how many of them within ten seconds, and how long they lasted on average.
	Watches      int64   `json:"watches"`
	ShortWatches int64   `json:"shortWatches"`
	WatchSeconds float64 `json:"watchSeconds"`
	Gone         int64   `json:"gone"`
	Throttled    int64   `json:"throttled"`
	PerMinute    float64 `json:"perMinute"`
	Peak         uint32  `json:"peak"`

	series series
	lasted Micros
}

// Storm is an interval with many more full lists than most, and what else there was in it and the one before.
type Storm struct {
	At        time.Time `json:"at"`
	Lists     uint32    `json:"lists"`
	Times     float64   `json:"times"`
	Most      string    `json:"most"` // the client and resource with the most of them
	Writes    uint32    `json:"writes"`
	Gone      uint32    `json:"gone"`
	Throttled uint32    `json:"throttled"`
	// Watches that ended.
	Watches uint32 `json:"watches"`
	// Restart: an API server seems to have started.
	Restart bool `json:"restart,omitzero"`
}

// What a storm is, and bounds.
const (
	shortWatch = 10 * 1_000_000 // microseconds
	maxListers = 20_000
	maxTimes   = 1 << 13 // intervals of a log
	maxStorms  = 10
)

// listing counts what one goroutine sees.
type listing struct {
	width                                             Micros
	clients                                           map[string]*Lister
	lists, writes, gone, throttled, watches, restarts series
	first, last                                       Micros
	key                                               []byte
}

func (l *listing) all() []*series {
	return []*series{&l.lists, &l.writes, &l.gone, &l.throttled, &l.watches, &l.restarts}
}

func (l *listing) add(e *Event) {
	l.cover(e.Received, e.Received)
	if string(e.Verb) == "watch" {
		l.cover(e.Received, e.Done) // it may have ended long after it began
	}
	at := int64(e.Received / l.width)
	if isWrite(e) {
		l.writes.add(at, 1)
		return
	}
	if e.Code == 410 {
		l.gone.add(at, 1)
	}
	if e.Code == 429 {
		l.throttled.add(at, 1)
	}
	verb := string(e.Verb)
	if verb != "list" && verb != "watch" || len(e.Object.Resource) == 0 {
		return
	}
	c := l.client(e)
	if c == nil {
		return
	}
	switch {
	case e.Code == 410:
		c.Gone++
	case e.Code == 429:
		c.Throttled++
	}
	streamed := verb == "watch" && bytes.Equal(e.Query("sendInitialEvents"), []byte("true"))
	if verb == "watch" {
		// A watch counts when it ends: only then is it complete.
		c.Watches++
		lasted := e.Done - e.Received
		c.lasted += lasted
		if lasted < shortWatch {
			c.ShortWatches++
		}
		l.watches.add(int64(e.Done/l.width), 1)
		if !streamed {
			return
		}
	}
	version := e.Query("resourceVersion")
	switch {
	case len(e.Query("continue")) > 0:
		c.Pages++
		return
	case bytes.Contains(e.Query("fieldSelector"), []byte("metadata.name")) || len(e.Object.Name) > 0:
		return // one object, not everything
	case streamed:
		c.Streamed++
	case len(version) == 0:
		c.Quorum++
	case string(version) == "0":
		c.Cached++
	default:
		return
	}
	c.Full++
	c.series.add(at, 1)
	l.lists.add(at, 1)
	if bytes.HasPrefix(e.UserAgent, []byte("kube-apiserver/")) {
		l.restarts.add(at, 1)
	}
}

// cover makes room for what came from first to last, by longer intervals if need be.
func (l *listing) cover(first, last Micros) {
	if l.first == 0 || first != 0 && first < l.first {
		l.first = first
	}
	l.last = max(l.last, last)
	for int64(l.last/l.width)-int64(l.first/l.width) >= maxTimes {
		l.double()
	}
}

func (l *listing) client(e *Event) *Lister {
	user, agent := e.User(), e.agent()
	l.key = append(append(append(l.key[:0], user...), 0), agent...)
	withoutZeros(l.key[:len(user)])
	withoutZeros(l.key[len(user)+1:])
	l.key = e.Object.appendResource(append(l.key, 0))
	c := l.clients[string(l.key)]
	if c == nil && len(l.clients) < maxListers {
		parts := strings.Split(string(l.key), "\x00")
		c = &Lister{User: parts[0], Agent: parts[1], Resource: parts[2]}
		l.clients[string(l.key)] = c
	}
	return c
}

func (l *listing) double() {
	l.width *= 2
	for _, s := range l.all() {
		s.halve()
	}
	for _, c := range l.clients {
		c.series.halve()
	}
}

func (l *listing) merge(o *listing) {
	l.cover(o.first, o.last)
	for l.width < o.width {
		l.double()
	}
	for o.width < l.width {
		o.double()
	}
	theirs := o.all()
	for i, s := range l.all() {
		s.merge(theirs[i])
	}
	for key, c := range o.clients {
		mine := l.clients[key]
		if mine == nil {
			l.clients[key] = c
			continue
		}
		mine.Full += c.Full
		mine.Cached += c.Cached
		mine.Quorum += c.Quorum
		mine.Streamed += c.Streamed
		mine.Pages += c.Pages
		mine.Watches += c.Watches
		mine.ShortWatches += c.ShortWatches
		mine.Gone += c.Gone
		mine.Throttled += c.Throttled
		mine.lasted += c.lasted
		mine.series.merge(&c.series)
	}
}

// FindRelists reads the input and finds who lists everything. limit is how many clients are named.
func FindRelists(ctx context.Context, in *Input, per time.Duration, limit int) (*Relists, error) {
	var all []*listing
	err := in.Scan(ctx, func() func(*Event) {
		l := newListing(per)
		all = append(all, l)
		return l.add
	})
	return relistsOf(all, limit), err
}

func newListing(per time.Duration) *listing {
	return &listing{width: Micros(per.Microseconds()), clients: make(map[string]*Lister)}
}

func relistsOf(all []*listing, limit int) *Relists {
	sum := all[0]
	for _, l := range all[1:] {
		sum.merge(l)
	}
	return sum.result(limit)
}

func (l *listing) result(limit int) *Relists {
	first, last := int64(l.first/l.width), int64(l.last/l.width)
	out := &Relists{
		From: l.first.Time(), To: l.last.Time(), PerSeconds: l.width.seconds(), Clients: []Lister{}, Storms: []Storm{},
		Lists: l.lists.spread(first, last), Writes: l.writes.spread(first, last), Gone: l.gone.spread(first, last),
		Throttled: l.throttled.spread(first, last),
	}
	minutes := max(out.To.Sub(out.From).Minutes(), l.width.seconds()/60)
	clients := slices.Collect(maps.Values(l.clients))
	slices.SortFunc(clients, func(a, b *Lister) int {
		return cmp.Or(cmp.Compare(b.Full, a.Full), cmp.Compare(b.Watches, a.Watches), strings.Compare(a.name(), b.name()))
	})
	for _, c := range clients[:min(len(clients), limit)] {
		c.PerMinute = float64(c.Full) / minutes
		c.Peak, _ = c.series.peak()
		if c.Watches > 0 {
			c.WatchSeconds = c.lasted.seconds() / float64(c.Watches)
		}
		out.Clients = append(out.Clients, *c)
	}
	l.findStorms(out, clients)
	return out
}

func (c *Lister) name() string { return c.User + " (" + c.Agent + ") of " + c.Resource }

// findStorms names the intervals with at least three times as many full lists as the one in the middle.
func (l *listing) findStorms(out *Relists, clients []*Lister) {
	n := len(out.Lists)
	if n < 4 {
		return
	}
	middle := slices.Sorted(slices.Values(out.Lists))[n/2]
	for i, lists := range out.Lists {
		if lists < minBurst || lists < burstTimes*max(middle, 1) {
			continue
		}
		at := int64(l.first/l.width) + int64(i)
		about := func(s *series) uint32 { return s.at(at-1) + s.at(at) }
		storm := Storm{
			At: (Micros(at) * l.width).Time(), Lists: lists, Times: float64(lists) / float64(max(middle, 1)),
			Writes: about(&l.writes), Gone: about(&l.gone), Throttled: about(&l.throttled), Watches: about(&l.watches),
			Restart: about(&l.restarts) >= minBurst,
		}
		most := uint32(0)
		for _, c := range clients {
			if m := c.series.at(at); m > most {
				most, storm.Most = m, c.name()
			}
		}
		out.Storms = append(out.Storms, storm)
	}
	slices.SortStableFunc(out.Storms, func(a, b Storm) int { return cmp.Compare(b.Lists, a.Lists) })
	out.Storms = out.Storms[:min(len(out.Storms), maxStorms)]
}
