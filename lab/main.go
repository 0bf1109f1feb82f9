// Command lab plays scenes of fights between controllers on a real control plane, without Truce and with it, and measures
// what becomes of them: first of all the incident that Truce was made for.
//
// It builds what it needs, which takes minutes the first time, listens on loopback addresses only, and leaves nothing
// running. `make run` plays the incident, `make lab` any scene. See -h for its flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/truce-dev/truce/lab/stage"
)

const usage = `Usage: go run ./lab [flags]

Starts etcd, kube-apiserver and Truce's webhook on this machine, plays a scene
without Truce and with it, and says in a table, a JSON file and an HTML report
what became of it. Everything is built from source, which takes minutes the
first time. After all of a scene that has fights, at a terminal, all stays up
until Ctrl-C, so that you can try things.

Scenes:
`

// options are what the flags say.
type options struct {
	scene    scene
	actions  []stage.Action
	duration time.Duration // of each run
	keep     bool          // stay up when all is shown
	dir      string        // empty: a temporary one
	report   string        // directory
	audit    string        // directory; empty: none is kept
}

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin, stdout *os.File, stderr io.Writer) int {
	o, err := parseFlags(args, term.IsTerminal(int(stdin.Fd())), stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// A pager that is closed early must not leave a control plane behind. SIGPIPE would end us at once; to be notified of it
	// would mean to be notified of every connection to the API server that breaks as well. So writing tells.
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	s := newScreen(stdout)
	s.out = &pipe{stdout, cancel}
	defer s.close()
	if err := show(ctx, o, s); err != nil {
		s.close()
		fmt.Fprintf(stderr, "lab: %v\n", err)
		return 1
	}
	if ctx.Err() != nil {
		s.lines("", "Stopped; nothing is left running.")
	}
	return 0
}

func parseFlags(args []string, atTerminal bool, stdout, stderr io.Writer) (o options, err error) {
	var name, action string
	asked := false
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&name, "scene", scenes()[0].name, "what to play")
	flags.StringVar(&action, "action", "", "what Truce does: one of the scene's actions, or several, with commas\n(default: all of them, one after the other)")
	flags.DurationVar(&o.duration, "duration", 0, "how long each run lasts, 1s to 24h (default: depends on the scene)")
	flags.BoolVar(&o.keep, "keep", atTerminal, "stay up afterwards, until Ctrl-C\n(default: only at a terminal, and if all actions were played)")
	flags.StringVar(&o.dir, "dir", "", "directory for data, logs and the kubeconfig, which are then kept\n(default: a temporary one, removed at the end)")
	flags.StringVar(&o.report, "report", filepath.Join("bin", "lab"), "directory for the JSON file and the HTML report")
	flags.StringVar(&o.audit, "audit", "", "directory for the API server's audit log, SCENE.log (default: none is kept)")
	err = flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		for _, s := range scenes() {
			fmt.Fprintf(stdout, "  %-10s%s\n%12sactions: %s\n", s.name, s.title, "", names(s.actions))
		}
		fmt.Fprint(stdout, "\nFlags:\n")
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return o, err
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	flags.Visit(func(f *flag.Flag) { asked = asked || f.Name == "keep" })
	if err == nil {
		o.keep = o.keep && (asked || action == "")
		err = o.complete(name, action)
	}
	if err != nil {
		fmt.Fprintf(stderr, "lab: %v; see -h\n", err)
	}
	return o, err
}

// complete checks the options and fills in what depends on others.
func (o *options) complete(scene, action string) (err error) {
	if o.scene, err = findScene(scene); err != nil {
		return err
	}
	if o.duration == 0 {
		o.duration = o.scene.length
	}
	if o.duration < time.Second || o.duration > 24*time.Hour {
		return fmt.Errorf("-duration is %s: give 1s to 24h", o.duration)
	}
	o.actions = o.scene.actions
	if action != "" {
		o.actions = nil
		for a := range strings.SplitSeq(action, ",") {
			parsed, err := stage.ParseAction(strings.TrimSpace(a), o.scene.actions)
			if err != nil {
				return fmt.Errorf("-action: %w", err)
			}
			o.actions = append(o.actions, parsed)
		}
	}
	for _, dir := range []*string{&o.dir, &o.audit, &o.report} {
		if *dir != "" {
			if *dir, err = filepath.Abs(*dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func names(actions []stage.Action) string {
	list := make([]string, len(actions))
	for i, a := range actions {
		list[i] = string(a)
	}
	return strings.Join(list, ", ")
}
