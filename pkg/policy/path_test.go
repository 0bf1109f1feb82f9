package policy

import (
	"strings"
	"testing"
)

func field(t testing.TB, pattern string) *fieldPattern {
	t.Helper()
	p, err := parseField(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestFieldPatterns(t *testing.T) {
	for _, c := range []struct {
		why     string
		pattern string
		fits    []string
		not     []string
	}{
		{
			why:     "`**` is everything, the object itself too",
			pattern: "**",
			fits:    []string{"$exists", "spec.replicas", "metadata.annotations[a]", "data[tls.crt]", "[example.com/x]"},
		},
		{
			why:     "the object itself is no field",
			pattern: "$exists",
			fits:    []string{"$exists"},
			not:     []string{"spec", "$exist", "$existsX", "$exists.a"},
		},
		{
			why:     "a pattern fits the field it names, not what is below it",
			pattern: "spec.replicas",
			fits:    []string{"spec.replicas"},
			not:     []string{"spec", "spec.replicasX", "spec.replicas.x", "spec.replicas[x]", "status.replicas", "a.spec.replicas"},
		},
		{
			why:     "`**` at the end is also none",
			pattern: "spec.**",
			fits:    []string{"spec", "spec.replicas", "spec.template.spec.containers[name=a].image", "spec[a.b]"},
			not:     []string{"specs", "spec2.a", "status.spec.a", "$exists"},
		},
		{
			why:     "`**` in the middle is any number of parts",
			pattern: "spec.**.image",
			fits:    []string{"spec.image", "spec.containers[name=a].image", "spec.image.image"},
			not:     []string{"spec", "spec.image.tag", "spec.containers[name=a].imagePullPolicy", "status.image"},
		},
		{
			why:     "several `**`",
			pattern: "**.template.**.env[*].**",
			fits:    []string{"spec.template.spec.env[name=a]", "template.env[name=a].value", "template.template.env[name=b].x.y"},
			not:     []string{"spec.template.spec.env", "spec.env[name=a]"},
		},
		{
			why:     "`**` twice is `**` once",
			pattern: "spec.**.**.a",
			fits:    []string{"spec.a", "spec.b.a"},
			not:     []string{"a"},
		},
		{
			why:     "`*` does not leave its key",
			pattern: "status.*.replicas",
			fits:    []string{"status.a.replicas"},
			not:     []string{"status.replicas", "status.a.b.replicas", "status[a].replicas"},
		},
		{
			why:     "`*` within a key",
			pattern: "status.*Time",
			fits:    []string{"status.lastTime", "status.Time"},
			not:     []string{"status.lastTimes", "status.last.Time"},
		},
		{
			why:     "`[*]` is any key and any element",
			pattern: "metadata.annotations[*]",
			fits:    []string{"metadata.annotations[a]", "metadata.annotations[example.com/a-b]", `metadata.annotations[a\]b]`},
			not:     []string{"metadata.annotations", "metadata.labels[a]", "metadata.annotations.a", "metadata.annotations[a].b"},
		},
		{
			why:     "a whole list of scalars is written as [*] itself",
			pattern: "metadata.finalizers[*]",
			fits:    []string{"metadata.finalizers[*]"},
			not:     []string{"metadata.finalizers"},
		},
		{
			why:     "`*` within brackets does not leave them",
			pattern: "metadata.annotations[example.com/*]",
			fits:    []string{"metadata.annotations[example.com/a]", "metadata.annotations[example.com/]", "metadata.annotations[example.com/a.b/c]"},
			not:     []string{"metadata.annotations[example.org/a]", "metadata.annotations[example.com]"},
		},
		{
			why:     "an element of a list",
			pattern: "spec.template.spec.containers[name=web].image",
			fits:    []string{"spec.template.spec.containers[name=web].image"},
			not:     []string{"spec.template.spec.containers[name=web2].image", "spec.template.spec.containers[name=web]"},
		},
		{
			why:     "further selectors may be left out",
			pattern: "spec.ports[port=53].nodePort",
			fits:    []string{"spec.ports[port=53].nodePort", "spec.ports[port=53][protocol=UDP].nodePort", "spec.ports[port=53][a=b][c=d].nodePort"},
			not:     []string{"spec.ports[port=53][protocol=UDP]", "spec.ports[port=53][key].nodePort", "spec.ports[protocol=UDP][port=53].nodePort"},
		},
		{
			why:     "also at the end, and below",
			pattern: "spec.taints[key=node.kubernetes.io/*].**",
			fits: []string{"spec.taints[key=node.kubernetes.io/not-ready]", "spec.taints[key=node.kubernetes.io/not-ready][effect=NoExecute]",
				"spec.taints[key=node.kubernetes.io/not-ready][effect=NoExecute].timeAdded"},
			not: []string{"spec.taints", "spec.taints[key=example.com/a]"},
		},
		{
			why:     "only selectors are left out, not keys",
			pattern: "spec.map[a.b]",
			fits:    []string{"spec.map[a.b]"},
			not:     []string{"spec.map[a.b][c=d]", "spec.map[a.b][c.d]"},
		},
		{
			why:     "not after a key either",
			pattern: "spec.map[a.*]",
			fits:    []string{"spec.map[a.b]"},
			not:     []string{"spec.map[a.b][c=d]", "spec.map[a.b].c"},
		},
		{
			why:     "a selector that is asked for must be there",
			pattern: "spec.ports[port=53][protocol=TCP]",
			fits:    []string{"spec.ports[port=53][protocol=TCP]", "spec.ports[port=53][protocol=TCP][x=y]"},
			not:     []string{"spec.ports[port=53]", "spec.ports[port=53][protocol=UDP]"},
		},
		{
			why:     "any element of any list",
			pattern: "spec.containers[*].image",
			fits:    []string{"spec.containers[name=a].image", "spec.containers[name=a][x=y].image"},
			not:     []string{"spec.containers[*]", "spec.containers.image"},
		},
		{
			why:     "what is escaped in a path is escaped in a pattern",
			pattern: `data[a\]b\\*]`,
			fits:    []string{`data[a\]b\\]`, `data[a\]b\\c.d]`},
			not:     []string{`data[a\]b]`},
		},
		{
			why:     "a key at the top can need brackets",
			pattern: "[example.com/x].**",
			fits:    []string{"[example.com/x]", "[example.com/x].y"},
			not:     []string{"[example.com/y]", "example.com/x"},
		},
	} {
		t.Run(c.pattern, func(t *testing.T) {
			p := field(t, c.pattern)
			for _, path := range c.fits {
				if !p.fits([]byte(path)) {
					t.Errorf("it does not fit %s; %s", path, c.why)
				}
			}
			for _, path := range c.not {
				if p.fits([]byte(path)) {
					t.Errorf("it fits %s; %s", path, c.why)
				}
			}
		})
	}
}

func TestFieldPatternsAllocateNothing(t *testing.T) {
	path := []byte("spec.template.spec.containers[name=web].ports[port=53][protocol=UDP].name")
	for _, pattern := range []string{"**", "spec.**", "spec.**.name", "**[*].name", "spec.*.*.containers[*].ports[port=53].name"} {
		p := field(t, pattern)
		if n := testing.AllocsPerRun(10, func() {
			if !p.fits(path) {
				t.Errorf("%s does not fit", pattern)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", pattern, n)
		}
	}
}

// splitPath cuts a path into parts, the slow way.
func splitPath(path string) []fieldPart {
	var parts []fieldPart
	for at := 0; at < len(path); {
		kind, text, next := nextPart([]byte(path), at)
		parts = append(parts, fieldPart{kind: kind, text: string(text)})
		at = next
	}
	return parts
}

// fitsSlowly tries everything, in the words of the documentation.
func fitsSlowly(pattern, path []fieldPart) bool {
	if len(pattern) == 0 {
		return len(path) == 0
	}
	first, rest := pattern[0], pattern[1:]
	if first.kind == deepPart {
		for n := range len(path) + 1 {
			if fitsSlowly(rest, path[n:]) {
				return true
			}
		}
		return false
	}
	if len(path) == 0 || first.kind != path[0].kind || !slowly(first.text).MatchString(path[0].text) {
		return false
	}
	selector := func(p fieldPart) bool { return p.kind == bracketPart && strings.Contains(p.text, "=") }
	if selector(path[0]) && (len(rest) == 0 || rest[0].kind != bracketPart) {
		for n := 1; n < len(path) && selector(path[n]); n++ {
			if fitsSlowly(rest, path[n+1:]) {
				return true
			}
		}
	}
	return fitsSlowly(rest, path[1:])
}

func FuzzField(f *testing.F) {
	for _, s := range []string{"**", "spec.**", "a.**.b", "a[*].b", "**[k=v].c", "a[k=v].**.d", "*x.**[a=*].**", "$exists", `a[b\]=*]`} {
		for _, path := range []string{"$exists", "spec.a", "a.b.b", "a[k=v][l=w].b", "a.b[k=v].c", "a[k=v][k=v].d", `a[b\]=c]`} {
			f.Add(s, path, "a.**")
		}
	}
	f.Fuzz(func(t *testing.T, pattern, path, narrower string) {
		if len(pattern) > 60 || len(path) > 60 || len(narrower) > 60 || !isText(pattern) || !isText(path) || path == "" {
			return
		}
		p, err := parseField(pattern)
		if err != nil {
			return
		}
		parts := splitPath(path)
		if joinParts(parts) != path {
			return // not a path
		}
		fits := p.fits([]byte(path))
		if want := fitsSlowly(p.parts, parts); fits != want {
			t.Fatalf("%q on %q: got %v, want %v", pattern, path, fits, want)
		}
		if joined := field(t, joinParts(p.parts)); joined.fits([]byte(path)) != fits {
			t.Errorf("%q written again as %q answers otherwise", pattern, joined.text)
		}
		n, err := parseField(narrower)
		if err != nil || !n.fits([]byte(path)) {
			return
		}
		if p.covers(&n) && !fits {
			t.Errorf("%q covers %q, but does not fit %q", pattern, narrower, path)
		}
		if p.disjoint(&n) && fits {
			t.Errorf("%q and %q are disjoint, but both fit %q", pattern, narrower, path)
		}
	})
}

func joinParts(parts []fieldPart) string {
	var b strings.Builder
	for i, p := range parts {
		switch p.kind {
		case bracketPart:
			b.WriteString("[" + p.text + "]")
			continue
		case deepPart:
			p.text = "**"
		}
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(p.text)
	}
	return b.String()
}

func TestFieldPatternsCoverAndAreDisjoint(t *testing.T) {
	for _, c := range []struct {
		a, b             string
		covers, disjoint bool
	}{
		{"**", "$exists", true, false},
		{"**", "**", true, false},
		{"spec.**", "**", false, false},
		{"spec.**", "spec.a", true, false},
		{"spec.**", "spec.**", true, false},
		{"spec.**", "spec.a.**", true, false},
		{"spec.*", "spec.a", true, false},
		{"spec.*", "spec.**", false, false},
		{"spec.*", "spec.a.b", false, false},
		{"spec.**", "status.**", false, true},
		{"metadata.annotations[*]", "metadata.annotations[a]", true, false},
		{"metadata.annotations[a*]", "metadata.annotations[ab*]", true, false},
		{"metadata.annotations[ab*]", "metadata.annotations[a*]", false, false},
		{"metadata.annotations[a]", "metadata.annotations[b]", false, true},
		{"metadata.annotations[*]", "metadata.labels[*]", false, true},
		{"**.image", "spec.**.image", true, false},
		{"**.image", "spec.**", false, false},
		{"a.**.b.**.c", "a.x.b.y.z.c", true, false},
		{"a.**.b.**.c", "a.x.c.y.z.b", false, false},
		{"spec.ports[port=53].name", "spec.ports[port=53][protocol=UDP].name", false, false},
		{"$exists", "spec.**", false, true},
	} {
		a, b := field(t, c.a), field(t, c.b)
		if got := a.covers(b); got != c.covers {
			t.Errorf("%s covers %s: %v", c.a, c.b, got)
		}
		if got := a.disjoint(b); got != c.disjoint || b.disjoint(a) != got {
			t.Errorf("%s and %s are disjoint: %v", c.a, c.b, got)
		}
	}
}

func TestFieldPatternsThatLookWrongButAreNot(t *testing.T) {
	for _, s := range []string{
		"metadata.**", "metadata.annotations.**", "data.**", "data[a]", "spec.template.metadata.labels[app]", "spec.**[0]",
		"spec.*[a]", "spec.a-b_c", "spec.labels.app", "[$app]", "**.labels[app]", "spec.*.annotations[app]", "spec.größe", "metadata.finalizers[*]", "spec.x-$ref",
		"metadata.ownerReferences[*].**", "[a.b]", "**.**", "status.conditions[type=Ready].status", "spec.a[b=c][d=e]",
	} {
		if _, err := parseField(s); err != nil {
			t.Error(err)
		}
	}
}
