package report

import (
	"bytes"
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"

	"github.com/truce-dev/truce/lab/measure"
)

// Measures of a chart, in its own units; a page scales it.
const (
	left, rightEdge   = 44, 16
	top, bottom       = 10, 20
	panelGap          = 30
	tickCount         = 3
	markTextAllowance = 6
)

// panel is one series in a chart.
type panel struct {
	series  measure.Series
	highest float64 // of its axis
	title   string  // empty for none
}

// chart draws panels above each other, over the same time, with what happened then.
func chart(width, height int, seconds float64, marks []measure.Mark, class string, panels ...panel) template.HTML {
	var b bytes.Buffer
	titled := 0
	if panels[0].title != "" {
		titled = 16
	}
	first := top
	if len(marks) > 0 && titled > 0 {
		first += 16 // what the marks say stands above all titles
	}
	end := first + len(panels)*(height+titled) + (len(panels)-1)*(panelGap-16)
	fmt.Fprintf(&b, `<svg class="chart %s" viewBox="0 0 %d %d" role="img" preserveAspectRatio="xMidYMid meet"`, class, width, end+bottom)
	fmt.Fprintf(&b, ` data-left="%d" data-right="%d" data-seconds="%.3f">`, left, width-rightEdge, seconds)
	span := float64(width - left - rightEdge)
	x := func(at float64) float64 { return float64(left) + span*min(1, at/seconds) }
	for _, m := range marks {
		anchor, dx := "start", markTextAllowance
		if m.Seconds > seconds*0.6 {
			anchor, dx = "end", -markTextAllowance
		}
		fmt.Fprintf(&b, `<text class="marktext" x="%.1f" y="%d" text-anchor="%s">%s</text>`,
			x(m.Seconds)+float64(dx), top+8, anchor, html.EscapeString(m.Text))
		fmt.Fprintf(&b, `<line class="mark" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, x(m.Seconds), x(m.Seconds), top, first)
	}
	y0 := first
	for _, p := range panels {
		if p.title != "" {
			fmt.Fprintf(&b, `<text class="title" x="%d" y="%d">%s</text>`, left, y0+8, html.EscapeString(p.title))
			y0 += titled
		}
		drawPanel(&b, p, y0, height, width, x)
		for _, m := range marks { // not across the titles
			fmt.Fprintf(&b, `<line class="mark" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, x(m.Seconds), x(m.Seconds), y0, y0+height)
		}
		y0 += height + panelGap - 16
	}
	for _, tick := range ticks(seconds, 4) {
		fmt.Fprintf(&b, `<text class="tick" x="%.1f" y="%d" text-anchor="middle">%s s</text>`, x(tick), end+14, trim(tick))
	}
	fmt.Fprintf(&b, `<line class="cursor" y1="%d" y2="%d"/></svg>`, top, end)
	return template.HTML(b.String())
}

func drawPanel(b *bytes.Buffer, p panel, y0, height, width int, x func(float64) float64) {
	highest := p.highest
	if highest <= 0 {
		highest = 1
	}
	y := func(v float64) float64 { return float64(y0) + float64(height)*(1-min(1, v/highest)) }
	fmt.Fprintf(b, `<g class="panel" data-step="%g" data-unit="%s" data-points="%s">`,
		p.series.Step, html.EscapeString(p.series.Unit), pointList(p.series.Points))
	for _, tick := range append([]float64{0}, ticks(highest, tickCount)...) {
		fmt.Fprintf(b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, left, width-rightEdge, y(tick), y(tick))
		fmt.Fprintf(b, `<text class="tick" x="%d" y="%.1f" text-anchor="end">%s</text>`, left-5, y(tick)+3.5,
			trim(tick)+strings.TrimSuffix(" "+unitOf(p.series.Unit), " "))
	}
	// A point is what was seen during its step, so it stands at the end of it.
	var line, area strings.Builder
	started := math.NaN()
	lastX := 0.0
	closeArea := func() {
		if !math.IsNaN(started) {
			fmt.Fprintf(&area, "L%.1f %.1fL%.1f %.1fZ", lastX, y(0), started, y(0))
		}
		started = math.NaN()
	}
	for i, v := range p.series.Points {
		if math.IsNaN(v) {
			closeArea()
			continue
		}
		px, command := x(float64(i+1)*p.series.Step), "L"
		if math.IsNaN(started) {
			started, command = px, "M"
		}
		lastX = px
		fmt.Fprintf(&line, "%s%.1f %.1f", command, px, y(v))
		fmt.Fprintf(&area, "%s%.1f %.1f", command, px, y(v))
	}
	closeArea()
	fmt.Fprintf(b, `<path class="area" d="%s"/><path class="line" d="%s"/></g>`, area.String(), line.String())
}

// unitOf is what stands behind the numbers of an axis.
func unitOf(unit string) string {
	if unit == "s" {
		return "s"
	}
	return ""
}

// ticks returns round numbers above 0 and not above highest, about n of them.
func ticks(highest float64, n int) (list []float64) {
	if highest <= 0 {
		return nil
	}
	raw := highest / float64(n)
	base := math.Pow(10, math.Floor(math.Log10(raw)))
	size := base
	for _, factor := range []float64{2, 5, 10} {
		if size < raw*0.99 {
			size = base * factor
		}
	}
	for i := 1; float64(i)*size <= highest*1.0001; i++ {
		list = append(list, float64(i)*size)
	}
	return list
}

// roof returns a number that is not below v and leaves some room.
func roof(v float64) float64 {
	if v <= 0 {
		return 1
	}
	return v * 1.08
}

func trim(v float64) string {
	if v >= 10000 {
		return strconv.FormatFloat(v/1000, 'f', -1, 64) + "k"
	}
	return strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64)
}

func pointList(points measure.Points) string {
	list := make([]string, len(points))
	for i, v := range points {
		if !math.IsNaN(v) {
			list[i] = strconv.FormatFloat(v, 'g', 4, 64)
		}
	}
	return strings.Join(list, " ")
}
