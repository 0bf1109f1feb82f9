package report

import (
	"net/url"
	"testing"
)

// FuzzQuery reads what clients ask the API for: whatever that is, it is refused, or a query within its bounds.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"object=deployments.apps/shop/web&since=1h&limit=10", "until=2026-03-01T12:00:00Z", "limit=-1", "since=-1h", "field=spec.*",
		"object=%ff/%00", "limit=99999999999999999999",
	} {
		f.Add(seed)
	}
	j := filled(8, 12)
	f.Fuzz(func(t *testing.T, text string) {
		values, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		if q, err := changeQuery(values, noon); err == nil {
			if q.limit() < 1 || q.limit() > MaxChanges || values.Get("since") == "" && !q.Since.IsZero() {
				t.Errorf("%+v", q)
			}
			for _, c := range j.Changes(q).Items {
				if !q.fits(&c) {
					t.Errorf("%+v does not fit %+v", c, q)
				}
			}
		}
		_, _ = fightQuery(values)
	})
}
