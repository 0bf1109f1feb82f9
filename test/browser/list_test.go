package browser

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const rows = ".fights tbody tr"

func openList(t *testing.T, a *api, s size, dark bool) *tab {
	t.Helper()
	b := open(t, a.URL+"/ui/", s, dark)
	b.until("the list of fights", "document.querySelector('.fights tbody tr')")
	return b
}

// names returns the objects listed, in order.
func names(b *tab) []string {
	b.t.Helper()
	return eval[[]string](b, `[...document.querySelectorAll(".fights .what a b")].map((e) => e.textContent)`)
}

func TestListSaysWhoFightsOverWhat(t *testing.T) {
	a := serve(t, cluster(time.Now()))
	b := openList(t, a, laptop, false)
	b.says("h1", "3 fights are going on")
	b.says(".summary", "1 loop", "96 contested writes per minute", "writes prevented")
	want := []string{"checkout", "web", "postgres-settings", "storefront"} // what is open first, the fastest first
	if got := names(b); !slices.Equal(got, want) {
		t.Errorf("listed are %v, want %v", got, want)
	}
	b.says(rows, "Open", "serviceaccounts/shop/checkout", "metadata.annotations[archetype.example.com/signature]",
		"archetype/controller", "SelfReversal", "31")
	b.says(rows+":nth-child(2)", "argocd/argocd-application-controller as argocd-controller", "kube-system/horizontal-pod-autoscaler")
	b.says(rows+":nth-child(4)", "Noticed", "writes that change nothing")

	b.run(chromedp.Click(chromedp.CSS(`[data-which="ended"]`)))
	if got := names(b); !slices.Equal(got, []string{"default-deny"}) {
		t.Errorf("ended are %v, want default-deny", got)
	}
	b.says(rows, "existence", "ended")
}

func TestListIsFilteredAndSorted(t *testing.T) {
	b := openList(t, serve(t, cluster(time.Now())), laptop, false)
	for _, c := range []struct{ words, want string }{
		{"autoscaler", "web"},
		{"max_connections", "postgres-settings"},
		{"SERVICEACCOUNTS checkout", "checkout"},
		{"nobody", ""},
	} {
		b.do(fmt.Sprintf(`(() => { const e = document.querySelector("input[type=search]"); e.value = %q; e.dispatchEvent(new Event("input")) })()`, c.words))
		if got := strings.Join(names(b), " "); got != c.want {
			t.Errorf("%q finds %q, want %q", c.words, got, c.want)
		}
	}
	b.says(".empty", "No fight fits this filter.")
	b.do(`(() => { const e = document.querySelector("input[type=search]"); e.value = ""; e.dispatchEvent(new Event("input")) })()`)

	sort := chromedp.Click(chromedp.CSS(`[data-key="Prevented"]`))
	for _, want := range []struct{ aria, first, last string }{
		{"descending", "checkout", "storefront"}, {"ascending", "storefront", "checkout"}, {"none", "checkout", "storefront"},
	} {
		b.run(sort)
		got := names(b)
		if aria := eval[string](b, `document.querySelector('[data-key="Prevented"]').closest("th").getAttribute("aria-sort")`); aria != want.aria {
			t.Errorf("sorted %s, want %s", aria, want.aria)
		}
		if got[0] != want.first || got[3] != want.last {
			t.Errorf("%s by prevented writes: %v", want.aria, got)
		}
	}
}

func TestListIsLive(t *testing.T) {
	a := serve(t, cluster(time.Now()))
	b := openList(t, a, laptop, false)
	b.until("the stream", "document.querySelector('.status').textContent === 'Live'")
	fresh := *a.scene.fights[0]
	fresh.ID, fresh.Object.Name, fresh.RatePerMinute = "f-000000000001", "payments", 900
	if !a.tell("fight", fresh) {
		t.Fatal("nobody listens to the events")
	}
	b.until("the new fight", "document.body.innerText.includes('4 fights are going on')")
	if got := names(b)[0]; got != "payments" {
		t.Errorf("first is %s, want the new one, which is the fastest", got)
	}
	fresh.State, fresh.Ended = "Ended", time.Now()
	a.tell("fight", fresh)
	b.until("its end", "document.body.innerText.includes('3 fights are going on')")
}

// Drawn anew between pressing and letting go, the list would lose the click.
func TestAClickIsNotLostInTheMiddleOfAFight(t *testing.T) {
	a := serve(t, cluster(time.Now()))
	b := openList(t, a, laptop, false)
	b.until("the stream", "document.querySelector('.status').textContent === 'Live'")
	at := eval[struct{ X, Y float64 }](b, `(() => { const r = document.querySelector(".what a b").getBoundingClientRect(); return { X: r.x + 5, Y: r.y + 5 } })()`)
	mouse := func(what input.DispatchMouseEventType) {
		call(b, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: what, X: at.X, Y: at.Y, Button: input.MouseButtonLeft, ClickCount: 1})
	}
	news := func(id string) {
		fresh := *a.scene.fights[0]
		fresh.ID, fresh.RatePerMinute = id, 900
		a.tell("fight", fresh)
	}
	mouse(input.DispatchMouseEventTypeMousePressed)
	news("f-000000000005")
	b.do("new Promise((done) => setTimeout(done, 1000))") // four times as long as news take to be drawn
	b.says("h1", "3 fights are going on")
	mouse(input.DispatchMouseEventTypeMouseReleased)
	b.until("the fight", "document.querySelector('.crumbs')")

	b = openList(t, a, laptop, false)
	b.until("the stream", "document.querySelector('.status').textContent === 'Live'")
	b.do("getSelection().selectAllChildren(document.querySelector('.fights code'))")
	news("f-000000000006")
	b.do("new Promise((done) => setTimeout(done, 1000))")
	if got := eval[string](b, "getSelection().toString()"); got != a.scene.fights[0].Field {
		t.Errorf("selected to be copied is %q now", got)
	}
	b.do("getSelection().removeAllRanges()")
	b.until("the news", "document.body.innerText.includes('4 fights are going on')")
}

func TestWhatHappensWhileTheListIsOnItsWayIsNotLost(t *testing.T) {
	a := serve(t, cluster(time.Now()))
	fresh := *a.scene.fights[0]
	fresh.ID = "f-000000000004"
	a.meanwhile = func() {
		if !a.tell("fight", fresh) {
			t.Error("the list is asked for before the events are listened to")
		}
		<-time.After(300 * time.Millisecond) // the event overtakes the list
	}
	b := empty(t, a.URL+"/ui/", laptop, false)
	// The page waits for the stream for a second at most before it asks for the list, and a busy machine may need longer to open
	// it. Here nothing but the stream ends the wait.
	b.first("const later = setTimeout; window.setTimeout = (f, ms, ...more) => later(f, ms < 1000 ? ms : 1e9, ...more)")
	b.run(chromedp.Navigate(a.URL + "/ui/"))
	b.until("both", "document.body.innerText.includes('4 fights are going on')")
}

func TestListSurvivesALostStream(t *testing.T) {
	a := serve(t, cluster(time.Now()))
	b := open(t, a.URL+"/ui/", laptop, false, "ERR_")
	b.until("the list", "document.querySelector('"+rows+"')")
	b.until("the stream", "document.querySelector('.status').textContent === 'Live'")
	fresh := *a.scene.fights[0]
	fresh.ID = "f-000000000002"
	a.add(&fresh) // nobody is told
	a.hangUp()
	b.until("what happened meanwhile", "document.body.innerText.includes('4 fights are going on')")
	again := fresh
	again.ID = "f-000000000003"
	for !a.tell("fight", again) { // until the page listens again
		runtime.Gosched()
	}
	b.until("what happens now", "document.body.innerText.includes('5 fights are going on')")
}

func TestListByKeyboard(t *testing.T) {
	b := openList(t, serve(t, cluster(time.Now())), laptop, false)
	b.press(kb.Tab)
	if got := eval[string](b, "document.activeElement.textContent"); got != "Skip to the content" {
		t.Errorf("first comes %q, want the link that skips the header", got)
	}
	for range 40 { // as far as the second fight
		b.press(kb.Tab)
		if eval[bool](b, `document.activeElement.dataset.key === "f-15fe20c3b7aa"`) {
			break
		}
	}
	b.press(kb.Enter)
	b.until("the fight", "document.querySelector('.crumbs')")
	b.says("h1", "spec.replicas")
	if got := eval[string](b, "document.title"); got != "f-15fe20c3b7aa · Truce" {
		t.Errorf("the title is %q", got)
	}
	if got := eval[string](b, "document.activeElement.id"); got != "main" {
		t.Errorf("the focus is on %q, want the content", got)
	}
}

func TestNothingFromTheClusterIsMarkup(t *testing.T) {
	s := cluster(time.Now())
	s.fights[0].Object.Name = `<img src=x onerror="document.title='owned'">`
	s.fights[0].Field = `metadata.annotations[<script>alert(1)</script>]`
	s.fights[0].Parties[0].User = `"><b>bold</b>`
	a := serve(t, s)
	b := openList(t, a, laptop, false)
	b.says(rows, `<img src=x onerror="document.title='owned'">`, "<script>alert(1)</script>", `"><b>bold</b>`)
	b = open(t, a.URL+"/ui/#/fights/f-7c1e0b52a9d4", laptop, false)
	b.until("the fight", "document.querySelector('canvas')?.dataset.drawn")
	if n := b.count("img, main script"); n != 0 {
		t.Errorf("there are %d elements that came from names", n)
	}
}

func TestAThousandFights(t *testing.T) {
	s := cluster(time.Now())
	for i := range 1000 {
		f := *s.fights[i%3]
		f.ID, f.Object.Name = fmt.Sprintf("f-%012x", i), fmt.Sprint("web-", i)
		s.fights = append(s.fights, &f)
	}
	b := openList(t, serve(t, s), laptop, false)
	b.says("h1", "1,003 fights are going on")
	if n := b.count(rows); n != 200 {
		t.Errorf("%d rows are shown at first, want 200", n)
	}
	b.run(chromedp.Click(chromedp.CSS(".panel > button")))
	if n := b.count(rows); n != 400 {
		t.Errorf("%d rows are shown then, want 400", n)
	}
}

func TestEventsMayComeInPieces(t *testing.T) {
	b := openList(t, serve(t, cluster(time.Now())), laptop, false)
	const stream = ": hello\n\nevent: fight\ndata: {\"a\":\ndata: 1}\n\ndata:bare\r\n\r\nevent: change\ndata: ü\n\nevent: unfinished\ndata: x"
	const read = `(async () => {
		const { readEvents } = await import("./source.js");
		const bytes = new TextEncoder().encode(%q);
		const body = new ReadableStream({ start(c) {
			for (let i = 0; i < bytes.length; i += %d) c.enqueue(bytes.slice(i, i + %d));
			c.close();
		} });
		const got = [];
		await readEvents(body, (event, data) => got.push(event + "=" + data));
		return got.join("|");
	})()`
	for _, size := range []int{1, 2, 3, 7, 1000} {
		want := "fight={\"a\":\n1}|message=bare|change=ü"
		if got := eval[string](b, fmt.Sprintf(read, stream, size, size)); got != want {
			t.Errorf("in pieces of %d bytes: %q, want %q", size, got, want)
		}
	}
}
