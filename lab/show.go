package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/truce-dev/truce/lab/incident"
	"github.com/truce-dev/truce/lab/measure"
	"github.com/truce-dev/truce/lab/report"
	"github.com/truce-dev/truce/lab/stage"
)

// lab is one showing.
type lab struct {
	options
	screen    *screen
	stage     *stage.Stage
	temporary bool // dir is to be removed
}

// show is the whole lab. When ctx ends it stops what runs, shows what there is, and returns no error: that was asked
// for.
func show(ctx context.Context, o options, s *screen) (err error) {
	s.title("Truce lab: " + o.scene.title)
	l := &lab{options: o, screen: s}
	if err := l.makeDir(); err != nil {
		return err
	}
	defer func() { err = l.close(err) }()
	if err := l.routeLibraryLogs(); err != nil {
		return err
	}
	l.stage, err = stage.Start(ctx, stage.Options{
		Dir: l.dir, Cluster: o.scene.cluster, Audit: o.audit != "",
		Step: func(name, doing string, do func(io.Writer) (string, error)) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return s.step(step{name, doing, func(p *progress) (err error) {
				p.result, err = do(p)
				return err
			}})
		},
	})
	var runs []measure.Run
	if err == nil {
		runs, err = l.play(ctx)
	}
	if len(runs) > 0 {
		err = errors.Join(err, l.sum(runs))
	}
	if err == nil && ctx.Err() == nil && o.keep && o.scene.stays {
		err = l.stay(ctx)
	}
	if ctx.Err() != nil {
		// Whatever failed after that failed because of it.
		return nil
	}
	return err
}

func (l *lab) makeDir() (err error) {
	if l.dir == "" {
		l.temporary = true
		l.dir, err = os.MkdirTemp("", "truce-lab-")
	} else {
		err = os.MkdirAll(l.dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("making a directory for data and logs: %w", err)
	}
	return nil
}

// routeLibraryLogs keeps what client-go and controller-runtime log off the screen.
func (l *lab) routeLibraryLogs() error {
	log, err := os.Create(filepath.Join(l.dir, "lab.log"))
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("klog", flag.PanicOnError)
	klog.InitFlags(flags)
	for name, value := range map[string]string{"logtostderr": "false", "stderrthreshold": "FATAL"} {
		if err := flags.Set(name, value); err != nil {
			return err
		}
	}
	klog.SetOutput(log)
	ctrllog.SetLogger(logr.Discard())
	return nil
}

// play plays the scene with one action after the other. When ctx ends, the runs are those so far.
func (l *lab) play(ctx context.Context) (runs []measure.Run, err error) {
	l.screen.lines("")
	l.screen.text(l.scene.about)
	for i, a := range l.actions {
		l.screen.heading(fmt.Sprintf("%d/%d  %s", i+1, len(l.actions), a.Title()))
		l.screen.text(l.scene.lessons[a])
		l.screen.lines("")
		run, err := l.scene.play(ctx, l.stage, a, l.duration, &audience{screen: l.screen})
		l.screen.setStatus("")
		if len(run.Values) > 0 {
			runs = append(runs, run)
			l.screen.lines(l.screen.brief(run, l.scene.rows)...)
		}
		if err != nil || ctx.Err() != nil {
			return runs, err
		}
	}
	return runs, nil
}

// sum closes the lab: the table, and the files.
func (l *lab) sum(runs []measure.Run) error {
	s := l.screen
	s.heading("What became of it")
	if all := inTable(runs); len(all) > 0 {
		s.lines(s.table(all, l.scene.rows)...)
		s.lines("")
	}
	for _, line := range conclusions(runs) {
		s.lines(hang("  • ", line, s.width)...)
	}
	page := report.Page{
		Title: "Truce lab: " + l.scene.title, About: l.scene.about, Command: l.command(), Runs: runs,
		Rows: l.scene.rows, Plots: l.scene.plots, Headlines: l.scene.heads,
	}
	path := filepath.Join(l.report, l.scene.name)
	if err := page.Write(path); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	s.lines("")
	s.text("The same with plots, for a browser: " + path + ".html. The numbers: " + path + ".json.")
	return nil
}

// close stops all processes and removes what is not to be kept. It returns failure with what went wrong besides.
func (l *lab) close(failure error) error {
	s := l.screen
	defer s.setStatus("")
	s.setStatus("Stopping …")
	errs := []error{failure}
	hasLogs := false
	if l.stage != nil {
		if err := l.stage.Close(); err != nil {
			errs = append(errs, err)
		}
		hasLogs = l.stage.HasLogs()
		if l.audit != "" && l.stage.Cluster != nil {
			errs = append(errs, l.keepAudit())
		}
	}
	switch {
	case !l.temporary:
		s.lines("", s.dim("Logs, policy and data are kept in "+l.dir))
	case failure != nil && !errors.Is(failure, context.Canceled) && hasLogs:
		s.lines("", "The logs are kept in "+l.dir)
	default:
		errs = append(errs, os.RemoveAll(l.dir))
	}
	return errors.Join(errs...)
}

// keepAudit copies the audit log to where it is wanted.
func (l *lab) keepAudit() (err error) {
	from, err := os.Open(l.stage.Cluster.AuditLog)
	if err != nil {
		return fmt.Errorf("keeping the audit log: %w", err)
	}
	defer from.Close()
	if err := os.MkdirAll(l.audit, 0o700); err != nil {
		return fmt.Errorf("keeping the audit log: %w", err)
	}
	to, err := os.OpenFile(filepath.Join(l.audit, l.scene.name+".log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keeping the audit log: %w", err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close()); err != nil {
		return fmt.Errorf("keeping the audit log: %w", err)
	}
	l.screen.lines("", "The audit log is kept in "+to.Name())
	return nil
}

// command is what makes this showing again.
func (l *lab) command() string {
	text := "make lab SCENE=" + l.scene.name
	if len(l.actions) != len(l.scene.actions) {
		text += " ACTION=" + strings.ReplaceAll(names(l.actions), " ", "")
	}
	if l.duration != l.scene.length {
		text += " DURATION=" + l.duration.String()
	}
	return text
}

// inTable returns the runs that can be compared: in the others something was switched on midway.
func inTable(runs []measure.Run) (list []measure.Run) {
	for _, r := range runs {
		if r.Action != string(stage.Late) {
			list = append(list, r)
		}
	}
	return list
}

// conclusions say what the table means.
func conclusions(runs []measure.Run) (list []string) {
	var without, hold, late *measure.Run
	for i := range runs {
		switch r := &runs[i]; stage.Action(r.Action) {
		case stage.Without:
			without = r
		case stage.Hold:
			hold = r
		case stage.Late:
			late = r
		}
	}
	if without != nil && hold != nil {
		before, ok := without.Value(incident.Stored)
		later, known := hold.Value(incident.StoredLater)
		first, _ := hold.Value(incident.StoredFirst)
		found, _ := hold.Value(incident.Found)
		if ok && known && before > 0 {
			after := later / max(1, hold.Seconds-found)
			list = append(list, fmt.Sprintf("Once the fights were known, Hold kept %.1f %% of their writes from etcd and from everybody "+
				"who watches. It took %.0f writes to see that they are fights.", 100*(1-after/before), first))
		}
	}
	if late != nil && len(late.Marks) > 0 {
		text := fmt.Sprintf("%s: %s after %.1f s", late.Title, late.Marks[0].Text, late.Marks[0].Seconds)
		if v, ok := late.Value(incident.Recovered); ok {
			text += fmt.Sprintf("; %.1f s later the queue was empty again", v)
		}
		list = append(list, text+".")
	}
	for _, r := range runs {
		for _, n := range r.Notes {
			list = append(list, r.Title+": "+n)
		}
	}
	return list
}
