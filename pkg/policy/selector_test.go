package policy

import (
	"strings"
	"testing"
)

// labels reads `a=1,b=2`.
func labels(s string) func(string) (string, bool) {
	m := map[string]string{}
	for pair := range strings.SplitSeq(s, ",") {
		if k, v, ok := strings.Cut(pair, "="); ok {
			m[k] = v
		}
	}
	return func(key string) (string, bool) { v, ok := m[key]; return v, ok }
}

func TestSelectors(t *testing.T) {
	for _, c := range []struct {
		selector string
		fits     []string
		not      []string
	}{
		{"", []string{"", "app=web"}, nil},
		{"app=web", []string{"app=web", "app=web,tier=front"}, []string{"", "app=shop", "App=web", "tier=web"}},
		{"app == web", []string{"app=web"}, []string{"app=shop"}},
		{"app=", []string{"app="}, []string{"", "app=web"}},
		{"app!=web", []string{"", "app=shop"}, []string{"app=web"}},
		{"app in (web,shop)", []string{"app=web", "app=shop"}, []string{"", "app=other"}},
		{"app in ( web , shop )", []string{"app=web", "app=shop"}, []string{"app= web"}},
		{"app notin (web, shop)", []string{"", "app=other"}, []string{"app=web", "app=shop"}},
		{"app in ()", []string{"app="}, []string{"", "app=web"}},
		{"app", []string{"app=", "app=web"}, []string{"", "tier=front"}},
		{"!app", []string{"", "tier=front"}, []string{"app=", "app=web"}},
		{"! app", []string{""}, []string{"app="}},
		{"app=web,tier in (front,back),!legacy", []string{"app=web,tier=front"},
			[]string{"app=web", "app=web,tier=front,legacy=", "app=shop,tier=front"}},
		{"example.com/app=web", []string{"example.com/app=web"}, []string{"app=web"}},
		{"in in (in)", []string{"in=in"}, []string{"in=out"}},
		{"app!=web,app!=shop", []string{"", "app=other"}, []string{"app=web", "app=shop"}},
	} {
		s, err := parseSelector(c.selector)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range c.fits {
			if !s.fits(labels(l)) {
				t.Errorf("%q does not fit %q", c.selector, l)
			}
		}
		for _, l := range c.not {
			if s.fits(labels(l)) {
				t.Errorf("%q fits %q", c.selector, l)
			}
		}
		if got, want := s.fits(nil), s.fits(labels("")); got != want {
			t.Errorf("%q: %v without a function for labels, %v without labels", c.selector, got, want)
		}
	}
}

func TestSelectorsCover(t *testing.T) {
	for _, c := range []struct {
		a, b   string
		covers bool
	}{
		{"", "app=web", true},
		{"app=web", "", false},
		{"app=web", "app=web", true},
		{"app=web", "tier=front,app=web", true},
		{"app in (b,a)", "app in (a,b,a)", true},
		{"app=web", "app=shop", false},
		{"app", "app=web", false}, // it does, but not in the same words
		{"app=web", "app!=web", false},
	} {
		a, errA := parseSelector(c.a)
		b, errB := parseSelector(c.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if got := a.covers(b); got != c.covers {
			t.Errorf("%q covers %q: %v", c.a, c.b, got)
		}
	}
}

func FuzzSelector(f *testing.F) {
	for _, s := range []string{"app=web,tier in (front,back),!legacy", "a!=b", "a notin ()", "a,a", "!a,a", "a in (b", ",", " "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > maxText {
			return
		}
		sel, err := parseSelector(s)
		if err != nil {
			return
		}
		// What is accepted can be fulfilled: by no labels at all, or by one of the values asked for.
		values := []string{"-"}
		for _, r := range sel {
			values = append(values, r.values...)
		}
		for _, r := range sel {
			possible := false
			for _, v := range values {
				one := selector{}
				for _, o := range sel {
					if o.key == r.key {
						one = append(one, o)
					}
				}
				possible = possible || one.fits(nil) || one.fits(func(string) (string, bool) { return v, true })
			}
			if !possible {
				t.Errorf("%q cannot be fulfilled, because of %s", s, r.key)
			}
		}
	})
}
