package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/truce-dev/truce/lab/measure"
)

// Widths of the table's columns.
const (
	nameColumn  = 26
	valueColumn = 9
)

// table has a row for each value and a column for each run. An empty name among the rows is an empty line.
func (s *screen) table(runs []measure.Run, rows []string) []string {
	head := strings.Repeat(" ", nameColumn)
	for _, r := range runs {
		head += right(r.Title, valueColumn)
	}
	lines := []string{s.bold(head), s.dim(strings.Repeat("─", cells(head)))}
	for _, name := range rows {
		if name == "" {
			lines = append(lines, "")
			continue
		}
		values := make([]string, len(runs))
		unit := ""
		for i, r := range runs {
			values[i] = "–"
			at := slices.IndexFunc(r.Values, func(v measure.Value) bool { return v.Name == name })
			if at < 0 {
				continue
			}
			v := r.Values[at]
			values[i] = v.Text()
			if v.Unit == "/s" || v.Unit == "MB" {
				unit = ", " + v.Unit
			}
		}
		line := fmt.Sprintf("%-*s", nameColumn, name+unit)
		for _, v := range values {
			line += right(v, valueColumn)
		}
		lines = append(lines, line)
	}
	return lines
}

// brief says in a few lines what came of a run.
func (s *screen) brief(r measure.Run, rows []string) []string {
	var parts []string
	for _, name := range rows {
		for _, v := range r.Values {
			if v.Name == name && !v.Absent {
				parts = append(parts, v.Name+"\u00a0"+v.Text()+strings.TrimPrefix(v.Unit, "s"))
			}
		}
	}
	at := fmt.Sprintf("%8s  ", fmt.Sprintf("%.0f s", r.Seconds))
	return hang(at, strings.Join(parts, "; ")+".", s.width)
}

func right(text string, width int) string {
	return strings.Repeat(" ", max(0, width-cells(text))) + text
}
