package policy

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

const head = "apiVersion: truce.dev/v1alpha1\nkind: Policy\n"

// with returns a policy file that gives value at path, in which every list has one entry.
func with(path, value string) string {
	if !strings.HasPrefix(path, "rules") {
		return head + "rules: [{name: a}]\n" + nest(path, value)
	}
	return head + nest(strings.Replace(path, "rules[0].", "rules[0].name=a, ", 1), value)
}

// nest writes a.b[0].c as a flow of mappings and lists.
func nest(path, value string) string {
	key, rest, deeper := strings.Cut(path, ".")
	key, isList := strings.CutSuffix(key, "[0]")
	if deeper {
		extra := ""
		if more, after, ok := strings.Cut(rest, ", "); ok {
			extra, rest = strings.Replace(more, "=", ": ", 1)+", ", after
		}
		value = "{" + extra + nest(rest, value) + "}"
	}
	if isList {
		value = "[" + value + "]"
	}
	return key + ": " + value
}

// problemsOf loads a file and returns what is wrong with it, without the file's name.
func problemsOf(t *testing.T, file string) []string {
	t.Helper()
	p, err := Load([]byte(file), "f")
	if err == nil {
		if p == nil {
			t.Fatal("neither a policy nor an error")
		}
		return nil
	}
	var problems Problems
	if !errors.As(err, &problems) || p != nil {
		t.Fatalf("got policy %v and error %v, want Problems", p, err)
	}
	var lines []string
	for _, p := range problems {
		lines = append(lines, strings.TrimPrefix(p.String(), "f:"))
	}
	return lines
}

// Every number and time of the format, at both ends of its range and just outside.
func TestRanges(t *testing.T) {
	seen := 0
	for _, c := range []struct{ path, low, high, below, above, between string }{
		{"history.objects", "1", "10000000", "0", "10000001", "1 and 10,000,000"},
		{"history.fieldsPerObject", "1", "1024", "0", "1025", "1 and 1,024"},
		{"history.statesPerField", "4", "64", "3", "65", "4 and 64"},
		{"history.writersPerObject", "2", "64", "1", "65", "2 and 64"},
		{"history.memory", "1m", "30d", "59.999999999s", "720h0.000000001s", "1m and 30 days"},
		{"rules[0].throttle.every", "1s", "24h", "999999999ns", "24h1ns", "1s and 24h"},
		{"rules[0].throttle.burst", "1", "1000", "0", "1001", "1 and 1,000"},
		{"rules[0].throttle.retryAfterSeconds", "0", "30", "-1", "31", "0 and 30"},
		{"rules[0].truce.length", "1s", "24h", "999999999ns", "1d1ns", "1s and 24h"},
		{"rules[0].truce.max", "1s", "7d", "999999999ns", "168h1ns", "1s and 7 days"},
		{"rules[0].detect.reversals.count", "0", "1000", "-1", "1001", "0 and 1,000"},
		{"rules[0].detect.slowReversals.count", "0", "1000", "-1", "1001", "0 and 1,000"},
		{"rules[0].detect.peopleReversals.count", "0", "1000", "-1", "1001", "0 and 1,000"},
		{"rules[0].detect.selfReversals.count", "0", "1000", "-1", "1001", "0 and 1,000"},
		{"rules[0].detect.ownerReversals.count", "0", "1000", "-1", "1001", "0 and 1,000"},
		{"rules[0].detect.alternations.count", "0", "1000", "-1", "1001", "0 and 1,000"},
		{"rules[0].detect.loops.count", "0", "1000", "-1", "1001", "0 and 1,000"},
	} {
		seen++
		t.Run(c.path, func(t *testing.T) {
			for _, ok := range []string{c.low, c.high} {
				if got := problemsOf(t, with(c.path, ok)); got != nil {
					t.Errorf("%s: %v", ok, got)
				}
			}
			for _, bad := range []string{c.below, c.above} {
				got := problemsOf(t, with(c.path, bad))
				want := fmt.Sprintf(": %s: must be between %s, not `%s`", c.path, c.between, bad)
				if len(got) != 1 || !strings.HasSuffix(got[0], want) {
					t.Errorf("%s: got %q, want one that ends in %q", bad, got, want)
				}
			}
		})
	}
	if want := countRanges(reflect.TypeFor[File]()); seen != want-5 { // five times within, which memory bounds as well
		t.Errorf("%d ranges are tried, but the format has %d", seen, want)
	}
}

func countRanges(t reflect.Type) int {
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer:
		return countRanges(t.Elem())
	case reflect.Struct:
		n := 0
		for _, p := range properties(t) {
			n += countRanges(t.Field(p.index).Type)
			if p.tag.Get("range") != "" {
				n++
			}
		}
		return n
	}
	return 0
}

func TestNoSignalLooksFurtherBackThanMemory(t *testing.T) {
	for _, signal := range []string{"reversals", "peopleReversals", "selfReversals", "alternations", "loops"} {
		t.Run(signal, func(t *testing.T) {
			path := "rules[0].detect." + signal + ".within"
			for _, c := range []struct{ within, problem string }{
				{"1s", ""},
				{"999ms", "must be between 1s and 30 days, not `999ms`"},
				{"48h", ""},
				{"48h1ns", "must not be longer than history.memory, which is 48h"},
			} {
				got := problemsOf(t, with(path, c.within))
				if c.problem == "" && got != nil || c.problem != "" && (len(got) != 1 || !strings.HasSuffix(got[0], path+": "+c.problem)) {
					t.Errorf("%s: got %q, want %q", c.within, got, c.problem)
				}
			}
		})
	}
	t.Run("a bad memory is one problem, not two", func(t *testing.T) {
		got := problemsOf(t, with("rules[0].detect.loops.within", "20d")+"\nhistory: {memory: 31d}")
		if len(got) != 1 || !strings.Contains(got[0], "history.memory") {
			t.Errorf("got %q", got)
		}
	})
}

func TestATruceIsNotLongerThanItsMax(t *testing.T) {
	for _, c := range []struct{ truce, problem string }{
		{"{length: 10m, max: 10m}", ""},
		{"{length: 10m, max: 10m1ns}", ""},
		{"{length: 10m1ns, max: 10m}", "must not be shorter than truce.length, which is 10m0.000000001s"},
		{"{max: 1s}", ""},
		{"{length: 24h}", ""},
	} {
		got := problemsOf(t, head+"rules: [{name: a, truce: "+c.truce+"}]")
		if c.problem == "" && got != nil || c.problem != "" && (len(got) != 1 || !strings.HasSuffix(got[0], "truce.max: "+c.problem)) {
			t.Errorf("%s: got %q, want %q", c.truce, got, c.problem)
		}
	}
}

func TestBoundsOfAFile(t *testing.T) {
	rules := func(n int) string {
		var b strings.Builder
		b.WriteString(head + "rules:\n")
		for i := range n {
			fmt.Fprintf(&b, "- {name: r%d, match: {fields: [spec.f%d]}}\n", i, i)
		}
		return b.String()
	}
	looks := func(n int) string {
		var b strings.Builder
		b.WriteString(head + "rules: [{name: a}]\npresets: [events]\nlookAlikes:\n")
		for i := range n {
			fmt.Fprintf(&b, "- {name: l%d, fields: [spec.f%d]}\n", i, i)
		}
		return b.String()
	}
	users := func(n int) string {
		return head + "rules: [{name: a}]\nexempt: {users: [" + strings.Repeat("jane,", n) + "]}"
	}
	comment := func(size int) string {
		file := with("mode", "Audit") + "\n#"
		return file + strings.Repeat("x", size-len(file))
	}
	for _, c := range []struct{ name, file, problem string }{
		{"256 rules", rules(256), ""},
		{"257 rules", rules(257), "rules: must have at most 256 entries, not 257"},
		{"255 look-alikes and a preset", looks(255), ""},
		{"256 look-alikes and a preset", looks(256), "lookAlikes: must be at most 256 together with presets"},
		{"257 look-alikes", looks(257), "lookAlikes: must have at most 256 entries, not 257"},
		{"1,000 users", users(1000), ""},
		{"1,001 users", users(1001), "exempt.users: must have at most 1,000 entries, not 1,001"},
		{"a long name", with("rules[0].match.fields[0]", "spec."+strings.Repeat("x", 1019)), ""},
		{"a longer name", with("rules[0].match.fields[0]", "spec."+strings.Repeat("x", 1020)),
			"rules[0].match.fields[0]: must be at most 1,024 bytes long, not 1,025"},
		{"1 MiB", comment(1 << 20), ""},
		{"a byte more", comment(1<<20 + 1), " is larger than 1,048,576 bytes"},
		{"a label of 63 letters", with("rules[0].name", strings.Repeat("x", 63)), ""},
		{"a label of 64 letters", with("rules[0].name", strings.Repeat("x", 64)), "use up to 63 of a-z, 0-9 and `-`, not at the ends"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := strings.Replace(c.file, "name: a, name:", "name:", 1)
			got := problemsOf(t, file)
			if c.problem == "" && got != nil || c.problem != "" && (len(got) != 1 || !strings.HasSuffix(got[0], c.problem)) {
				t.Errorf("got %.300q, want %q", got, c.problem)
			}
		})
	}
}

func TestProblemsAreBounded(t *testing.T) {
	bad := func(n int) string { return head + "rules: [{name: a}]\n" + strings.Repeat("x: 1\n", n) }
	for _, c := range []struct {
		bad, lines int
		last       string
	}{
		{99, 99, "102:1: x: unknown key"},
		{100, 100, "103:1: x: unknown key"},
		{101, 101, " and 1 problem more"},
		{5000, 101, " and 4,900 problems more"},
	} {
		got := problemsOf(t, bad(c.bad))
		if len(got) != c.lines || !strings.HasPrefix(got[len(got)-1], c.last) {
			t.Errorf("%d problems: got %d lines, the last one %q, want %d and %q", c.bad, len(got), got[len(got)-1], c.lines, c.last)
		}
	}
}

// A hostile file costs neither much time nor memory.
func TestHostileFiles(t *testing.T) {
	laughs := "a: &a [lol,lol,lol,lol,lol,lol,lol,lol,lol,lol]\n"
	for c := 'b'; c <= 'z'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 10), ","))
	}
	many := func(entry string) string {
		var b strings.Builder
		b.WriteString(head + "rules:\n")
		for i := range 250 {
			fmt.Fprintf(&b, "- {name: r%d, match: {fields: [%sx%d%s]}}\n", i, strings.Repeat(entry+", ", 1000/len(entry)), i, ".b")
		}
		return b.String()
	}
	for name, file := range map[string]string{
		"a billion laughs":     laughs,
		"deep lists":           strings.Repeat("[", 100_000),
		"deep mappings":        strings.Repeat("{a: ", 200_000),
		"deep lists in a rule": head + "rules: [{name: a, match: {fields: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}}]",
		"many keys":            strings.Repeat("a: 1\n", 50_000),
		"many stars":           many("'" + strings.Repeat("*a", 100) + ".c'"),
		"many deep stars":      many("'" + strings.Repeat("**.a.", 60) + "c'"),
		"a long key":           strings.Repeat("k", 1000_000) + ": 1",
		"many documents":       strings.Repeat("---\n", 50_000),
		"not UTF-8":            "\xff\xfe\xfa",
		"nothing but zeros":    strings.Repeat("\x00", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now() // the bound is generous, for a busy machine and the race detector
			p, err := Load([]byte(file), "f")
			if took := time.Since(start); took > 2*time.Minute {
				t.Errorf("it took %s", took)
			}
			if err == nil && p == nil {
				t.Error("neither a policy nor an error")
			}
			if err != nil && len(err.Error()) > 50_000 {
				t.Errorf("the problems are %d bytes long", len(err.Error()))
			}
		})
	}
}

func TestNullMeansLeftOut(t *testing.T) {
	want, err := Load([]byte(head+"rules: [{name: everything}]"), "f")
	if err != nil {
		t.Fatal(err)
	}
	got, err := LoadFile("testdata/nulls.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.File, want.File) {
		t.Errorf("got %+v, want %+v", got.File, want.File)
	}
}
