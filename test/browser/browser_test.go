// Package browser looks at the page in a real Chromium. It is a module of its own so that Truce's go.mod requires no
// browser driver. install.sh puts Chromium and axe-core in place; make browser runs both.
//
// With TRUCE_SCREENSHOTS=DIR the tests leave pictures of what they saw there.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long anything may take on a machine that is busy with other tests.
const patience = 60 * time.Second

var (
	phone  = size{390, 844}
	laptop = size{1280, 860}
)

type size struct{ width, height int64 }

var chromium context.Context // the browser; each test has a tab of its own

func TestMain(m *testing.M) {
	os.Exit(func() int {
		path, err := exec.LookPath("chromium")
		if err != nil {
			fmt.Fprintln(os.Stderr, "browser: there is no chromium: run make browser, which installs it, or install it yourself")
			return 1
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path), chromedp.Env("TZ=UTC", "LANG=en_US.UTF-8"), chromedp.WSURLReadTimeout(patience),
			chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
			chromedp.Flag("font-render-hinting", "none"), chromedp.Flag("hide-scrollbars", true))
		allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
		defer stop()
		browser, end := chromedp.NewContext(allocator)
		defer end()
		if err := chromedp.Do(browser); err != nil {
			fmt.Fprintln(os.Stderr, "browser: starting chromium:", err)
			return 1
		}
		chromium = browser
		return m.Run()
	}())
}

// tab is a tab of the browser. What the browser complains about in it fails the test.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// open opens a tab of the given size at address. Complaints that contain one of the expected words are none.
func open(t *testing.T, address string, s size, dark bool, expected ...string) *tab {
	t.Helper()
	b := empty(t, address, s, dark, expected...)
	b.run(chromedp.Navigate(address))
	return b
}

// empty opens a tab that is yet to go to address.
func empty(t *testing.T, address string, s size, dark bool, expected ...string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, cancelLate := context.WithTimeout(ctx, 3*patience)
	t.Cleanup(cancelLate)
	b := &tab{t: t, ctx: ctx}
	base, _, _ := strings.Cut(address, "#")
	home := base[:strings.LastIndex(base, "/")]
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("a script failed: %s", e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			minor := e.Entry.Level != log.EntryLevelError && e.Entry.Level != log.EntryLevelWarning
			if !minor && !slices.ContainsFunc(expected, func(word string) bool { return strings.Contains(e.Entry.Text, word) }) {
				t.Errorf("the browser complains: %s %s", e.Entry.Text, e.Entry.URL)
			}
		case *network.EventRequestWillBeSent:
			if url := e.Request.URL; !strings.HasPrefix(url, home) && !strings.HasPrefix(url, "data:") {
				t.Errorf("the page asked for %s, which is elsewhere", url)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, emulation.SetDeviceMetricsOverride,
		emulation.SetDeviceMetricsOverrideParams{Width: s.width, Height: s.height, DeviceScaleFactor: 1, Mobile: s == phone})
	call(b, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: s == phone})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	// Every five seconds the page redraws ages: in the middle of a click of these tests, which look for an element, and then
	// for where it is.
	b.first("window.setInterval = () => 0")
	return b
}

// first has a script run before those of the pages that are opened from now on.
func (b *tab) first(script string) {
	b.t.Helper()
	call(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
}

// call sends the browser a command.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// eval returns what a JavaScript expression says, as JSON would; a promise is waited for.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return got
}

// until waits until a JavaScript expression is true.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for !eval[bool](b, "Boolean("+expression+")") {
		if time.Now().After(deadline) {
			b.shoot("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
			b.t.Fatalf("waited for %s in vain; the page says:\n%s", what, eval[string](b, "document.body.innerText"))
		}
		b.run(chromedp.Sleep(20 * time.Millisecond))
	}
}

// text returns what a person reads in the first element that fits selector.
func (b *tab) text(selector string) string {
	b.t.Helper()
	quoted, _ := json.Marshal(selector)
	return eval[string](b, fmt.Sprintf("document.querySelector(%s)?.innerText ?? ''", quoted))
}

// says fails the test unless the element's text has all the parts.
func (b *tab) says(selector string, parts ...string) {
	b.t.Helper()
	text := b.text(selector)
	for _, part := range parts {
		if !strings.Contains(text, part) {
			b.t.Errorf("%s does not say %q but:\n%s", selector, part, text)
		}
	}
}

// count returns how many elements fit selector and can be seen.
func (b *tab) count(selector string) int {
	b.t.Helper()
	quoted, _ := json.Marshal(selector)
	return eval[int](b, fmt.Sprintf("[...document.querySelectorAll(%s)].filter((e) => e.checkVisibility()).length", quoted))
}

// shoot leaves a picture of the whole page, if pictures are wanted.
func (b *tab) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("TRUCE_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// press presses keys, of chromedp's package kb or as they are.
func (b *tab) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		b.run(chromedp.KeyEvent(key))
	}
}

// do runs a statement of JavaScript in the page.
func (b *tab) do(statement string) {
	b.t.Helper()
	eval[bool](b, "("+statement+", true)")
}
