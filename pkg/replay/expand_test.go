package replay

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestExpandText(t *testing.T) {
	for _, c := range []struct {
		text string
		lap  int
		want string
		err  string
	}{
		{text: "plain", lap: 3, want: "plain"},
		{text: "rs{lap}", lap: 0, want: "rs0"},
		{text: "rs{lap}", lap: 12, want: "rs12"},
		{text: "{lap%3}", lap: 5, want: "2"},
		{text: "{lap+1}", lap: 5, want: "6"},
		{text: "{lap%3+10}-{lap}", lap: 5, want: "12-5"},
		{text: "{lap*2-1}", lap: 0, want: "-1"},
		{text: `{"nodes":42,"sample":{lap+1}}`, lap: 1, want: `{"nodes":42,"sample":2}`},
		{text: "{lapse} {laps}", lap: 1, want: "{lapse} {laps}"},
		{text: "{lap", lap: 1, want: "{lap"},
		{text: "{lap%0}", err: "divides by zero"},
		{text: "{lap/2}", err: `cannot work out "{lap/2}"`},
		{text: "{lap + 1}", err: `cannot work out "{lap + 1}"`},
		{text: "{lap+12345678901}", err: "cannot work out"},
	} {
		t.Run(fmt.Sprintf("%s in lap %d", c.text, c.lap), func(t *testing.T) {
			got, err := expandText(c.text, c.lap)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestExpandValueFillsInKeysListsAndMaps(t *testing.T) {
	in := map[string]any{
		"k{lap}": []any{"v{lap+1}", int64(7), true, nil},
		"n":      map[string]any{"whole": "{lap}", "text": "a"},
	}
	got, err := expandValue(in, 4)
	want := map[string]any{
		"k4": []any{"v5", int64(7), true, nil},
		"n":  map[string]any{"whole": lapNumber(4), "text": "a"},
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Errorf("value differs (-want +got):\n%s", diff)
	}
	for _, bad := range []any{"{lap/2}", []any{"{lap%0}"}, map[string]any{"{lap/2}": 1}, map[string]any{"k": "{lap%0}"}} {
		if _, err := expandValue(bad, 0); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
}

func TestWritesComeInTheOrderOfTime(t *testing.T) {
	s := parse(t, `
expect: {verdict: none}
objects: {o0: null, o1: null, o2: null}
writers: {w0: {user: zero}, w1: {user: one}}
steps:
  - {at: 5s, by: "w{lap%2}", object: "o{lap}", merge: {late: "{lap}"}}
  - {at: 1s, by: w0, object: o0, merge: {soon: x}}
  - {at: 1s, by: w1, object: o0, op: delete}
repeat: {times: 3, every: 2s}
`)
	var got []string
	err := s.Writes(func(w Write) error {
		got = append(got, fmt.Sprint(w.At, " ", w.Writer.Name, " ", w.Object, " ", w.Step.Op, " ", w.Merge))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"1s w0 o0 update map[soon:x]",
		"1s w1 o0 delete map[]",
		"3s w0 o0 update map[soon:x]",
		"3s w1 o0 delete map[]",
		"5s w0 o0 update map[late:0]",
		"5s w0 o0 update map[soon:x]",
		"5s w1 o0 delete map[]",
		"7s w1 o1 update map[late:1]",
		"9s w0 o2 update map[late:2]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("writes differ (-want +got):\n%s", diff)
	}
}

// Stories made by a program have not been through Parse.
func TestWritesRefusesWhatParseWould(t *testing.T) {
	sound := func() *Story {
		return &Story{
			File: "x.yaml", Writers: []Writer{{Name: "w", User: "w"}}, Laps: 1,
			Steps: []Step{{Line: 9, By: "w", Object: "a", Op: OpUpdate, Merge: map[string]any{}}},
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*Story)
		want  string
	}{
		{"an unknown writer", func(s *Story) { s.Steps[0].By = "v" }, `x.yaml:9: lap 0: "v" is none of the writers`},
		{"a bad expression for the writer", func(s *Story) { s.Steps[0].By = "{lap%0}" }, "divides by zero"},
		{"a bad expression for the object", func(s *Story) { s.Steps[0].Object = "{lap%0}" }, "divides by zero"},
		{"a bad expression in the merge", func(s *Story) { s.Steps[0].Merge["a"] = "{lap%0}" }, "divides by zero"},
		{"more writes than can be played", func(s *Story) { s.Laps, s.Every = maxWrites+1, time.Second }, "more than 1000000 writes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := sound()
			if err := s.Writes(func(Write) error { return nil }); err != nil {
				t.Fatalf("the sound story: %v", err)
			}
			c.spoil(s)
			err := s.Writes(func(Write) error { return nil })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
