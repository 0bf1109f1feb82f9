package notify

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/slack-go/slack"
)

// Slack's bounds, in characters, with room for telling that something is left out. Sections are counted in bytes.
const (
	slackHeader  = 150
	slackSection = 2900
)

// slackBody returns a message as Block Kit, for an incoming webhook. Names are no markup: anybody may choose one, and must
// not be able to call a whole channel or to place a link.
func slackBody(m *Message) ([]byte, error) {
	icon := map[Phase]string{Started: "⚔️ ", Ongoing: "⚔️ ", Ended: "🏳️ ", Summary: "📋 "}[m.Phase]
	head := map[Phase]string{Started: "Controllers fight", Ongoing: "Controllers still fight", Ended: "A fight has ended",
		Summary: "What changed"}[m.Phase]
	if m.Cluster != "" {
		head += " in " + oneLine(m.Cluster)
	}
	blocks := []slack.Block{slack.NewHeaderBlock(slack.NewTextBlockObject(slack.PlainTextType, cut(icon+head, slackHeader), true, false))}
	for i := range m.Groups {
		if i > 0 {
			blocks = append(blocks, slack.NewDividerBlock())
		}
		blocks = append(blocks, slackGroup(&m.Groups[i])...)
	}
	if m.MoreGroups > 0 {
		blocks = append(blocks, slack.NewContextBlock("", plain("and "+plural(m.MoreGroups, "more group"))))
	}
	if m.Changes != nil {
		blocks = append(blocks, slackDigest(m)...)
	}
	unfurl := false
	return json.Marshal(&slack.WebhookMessage{
		Text:   escape(cut(m.Title, slackSection)), // for notifications and screen readers
		Blocks: &slack.Blocks{BlockSet: blocks}, UnfurlLinks: &unfurl, UnfurlMedia: &unfurl,
	})
}

func slackGroup(g *Group) []slack.Block {
	var fields []*slack.TextBlockObject
	for _, fact := range g.facts(slackTime) {
		value := fact[1]
		if !strings.HasPrefix(value, "<!date") {
			value = escape(value)
		}
		fields = append(fields, mrkdwn("*"+fact[0]+"*\n"+value))
	}
	var b strings.Builder
	more := g.More
	for i, line := range g.lines() {
		line = fmt.Sprintf("• `%s` %s\n", escape(cut(line, 200)), g.Fights[i].ID)
		if b.Len()+len(line) > slackSection {
			more++
			continue
		}
		b.WriteString(line)
	}
	if more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	return []slack.Block{
		slack.NewSectionBlock(plain(cut(g.title(), 600)), fields, nil),
		slack.NewSectionBlock(mrkdwn(b.String()), nil, nil),
	}
}

func slackDigest(m *Message) []slack.Block {
	var parts []string
	var b strings.Builder
	for i := range m.Changes.Items {
		line := "• " + m.Changes.Items[i].line() + "\n"
		if b.Len()+len(line) > slackSection {
			parts = append(parts, b.String())
			b.Reset()
		}
		b.WriteString(line)
	}
	if m.Changes.More > 0 {
		fmt.Fprintf(&b, "and %d more\n", m.Changes.More)
	}
	parts = append(parts, b.String())
	blocks := []slack.Block{slack.NewSectionBlock(plain(m.Title), nil, nil)}
	for _, part := range parts {
		if part != "" {
			blocks = append(blocks, slack.NewSectionBlock(plain(part), nil, nil))
		}
	}
	if m.Changes.Replica != "" {
		blocks = append(blocks, slack.NewContextBlock("", plain("as seen by "+m.Changes.Replica)))
	}
	return blocks
}

// mrkdwn is text of which Slack makes nothing that is not written out: no links of what looks like one.
func mrkdwn(text string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, text, false, true)
}

// plain is text in which nothing is markup: names are in such text only, or in code. Slack does not say what becomes of
// angle brackets in it, which elsewhere call a channel, so there are none.
func plain(text string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, strings.NewReplacer("<", "‹", ">", "›").Replace(text), false, false)
}

var slackEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "ˋ")

// escape keeps text in Slack's markup from being a link or a mention, and from ending the code that it may stand in.
func escape(s string) string { return slackEscaper.Replace(s) }

// slackTime is a time that each reader sees in their own zone.
func slackTime(t time.Time) string {
	return fmt.Sprintf("<!date^%d^{date_short_pretty} {time_secs}|%s>", t.Unix(), utc(t))
}

// cut shortens text to at most n runes.
func cut(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}
