package replay

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for _, c := range []struct {
		why, a, b string
		want      bool
	}{
		{"equal", "spec.replicas", "spec.replicas", true},
		{"above", "spec", "spec.replicas", true},
		{"far above", "metadata.annotations[a.b/c]", "metadata", true},
		{"an element's list is above it", "spec.taints[key=x]", "spec.taints", true},
		{"below an element", "status.conditions[type=Ready]", "status.conditions[type=Ready].status", true},
		{"another key", "spec.replicas", "spec.paused", false},
		{"text that goes on is another key", "spec.replicas", "spec.replicasMax", false},
		{"a key is not a prefix of a longer one", "metadata.annotations[a.b/c]", "metadata.annotations[a.b/cd]", false},
		{"another annotation", "metadata.annotations[a.b/c]", "metadata.annotations[a.b/d]", false},
		{"labels are not annotations", "metadata.labels[x]", "metadata.annotations[x]", false},
		{"another element", "spec.taints[key=x]", "spec.taints[key=y]", false},
		{"more selectors for the same element", "spec.taints[key=x].value", "spec.taints[key=x][effect=NoExecute].value", true},
		{"fewer selectors for the same element", "spec.taints[key=x][effect=NoExecute].value", "spec.taints[key=x].value", true},
		{"selectors that contradict", "spec.taints[key=x][effect=a]", "spec.taints[key=x][effect=b]", false},
		{"[*] may be left out", "metadata.finalizers[*]", "metadata.finalizers", true},
		{"[*] is the list, so above an element", "spec.list[*]", "spec.list[name=x]", true},
		{"a key is the same in brackets and after a dot", "spec.selector.app", "spec.selector[app]", true},
		{"an escaped bracket", `data[a\]b]`, `data[a\]b]`, true},
		{"an escaped bracket is no end", `data[a\]b]`, `data[a]`, false},
		{"an escaped = is part of a key", `data[a\=b]`, `data[a=b]`, false},
		{"existence", "$exists", "$exists", true},
		{"existence is not a field", "$exists", "spec", false},
	} {
		t.Run(c.why, func(t *testing.T) {
			a, errA := parsePath(c.a)
			b, errB := parsePath(c.b)
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			if names(a, b) != c.want || names(b, a) != c.want {
				t.Errorf("%s and %s: %v, %v; want %v both ways", c.a, c.b, names(a, b), names(b, a), c.want)
			}
		})
	}
}

func TestParsePathRefusesWhatIsNoPath(t *testing.T) {
	for path, want := range map[string]string{
		"":               "is empty",
		"spec[":          "has a [ without ]",
		`data[a\`:        "has a [ without ]",
		"spec..replicas": "empty or misplaced part",
		"spec.":          "",
		".spec":          "empty or misplaced part",
		"spec]":          "empty or misplaced part",
		"[a=b]c":         "needs a dot or [",
	} {
		if _, err := parsePath(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", path, err, want)
		}
	}
}
