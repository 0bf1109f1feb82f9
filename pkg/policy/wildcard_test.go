package policy

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestWildcard(t *testing.T) {
	for _, c := range []struct {
		pattern string
		fits    []string
		not     []string
	}{
		{"*", []string{"", "a", "*", "a b/c"}, nil},
		{"jane", []string{"jane"}, []string{"", "jan", "janet", "Jane"}},
		{"kubectl*", []string{"kubectl", "kubectl-edit"}, []string{"kubect", "my-kubectl"}},
		{"*@*", []string{"jane@example.com", "@"}, []string{"jane"}},
		{"*@example.com", []string{"jane@example.com"}, []string{"jane@example.com.evil"}},
		{"system:serviceaccount:*:argocd-*", []string{"system:serviceaccount:argocd:argocd-server", "system:serviceaccount:::argocd-"},
			[]string{"system:serviceaccount:argocd:flux"}},
		{"a*b*c", []string{"abc", "aXbXbc"}, []string{"acb", "ab"}},
		{"a**c", []string{"ac", "abc"}, []string{"a"}},
		{"ä*", []string{"ä", "äö"}, []string{"a"}},
	} {
		w, err := parseWildcard(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		set := newWildcards([]string{"other", c.pattern, "more*"})
		for _, name := range c.fits {
			if !globFits(string(w), name) || !set.fits(name) {
				t.Errorf("%s does not fit %q", c.pattern, name)
			}
		}
		for _, name := range c.not {
			if globFits(string(w), name) || set.fits(name) {
				t.Errorf("%s fits %q", c.pattern, name)
			}
		}
	}
}

func TestNoWildcardsFitNothing(t *testing.T) {
	var none wildcards
	if none.fits("") || none.fits("a") || none.fitsAny([]string{"a"}) || !none.none() {
		t.Error("they fit something")
	}
	every := newWildcards([]string{"*"})
	if !every.fits("") || !every.fitsAny([]string{"a"}) || every.fitsAny(nil) || every.none() {
		t.Error("`*` does not fit every name, or a group where there is none")
	}
}

// Many stars must not take exponential time.
func TestWildcardIsNotSlow(t *testing.T) {
	pattern, name := strings.Repeat("a*", 400)+"b", strings.Repeat("a", 2_000)
	start := time.Now()
	if globFits(pattern, name) {
		t.Error("it fits")
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

// slowly translates a wildcard to a regular expression.
func slowly(pattern string) *regexp.Regexp {
	parts := strings.Split(pattern, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`(?s)\A` + strings.Join(parts, `.*`) + `\z`)
}

func FuzzWildcard(f *testing.F) {
	f.Add("a*b", "aXb", "a*")
	f.Add("*a*a", "aa", "a*a*a")
	f.Add("**", "", "*")
	f.Fuzz(func(t *testing.T, pattern, name, narrower string) {
		w, err := parseWildcard(pattern)
		if err != nil || strings.ContainsRune(pattern+name, '\uFFFD') || !isText(pattern) || !isText(name) {
			return
		}
		fits := globFits(string(w), name)
		if want := slowly(pattern).MatchString(name); fits != want || globFits(string(w), []byte(name)) != want {
			t.Errorf("%q on %q: got %v, want %v", pattern, name, fits, want)
		}
		n, err := parseWildcard(narrower)
		if err != nil || !globFits(string(n), name) {
			return
		}
		if w.covers(n) && !fits {
			t.Errorf("%q covers %q, but does not fit %q", pattern, narrower, name)
		}
		if w.disjoint(n) && fits {
			t.Errorf("%q and %q are disjoint, but both fit %q", pattern, narrower, name)
		}
	})
}

func isText(s string) bool { return strings.ToValidUTF8(s, "?") == s }

func TestWildcardsCoverAndAreDisjoint(t *testing.T) {
	for _, c := range []struct {
		a, b             string
		covers, disjoint bool
	}{
		{"*", "*", true, false},
		{"*", "", true, false},
		{"kube-*", "kube-system", true, false},
		{"kube-*", "kube-*", true, false},
		{"kube-*", "kube-s*", true, false},
		{"kube-s*", "kube-*", false, false},
		{"kube-*", "*", false, false},
		{"kube-*", "team-*", false, true},
		{"a", "b", false, true},
		{"a", "ab", false, true},
		{"a", "ab*", false, true},
		{"*a", "*b", false, false},
	} {
		if got := wildcard(c.a).covers(wildcard(c.b)); got != c.covers {
			t.Errorf("%s covers %s: %v", c.a, c.b, got)
		}
		for _, p := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			got := wildcard(p[0]).disjoint(wildcard(p[1]))
			if got && !c.disjoint {
				t.Errorf("%s and %s are said to be disjoint", p[0], p[1])
			}
		}
	}
	if !wildcard("kube-*").disjoint("team-*") || !wildcard("a").disjoint("ab") {
		t.Error("disjoint wildcards are not seen to be")
	}
}
