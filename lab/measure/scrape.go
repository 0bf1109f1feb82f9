package measure

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Samples are what a process says of itself, in the text format of Prometheus: numbers by name and labels, as in
// `http_requests_total{code="200"}`.
type Samples map[string]float64

// ParseSamples reads the text format. Comments and timestamps are passed over.
func ParseSamples(text []byte) (Samples, error) {
	s := Samples{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		end := strings.LastIndexByte(line, '}') + 1 // a label's value may have spaces
		if end == 0 {
			end = strings.IndexByte(line, ' ')
		}
		if end < 1 {
			return nil, fmt.Errorf("a line of metrics has no number: %q", line)
		}
		number, _, _ := strings.Cut(strings.TrimSpace(line[end:]), " ")
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return nil, fmt.Errorf("a line of metrics: %w", err)
		}
		s[line[:end]] += v
	}
	return s, lines.Err()
}

// Sum adds all samples of a name whose labels include each of labels, written as `resource="pods"`.
func (s Samples) Sum(name string, labels ...string) float64 {
	sum := 0.0
	for key, v := range s {
		rest, ok := strings.CutPrefix(key, name)
		if ok && (rest == "" || rest[0] == '{') && containsAll(rest, labels) {
			sum += v
		}
	}
	return sum
}

func containsAll(text string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}
