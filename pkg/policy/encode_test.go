package policy

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/truce-dev/truce/test/golden"
)

// A policy that is printed and loaded again is the same, and shows all values.
func TestPrintedPoliciesLoadAgain(t *testing.T) {
	for _, file := range append(glob(t, "testdata/working_*.yaml"), "default.yaml") {
		t.Run(file, func(t *testing.T) {
			p, err := LoadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			printAndLoad(t, p)
		})
	}
}

func printAndLoad(t *testing.T, p *Policy) {
	t.Helper()
	printed, err := yaml.Marshal(p.File)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load(printed, "printed")
	if err != nil {
		t.Fatalf("%v in\n%s", err, printed)
	}
	if diff := cmp.Diff(p.File, again.File); diff != "" {
		t.Errorf("(-was +is):\n%s", diff)
	}
}

func TestPrintedPolicy(t *testing.T) {
	p := load(t, "people: {}\npresets: []\nrules: [{name: everything}]")
	printed, err := yaml.Marshal(p.File)
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/printed.yaml", string(printed))
}

func FuzzLoad(f *testing.F) {
	for _, file := range append(glob(f, "testdata/*.yaml"), "default.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Load(data, "fuzzed")
		if err != nil {
			problems, ok := err.(Problems)
			if !ok || p != nil || len(problems) == 0 || len(problems) > maxProblems+1 {
				t.Fatalf("got policy %v and error %v", p, err)
			}
			return
		}
		printAndLoad(t, p)
		// Whatever loads can be asked.
		m := p.Match(&Target{Group: "apps", Resource: "deployments", Namespace: "a"})
		m.Rule([]byte("spec.template.spec.containers[name=a].image"))
		m.Silence([]byte("status.conditions[type=a].status"), "u", "m", []string{"g"})
		p.Exempt("u", "m", "n", []string{"g"})
		p.Hand("u", "m", []string{"g"})
	})
}
