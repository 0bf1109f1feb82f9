package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// cells is how many columns text takes. What the lab prints has no wide characters.
func cells(text string) int { return utf8.RuneCountInString(text) }

// wrap breaks text into lines of at most width columns, at spaces other than no-break ones. A word that is longer than a
// line is broken.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\n' }) {
		if line != "" && cells(line)+1+cells(word) <= width {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for cells(word) > width {
			r := []rune(word)
			lines = append(lines, string(r[:width]))
			word = string(r[width:])
		}
		line = word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// hang wraps text behind a first column that only its first line fills.
func hang(first, text string, width int) []string {
	lines := wrap(text, width-cells(first))
	for i := range lines {
		if i == 0 {
			lines[i] = first + lines[i]
		} else {
			lines[i] = strings.Repeat(" ", cells(first)) + lines[i]
		}
	}
	return lines
}

// cut shortens text to width columns.
func cut(text string, width int) string {
	if cells(text) <= width {
		return text
	}
	return string([]rune(text)[:max(0, width-1)]) + "…"
}

// number writes n with a comma between thousands.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

// seconds writes how long something took: `26 ms`, `8.0 s`, `3:20 min`.
func seconds(d time.Duration) string {
	switch {
	case d < time.Second:
		return strconv.FormatInt(max(d, 0).Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	}
	d = d.Round(time.Second)
	return fmt.Sprintf("%d:%02d min", d/time.Minute, d%time.Minute/time.Second)
}

// clock writes a time of day as this machine's clock shows it.
func clock(t time.Time) string { return t.Local().Format("15:04:05") }
