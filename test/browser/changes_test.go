package browser

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

func openChanges(t *testing.T, a *api, query string) *tab {
	t.Helper()
	b := open(t, a.URL+"/ui/#/changes"+query, laptop, false)
	b.until("the timeline", "document.querySelector('canvas')?.dataset.drawn")
	return b
}

// choose puts a value into a filter, as a person would.
func (b *tab) choose(name, value string) {
	b.t.Helper()
	b.do(fmt.Sprintf(`(() => { const e = document.querySelector("[name=%s]"); e.value = %q; e.dispatchEvent(new Event("change", { bubbles: true })) })()`, name, value))
}

func TestChangesAreFiltered(t *testing.T) {
	s := cluster(time.Now())
	a := serve(t, s)
	b := openChanges(t, a, "")
	b.says(".summary", "writes of 8 fields", "4 fights")
	b.says(".fields", "spec.replicas", "deployments.apps/billing/invoices", "spec.ports[port=443].nodePort")
	until := func(summary string) {
		t.Helper()
		b.until(summary, fmt.Sprintf("document.querySelector('.summary').textContent.startsWith(%q)", summary))
	}
	b.choose("namespace", "billing")
	until("12 writes of 1 field")
	b.says("h1", "spec.template.spec.containers[name=api].image", "deployments.apps/billing/invoices")
	if hash := eval[string](b, "location.hash"); !strings.Contains(hash, "namespace=billing") {
		t.Errorf("the address is %s, want the filter in it, to send to a colleague", hash)
	}
	b.run(chromedp.Click(chromedp.CSS("button[type=reset]")))
	b.until("no filter", "document.querySelector('h1').textContent === 'Changes'")

	b.choose("manager", "kubectl-edit")
	b.until("its writes", "document.querySelector('.fields tbody').children.length === 2")
	if !a.wasAsked("manager=kubectl-edit") {
		t.Error("the API was not asked for the manager")
	}
	// Each of these leaves one write: the headline tells them apart.
	b.choose("kind", "deployments.apps")
	b.until("the label", "document.querySelector('h1').textContent.includes('metadata.labels[team]')")
	b.run(chromedp.Click(chromedp.CSS("button[type=reset]")))
	b.choose("field", "data[work_mem]")
	b.until("the field", "document.querySelector('h1').textContent.includes('data[work_mem]')")
	b.run(chromedp.Click(chromedp.CSS("button[type=reset]")))
	b.choose("name", "gateway")
	b.until("the gateway", "document.querySelector('h1').textContent.includes('services/edge/gateway')")
	b.run(chromedp.Click(chromedp.CSS("button[type=reset]")))
	b.choose("since", "15m")
	b.until("the last quarter of an hour", "!document.querySelector('.fields').textContent.includes('nodePort')")
	b.choose("since", "all")
	b.until("all", "document.querySelector('.fields').textContent.includes('existence')") // five hours ago
	b.choose("until", s.now.Add(-2*time.Hour).UTC().Format("2006-01-02T15:04:05"))
	until("14 writes of 1 field")
	b.says("h1", "existence", "networkpolicies.networking.k8s.io/payments/default-deny")
}

func TestChangesLeadToFieldAndFight(t *testing.T) {
	b := openChanges(t, serve(t, cluster(time.Now())), "")
	if n := b.count(".lane-label"); n != 8 {
		t.Errorf("there are %d lanes, want one per field", n)
	}
	b.says(".lane-label", "deployments.apps/shop/web", "spec.replicas", "61 writes") // the most contested comes first
	b.run(chromedp.Click(chromedp.CSS(".fields tbody a")))                           // the field with the most reversals
	b.until("that field alone", "document.querySelector('h1').textContent.includes('spec.replicas of deployments.apps/shop/web')")
	b.until("a lane per writer", "document.querySelectorAll('.lane-label').length === 2")
	b.run(chromedp.Click(chromedp.CSS(".summary a")))
	b.until("its fight", "document.querySelector('.crumbs')?.textContent.includes('f-15fe20c3b7aa')")
}

func TestChangesAreLive(t *testing.T) {
	a := serve(t, cluster(time.Now()))
	b := openChanges(t, a, "?namespace=billing")
	b.until("the stream", "document.querySelector('.status').textContent === 'Live'")
	for _, c := range a.scene.changes {
		if c.Object.Namespace == "billing" || c.Object.Namespace == "edge" { // the latter does not fit the filter
			c.Time = time.Now()
			a.tell("change", c)
		}
	}
	b.until("twice as many", "document.querySelector('.summary').textContent.startsWith('24 writes of 1 field')")
}

func TestNoChanges(t *testing.T) {
	b := openChanges(t, serve(t, cluster(time.Now())), "?namespace=nowhere")
	b.says(".summary", "0 writes of 0 fields")
	b.says(".timeline", "0 writes")
}

func TestALateAnswerDoesNotReplaceWhatIsWantedNow(t *testing.T) {
	a := serve(t, cluster(time.Now()))
	a.slow, a.release = "db", make(chan struct{})
	release := sync.OnceFunc(func() { close(a.release) })
	t.Cleanup(release) // if the test fails before, or else the server would wait for its handler
	b := openChanges(t, a, "")
	b.choose("namespace", "db")
	b.until("the address", "location.hash.includes('namespace=db')")
	b.choose("namespace", "billing")
	b.until("what is wanted now", "document.querySelector('.summary').textContent.startsWith('12 writes of 1 field')")
	release()
	eval[int](b, `fetch("api/v1/changes?namespace=db").then((r) => r.text()).then((t) => t.length)`) // by now, the late one is there
	b.run(chromedp.Sleep(100 * time.Millisecond))
	b.says(".summary", "12 writes of 1 field")
	if got := eval[string](b, "document.querySelector('[name=namespace]').value"); got != "billing" {
		t.Errorf("the filter is %q, want billing", got)
	}
}
