package policy

import (
	"strconv"
	"strings"
	"unicode"
)

// quote makes text from a file fit for a message: short, printable, on one line.
func quote(s string) string {
	const enough = 60
	if runes := []rune(s[:min(len(s), 4*enough)]); len(runes) > enough {
		s = string(runes[:enough]) + "…"
	}
	for _, r := range s {
		if r == '`' || r == '\uFFFD' || !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return "`" + s + "`"
}

// list joins quoted words: `a`, `b` or `c`.
func list(words []string, conjunction string) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i > 0 && i == len(words)-1:
			b.WriteString(" " + conjunction + " ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(quote(w))
	}
	return b.String()
}

// plural writes a number with its noun: `1 problem`, `12 problems`.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(int64(n)) + " " + noun + "s"
}

// number writes n with a comma between thousands, as in `10,000,000`.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// nearest returns the option that word was most likely meant to be, or "" if none is close.
func nearest(word string, options []string) string {
	if len(word) > 64 {
		return ""
	}
	best, bestDistance := "", max(1, len(word)/3)+1
	for _, option := range options {
		if strings.EqualFold(word, option) {
			return option
		}
		if d := distance(strings.ToLower(word), strings.ToLower(option)); d < bestDistance {
			best, bestDistance = option, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove, replace or swap with their neighbour to make b of a.
func distance(a, b string) int {
	var before, last, row []int
	for j := range len(b) + 1 {
		last = append(last, j)
	}
	for i := range len(a) {
		row = append(make([]int, 0, len(b)+1), i+1)
		for j := range len(b) {
			d := last[j]
			if a[i] != b[j] {
				d = 1 + min(last[j], last[j+1], row[j])
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[j-1]+1)
			}
			row = append(row, d)
		}
		before, last = last, row
	}
	return last[len(b)]
}
