package measure

import (
	"context"
	"encoding/json"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[99-i] = float64(i + 1)
	}
	for _, tt := range []struct {
		name    string
		numbers []float64
		q, want float64
	}{
		{"of none is 0", nil, 0.5, 0},
		{"of one is that one", []float64{7}, 0.01, 7},
		{"the 99th of a hundred", hundred, 0.99, 99},
		{"the largest", hundred, 1, 100},
		{"the smallest", hundred, 0, 1},
		{"the median of an even number is the lower one", []float64{4, 1, 3, 2}, 0.5, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Quantile(tt.numbers, tt.q); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestSampler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var s Sampler
		s.Gauge("depth", "", func() float64 {
			if time.Since(began) > 500*time.Millisecond {
				return math.NaN() // nothing to say any more
			}
			return time.Since(began).Seconds()
		})
		s.Rate("writes", func() float64 { return 100 * time.Since(began).Seconds() })
		ctx, cancel := context.WithTimeout(t.Context(), 1020*time.Millisecond)
		defer cancel()
		s.Run(ctx)

		text, err := json.Marshal(s.Series())
		if err != nil {
			t.Fatal(err)
		}
		want := `[{"name":"depth","step":0.25,"points":[0.25,0.5,null,null]},` +
			`{"name":"writes","unit":"/s","step":0.25,"points":[100,100,100,100]}]`
		if diff := cmp.Diff(want, string(text)); diff != "" {
			t.Errorf("series (-want +got):\n%s", diff)
		}
		if got := len(s.Seen("depth")); got != 20 {
			t.Errorf("%d looks, want 20", got)
		}
	})
}

func TestSamples(t *testing.T) {
	s, err := ParseSamples([]byte(`# HELP x counts
# TYPE x counter
x{resource="pods",verb="LIST all"} 3
x{resource="pods",verb="WATCH"} 4 1700000000
x{resource="nodes",verb="LIST all"} 5e1
x_sum 1000
process_cpu_seconds_total 12.5
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"x", nil, 57},
		{"x", []string{`resource="pods"`}, 7},
		{"x", []string{`resource="pods"`, `verb="LIST all"`}, 3},
		{"process_cpu_seconds_total", nil, 12.5},
		{"process", nil, 0},
	} {
		if got := s.Sum(tt.name, tt.labels...); got != tt.want {
			t.Errorf("%s %v: %v, want %v", tt.name, tt.labels, got, tt.want)
		}
	}
	for _, text := range []string{"x", "x{} y"} {
		if _, err := ParseSamples([]byte(text)); err == nil {
			t.Errorf("%q is taken for metrics", text)
		}
	}
}
