package admission

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// slowSkip is skipContainer as one would write it down.
func slowSkip(b []byte, i int) int {
	open, depth, inside := b[i], 0, false
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case inside:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return closed(b, open, i)
			}
		}
	}
	return -1
}

func TestSkippingEightBytesAtOnceFindsTheSameEndAsByteByByte(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	words := []string{"{", "}", "[", "]", `"`, `\"`, `\\`, "a", ":", ",", "Y_y\x7f", `"a\\"`, `"{[]}"`, "12345678", "é", "\x00\xff"}
	found := 0
	for range 200_000 {
		var b strings.Builder
		b.WriteString(strings.Repeat(" ", rng.IntN(9)))
		start := b.Len()
		b.WriteString([]string{"{", "["}[rng.IntN(2)])
		inside := false
		for range rng.IntN(40) {
			w := words[rng.IntN(len(words))]
			// These are not JSON outside of a string: what the scan makes of them does not matter.
			if strings.ContainsAny(w[:1], `\Y`) && !inside {
				continue
			}
			if strings.Count(w, `"`) == 1 && w != `\"` {
				inside = !inside
			}
			if len(w) > 2 && strings.Contains(w, `"`) && inside {
				continue
			}
			b.WriteString(w)
		}
		text := []byte(b.String())
		want, got := slowSkip(text, start), skipContainer(text, start)
		if want != got {
			t.Fatalf("skipContainer(%q, %d) = %d, want %d", text, start, got, want)
		}
		if got > 0 {
			found++
		}
	}
	if found < 50_000 {
		t.Errorf("only %d texts have an end", found)
	}
}

func TestSkipValue(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`"abc" `, `"abc"`},
		{`"",`, `""`},
		{`"a\"b\\"x`, `"a\"b\\"`},
		{`"12345678\"12345678",`, `"12345678\"12345678"`},
		{`"1234567\\",`, `"1234567\\"`},
		{"-1.5e3,", "-1.5e3"},
		{"true}", "true"},
		{"null]", "null"},
		{"7\n", "7"},
		{"7", "7"},
		{`{"a":[{}]},`, `{"a":[{}]}`},
		{`[]`, `[]`},
		{`"abc`, ""},
		{`"abc\`, ""},
		{`"abc\"`, ""},
		{`"12345678\`, ""},
		{`{"a":1`, ""},
		{`[1}`, ""},
		{`{"12345678]`, ""},
		{`{"12345678":[{]}}`, `{"12345678":[{]}}`}, // not JSON; found out when it is looked at
		{``, ""},
		{`,`, ""},
	} {
		got := ""
		if end := skipValue([]byte(c.text), 0); end >= 0 {
			got = c.text[:end]
		}
		if got != c.want {
			t.Errorf("skipValue(%q) found %q, want %q", c.text, got, c.want)
		}
	}
}

func TestNestingIsBounded(t *testing.T) {
	for _, c := range []struct {
		depth int
		ok    bool
	}{{maxNesting - 8, true}, {maxNesting + 8, false}, {1_000_000, false}} {
		text := bytes.Repeat([]byte("["), c.depth)
		text = append(text, bytes.Repeat([]byte("]"), c.depth)...)
		if got := skipContainer(text, 0) > 0; got != c.ok {
			t.Errorf("%d levels: skipped is %t, want %t", c.depth, got, c.ok)
		}
	}
}

func TestAppendText(t *testing.T) {
	for _, c := range []struct {
		text, want string
		ok         bool
	}{
		{"plain", "plain", true},
		{`\"\\\/\b\f\n\r\t`, "\"\\/\b\f\n\r\t", true},
		{`\u0041\u00e4\u20AC`, "Aä€", true},
		{`\ud83d\ude00!`, "😀!", true},
		{`\ud83d!`, "\uFFFD!", true},
		{`\ud83d\u0041`, "\uFFFDA", true},
		{`\ude00\ud83d`, "\uFFFD\uFFFD", true},
		{`a\qb`, `a\qb`, false},
		{`\u12g4`, `\u12g4`, false},
		{`\u12`, `\u12`, false},
		{`\`, `\`, false},
	} {
		got, ok := appendText([]byte(">"), []byte(c.text))
		if string(got) != ">"+c.want || ok != c.ok {
			t.Errorf("appendText(%q) = %q, %t, want %q, %t", c.text, got[1:], ok, c.want, c.ok)
		}
	}
}

func BenchmarkSkip(b *testing.B) {
	for _, s := range samples(b) {
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(len(s.body)))
			for b.Loop() {
				if end := skipContainer(s.body, 0); end != len(s.body) {
					b.Fatal(fmt.Sprint("it ends at ", end))
				}
			}
		})
	}
}
