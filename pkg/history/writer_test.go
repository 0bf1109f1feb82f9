package history

import (
	"testing"
	"unsafe"
)

func TestWritersDifferOnlyIfTheyCertainlyDo(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b Writer
		want bool
	}{
		{"the same", Writer{"u", "m", "p"}, Writer{"u", "m", "p"}, false},
		{"two unknown ones may be one", Writer{}, Writer{}, false},
		{"an unknown one may be anybody", Writer{}, Writer{"u", "m", "p"}, false},
		{"another user", Writer{"u", "m", "p"}, Writer{"v", "m", "p"}, true},
		{"another manager", Writer{"u", "m", "p"}, Writer{"u", "n", "p"}, true},
		{"another pod", Writer{"u", "m", "p"}, Writer{"u", "m", "q"}, true},
		{"an unknown user", Writer{"", "m", "p"}, Writer{"u", "m", "p"}, false},
		{"an unknown manager", Writer{"u", "", "p"}, Writer{"u", "m", "p"}, false},
		{"an unknown pod", Writer{"u", "m", ""}, Writer{"u", "m", "p"}, false},
		{"nothing in common is known", Writer{"u", "", ""}, Writer{"", "m", ""}, false},
		{"another manager, the user unknown", Writer{"", "m", ""}, Writer{"u", "n", ""}, true},
		{"another user, the same manager", Writer{"u", "m", ""}, Writer{"v", "m", "p"}, true},
		{"case matters", Writer{"u", "M", ""}, Writer{"u", "m", ""}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.a.Differs(c.b); got != c.want {
				t.Errorf("%v differs from %v: %v, want %v", c.a, c.b, got, c.want)
			}
			if got := c.b.Differs(c.a); got != c.want {
				t.Errorf("%v differs from %v: %v, want %v", c.b, c.a, got, c.want)
			}
		})
	}
}

func TestAWriterIsKnownByAnyPart(t *testing.T) {
	for _, w := range []Writer{{User: "u"}, {Manager: "m"}, {Pod: "p"}} {
		if !w.Known() {
			t.Errorf("%v is not known", w)
		}
	}
	if (Writer{}).Known() {
		t.Error("nothing is known of the zero Writer")
	}
}

func TestACloneSharesNoMemory(t *testing.T) {
	w := Writer{"user", "manager", "pod"}
	c := w.Clone()
	if c != w {
		t.Errorf("%v is not %v", c, w)
	}
	for _, p := range [][2]string{{w.User, c.User}, {w.Manager, c.Manager}, {w.Pod, c.Pod}} {
		if unsafe.StringData(p[0]) == unsafe.StringData(p[1]) {
			t.Errorf("%q is shared", p[0])
		}
	}
}
