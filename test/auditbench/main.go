// Command auditbench measures truce audit against jq and against a straightforward Go program, on one file in one run.
// It makes the file out of what a real API server recorded (testdata/busy.jsonl: a HPA and a GitOps controller fight over
// a Deployment's replicas, its controllers follow, others read), again and again at later times in other namespaces.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/truce-dev/truce/test/cluster"
)

func main() {
	size := flag.Int64("size", 1000, "`MB` to measure on")
	dir := flag.String("dir", "", "`folder` for the file; a temporary one, removed afterwards, if left out")
	naive := flag.String("naive", "", "only count the requests in `file`, in the straightforward way")
	flag.Parse()
	var err error
	if *naive != "" {
		err = countPlainly(*naive, os.Stdout)
	} else {
		err = measure(*size<<20, *dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "auditbench:", err)
		os.Exit(1)
	}
}

// countPlainly is what one writes without much thought: a line, encoding/json, the API's own type.
func countPlainly(path string, w io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	counts := make(map[string]int)
	for lines.Scan() {
		var e auditv1.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return err
		}
		if e.Stage != auditv1.StageResponseComplete {
			continue
		}
		user, resource := e.User.Username, ""
		if e.ImpersonatedUser != nil {
			user = e.ImpersonatedUser.Username
		}
		if e.ObjectRef != nil {
			resource = e.ObjectRef.Resource
		}
		counts[user+" "+e.Verb+" "+resource]++
	}
	for key, n := range counts {
		fmt.Fprintln(w, n, key)
	}
	return lines.Err()
}

// jq is the same as a pipeline.
const jq = `jq -r 'select(.stage == "ResponseComplete") | [(.impersonatedUser.username // .user.username), .verb, .objectRef.resource] | @tsv' "$0" | sort | uniq -c | sort -rn`

func measure(size int64, dir string) error {
	if dir == "" {
		made, err := os.MkdirTemp("", "truce-auditbench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(made)
		dir = made
	}
	log := filepath.Join(dir, "audit.log")
	if err := writeLog(log, size); err != nil {
		return err
	}
	truce := filepath.Join(dir, "truce")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", truce, "./cmd/truce")
	build.Dir = cluster.Root()
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building truce: %w: %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	warm, err := os.Open(log) // so that nobody pays for the first read
	if err != nil {
		return err
	}
	defer warm.Close()
	if _, err := io.Copy(io.Discard, warm); err != nil {
		return err
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%.0f MB\tseconds\tCPU s\tMB/s\tpeak MiB\tspeed\tby CPU\t\n", float64(size)/1e6)
	var base, work float64 // of the first one
	for _, c := range []struct {
		name string
		args []string
	}{
		{"jq | sort | uniq -c", []string{"bash", "-c", jq, log}},
		{"Go, encoding/json", []string{self, "-naive", log}},
		{"truce audit top", []string{truce, "audit", "top", log}},
		{"truce audit fights", []string{truce, "audit", "fights", log}},
		{"truce audit replay", []string{truce, "audit", "replay", log}},
	} {
		seconds, cpu, peak, err := run(c.args)
		if err != nil {
			fmt.Fprintf(t, "%s\t%v\t\t\t\t\t\t\n", c.name, err)
			continue
		}
		rate := float64(size) / 1e6 / seconds
		if base == 0 {
			base, work = rate, cpu
		}
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.0f\t%d\t%.1f x\t%.1f x\t\n", c.name, seconds, cpu, rate, peak, rate/base, work/cpu)
	}
	return t.Flush()
}

// run runs a program to its end, and returns how long it took, how long it and its children computed, and the most memory
// it had, in MiB.
func run(args []string) (seconds, cpu float64, peak int64, err error) {
	cmd := exec.Command(args[0], args[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, 0, fmt.Errorf("%w: %s", err, stderr.String())
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		peak = usage.Maxrss >> 10
	}
	took := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return time.Since(start).Seconds(), took.Seconds(), peak, nil
}
