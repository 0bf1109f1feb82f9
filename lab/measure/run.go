// Package measure is how the lab measures: what a run of a scene came to, and what it is put together from.
package measure

import (
	"encoding/json"
	"math"
	"slices"
	"time"
)

// Run is what was measured while one scene was played in one way.
type Run struct {
	Scene  string    `json:"scene"`
	Action string    `json:"action"`
	Title  string    `json:"title"`
	Began  time.Time `json:"began"`
	// Seconds is how long it took.
	Seconds float64  `json:"seconds"`
	Values  []Value  `json:"values"`
	Series  []Series `json:"series,omitempty"`
	Marks   []Mark   `json:"marks,omitempty"`
	// Notes are sentences about it, for people.
	Notes []string `json:"notes,omitempty"`
}

// Value is one number of a run.
type Value struct {
	Name string `json:"name"`
	// Unit is "/s", "s" (a latency or a time), "MB", or empty for a plain number.
	Unit   string  `json:"unit,omitempty"`
	Number float64 `json:"number"`
	// Absent says that it was not measured, or means nothing in this run.
	Absent bool `json:"absent,omitempty"`
	// AtLeast says that it would have been more, had the run gone on.
	AtLeast bool `json:"atLeast,omitempty"`
}

// Series is one number over time: points are Step seconds apart, from the beginning on. NaN is a gap.
type Series struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit,omitempty"`
	Step   float64 `json:"step"`
	Points Points  `json:"points"`
}

// Points are numbers, which JSON has as null where they are not a number.
type Points []float64

// MarshalJSON writes numbers with few digits.
func (p Points) MarshalJSON() ([]byte, error) {
	list := make([]*float64, len(p))
	for i, v := range p {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			v = math.Round(v*10000) / 10000
			list[i] = &v
		}
	}
	return json.Marshal(list)
}

// Mark is something that happened during a run.
type Mark struct {
	Seconds float64 `json:"seconds"`
	Text    string  `json:"text"`
}

// Value returns the number with a name, and whether the run has it.
func (r Run) Value(name string) (float64, bool) {
	i := slices.IndexFunc(r.Values, func(v Value) bool { return v.Name == name })
	if i < 0 || r.Values[i].Absent {
		return 0, false
	}
	return r.Values[i].Number, true
}

// FindSeries returns the series with a name, and whether the run has it.
func (r Run) FindSeries(name string) (Series, bool) {
	i := slices.IndexFunc(r.Series, func(s Series) bool { return s.Name == name })
	if i < 0 {
		return Series{}, false
	}
	return r.Series[i], true
}

// Quantile returns the smallest of numbers that a share q of them does not exceed, 0 of none.
func Quantile(numbers []float64, q float64) float64 {
	if len(numbers) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(numbers))
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}
