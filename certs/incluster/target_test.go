package incluster

import "testing"

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]Target{
		"validating/truce": {Name: "truce"}, "mutating/truce.example.com": {Mutating: true, Name: "truce.example.com"},
	} {
		if got, err := ParseTarget(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "truce", "validating", "validating/", "Validating/truce", "other/truce", "mutating/a/b", "mutating/A"} {
		if got, err := ParseTarget(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}
