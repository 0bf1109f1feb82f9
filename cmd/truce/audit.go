package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/truce-dev/truce/pkg/audit"
)

// auditMemory is where the garbage collector begins to work harder, in bytes. With the stacks, the program itself and
// what it maps, the process stays under 256 MiB.
const auditMemory = 160 << 20

func newAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Find fights, and who makes the calls, in the API server's audit logs",
		Long: `Read kube-apiserver audit logs (audit.k8s.io/v1): JSON lines or EventLists, plain or compressed with gzip or zstd,
as the API server writes them or as CloudWatch (EKS), Cloud Logging (GKE) and Azure Monitor (AKS) export them. Nothing
has to be installed in the cluster.

LOG is a file, a folder with all that is in it, a glob, or - for standard input, which is also what is read without any.
Logs of several API servers are merged in the order of time. What is no audit event is counted, located and left out.
Memory stays under 256 MiB however large the input. Ctrl-C ends the reading and prints what was found so far.`,
	}
	cmd.AddCommand(newAuditFights(), newAuditReplay(), newAuditTop(), newAuditRelists(), newAuditTimeline(), newAuditQuery(), newAuditReport(), newAuditServe())
	return cmd
}

// auditFlags are those of every command that reads logs.
type auditFlags struct {
	since, until                 string
	namespaces, users, resources []string
	output                       string
	formats                      []string
}

// add adds the flags. The first format is the default one.
func (f *auditFlags) add(cmd *cobra.Command, formats ...string) {
	f.formats = formats
	f.addFilters(cmd)
	cmd.Flags().StringVarP(&f.output, "output", "o", formats[0], "output `format`: "+choices(formats))
}

// addFilters adds the flags that choose events.
func (f *auditFlags) addFilters(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", "leave out what came before this `time`: 2025-01-31T12:00:00Z, 2025-01-31, or 2h ago")
	flags.StringVar(&f.until, "until", "", "leave out what came at this `time` or later")
	flags.StringSliceVarP(&f.namespaces, "namespace", "n", nil, "only these `namespaces`; * and ? are wildcards, here and below")
	flags.StringSliceVar(&f.users, "user", nil, "only these `users`")
	flags.StringSliceVar(&f.resources, "resource", nil, "only these `resources`, as in deployments.apps or deployments")
}

func choices(all []string) string {
	s := ""
	for i, one := range all {
		switch {
		case i == 0:
		case i == len(all)-1:
			s += " or "
		default:
			s += ", "
		}
		s += one
	}
	return s
}

// filter reads the flags that choose events.
func (f *auditFlags) filter(now time.Time) (audit.Filter, error) {
	out := audit.Filter{Namespaces: f.namespaces, Users: f.users, Resources: f.resources}
	for _, t := range []struct {
		name, text string
		to         *audit.Micros
	}{{"since", f.since, &out.Since}, {"until", f.until, &out.Until}} {
		if t.text == "" {
			continue
		}
		at, err := readTime(now, t.text)
		if err != nil {
			return out, fmt.Errorf("--%s: %w", t.name, err)
		}
		*t.to = audit.At(at)
	}
	return out, nil
}

func readTime(now time.Time, text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time: write 2025-01-31T12:00:00Z, 2025-01-31, or 2h for two hours ago", text)
}

// reading is an input being read for a command.
type reading struct {
	*audit.Input
	ctx context.Context
	// finish says on stderr what was no event, and whether the reading was cut short.
	finish func()
}

// open opens the logs and shows progress.
func (f *auditFlags) open(cmd *cobra.Command, args []string) (*reading, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	filter, err := f.filter(time.Now())
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		args = []string{audit.Stdin}
	}
	in, err := audit.Open(args, cmd.InOrStdin())
	if err != nil {
		return nil, err
	}
	in.Filter = filter
	before := debug.SetMemoryLimit(auditMemory)
	ctx, stop := signal.NotifyContext(parent(cmd), os.Interrupt)
	hide := showProgress(cmd.ErrOrStderr(), in)
	r := &reading{Input: in, ctx: ctx}
	r.finish = func() {
		hide()
		if ctx.Err() != nil {
			_, read := in.Size()
			fmt.Fprintf(cmd.ErrOrStderr(), "truce: interrupted; this is what was found in the first %d events (%d bytes read)\n", in.Events(), read)
		}
		stop()
		debug.SetMemoryLimit(before)
		fmt.Fprint(cmd.ErrOrStderr(), in.Problems.String())
	}
	return r, nil
}

func parent(cmd *cobra.Command) context.Context {
	if ctx := cmd.Context(); ctx != nil {
		return ctx
	}
	return context.Background()
}

func (f *auditFlags) check() error {
	if f.formats == nil {
		return nil
	}
	for _, known := range f.formats {
		if f.output == known {
			return nil
		}
	}
	return fmt.Errorf("--output is %q, it must be %s", f.output, choices(f.formats))
}

// tabular is what a command found.
type tabular interface{ WriteTable(w io.Writer) error }

// print writes what was found in the format that was asked for.
func (f *auditFlags) print(w io.Writer, found tabular) error {
	if f.output == "table" {
		return found.WriteTable(w)
	}
	raw, err := json.Marshal(found, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	raw = append(raw, '\n')
	if f.output == "yaml" {
		if raw, err = yaml.JSONToYAML(raw); err != nil {
			return fmt.Errorf("encoding the result: %w", err)
		}
	}
	_, err = w.Write(raw)
	return err
}

// failOn makes the command fail if something was found.
type failOn struct{ what string }

func (f *failOn) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.what, "fail-on", "", "exit with 2 if there is a `kind` of finding: fight, or loop, which includes fights")
}

func (f *failOn) check() error {
	switch f.what {
	case "", "fight", "loop":
		return nil
	}
	return fmt.Errorf("--fail-on is %q, it must be fight or loop", f.what)
}

// errFound is the error of a command that found what it was to fail on.
var errFound = errors.New("found what --fail-on names")

func (f *failOn) judge(found *audit.Fights) error {
	if f.what == "fight" && found.Found() || f.what == "loop" && len(found.Fights) > 0 {
		return errFound
	}
	return nil
}
