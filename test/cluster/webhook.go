package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// Webhook is a running Truce webhook, a process of its own as in a real cluster.
type Webhook struct {
	Cmd *exec.Cmd
	// Address and OpsAddress are where it listens.
	Address, OpsAddress string
	// CABundle verifies its certificate.
	CABundle []byte

	exited chan error
}

// startsWithin is how long a webhook may take to serve. It takes far less, but not under the race detector beside a dozen
// tests on a busy machine.
const startsWithin = 2 * time.Minute

// BuildWebhook builds the webhook into dir and returns the binary's path.
func BuildWebhook(ctx context.Context, dir string, flags ...string) (string, error) {
	bin := filepath.Join(dir, "webhook")
	args := append([]string{"build", "-buildvcs=false"}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "-o", bin, "./cmd/webhook")...)
	cmd.Dir = Root()
	detach(cmd)
	cmd.Cancel = func() error { return interrupt(cmd) }
	cmd.WaitDelay = 20 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the webhook: %w: %s", err, out)
	}
	return bin, nil
}

// serving is the webhook's log line that says where it serves.
type serving struct {
	Msg        string `json:"msg"`
	Address    string `json:"address"`
	OpsAddress string `json:"ops_address"`
	CABundle   string `json:"ca_bundle"`
}

// StartWebhook runs the binary with args besides those that choose free ports and JSON logs, and waits until it serves.
// Its log goes to log as well. Without a certDir, args say where its certificate comes from. The caller must Stop it.
func StartWebhook(bin, certDir string, log io.Writer, args ...string) (*Webhook, error) {
	w := &Webhook{exited: make(chan error, 1)}
	if certDir != "" {
		args = append([]string{"--self-cert-dir=" + certDir}, args...)
	}
	w.Cmd = exec.Command(bin, append([]string{
		"--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--log-format=json", "--shutdown-delay=0s",
	}, args...)...)
	detach(w.Cmd)
	stderr, err := w.Cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := w.Cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the webhook: %w", err)
	}
	found := make(chan serving, 1)
	go func() {
		var once sync.Once
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			fmt.Fprintln(log, lines.Text())
			var s serving
			if json.Unmarshal(lines.Bytes(), &s) == nil && s.Msg == "serving" {
				once.Do(func() { found <- s })
			}
		}
		w.exited <- w.Cmd.Wait()
	}()
	select {
	case s := <-found:
		w.Address, w.OpsAddress = s.Address, s.OpsAddress
		if s.CABundle == "" {
			return w, nil
		}
		w.CABundle, err = os.ReadFile(s.CABundle)
		if err != nil {
			return nil, fmt.Errorf("reading the webhook's CA bundle: %w", err)
		}
		return w, nil
	case err := <-w.exited:
		return nil, fmt.Errorf("the webhook ended at once: %w", err)
	case <-time.After(startsWithin):
		_ = w.Cmd.Process.Kill()
		return nil, fmt.Errorf("the webhook did not say within %s that it serves", startsWithin)
	}
}

// Stop ends the webhook as a cluster would, and returns how it ended.
func (w *Webhook) Stop() error {
	_ = w.Cmd.Process.Signal(os.Interrupt)
	select {
	case err := <-w.exited:
		return err
	case <-time.After(time.Minute):
		_ = w.Cmd.Process.Kill()
		return fmt.Errorf("the webhook did not end within a minute")
	}
}
