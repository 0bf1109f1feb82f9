// Package report writes what the lab measured to files: JSON for programs, a page for browsers, a picture for documents.
// The page needs nothing but itself: no network, no fonts, no libraries.
package report

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/truce-dev/truce/lab/measure"
)

// Page is all that a report says.
type Page struct {
	Title   string        `json:"title"`
	About   string        `json:"about"`
	Command string        `json:"command"`
	Runs    []measure.Run `json:"runs"`

	// Rows are the values of the table, by name; an empty one separates groups.
	Rows []string `json:"-"`
	// Plots are the series that are drawn, by name.
	Plots []string `json:"-"`
	// Headlines are the values that come first, by name: those of the first run, of the one without Truce, of the last
	// enforced one.
	Headlines []string `json:"-"`
}

//go:embed page.html
var pageText string

//go:embed chart.css
var chartStyle string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// Write writes path.json, path.html and path.md, the table alone, and path.svg if there is a run in which something was switched on.
func (p Page) Write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".json", append(text, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(path+".md", p.Markdown(), 0o644); err != nil {
		return err
	}
	page, err := p.HTML()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".html", page, 0o644); err != nil {
		return err
	}
	if picture := p.Picture(); picture != nil {
		return os.WriteFile(path+".svg", picture, 0o644)
	}
	return nil
}

// HTML returns the page.
func (p Page) HTML() ([]byte, error) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p.view()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Picture returns the run in which something was switched on as a picture that stands alone, nil if there is none.
func (p Page) Picture() []byte {
	run, ok := p.marked()
	if !ok {
		return nil
	}
	svg := p.timeline(run, 760, 96)
	head, rest, _ := bytes.Cut([]byte(svg), []byte(">"))
	var b bytes.Buffer
	b.Write(head)
	fmt.Fprintf(&b, ` xmlns="http://www.w3.org/2000/svg"><style>%s</style>`, chartStyle)
	b.Write(rest)
	b.WriteByte('\n')
	return b.Bytes()
}

// Markdown returns the table of the runs that can be compared, for documents.
func (p Page) Markdown() []byte {
	var runs []measure.Run
	head, rule := "|", "|---|"
	for _, r := range p.Runs {
		if len(r.Marks) == 0 { // in the others something was switched on midway
			runs = append(runs, r)
			head += " | " + r.Title
			rule += "---:|"
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s |\n%s\n", head, rule)
	for _, name := range p.Rows {
		if name == "" {
			continue
		}
		fmt.Fprintf(&b, "| %s%s", name, unitFor(runs, name))
		for _, r := range runs {
			fmt.Fprintf(&b, " | %s", cellOf(r, name).Text)
		}
		b.WriteString(" |\n")
	}
	return b.Bytes()
}

// marked returns the first run in which something happened.
func (p Page) marked() (measure.Run, bool) {
	i := slices.IndexFunc(p.Runs, func(r measure.Run) bool { return len(r.Marks) > 0 })
	if i < 0 {
		return measure.Run{}, false
	}
	return p.Runs[i], true
}

// timeline draws all plots of a run above each other.
func (p Page) timeline(r measure.Run, width, height int) template.HTML {
	var panels []panel
	for _, name := range p.Plots {
		if s, ok := r.FindSeries(name); ok {
			panels = append(panels, panel{s, roof(highest(s)), title(s)})
		}
	}
	if len(panels) == 0 {
		return ""
	}
	return chart(width, height, r.Seconds, r.Marks, "late", panels...)
}

func title(s measure.Series) string {
	switch s.Unit {
	case "":
		return s.Name
	case "s":
		return s.Name + ", seconds"
	case "/s":
		return s.Name + ", per second"
	}
	return s.Name + ", " + s.Unit
}

func highest(list ...measure.Series) float64 {
	most := 0.0
	for _, s := range list {
		for _, v := range s.Points {
			if v > most { // never of NaN
				most = v
			}
		}
	}
	return most
}

// view is what the template is given.
type view struct {
	Page
	ChartStyle template.CSS
	Machine    string
	Began      string
	Heads      []head
	Timeline   template.HTML
	Narrow     template.HTML // the same for phones
	Switched   string        // what happened in it
	Plots      []plot
	Table      []row
	Notes      []string
}

// head is a headline: a value of some runs.
type head struct {
	Name  string
	Cells []cell
}

type cell struct{ Title, Class, Text string }

// plot is a series of all runs.
type plot struct {
	Title  string
	Charts []drawn
}

type drawn struct {
	Title, Class string
	SVG          template.HTML
}

// row is one of the table; without cells it separates groups.
type row struct {
	Name  string
	Cells []cell
}

func (p Page) view() view {
	v := view{
		Page: p, ChartStyle: template.CSS(chartStyle),
		Machine: fmt.Sprintf("%s/%s, %d cores", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
	}
	if len(p.Runs) > 0 {
		v.Began = p.Runs[0].Began.Format("2006-01-02 15:04")
	}
	for _, name := range p.Headlines {
		h := head{Name: name + unitFor(p.Runs, name)}
		for _, r := range p.Runs {
			if len(r.Marks) == 0 {
				h.Cells = append(h.Cells, cellOf(r, name))
			}
		}
		v.Heads = append(v.Heads, h)
	}
	if run, ok := p.marked(); ok {
		v.Timeline, v.Narrow = p.timeline(run, 900, 120), p.timeline(run, 380, 90)
		v.Switched = run.Marks[0].Text
	}
	for _, name := range p.Plots {
		if pl := p.plot(name); len(pl.Charts) > 0 {
			v.Plots = append(v.Plots, pl)
		}
	}
	for _, name := range p.Rows {
		rw := row{Name: name}
		if name != "" {
			for _, r := range p.Runs {
				rw.Cells = append(rw.Cells, cellOf(r, name))
			}
			rw.Name += unitFor(p.Runs, name)
		}
		v.Table = append(v.Table, rw)
	}
	for _, r := range p.Runs {
		for _, n := range r.Notes {
			v.Notes = append(v.Notes, r.Title+": "+n)
		}
	}
	return v
}

// plot draws a series of each run, all on the same axes.
func (p Page) plot(name string) plot {
	var all []measure.Series
	seconds := 0.0
	for _, r := range p.Runs {
		if s, ok := r.FindSeries(name); ok && len(r.Marks) == 0 {
			all = append(all, s)
			seconds = max(seconds, r.Seconds)
		}
	}
	pl := plot{Title: name}
	if len(all) == 0 {
		return pl
	}
	pl.Title = title(all[0])
	for _, r := range p.Runs {
		if s, ok := r.FindSeries(name); ok && len(r.Marks) == 0 { // the others are drawn large
			pl.Charts = append(pl.Charts, drawn{r.Title, r.Action,
				chart(380, 120, seconds, r.Marks, r.Action, panel{series: s, highest: roof(highest(all...))})})
		}
	}
	return pl
}

func cellOf(r measure.Run, name string) cell {
	i := slices.IndexFunc(r.Values, func(v measure.Value) bool { return v.Name == name })
	if i < 0 {
		return cell{r.Title, r.Action, "–"}
	}
	return cell{r.Title, r.Action, r.Values[i].Text()}
}

func unitFor(runs []measure.Run, name string) string {
	for _, r := range runs {
		for _, v := range r.Values {
			if v.Name == name && (v.Unit == "/s" || v.Unit == "MB") {
				return strings.ReplaceAll(", "+v.Unit, "/s", "per second")
			}
		}
	}
	return ""
}
