package audit

import "strings"

// series counts in intervals that are numbered from 1970 on, so that those of two series are the same.
type series struct {
	base   int64 // the number of the first one
	counts []uint32
}

// fits reports whether there is a place for an interval already.
func (s *series) fits(at int64) bool { return at >= s.base && at < s.base+int64(len(s.counts)) }

// growth returns how many intervals more there would be with another one.
func (s *series) growth(at int64) int {
	switch n := int64(len(s.counts)); {
	case n == 0:
		return 1
	case at < s.base:
		return int(s.base - at)
	case at >= s.base+n:
		return int(at - s.base - n + 1)
	}
	return 0
}

func (s *series) add(at int64, n uint32) {
	switch {
	case len(s.counts) == 0:
		s.base, s.counts = at, append(s.counts, 0)
	case at < s.base:
		s.counts = append(make([]uint32, s.base-at), s.counts...)
		s.base = at
	case at >= s.base+int64(len(s.counts)):
		s.counts = append(s.counts, make([]uint32, at-s.base-int64(len(s.counts))+1)...)
	}
	s.counts[at-s.base] += n
}

// halve makes intervals of twice the length.
func (s *series) halve() {
	old := *s
	*s = series{}
	for i, n := range old.counts {
		if n > 0 {
			s.add((old.base+int64(i))>>1, n)
		}
	}
}

func (s *series) merge(o *series) {
	for i, n := range o.counts {
		if n > 0 {
			s.add(o.base+int64(i), n)
		}
	}
}

// at returns the count of an interval.
func (s *series) at(i int64) uint32 {
	if !s.fits(i) {
		return 0
	}
	return s.counts[i-s.base]
}

// peak returns the largest count, and in which interval it is first.
func (s *series) peak() (most uint32, at int64) {
	for i, n := range s.counts {
		if n > most {
			most, at = n, s.base+int64(i)
		}
	}
	return most, at
}

// spread returns the counts of the intervals from first to last.
func (s *series) spread(first, last int64) []uint32 {
	out := make([]uint32, last-first+1)
	for i, n := range s.counts {
		if at := s.base + int64(i) - first; at >= 0 && at < int64(len(out)) {
			out[at] = n
		}
	}
	return out
}

// spark draws counts in a line of at most width characters, the highest as a full one.
func spark(counts []uint32, width int) string {
	n := min(width, len(counts))
	if n == 0 {
		return ""
	}
	sums := make([]float64, n)
	most := 0.0
	for i, c := range counts {
		at := i * n / len(counts)
		sums[at] += float64(c)
		most = max(most, sums[at])
	}
	var b strings.Builder
	for _, s := range sums {
		if s == 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune([]rune("▁▂▃▄▅▆▇█")[min(int(s/most*8), 7)])
	}
	return b.String()
}
