package admission

import (
	"strings"
	"testing"
	"time"
)

func TestIsNumber(t *testing.T) {
	for _, good := range []string{"0", "-0", "1", "-12", "1.5", "0.25", "1e3", "1E+3", "1.5e-3"} {
		if !isNumber([]byte(good)) {
			t.Errorf("%s is a number", good)
		}
	}
	for _, bad := range []string{"", "-", "+1", "01", "1.", ".5", "1e", "1e+", "1x", "0x1", "1.5.5", "Infinity", "--1"} {
		if isNumber([]byte(bad)) {
			t.Errorf("%s is no number", bad)
		}
	}
}

func TestSameNumber(t *testing.T) {
	same := [][]string{
		{"1", "1.0", "1.000", "1e0", "10e-1", "0.1e1", "100e-2", "1E+0"},
		{"0", "-0", "0.0", "0e5", "-0.00e-9"},
		{"-1500", "-1.5e3", "-15E2"},
		{"0.001", "1e-3", "0.1e-2"},
		{"9007199254740993", "9007199254740993.0"},
		{"9007199254740992"},
		{"1" + strings.Repeat("0", 100), "1e100"},
		{"1e99999999999999999999"},
		{"1e99999999999999999998"},
		{"15"},
		{"1.5"},
		{"-15"},
	}
	for i, group := range same {
		for _, a := range group {
			for j, other := range same {
				for _, b := range other {
					if got := sameNumber([]byte(a), []byte(b)); got != (i == j) {
						t.Errorf("sameNumber(%s, %s) = %t", a, b, got)
					}
				}
			}
		}
	}
}

func TestSameQuantity(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`"1000m"`, `"1"`, true},
		{`"1000m"`, `1`, true},
		{`1`, `"1"`, true},
		{`"1Gi"`, `"1024Mi"`, true},
		{`"1e3"`, `"1k"`, true},
		{`"1E3"`, `"1000"`, true},
		{`"0.5"`, `"500m"`, true},
		{`".5"`, `"500m"`, true},
		{`"+1"`, `"1000m"`, true},
		{`"-1"`, `"-1000m"`, true},
		{`"1.0"`, `"1"`, true},
		{`"1Gi"`, `"1G"`, false},
		{`"12"`, `"13"`, false},
		{`"1"`, `true`, false},
		{`"a"`, `"b"`, false},
		{`""`, `"0"`, false},
		{`"."`, `"0"`, false},
		{`"m"`, `"0"`, false},
		{`"1x"`, `"1"`, false},
		{`"1Xi"`, `"1"`, false},
		{`"1e"`, `"1"`, false},
		{`"1e+"`, `"1"`, false},
		{`"1e3x"`, `"1k"`, false},
		{`"1e999999999"`, `"10e999999998"`, false}, // equal, but it would take forever to find out
		{`"00000000000000000000000000000001"`, `"1m"`, false},
		{`"000000000000000000000000000000001"`, `"1"`, false}, // no one writes that
	} {
		if got := sameQuantity([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("sameQuantity(%s, %s) = %t", c.a, c.b, got)
		}
		if got := sameQuantity([]byte(c.b), []byte(c.a)); got != c.want {
			t.Errorf("sameQuantity(%s, %s) = %t", c.b, c.a, got)
		}
	}
}

func TestSameButTimes(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"2022-10-24T09:30:00Z", "2022-10-24T09:30:01Z", true},
		{"2022-10-24T09:30:00Z", "2022-10-24T09:30:00.123456Z", true},
		{"2022-10-24T09:30:00Z", "2022-10-24t11:30:00+02:00", true},
		{"2022-10-24T09:30:00z", "2022-10-24T09:30:00-02:00", true},
		{`{"at":"2022-10-24T09:30:00Z","n":1}`, `{"at":"2023-10-24T09:30:00Z","n":1}`, true},
		{"from 2022-10-24T09:30:00Z to 2022-10-24T09:30:00Z", "from 2022-10-24T09:30:00Z to 2022-10-24T09:30:09Z", true},
		{`{"at":"2022-10-24T09:30:00Z","n":1}`, `{"at":"2023-10-24T09:30:00Z","n":2}`, false},
		{"2022-10-24T09:30:00Z", "2022-10-24T09:30:00Z!", false},
		{"2022-10-24T09:30:00Z", "2022-10-24", false},
		{"2022-10-24T09:30:00", "2022-10-24T09:30:01", false},
		{"2022-10-24T09:30:00.Z", "2022-10-24T09:30:01.Z", false},
		{"2022-10-24T09:30:00+0200", "2022-10-24T09:30:01+0200", false},
		{"2022-10-24T09:30:00.1", "2022-10-24T09:30:00.2", false},
		{"2022-10-24 09:30:00Z", "2022-10-24 09:30:01Z", false},
		{"a", "b", false},
		{"", "", false},
		{"same", "same", false},
	} {
		if got := sameButTimes([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("sameButTimes(%q, %q) = %t", c.a, c.b, got)
		}
	}
}

func TestPathsAreWrittenAndCutAlike(t *testing.T) {
	long := strings.Repeat("k", maxKey+1)
	other := strings.Repeat("k", maxKey) + "l"
	path := appendKey(nil, placeRoot, []byte("spec"))
	path = appendKey(path, placeOther, []byte("a.b"))
	path = appendSelector(path, "name", []byte(`x]y\z`))
	path = appendKey(path, placeOther, []byte("plain"))
	path = appendKey(path, placeKeys, []byte("plain"))
	path = appendKey(path, placeOther, nil)
	path = append(path, wholeList...)
	const want = `spec[a.b][name=x\]y\\z].plain[plain][][*]`
	if string(path) != want {
		t.Errorf("path %s, want %s", path, want)
	}
	var parts []string
	for rest := path; len(rest) > 0; {
		var p part
		p, rest = cutPart(rest)
		parts = append(parts, string(plain(p.text)))
	}
	if got, want := strings.Join(parts, " "), `spec a.b name=x]y\z plain plain  *`; got != want {
		t.Errorf("parts %q, want %q", got, want)
	}
	if p, rest := cutPart([]byte("[unclosed")); string(p.text) != "unclosed" || len(rest) > 0 {
		t.Errorf("an unclosed bracket is cut into %q and %q", p.text, rest)
	}
	if got := string(appendKey(nil, placeRoot, []byte("$exists"))); got != "[$exists]" {
		t.Errorf("the key $exists is %s, which must not be taken for the object's existence", got)
	}
	a, b := appendKey(nil, placeOther, []byte(long)), appendKey(nil, placeOther, []byte(other))
	if string(a) == string(b) || len(a) > maxKey {
		t.Errorf("long keys are written as %s and %s", a, b)
	}
}

func TestTimeOf(t *testing.T) {
	if got := timeOf([]byte("2022-10-24T09:30:00Z")); !got.Equal(time.Date(2022, 10, 24, 9, 30, 0, 0, time.UTC)) {
		t.Error(got)
	}
	if got := timeOf([]byte("yesterday")); !got.IsZero() {
		t.Error(got)
	}
}
