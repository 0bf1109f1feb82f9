package page

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

var evening = time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC)

func report(t *testing.T, data Data) string {
	t.Helper()
	var b bytes.Buffer
	if err := Report(&b, data); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// carriedBy returns the data in a report.
func carriedBy(t *testing.T, page string) map[string]any {
	t.Helper()
	m := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("the report carries no data")
	}
	var data map[string]any
	if err := json.Unmarshal([]byte(m[1]), &data); err != nil {
		t.Fatal(err)
	}
	return data
}

func TestReportLoadsNothing(t *testing.T) {
	page := report(t, Data{Title: "October", Generated: evening})
	for _, load := range regexp.MustCompile(`(?i)\s(?:src|href|action)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(load[1], "data:") && !strings.HasPrefix(load[1], "#") {
			t.Errorf("the report loads %s", load[1])
		}
	}
	for _, bad := range []string{"https://", "@import", "from \"./", "import("} {
		if strings.Contains(page, bad) {
			t.Errorf("the report has %q", bad)
		}
	}
	if n := strings.Count(strings.ReplaceAll(page, "http://www.w3.org/2000/svg", ""), "http://"); n > 0 {
		t.Errorf("the report has %d addresses", n)
	}
}

func TestReportAllowsItsOwnScriptAndStyleOnly(t *testing.T) {
	page := report(t, Data{Title: "October", Generated: evening})
	csp := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy" content="([^"]*)">`).FindStringSubmatch(page)
	if csp == nil {
		t.Fatal("the report has no policy")
	}
	script := regexp.MustCompile(`(?s)<script type="module">(.*?)</script>`).FindStringSubmatch(page)
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(page)
	if script == nil || style == nil {
		t.Fatal("the report has no script, or no style")
	}
	for _, want := range []string{
		"default-src 'none'", "script-src " + digest([]byte(script[1])) + ";", "style-src " + digest([]byte(style[1])) + ";",
	} {
		if !strings.Contains(csp[1], want) {
			t.Errorf("the policy is %q, want %s in it", csp[1], want)
		}
	}
	if strings.Contains(csp[1], "unsafe") {
		t.Errorf("the policy is unsafe: %s", csp[1])
	}
}

func TestReportCarriesItsDataUnharmed(t *testing.T) {
	evil := `</script><script>alert(1)</script><!-- <b title="x">`
	page := report(t, Data{
		Title: evil, Generated: evening, Fights: []map[string]any{{"id": evil}}, Changes: []map[string]any{{"field": evil}},
		Facts:    []Fact{{Name: "Lines", Value: evil}},
		Sections: []Section{{Title: evil, Columns: []Column{{Name: "a"}, {Name: "b", Kind: Number}}, Rows: [][]any{{evil, 7}}}},
	})
	if strings.Contains(page, "<script>alert") {
		t.Error("a value became markup")
	}
	data := carriedBy(t, page)
	if got := data["fights"].([]any)[0].(map[string]any)["id"]; got != evil {
		t.Errorf("the fight's id became %q", got)
	}
	if got := data["sections"].([]any)[0].(map[string]any)["rows"].([]any)[0].([]any); got[0] != evil || got[1] != 7.0 {
		t.Errorf("the row became %q", got)
	}
	if got := data["generated"]; got != "2026-11-25T20:00:00Z" {
		t.Errorf("generated is %v", got)
	}
}

func TestReportOfNothing(t *testing.T) {
	data := carriedBy(t, report(t, Data{Title: "Nothing", Generated: evening}))
	for _, list := range []string{"fights", "changes"} {
		if got, ok := data[list].([]any); !ok || len(got) != 0 {
			t.Errorf("%s is %v, want an empty list", list, data[list])
		}
	}
}

type brokenWriter struct{}

var errBroken = errors.New("no space left")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestReportSaysWhatIsWrong(t *testing.T) {
	rows := []Section{{Title: "Talkers", Columns: []Column{{Name: "a"}, {Name: "b"}}, Rows: [][]any{{1, 2}, {1}}}}
	err := Report(&bytes.Buffer{}, Data{Sections: rows})
	if want := "section 0 (Talkers): row 1 has 1 cells, but there are 2 columns"; err == nil || err.Error() != want {
		t.Errorf("a short row: %v, want %s", err, want)
	}
	if err := Report(&bytes.Buffer{}, Data{Fights: func() {}}); err == nil || !strings.Contains(err.Error(), "encoding the report's data") {
		t.Errorf("data that is no JSON: %v", err)
	}
	if err := Report(brokenWriter{}, Data{}); !errors.Is(err, errBroken) {
		t.Errorf("a full disk: %v", err)
	}
}

func TestBundleSaysWhichModuleIsMissing(t *testing.T) {
	files := load()
	delete(files, "/axis.js")
	_, err := bundle(files)
	if want := "axis.js is imported by paint.js by timeline.js by"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s …", err, want)
	}
}
