package browser

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/truce-dev/truce/pkg/page"
)

// reportOf writes a report of s to a file, and returns its address.
func reportOf(t *testing.T, s *scene) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "report.html")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	err = page.Report(f, page.Data{
		Title: "Audit logs of prod-eu-1, 24 and 25 November", Generated: s.now, Fights: s.fights, Changes: s.changes,
		Text: "What 2 log files tell about who undoes whom. Values are hashed.",
		Facts: []page.Fact{
			{Name: "Events", Value: "1,284,031", Note: "12 not read: see below"}, {Name: "Period", Value: "26 h", Note: "until 25 Nov 14:00"},
			{Name: "Level", Value: "RequestResponse", Note: "changes and values are known"},
		},
		Sections: []page.Section{
			{
				Title: "Top talkers", Text: "Who called the API server most often, and how often per hour.",
				Columns: []page.Column{{Name: "User"}, {Name: "Verb", Kind: page.Code}, {Name: "Calls", Kind: page.Number}, {Name: "Per hour"}},
				Rows: [][]any{
					{"system:serviceaccount:archetype:controller", "update", 812345, []int{3, 4, 3, 5, 9, 40, 41, 44, 39, 12}},
					{"system:node:ip-10-0-3-17", "list", 20333, []int{1, 1, 1, 2, 1, 1, 9, 1, 1, 1}},
				},
			},
			{Title: "List storms", Columns: []page.Column{{Name: "Client"}, {Name: "Lists", Kind: page.Number}}, Rows: [][]any{}, Empty: "None were found."},
			{Title: "What this level cannot tell", Text: "Nothing: with RequestResponse, all rules apply. <script>alert(1)</script> & so on."},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return "file://" + name
}

func TestReportIsWholeInItself(t *testing.T) {
	s := cluster(time.Now())
	b := open(t, reportOf(t, s), laptop, false)
	b.until("the list", "document.querySelector('.fights tbody tr')")
	b.says(".about", "Audit logs of prod-eu-1", "1,284,031", "RequestResponse")
	b.says("h1", "4 fights found")
	b.says("#top", "Report of")
	b.says("#section-0", "Top talkers", "system:serviceaccount:archetype:controller", "812,345")
	b.says("#section-1", "None were found.")
	b.says("#section-2", "<script>alert(1)</script> & so on.")
	b.run(chromedp.Click(chromedp.CSS(".fights tbody a")))
	b.until("a fight's timeline", "document.querySelector('canvas')?.dataset.drawn")
	b.says("h1", "metadata.annotations[archetype.example.com/signature]")
	b.says(".lane-labels", "57 writes")
	b.run(chromedp.Click(chromedp.CSS(`nav a[href="#/changes"]`)))
	b.until("all changes", "document.querySelector('h1').textContent === 'Changes'")
	b.choose("namespace", "payments")
	b.until("one field", "document.querySelector('h1').textContent.includes('existence')")
	b.do("history.go(-2)")
	b.until("the fight's address", "location.hash.startsWith('#/fights/')")
	b.until("the fight again", "document.querySelector('.crumbs')")
	b.run(chromedp.Click(chromedp.CSS("nav a")))
	b.until("the list and the sections again", "document.querySelector('#section-0') && document.querySelector('.about')")
}
