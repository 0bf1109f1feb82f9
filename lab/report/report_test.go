package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/lab/measure"
)

func samplePage() Page {
	run := func(action string, marks ...measure.Mark) measure.Run {
		return measure.Run{
			Action: action, Title: strings.ToUpper(action), Seconds: 1, Marks: marks,
			Values: []measure.Value{{Name: "depth", Number: 1234}, {Name: "wait", Unit: "s", Number: 2.5, AtLeast: true}},
			Series: []measure.Series{
				{Name: "depth", Step: 0.25, Points: measure.Points{0, math.NaN(), 400, 1000}},
				{Name: "writes", Unit: "/s", Step: 0.25, Points: measure.Points{1, 2, 3, 4}},
			},
		}
	}
	return Page{
		Title: "<Title> & more", About: "About.", Command: "make lab", Rows: []string{"depth", "", "wait"},
		Plots: []string{"depth", "writes", "absent"}, Headlines: []string{"wait"},
		Runs: []measure.Run{run("calm"), run("hold"), run("late", measure.Mark{Seconds: 0.5, Text: "Switched <on>"})},
	}
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "incident")
	if err := samplePage().Write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var back Page
	if err := json.Unmarshal(text, &back); err != nil || len(back.Runs) != 3 || back.Runs[2].Marks[0].Text != "Switched <on>" {
		t.Errorf("the JSON file does not say what was measured: %v: %s", err, text)
	}
	page, err := os.ReadFile(path + ".html")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"&lt;Title&gt; &amp; more", "≥2.5 s", "1,234", "Switched &lt;on&gt;", `data-points="0  400 1000"`} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page lacks %q", want)
		}
	}
	// Two runs side by side in two plots, and the third large, in two widths. There is no series absent.
	if n := bytes.Count(page, []byte("<svg")); n != 6 {
		t.Errorf("the page has %d charts, want 6", n)
	}
	if loads := regexp.MustCompile(`(?i)(src|href)=|@import|url\(|fetch\(`).Find(page); loads != nil {
		t.Errorf("the page needs something from elsewhere: %s", loads)
	}
	table, err := os.ReadFile(path + ".md")
	if err != nil {
		t.Fatal(err)
	}
	want := "| | CALM | HOLD |\n|---|---:|---:|\n| depth | 1,234 | 1,234 |\n| wait | ≥2.5 s | ≥2.5 s |\n"
	if diff := cmp.Diff(want, string(table)); diff != "" {
		t.Errorf("the table (-want +got):\n%s", diff)
	}
	picture, err := os.ReadFile(path + ".svg")
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(picture)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the picture is not XML: %v", err)
		}
	}
}

func TestNothingSwitchedOn(t *testing.T) {
	p := samplePage()
	p.Runs = p.Runs[:2]
	path := filepath.Join(t.TempDir(), "pizza")
	if err := p.Write(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".svg"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a picture of nothing: %v", err)
	}
}

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		highest float64
		n       int
		want    []float64
	}{
		{0, 3, nil},
		{1, 4, []float64{0.5, 1}},
		{20, 4, []float64{5, 10, 15, 20}},
		{940, 3, []float64{500}},
		{1080, 3, []float64{500, 1000}},
	} {
		if got := ticks(tt.highest, tt.n); !slices.Equal(got, tt.want) {
			t.Errorf("up to %v, about %d: %v, want %v", tt.highest, tt.n, got, tt.want)
		}
	}
}
