package notify

import (
	"encoding/json"
	"fmt"
)

// The parts of an Adaptive Card that are used. There is no kept Go library for them.
type (
	teamsMessage struct {
		Type        string            `json:"type"`
		Attachments []teamsAttachment `json:"attachments"`
	}
	teamsAttachment struct {
		ContentType string    `json:"contentType"`
		Content     teamsCard `json:"content"`
	}
	teamsCard struct {
		Schema       string      `json:"$schema"`
		Type         string      `json:"type"`
		Version      string      `json:"version"`
		FallbackText string      `json:"fallbackText"`
		Body         []teamsText `json:"body"`
		MSTeams      struct {
			Width string `json:"width"`
		} `json:"msteams"`
	}
	// teamsText is a RichTextBlock: unlike a TextBlock's, its text is never taken for Markdown, so that nobody's name can
	// place a link.
	teamsText struct {
		Type      string     `json:"type"`
		Separator bool       `json:"separator,omitzero"`
		Inlines   []teamsRun `json:"inlines"`
	}
	teamsRun struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		Weight   string `json:"weight,omitzero"`
		Size     string `json:"size,omitzero"`
		Color    string `json:"color,omitzero"`
		FontType string `json:"fontType,omitzero"`
	}
)

// teamsSize is how long a card's body may be, in bytes. Teams refuses a message of more than 28 KiB.
const teamsSize = 24 << 10

// teamsBody returns a message as an Adaptive Card, as the workflow "Send webhook alerts to a channel" takes it.
func teamsBody(m *Message) ([]byte, error) {
	card := teamsCard{Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4",
		FallbackText: cut(m.Title, 500)}
	card.MSTeams.Width = "Full"
	size := 0
	add := func(separator bool, runs ...teamsRun) {
		for i := range runs {
			runs[i].Type = "TextRun"
		}
		text := teamsText{"RichTextBlock", separator, runs}
		b, _ := json.Marshal(text) // nothing in it cannot be
		if size > teamsSize {
			return
		}
		if size += len(b); size > teamsSize {
			text = teamsText{"RichTextBlock", true, []teamsRun{{Type: "TextRun", Text: "… and more than fits here"}}}
		}
		card.Body = append(card.Body, text)
	}
	color := map[Phase]string{Started: "Attention", Ongoing: "Warning", Ended: "Good"}[m.Phase]
	if m.Cluster != "" {
		add(false, teamsRun{Text: oneLine(m.Cluster), Weight: "Bolder"})
	}
	for i := range m.Groups {
		g := &m.Groups[i]
		add(i > 0, teamsRun{Text: cut(g.title(), 500), Weight: "Bolder", Size: "Medium", Color: color})
		for _, fact := range g.facts(utc) {
			add(false, teamsRun{Text: fact[0] + ": ", Weight: "Bolder"}, teamsRun{Text: fact[1]})
		}
		for i, line := range g.lines() {
			add(false, teamsRun{Text: line, FontType: "Monospace"}, teamsRun{Text: " " + g.Fights[i].ID})
		}
		if g.More > 0 {
			add(false, teamsRun{Text: fmt.Sprintf("and %d more", g.More)})
		}
	}
	if m.MoreGroups > 0 {
		add(true, teamsRun{Text: "and " + plural(m.MoreGroups, "more group")})
	}
	if d := m.Changes; d != nil {
		add(false, teamsRun{Text: m.Title, Weight: "Bolder", Size: "Medium"})
		for i := range d.Items {
			add(false, teamsRun{Text: d.Items[i].line()})
		}
		if d.More > 0 {
			add(false, teamsRun{Text: fmt.Sprintf("and %d more", d.More)})
		}
		if d.Replica != "" {
			add(false, teamsRun{Text: "as seen by " + d.Replica})
		}
	}
	return json.Marshal(teamsMessage{"message", []teamsAttachment{{"application/vnd.microsoft.card.adaptive", card}}})
}
