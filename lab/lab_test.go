package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/lab/measure"
	"github.com/truce-dev/truce/lab/stage"
	"github.com/truce-dev/truce/test/golden"
)

// printer returns a screen that is no terminal, and what it prints.
func printer(width int) (*screen, *bytes.Buffer) {
	var out bytes.Buffer
	return &screen{out: &out, width: width}, &out
}

func TestTable(t *testing.T) {
	var runs []measure.Run
	for i, a := range []stage.Action{stage.Calm, stage.Without, stage.Warn, stage.Throttle, stage.Reject, stage.Hold} {
		n := float64(i)
		runs = append(runs, measure.Run{Title: a.Title(), Seconds: 20, Values: []measure.Value{
			{Name: "fight writes attempted", Unit: "/s", Number: n * 123.4},
			{Name: "queue depth, max", Number: n * 4000},
			{Name: "new Pod to route, p99", Unit: "s", Number: n * n * 0.6, AtLeast: i == 2},
			{Name: "Truce memory", Unit: "MB", Number: 35, Absent: i < 2},
		}})
	}
	rows := []string{"fight writes attempted", "queue depth, max", "", "new Pod to route, p99", "Truce memory", "of another scene"}
	s, out := printer(80)
	s.lines(s.table(runs, rows)...)
	s.lines("")
	s.lines(s.brief(runs[2], rows)...)
	golden.Check(t, "testdata/table.txt", out.String())
	for line := range strings.Lines(out.String()) {
		if n := cells(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("a line has %d columns, more than 80: %s", n, line)
		}
	}
}

// TestRows catches a row or a plot whose value was renamed.
func TestLessons(t *testing.T) {
	for _, s := range scenes() {
		for _, a := range s.actions {
			if s.lessons[a] == "" {
				t.Errorf("scene %s says nothing of %s", s.name, a)
			}
		}
		if s.play == nil || s.length == 0 || len(s.rows) == 0 {
			t.Errorf("scene %s is not complete", s.name)
		}
	}
}

// TestNobodyReads checks that the lab stops when its output is closed, as by a pager that one leaves.
func TestNobodyReads(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	stopped := 0
	s := &screen{out: &pipe{w, func() { stopped++ }}, width: 80}
	s.lines("somebody reads this")
	if stopped != 0 {
		t.Error("it stopped although somebody reads")
	}
	r.Close()
	s.lines("nobody reads this")
	if stopped != 1 {
		t.Errorf("it was stopped %d times, want once", stopped)
	}
}

func TestAudience(t *testing.T) {
	s, out := printer(80)
	a := &audience{screen: s}
	for since := time.Duration(0); since <= 12*time.Second; since += 200 * time.Millisecond {
		a.Status(since, "all is well")
	}
	a.Say(12*time.Second, "SOMETHING HAPPENED", "And it is said in a sentence that is so long that it takes two lines.")
	a.Told(measure.Told{Warning: true, Text: "truce: fought over"})
	a.Told(measure.Told{Text: "admission webhook denied the request"})
	golden.Check(t, "testdata/audience.txt", out.String())
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		width      int
		want       []string
	}{
		{"breaks at spaces", "one two three", 7, []string{"one two", "three"}},
		{"fills a line to its last column", "one two", 7, []string{"one two"}},
		{"breaks what is longer than a line", "a 1234567890 b", 4, []string{"a", "1234", "5678", "90 b"}},
		{"counts characters, not bytes", "äöü äöü", 7, []string{"äöü äöü"}},
		{"keeps together what a no-break space joins", "lasts 8\u00a0s", 8, []string{"lasts", "8\u00a0s"}},
		{"makes nothing of nothing", "  ", 5, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, wrap(tt.text, tt.width)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNumbers(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{number(0), "0"},
		{number(999), "999"},
		{number(1000), "1,000"},
		{number(1234567), "1,234,567"},
		{count(1, "write"), "1 write"},
		{count(1000, "write"), "1,000 writes"},
		{seconds(-time.Second), "0 ms"},
		{seconds(26 * time.Millisecond), "26 ms"},
		{seconds(8 * time.Second), "8.0 s"},
		{seconds(200 * time.Second), "3:20 min"},
		{cut("abcdef", 4), "abc…"},
		{cut("abcd", 4), "abcd"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

func TestFlags(t *testing.T) {
	var out, errs bytes.Buffer
	o, err := parseFlags(nil, true, &out, &errs)
	if err != nil || !o.keep || o.scene.name != "incident" || len(o.actions) != 7 || o.duration != o.scene.length || o.dir != "" {
		t.Errorf("at a terminal: %+v, %v; want the whole incident, and to stay up", o, err)
	}
	if o, err = parseFlags(nil, false, &out, &errs); err != nil || o.keep {
		t.Errorf("not at a terminal: %+v, %v; want not to stay up", o, err)
	}
	args := []string{"-dir", "x", "-action", "Without, hold", "-duration", "3s", "-audit", "y"}
	o, err = parseFlags(args, true, &out, &errs)
	if err != nil || o.keep || !filepath.IsAbs(o.dir) || !filepath.IsAbs(o.audit) || names(o.actions) != "without, hold" ||
		o.duration != 3*time.Second {
		t.Errorf("two actions, in x: %+v, %v", o, err)
	}
	if o, err = parseFlags([]string{"-action=hold", "-keep"}, false, &out, &errs); err != nil || !o.keep {
		t.Errorf("one action, and to stay up, as is asked for: %+v, %v", o, err)
	}

	for args, want := range map[string]string{
		"-duration=999ms":     "-duration is 999ms: give 1s to 24h",
		"-duration=8":         "invalid value",
		"-size=3":             "not defined",
		"more":                `unexpected argument "more"`,
		"-scene=none":         `there is no scene "none": give incident`,
		"-action=hold,shout":  `there is no action "shout" here: give calm, without`,
		"-scene=x -action=y":  `there is no scene "x"`,
		"-duration=24h0m0.1s": "give 1s to 24h",
	} {
		errs.Reset()
		_, err := parseFlags(strings.Fields(args), false, &out, &errs)
		if err == nil || !strings.Contains(errs.String(), want) || !strings.Contains(errs.String(), "see -h") {
			t.Errorf("%q: error %v, printed %q, want %q", args, err, errs.String(), want)
		}
	}

	out.Reset()
	if _, err := parseFlags([]string{"-h"}, false, &out, &errs); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
	golden.Check(t, "testdata/help.txt", out.String())
}

func TestCommands(t *testing.T) {
	s, out := printer(80)
	s.lines(s.commands(commands("/tmp/my lab/kubeconfig", "/tmp/my lab/policy.yaml", "127.0.0.1:8081"))...)
	golden.Check(t, "testdata/commands.txt", out.String())
}
