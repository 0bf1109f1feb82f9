package policy

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	keys := []string{"fields", "excludeFields", "resources", "namespaces", "selector"}
	for word, want := range map[string]string{
		"field":                  "fields",
		"feilds":                 "fields",
		"Fields":                 "fields",
		"FIELDS":                 "fields",
		"exclude_fields":         "excludeFields",
		"excludefields":          "excludeFields",
		"namespace":              "namespaces",
		"select":                 "selector",
		"x":                      "",
		"":                       "",
		"something":              "",
		strings.Repeat("x", 1e6): "",
	} {
		if got := nearest(word, keys); got != want {
			t.Errorf("%.20q: got %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "ab", 2}, {"ab", "", 2}, {"ab", "ab", 0}, {"ab", "ba", 1}, {"abc", "axc", 1}, {"abc", "ac", 1},
		{"abc", "abxc", 1}, {"kitten", "sitting", 3}, {"abcd", "badc", 2},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 999: "999", 1000: "1,000", 12345: "12,345", 123456: "123,456", 10_000_000: "10,000,000", -1: "-1", -123: "-123", -1234: "-1,234",
	} {
		if got := number(n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{
		"spec.a":                "`spec.a`",
		"":                      "``",
		"a`b":                   "\"a`b\"",
		"a\nb":                  `"a\nb"`,
		"\xff":                  `"\xff"`,
		strings.Repeat("ä", 60): "`" + strings.Repeat("ä", 60) + "`",
		strings.Repeat("ä", 61): "`" + strings.Repeat("ä", 60) + "…`",
	} {
		if got := quote(s); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
	if got := quote(strings.Repeat("x", 1e6)); len(got) > 100 {
		t.Errorf("a long text is %d bytes long", len(got))
	}
}

func TestProblemString(t *testing.T) {
	for _, c := range []struct {
		p    Problem
		want string
	}{
		{Problem{"p.yaml", 3, 7, "rules[2].throttle.burst", "must be positive"}, "p.yaml:3:7: rules[2].throttle.burst: must be positive"},
		{Problem{"p.yaml", 3, 7, "", "is bad"}, "p.yaml:3:7: is bad"},
		{Problem{"p.yaml", 0, 0, "", "is too large"}, "p.yaml: is too large"},
	} {
		if got := c.p.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if got := (Problems{{File: "a", Message: "x"}, {File: "a", Message: "y"}}).Error(); got != "a: x\na: y" {
		t.Errorf("got %q", got)
	}
}
