package incluster

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/truce-dev/truce/certs"
)

// What docs/certificates.md says in numbers is what the code does.
func TestTheDocumentationsNumbers(t *testing.T) {
	text, err := os.ReadFile("../../docs/certificates.md")
	if err != nil {
		t.Fatal(err)
	}
	days := func(d time.Duration) string { return fmt.Sprintf("%d days", d/(24*time.Hour)) }
	l := certs.InCluster
	for _, want := range []string{
		fmt.Sprintf("| certificate authority | %s | %s before its end |", days(l.Authority), days(l.RenewAuthority)),
		fmt.Sprintf("| serving certificate | %s | %s before its end |", days(l.Serving), days(l.RenewServing)),
		"`CABundleReset`", "`truce_ca_bundle_stale_configurations`", "`truce_ca_bundle_writes_total{reason}`",
		"`truce_certificate_rotation_steps_total{step}`", "`truce_certificate_authority_expiry_timestamp_seconds`",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("it does not say %q", want)
		}
	}
	// "for a minute", "A day later", "after 5, 10, 20 seconds", "up to ten minutes", "once an hour", "half a minute later"
	if Settle != time.Minute || l.Overlap != 24*time.Hour || firstWait != 5*time.Second || longestWait != 10*time.Minute ||
		tellFrom != 3 || tellEvery != time.Hour || forgiveAfter != time.Hour || leaseDuration != 30*time.Second {
		t.Error("a time in the documentation has changed")
	}
}
