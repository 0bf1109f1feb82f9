package stage

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/truce-dev/truce/pkg/policy"
)

// The policies of the lab are all made from the built-in one, so that what one sees is what one gets.

var (
	modeLine = regexp.MustCompile(`(?m)^mode:.*$`)
	rules    = regexp.MustCompile(`(?m)^rules:.*\n(  #.*\n)*`)
)

// policyText returns the policy for an action: the built-in one, which warns; or the same enforced, with a first rule that
// says what is done about fights over annotations.
func policyText(a Action) string {
	text := string(policy.DefaultYAML())
	if a == Warn {
		return text
	}
	text = modeLine.ReplaceAllString(text, "mode: Enforce")
	return rules.ReplaceAllString(text, "${0}"+`  - name: annotations
    match:
      resources: ["*"]
      fields: ["metadata.annotations[*]"]
    action: `+ruleAction(a)+`

`)
}

// ruleAction returns the name that policies have for an action.
func ruleAction(a Action) string {
	if a == Late {
		a = Hold
	}
	return strings.ToUpper(string(a[:1])) + string(a[1:])
}

// writePolicy puts a policy in the place of the one in a file, in one step: the webhook may read it at any moment.
func writePolicy(path, text string) error {
	if _, err := policy.Load([]byte(text), filepath.Base(path)); err != nil {
		return fmt.Errorf("a policy of the lab is wrong: %w", err)
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
