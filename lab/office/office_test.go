package office

import (
	"testing"
	"time"

	"github.com/truce-dev/truce/lab/stage"
)

// TestOffice plays the beginning of a day with the real controllers. It is an error of Play if anything is flagged.
func TestOffice(t *testing.T) {
	st, err := stage.Start(t.Context(), stage.Options{Dir: t.TempDir(), Cluster: Cluster()})
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	run, err := Play(t.Context(), st, stage.Hold, 40*time.Second, stage.Log(t.Log))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{Reviews, Rollouts, Scalings, Jobs, Renewals, Applications, Leaders, PodsAtTheEnd} {
		v, ok := run.Value(name)
		t.Logf("%-22s %5.0f", name, v)
		if !ok || v == 0 {
			t.Errorf("%s: %v; the scene shows nothing", name, v)
		}
	}
}
