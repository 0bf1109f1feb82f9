package audit

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// maxCell is how wide a name may be in a table.
const maxCell = 60

// table is a tabwriter that keeps its first error.
type table struct {
	tw *tabwriter.Writer
}

func newTable(w io.Writer, columns ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(columns...)
	return t
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = cmp.Or(strings.Map(printable, c), "-")
	}
	fmt.Fprintln(t.tw, strings.TrimRight(strings.Join(cells, "\t"), "\t")) // Flush returns the error
}

func (t *table) flush() error { return t.tw.Flush() }

// printable keeps what clients chose from moving the cursor.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// short cuts the middle out of a long name: its ends tell more.
func short(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	head := (most - 1) / 2
	return string(r[:head]) + "…" + string(r[len(r)-(most-1-head):])
}

// number groups the digits of n by threes.
func number(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size says how many bytes n are.
func size(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	f, u := float64(n), 0
	for f >= 1000 && u < len(units)-1 {
		f /= 1000
		u++
	}
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}

// rate says a number of times per minute with as many digits as matter.
func rate(perMinute float64) string {
	switch {
	case perMinute >= 100:
		return fmt.Sprintf("%.0f", perMinute)
	case perMinute >= 1:
		return fmt.Sprintf("%.1f", perMinute)
	}
	return fmt.Sprintf("%.2g", perMinute)
}

// clock is a time in a table; with the day, since logs last for several.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("01-02 15:04:05")
}

// period says over what time a log goes.
func period(from, to time.Time) string {
	if from.IsZero() {
		return "nothing"
	}
	return from.UTC().Format(time.RFC3339) + " to " + to.UTC().Format(time.RFC3339) + " (" + length(to.Sub(from)) + ")"
}

// length is a duration without more than two units.
func length(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f days", d.Hours()/24)
	case d >= time.Minute:
		return strings.TrimSuffix(d.Round(time.Second).String(), "m0s") + map[bool]string{true: "m"}[d.Round(time.Second)%time.Minute == 0]
	}
	return d.Round(time.Millisecond).String()
}
