package measure

import (
	"context"
	"math"
	"time"
)

// Steps of time: numbers are looked at every look, and a series has a point for every step.
const (
	look = 50 * time.Millisecond
	step = 250 * time.Millisecond
)

// Sampler looks at numbers again and again. Use it from one goroutine.
type Sampler struct {
	probes []*probe
}

type probe struct {
	name, unit string
	read       func() float64
	grows      bool // it is a count that only grows, shown as a rate

	seen   []float64 // every look
	points Points
	last   float64 // of a count: at the last point. Of a gauge: at the last look.
	now    float64
	looked bool // since the last point
}

// Gauge has a number sampled. A point of its series is the highest of its step, NaN counting for nothing.
func (s *Sampler) Gauge(name, unit string, read func() float64) {
	s.probes = append(s.probes, &probe{name: name, unit: unit, read: read, now: math.NaN()})
}

// Rate has a count sampled that only grows. A point of its series is the growth per second during its step.
func (s *Sampler) Rate(name string, read func() float64) {
	s.probes = append(s.probes, &probe{name: name, unit: "/s", read: read, grows: true, last: read()})
}

// Run samples until ctx ends.
func (s *Sampler) Run(ctx context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	began, pointed := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range s.probes {
			if !p.grows {
				p.look()
			}
		}
		// By the clock, not by ticks: a busy machine loses some.
		now := time.Now()
		for pointed.Sub(began) <= now.Sub(began)-step {
			took := now.Sub(pointed)
			pointed = pointed.Add(step)
			for _, p := range s.probes {
				p.point(took)
			}
		}
	}
}

func (p *probe) look() {
	v := p.read()
	p.seen = append(p.seen, v)
	p.last, p.looked = v, true
	if math.IsNaN(p.now) || v > p.now {
		p.now = v
	}
}

func (p *probe) point(took time.Duration) {
	if !p.grows {
		if !p.looked { // on a busy machine
			p.now = p.last
		}
		p.points, p.now, p.looked = append(p.points, p.now), math.NaN(), false
		return
	}
	v := p.read()
	rate := (v - p.last) / took.Seconds()
	p.points, p.last = append(p.points, rate), v
}

// Series returns what was sampled, a series for each number.
func (s *Sampler) Series() []Series {
	list := make([]Series, len(s.probes))
	for i, p := range s.probes {
		list[i] = Series{Name: p.name, Unit: p.unit, Step: step.Seconds(), Points: p.points}
	}
	return list
}

// Seen returns every look at a gauge.
func (s *Sampler) Seen(name string) []float64 {
	for _, p := range s.probes {
		if p.name == name {
			return p.seen
		}
	}
	return nil
}
