// Command pictures makes the pictures of the documentation: it plays a scene of the lab, and photographs what Truce's page
// shows of it. make pictures runs it, after install.sh.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// picture is one of them. Of the page, a part is shown.
type picture struct {
	file          string
	address       string // the page's hash
	ready         string // a JavaScript expression that is true once everything is there
	act           string // one that is done then; may be empty
	width, height int64
	dark          bool
}

// root is the repository, from this module's directory.
var root = filepath.Join("..", "..")

// namespace is where the scene plays with action throttle.
const namespace = "pizza-throttle"

const (
	drawn = "document.querySelector('canvas')?.dataset.drawn"
	// zoom shows the time around the moment in which the fight was found.
	zoom = "[...document.querySelectorAll('button')].find((b) => b.textContent === 'Detection').click()"
)

func pictures(fight string) []picture {
	return []picture{
		{"fights.png", "#/", "document.querySelectorAll('tbody tr').length >= 8", "", 1280, 640, false},
		{"fight.png", "#/fights/" + fight, drawn, zoom, 1280, 900, false},
		{"fight-phone.png", "#/fights/" + fight, drawn, zoom, 390, 844, true},
		{"changes.png", "#/changes?namespace=" + namespace, drawn, "", 1280, 900, false},
	}
}

func main() {
	dir := flag.String("out", filepath.Join(root, "docs", "pictures"), "directory for the pictures")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	url, end, err := playScene(ctx)
	if err != nil {
		return err
	}
	defer end()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.Env("TZ=UTC", "LANG=en_US.UTF-8"),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("hide-scrollbars", true), chromedp.Flag("font-render-hinting", "none"))
	ctx, cancel := chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	fight, err := contested(ctx, url)
	if err != nil {
		return fmt.Errorf("looking for a fight at %s: %w", url, err)
	}
	for _, p := range pictures(fight) {
		if err := p.take(ctx, url, dir); err != nil {
			return fmt.Errorf("taking %s: %w", p.file, err)
		}
	}
	return nil
}

// playScene plays the scene that the pictures are of, and returns the page's address, and what ends it.
func playScene(ctx context.Context) (url string, end func(), err error) {
	cmd := exec.CommandContext(ctx, "go", "run", "./lab", "-scene=pizza", "-action=warn,throttle,hold", "-duration=20s", "-keep")
	cmd.Dir = root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	end = func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // go run takes the interrupt for a failure, and so does Wait
		_ = cmd.Wait()
	}
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+/`)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Println(lines.Text())
		if url = address.FindString(lines.Text()); url != "" {
			go func() { _, _ = io.Copy(io.Discard, out) }() // so that it does not wait for us
			return url, end, nil
		}
	}
	end()
	return "", nil, errors.Join(errors.New("the lab ended without saying where the page is"), lines.Err())
}

// contested returns the id of the fight with the most writes.
func contested(ctx context.Context, url string) (string, error) {
	tab, cancel := chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(tab, chromedp.Navigate(url)); err != nil {
		return "", err
	}
	return chromedp.Run(tab, chromedp.Evaluate[string](`fetch("/api/v1/fights").then((r) => r.json()).then(({ items }) =>
		items.filter((f) => f.object.namespace === "`+namespace+`").sort((a, b) => b.writes - a.writes)[0].id)`,
		chromedp.EvalAwaitPromise))
}

func (p *picture) take(ctx context.Context, url, dir string) error {
	tab, cancel := chromedp.NewContext(ctx)
	defer cancel()
	tab, stop := context.WithTimeout(tab, time.Minute)
	defer stop()
	scheme := "light"
	if p.dark {
		scheme = "dark"
	}
	if _, err := chromedp.Call(tab, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: p.width, Height: p.height, DeviceScaleFactor: 1, Mobile: p.width < 600,
	}); err != nil {
		return err
	}
	if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		},
	}); err != nil {
		return err
	}
	if err := chromedp.Do(tab, chromedp.Navigate(url+p.address)); err != nil {
		return err
	}
	for {
		ready, err := chromedp.Run(tab, chromedp.Evaluate[bool]("Boolean("+p.ready+")"))
		if err != nil {
			return err
		}
		if ready {
			break
		}
		if err := chromedp.Do(tab, chromedp.Sleep(50*time.Millisecond)); err != nil {
			return err
		}
	}
	if p.act != "" {
		if _, err := chromedp.Run(tab, chromedp.Evaluate[bool]("("+p.act+", true)")); err != nil {
			return err
		}
		if err := chromedp.Do(tab, chromedp.Sleep(500*time.Millisecond)); err != nil { // it is drawn anew
			return err
		}
	}
	shot, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, p.file), shot, 0o644)
}
