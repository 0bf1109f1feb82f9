package browser

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// axe returns axe-core's source, which install.sh fetched.
func axe(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(cache, "truce", "axe-core-*", "axe.min.js"))
	if err != nil || len(found) == 0 {
		t.Fatal("there is no axe-core: run make browser, which fetches it")
	}
	source, err := os.ReadFile(found[len(found)-1])
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// views are all that the page can show, with what tells that it does.
var views = []struct{ name, hash, ready string }{
	{"list", "", "document.querySelector('.fights tbody tr')"},
	{"fight", "#/fights/f-7c1e0b52a9d4", "document.querySelector('canvas')?.dataset.drawn"},
	{"three", "#/fights/f-b00c4e91f6d2", "document.querySelector('canvas')?.dataset.drawn"},
	{"loop", "#/fights/f-0a93d5e8c114", "document.querySelector('canvas')?.dataset.drawn"},
	{"changes", "#/changes", "document.querySelector('canvas')?.dataset.drawn"},
	{"missing", "#/fights/f-none", "document.querySelector('.notice:not([hidden])')"},
}

func TestEveryViewFitsAndIsAccessible(t *testing.T) {
	source := axe(t)
	s := cluster(time.Now())
	a := serve(t, s)
	for where, home := range map[string]string{"page": a.URL + "/ui/", "report": reportOf(t, s)} {
		for _, v := range views {
			if where == "report" && v.name != "list" && v.name != "three" { // the others look the same there
				continue
			}
			for _, size := range []size{laptop, phone} {
				for _, dark := range []bool{false, true} {
					name := fmt.Sprintf("%s-%s-%d-dark-%t", where, v.name, size.width, dark)
					t.Run(name, func(t *testing.T) {
						b := open(t, home+v.hash, size, dark, "404")
						b.until("the view", v.ready)
						b.shoot(name)
						if wide := eval[int64](b, "document.scrollingElement.scrollWidth"); wide > size.width {
							t.Errorf("the page is %d px wide on a screen of %d px", wide, size.width)
						}
						checkAxe(b, source)
					})
				}
			}
		}
	}
}

// checkAxe fails the test for whatever axe finds.
func checkAxe(b *tab, source string) {
	b.t.Helper()
	b.do(fmt.Sprintf("void (() => { %s\n })()", source))
	result := eval[string](b, `axe.run(document, { resultTypes: ["violations"] }).then((r) => JSON.stringify(r.violations.map((v) =>
		({ id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + n.failureSummary) }))))`)
	var violations []struct {
		ID, Impact, Help string
		Nodes            []string
	}
	if err := json.Unmarshal([]byte(result), &violations); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range violations {
		b.t.Errorf("axe: %s (%s): %s\n%s", v.ID, v.Impact, v.Help, strings.Join(v.Nodes, "\n"))
	}
}

func TestTokenIsAskedForAndKeptForTheTabOnly(t *testing.T) {
	a := serve(t, cluster(time.Now()))
	a.token = "sesame"
	b := open(t, a.URL+"/ui/", laptop, false, "401")
	b.until("the question", "document.querySelector('.notice input')")
	b.says(".notice", "The server asks for a token.")
	checkAxe(b, axe(t))
	b.do("document.querySelector('.notice input').focus()")
	b.press("wrong", kb.Enter)
	b.until("the refusal", "document.querySelector('.notice').textContent.includes('The server does not accept this token.')")
	b.until("the refusal of the list, too", "performance.getEntriesByType('resource').filter((e) => e.name.endsWith('/fights')).length > 1")
	if got := eval[string](b, "document.activeElement.type"); got != "password" {
		t.Errorf("the focus is on a %q, want the field as it was: somebody may be typing", got)
	}
	b.press("sesame", kb.Enter)
	b.until("the list", "document.querySelector('.fights tbody tr')")
	b.until("the stream, with the token", "document.querySelector('.status').textContent === 'Live'")
	if n := b.count(".notice"); n != 0 {
		t.Error("the question is still there")
	}
	const kept = `JSON.stringify([Object.entries(sessionStorage), Object.entries(localStorage), document.cookie, location.href.includes("sesame")])`
	if got, want := eval[string](b, kept), `[[["truce.token","sesame"]],[],"",false]`; got != want {
		t.Errorf("kept is %s, want %s", got, want)
	}
	b.run(chromedp.Reload())
	b.until("the list, without another question", "document.querySelector('.fights tbody tr')")
}

func TestTokenPassesTheAPIServersProxy(t *testing.T) {
	a := serve(t, cluster(time.Now()))
	a.token = "sesame"
	b := open(t, a.URL+"/proxy/ui/", laptop, false, "401")
	b.until("the question", "document.querySelector('.notice input')")
	b.do("document.querySelector('.notice input').value = 'sesame', document.querySelector('.notice form').requestSubmit()")
	b.until("the list", "document.querySelector('.fights tbody tr')")
}

func TestFailuresAreSaid(t *testing.T) {
	a := serve(t, cluster(time.Now()))
	b := open(t, a.URL+"/ui/#/fights/f-none", laptop, false, "404")
	b.until("the reason", "document.querySelector('.notice')?.textContent.includes('The server answered 404: there is no fight f-none')")
	a.add(&fight{ID: "f-none", Kind: "fight", State: "Open"}) // now there is one, though an odd one
	b.run(chromedp.Click(chromedp.CSS(".notice button")))
	b.until("the fight", "document.querySelector('.crumbs')?.textContent.includes('f-none')")
	if n := b.count(".notice"); n != 0 {
		t.Error("the complaint is still there")
	}
}
