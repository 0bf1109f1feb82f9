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

// TopOptions say what Top counts.
type TopOptions struct {
	By []Dimension
	// Per is the length of the intervals in which requests are counted; with very long logs it doubles until there is room.
	Per time.Duration
	// Limit is how many rows there are at most.
	Limit int
}

// Top is who asks the API server for what, and how often.
type Top struct {
	// From and To are when the first and the last of the requests came.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Requests counts all of them, those in Others those that are in no row.
	Requests int64 `json:"requests"`
	Others   int64 `json:"others,omitzero"`
	// PerSeconds is the length of the intervals.
	PerSeconds float64  `json:"perSeconds"`
	Rows       []TopRow `json:"rows"`
	Bursts     []Burst  `json:"bursts,omitempty"`
	// Intervals are the requests in each interval from From on.
	Intervals []uint32    `json:"intervals,omitempty"`
	By        []Dimension `json:"by"`
}

// TopRow counts the requests that agree in all dimensions.
type TopRow struct {
	Key      map[Dimension]string `json:"key"`
	Requests int64                `json:"requests"`
	Share    float64              `json:"share"`
	// PerMinute is the rate from From to To.
	PerMinute float64 `json:"perMinute"`
	// Errors have a status of 400 or more.
	Errors int64 `json:"errors,omitzero"`
	// Bytes are those of the events.
	Bytes int64 `json:"bytes"`
	// Peak is the most requests in one interval, which began at PeakAt.
	Peak   uint32    `json:"peak"`
	PeakAt time.Time `json:"peakAt"`
	series *series
}

// Burst is an interval with many more requests than most.
type Burst struct {
	At       time.Time `json:"at"`
	Requests uint32    `json:"requests"`
	// Times is how many times as many that is as in the interval in the middle.
	Times float64 `json:"times"`
	// Most is the row with the most of them.
	Most map[Dimension]string `json:"most"`
	Of   uint32               `json:"of"`
}

// What a count may take, per goroutine.
const (
	maxTallies = 50_000
	maxCells   = 2 << 20 // intervals of all tallies
)

// tally counts requests that agree.
type tally struct {
	requests, errors, bytes int64
	series
}

// counter counts the requests that one goroutine sees.
type counter struct {
	by          []int
	width       Micros
	tallies     map[string]*tally
	cells       int
	others      int64
	first, last Micros
	key         []byte
}

func (c *counter) add(e *Event) {
	c.key = c.key[:0]
	for i, d := range c.by {
		if i > 0 {
			c.key = append(c.key, 0)
		}
		from := len(c.key)
		c.key = dimensions[d].append(c.key, e)
		withoutZeros(c.key[from:])
	}
	c.cover(e.Received, e.Received)
	t := c.tallies[string(c.key)]
	if t == nil {
		if len(c.tallies) == maxTallies {
			c.others++
			return
		}
		t = &tally{}
		c.tallies[string(c.key)] = t
	}
	t.requests++
	t.bytes += int64(len(e.Raw))
	if e.Code >= 400 {
		t.errors++
	}
	if !t.fits(int64(e.Received / c.width)) {
		c.makeRoom(t, e.Received)
	}
	c.cells -= len(t.counts)
	t.add(int64(e.Received/c.width), 1)
	c.cells += len(t.counts)
}

// withoutZeros makes room for the zero that separates the parts of a key.
func withoutZeros(part []byte) {
	for {
		i := bytes.IndexByte(part, 0)
		if i < 0 {
			return
		}
		part[i] = '?'
	}
}

// cover makes room for what came from first to last, by longer intervals if need be.
func (c *counter) cover(first, last Micros) {
	if c.first == 0 || first != 0 && first < c.first {
		c.first = first
	}
	c.last = max(c.last, last)
	for int64(c.last/c.width)-int64(c.first/c.width) >= maxTimes {
		c.double()
	}
}

// makeRoom doubles the intervals until there is room for a request at now.
func (c *counter) makeRoom(t *tally, now Micros) {
	for c.cells+t.growth(int64(now/c.width)) > maxCells {
		c.double()
	}
}

func (c *counter) double() {
	c.width *= 2
	c.cells = 0
	for _, t := range c.tallies {
		t.halve()
		c.cells += len(t.counts)
	}
}

// CountTop reads the input and counts.
func CountTop(ctx context.Context, in *Input, o TopOptions) (*Top, error) {
	var counters []*counter
	err := in.Scan(ctx, func() func(*Event) {
		c := newCounter(o)
		counters = append(counters, c)
		return c.add
	})
	return topOf(counters, o), err
}

func newCounter(o TopOptions) *counter {
	c := &counter{width: Micros(max(o.Per, time.Second).Microseconds()), tallies: make(map[string]*tally)}
	for _, d := range o.By {
		c.by = append(c.by, d.index())
	}
	return c
}

func topOf(counters []*counter, o TopOptions) *Top {
	all := counters[0]
	for _, c := range counters[1:] {
		all.merge(c)
	}
	top := &Top{From: all.first.Time(), To: all.last.Time(), PerSeconds: all.width.seconds(), By: o.By, Rows: []TopRow{}, Others: all.others}
	minutes := max(top.To.Sub(top.From).Minutes(), all.width.seconds()/60)
	var total series
	for _, key := range slices.Sorted(maps.Keys(all.tallies)) {
		t := all.tallies[key]
		top.Requests += t.requests
		total.merge(&t.series)
		peak, at := t.peak()
		row := TopRow{
			Key: make(map[Dimension]string), Requests: t.requests, Errors: t.errors, Bytes: t.bytes,
			PerMinute: float64(t.requests) / minutes, Peak: peak, PeakAt: (Micros(at) * all.width).Time(),
			series: &t.series,
		}
		for i, part := range strings.Split(key, "\x00") {
			row.Key[o.By[i]] = part
		}
		top.Rows = append(top.Rows, row)
	}
	top.Requests += all.others
	slices.SortStableFunc(top.Rows, func(a, b TopRow) int { return cmp.Compare(b.Requests, a.Requests) })
	for i := range top.Rows {
		top.Rows[i].Share = float64(top.Rows[i].Requests) / float64(top.Requests)
	}
	top.Intervals = total.spread(int64(all.first/all.width), int64(all.last/all.width))
	top.findBursts(all.width)
	if len(top.Rows) > o.Limit {
		for _, r := range top.Rows[o.Limit:] {
			top.Others += r.Requests
		}
		top.Rows = top.Rows[:o.Limit]
	}
	return top
}

// merge adds what another goroutine counted.
func (c *counter) merge(o *counter) {
	c.cover(o.first, o.last)
	for c.width < o.width {
		c.double()
	}
	for o.width < c.width {
		o.double()
	}
	for key, t := range o.tallies {
		mine := c.tallies[key]
		if mine == nil {
			c.tallies[key] = t
			continue
		}
		mine.requests += t.requests
		mine.errors += t.errors
		mine.bytes += t.bytes
		mine.merge(&t.series)
	}
	c.others += o.others
}

const (
	burstTimes = 3
	minBurst   = 10
	maxBursts  = 5
)

// findBursts names the intervals with at least three times as many requests as the one in the middle.
func (t *Top) findBursts(width Micros) {
	n := len(t.Intervals)
	if n < 4 {
		return
	}
	middle := slices.Sorted(slices.Values(t.Intervals))[n/2]
	first := int64(At(t.From) / width)
	for i, requests := range t.Intervals {
		if requests >= minBurst && requests >= burstTimes*max(middle, 1) {
			t.Bursts = append(t.Bursts, Burst{
				At:       (Micros(first+int64(i)) * width).Time(),
				Requests: requests, Times: float64(requests) / float64(max(middle, 1)),
			})
		}
	}
	slices.SortStableFunc(t.Bursts, func(a, b Burst) int { return cmp.Compare(b.Requests, a.Requests) })
	t.Bursts = t.Bursts[:min(len(t.Bursts), maxBursts)]
	for i := range t.Bursts {
		b := &t.Bursts[i]
		for _, row := range t.Rows {
			if n := row.series.at(int64(At(b.At) / width)); n > b.Of {
				b.Of, b.Most = n, row.Key
			}
		}
	}
}

func (m Micros) seconds() float64 { return float64(m) / 1e6 }
