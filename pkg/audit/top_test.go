package audit_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/audit"
)

// at returns a line of an audit log at a time.
func at(n int, t string) string {
	return strings.ReplaceAll(event(n), "2025-01-01T00:"+time.Unix(int64(n), 0).UTC().Format("04:05")+".000000Z", t) + "\n"
}

// One event with a wrong clock must not take all memory.
func TestTimesFarApart(t *testing.T) {
	text := at(1, "1971-01-01T00:00:00Z") + at(2, "2025-01-01T00:00:00Z") + at(3, "9999-12-31T23:59:59Z") +
		strings.Replace(at(4, "2025-01-01T00:00:00Z"), `"verb":"get"`, `"verb":"watch"`, 1) +
		strings.Replace(at(5, "2025-01-01T00:00:00Z"), `"stageTimestamp":"2025`, `"stageTimestamp":"9025`, 1)
	top, err := audit.CountTop(context.Background(), input(t, strings.Repeat(text, 3000)), audit.TopOptions{By: []audit.Dimension{"object"}, Per: time.Second, Limit: 10})
	if err != nil || top.Requests != 15_000 || len(top.Rows) != 5 || len(top.Intervals) > 8192 {
		t.Errorf("%d requests, %d rows, %d intervals, %v", top.Requests, len(top.Rows), len(top.Intervals), err)
	}
	watch := strings.Replace(strings.Replace(at(4, "2025-01-01T00:00:00Z"), `"verb":"get"`, `"verb":"watch"`, 1), `"stageTimestamp":"2025`, `"stageTimestamp":"9025`, 1)
	relists, err := audit.FindRelists(context.Background(), input(t, strings.Repeat(text+watch, 3000)), time.Second, 10)
	if err != nil || len(relists.Lists) > 8192 {
		t.Errorf("%d intervals, %v", len(relists.Lists), err)
	}
}

func TestTop(t *testing.T) {
	var b strings.Builder
	for n := range 600 { // one request a second, and thirty more in the fourth minute
		b.WriteString(event(n) + "\n")
		if n/60 == 3 && n%2 == 0 {
			b.WriteString(strings.Replace(strings.Replace(event(n), `"u"`, `"v"`, 1), `"code":200`, `"code":429`, 1) + "\n")
			b.WriteString(strings.Repeat(strings.Replace(event(n), `"u"`, `"v"`, 1)+"\n", 5))
		}
	}
	top, err := audit.CountTop(context.Background(), input(t, b.String()), audit.TopOptions{By: []audit.Dimension{"user"}, Per: time.Minute, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if top.Requests != 780 || top.Others != 180 || len(top.Rows) != 1 || top.Rows[0].Key["user"] != "u" || top.Rows[0].Requests != 600 ||
		top.Rows[0].Peak != 60 || len(top.Intervals) != 10 {
		t.Errorf("%+v", top)
	}
	if len(top.Bursts) != 1 || top.Bursts[0].Requests != 240 || top.Bursts[0].Times != 4 || top.Bursts[0].Most["user"] != "v" ||
		top.Bursts[0].At.Minute() != 3 {
		t.Errorf("bursts %+v", top.Bursts)
	}
	top, err = audit.CountTop(context.Background(), input(t, b.String()), audit.TopOptions{By: []audit.Dimension{"code", "user"}, Per: time.Minute, Limit: 5})
	if err != nil || len(top.Rows) != 3 || top.Rows[2].Key["code"] != "429" || top.Rows[2].Errors != 30 {
		t.Errorf("%+v, %v", top.Rows, err)
	}
}

func TestRelists(t *testing.T) {
	list := func(n int, user, query string) string {
		s := strings.Replace(event(n), `"verb":"get"`, `"verb":"list"`, 1)
		s = strings.Replace(s, `"u"`, `"`+user+`"`, 1)
		s = strings.Replace(s, `,"name":"c`, `,"x":"`, 1)
		return strings.Replace(s, `","verb"`, query+`","verb"`, 1) + "\n"
	}
	var b strings.Builder
	for n := range 100 {
		b.WriteString(list(n, "calm", "?resourceVersion=0"))
		if n/10 == 5 {
			for range 4 {
				b.WriteString(list(n, "storm", "?limit=500"))
				b.WriteString(list(n, "storm", "?limit=500\\u0026continue=abc"))
			}
		}
	}
	b.WriteString(list(3, "one", "?fieldSelector=metadata.name%3Dx"))
	b.WriteString(strings.Replace(list(3, "gone", "?resourceVersion=7"), `"code":200`, `"code":410`, 1))
	r, err := audit.FindRelists(context.Background(), input(t, b.String()), 10*time.Second, 10)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]audit.Lister{}
	for _, c := range r.Clients {
		got[c.User] = c
	}
	if c := got["calm"]; c.Full != 100 || c.Cached != 100 || c.Quorum != 0 {
		t.Errorf("%+v", c)
	}
	if c := got["storm"]; c.Full != 40 || c.Quorum != 40 || c.Pages != 40 || c.Peak != 40 {
		t.Errorf("%+v", c)
	}
	if got["one"].Full != 0 || got["gone"].Gone != 1 {
		t.Errorf("%+v %+v", got["one"], got["gone"])
	}
	if len(r.Storms) != 1 || r.Storms[0].Lists != 50 || !strings.HasPrefix(r.Storms[0].Most, "storm ") || r.Storms[0].At.Second() != 50 {
		t.Errorf("storms %+v", r.Storms)
	}
}
