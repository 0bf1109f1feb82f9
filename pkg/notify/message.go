package notify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

// Phase is what a message is about: one of a closed set.
type Phase string

// The phases.
const (
	Started Phase = "Started" // fights that were not told of yet
	Ongoing Phase = "Ongoing" // they go on
	Ended   Phase = "Ended"
	Summary Phase = "Changes" // what changed lately
)

// Message is what a receiver is told at a time. It never holds the value of a field. It is what templates see, and the
// data of CloudEvents.
type Message struct {
	// Key is the same in all replicas for the same thing told within the same ten minutes: what a receiver can tell
	// repetitions by.
	Key   string    `json:"key"`
	Phase Phase     `json:"phase"`
	Time  time.Time `json:"time"`
	// Cluster is the cluster's name, if the file gives one.
	Cluster string `json:"cluster,omitzero"`
	// Title is one line, Text several.
	Title string `json:"title"`
	Text  string `json:"text"`
	// Groups are the fights, by who fights: one, but in chats, where those that are due together are one message.
	// MoreGroups is how many are left out there.
	Groups     []Group `json:"groups,omitzero"`
	MoreGroups int     `json:"moreGroups,omitzero"`
	// Changes are what changed lately, if that is what the message is about.
	Changes *Digest `json:"changes,omitzero"`
}

// Group is all fights of the same writers.
type Group struct {
	// ID is the same in all replicas, and for all fights ever of these writers.
	ID      string          `json:"id"`
	Phase   Phase           `json:"phase"`
	Kind    string          `json:"kind"`
	Parties []report.Writer `json:"parties"`
	// Objects is how many objects are fought over; Resource is theirs, if they have the same.
	Objects  int    `json:"objects"`
	Resource string `json:"resource,omitzero"`
	// Fights are the fastest of them, at most 10; More is how many are left out.
	Fights []report.Fight `json:"fights"`
	More   int            `json:"more,omitzero"`
	// The sums and bounds of all of them.
	Since         time.Time        `json:"since"`
	LastSeen      time.Time        `json:"lastSeen"`
	Ended         time.Time        `json:"ended,omitzero"`
	Until         time.Time        `json:"until,omitzero"`
	RatePerMinute float64          `json:"ratePerMinute"`
	Reversals     int              `json:"reversals"`
	Writes        int              `json:"writes"`
	Prevented     report.Prevented `json:"prevented"`
	// Doing is what Truce does about it, in a sentence.
	Doing string `json:"doing"`
}

// maxListed is how many fights of a group are listed.
const maxListed = 10

// partiesOf returns who fights, apart from the pods: a controller that starts anew is the same one.
func partiesOf(f *report.Fight) []report.Writer {
	all := make([]report.Writer, len(f.Parties))
	for i, w := range f.Parties {
		all[i] = report.Writer{User: w.User, Manager: w.Manager}
	}
	slices.SortFunc(all, func(a, b report.Writer) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Manager, b.Manager))
	})
	return slices.Compact(all)
}

// groupID names all fights of a kind between the same writers.
func groupID(kind string, parties []report.Writer) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", kind)
	for _, w := range parties {
		fmt.Fprintf(h, "%q%q", w.User, w.Manager)
	}
	return "g-" + hex.EncodeToString(h.Sum(nil)[:6])
}

// newGroup sums fights up. There is at least one.
func newGroup(id string, phase Phase, fights []report.Fight) Group {
	fights = slices.Clone(fights)
	slices.SortFunc(fights, func(a, b report.Fight) int {
		return cmp.Or(cmp.Compare(b.RatePerMinute, a.RatePerMinute), cmp.Compare(a.ID, b.ID))
	})
	first := &fights[0]
	g := Group{
		ID: id, Phase: phase, Kind: first.Kind, Parties: partiesOf(first), Since: first.FirstSeen,
		Resource: resourceOf(first.Object),
	}
	objects := map[report.Object]bool{}
	for i := range fights {
		f := &fights[i]
		objects[f.Object] = true
		if resourceOf(f.Object) != g.Resource {
			g.Resource = ""
		}
		if f.FirstSeen.Before(g.Since) {
			g.Since = f.FirstSeen
		}
		g.LastSeen, g.Ended, g.Until = later(g.LastSeen, f.LastSeen), later(g.Ended, f.Ended), later(g.Until, f.Until)
		g.RatePerMinute += f.RatePerMinute
		g.Reversals += f.Reversals
		g.Writes += f.Writes
		g.Prevented.Throttled += f.Prevented.Throttled
		g.Prevented.Rejected += f.Prevented.Rejected
		g.Prevented.Held += f.Prevented.Held
	}
	if phase != Ended {
		g.Ended = time.Time{}
	}
	g.Objects = len(objects)
	g.Doing = doing(fights, phase)
	g.Fights = fights[:min(len(fights), maxListed)]
	g.More = len(fights) - len(g.Fights)
	for i := range g.Fights {
		g.Fights[i].Turns = nil // the whole story is for the API to tell
	}
	return g
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// resourceOf returns a resource with its group, as in ingresses.networking.k8s.io.
func resourceOf(o report.Object) string {
	if o.Group == "" {
		return o.Resource
	}
	return o.Resource + "." + o.Group
}

// doing says what Truce does about fights; if they differ, the gravest.
func doing(fights []report.Fight, phase Phase) string {
	f := &fights[0]
	for i := range fights {
		if other := &fights[i]; gravity(other) > gravity(f) {
			f = other
		}
	}
	switch {
	case f.ObservedOnly:
		return "Nothing can be done about it here: admission never sees these writes."
	case f.Kind == "loop":
		return "Nothing: nobody is undone."
	case phase == Ended:
		return "Nothing is stopped any more."
	case f.Mode != policy.Enforce:
		return fmt.Sprintf("Nothing is stopped in mode %s; Enforce would %s.", f.Mode, would[f.Action])
	case f.State == report.Probing:
		return "One change was let through; if nobody undoes it, the fight is over."
	}
	return does[f.Action]
}

var (
	would = map[policy.Action]string{
		policy.ActionWarn: "warn the writers", policy.ActionThrottle: "throttle their writes",
		policy.ActionReject: "reject their writes", policy.ActionHold: "hold the field at its stored value",
	}
	does = map[policy.Action]string{
		policy.ActionWarn: "The writers are warned, nothing is stopped.", policy.ActionThrottle: "Their writes are throttled.",
		policy.ActionReject: "Their writes are rejected.", policy.ActionHold: "The field is held at its stored value.",
	}
)

func gravity(f *report.Fight) int {
	n := slices.Index([]policy.Action{policy.ActionWarn, policy.ActionThrottle, policy.ActionReject, policy.ActionHold}, f.Action)
	if f.Mode == policy.Enforce {
		n += 10
	}
	if f.State == report.Open {
		n += 5
	}
	if f.ObservedOnly {
		n -= 100
	}
	return n
}

// who names writers for people.
func who(parties []report.Writer) string {
	names := make([]string, len(parties))
	for i, w := range parties {
		names[i] = short(w)
	}
	switch len(names) {
	case 0:
		return "unknown writers"
	case 1:
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// short names a writer in a title: a service account without what all have in common.
func short(w report.Writer) string {
	user := strings.TrimPrefix(w.User, "system:serviceaccount:")
	switch {
	case user == "" && w.Manager == "":
		return "an unknown writer"
	case user == "":
		return oneLine(w.Manager)
	case w.Manager == "":
		return oneLine(user)
	}
	return oneLine(user + " (" + w.Manager + ")")
}

// oneLine makes a name that anybody may have chosen fit for a line.
func oneLine(s string) string {
	const enough = 120
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if runes := []rune(s); len(runes) > enough {
		s = string(runes[:enough-1]) + "…"
	}
	return s
}

// title says what a group is about in one line.
func (g *Group) title() string {
	what := plural(g.Objects, "object")
	if g.Resource != "" {
		what = g.Resource
		if g.Objects > 1 {
			what = fmt.Sprintf("%d %s", g.Objects, g.Resource)
		} else if g.Objects == 1 {
			what = oneLine(name(g.Fights[0].Object))
		}
	}
	verb := map[bool]map[Phase]string{
		false: {Started: "fight over", Ongoing: "still fight over", Ended: "no longer fight over"},
		true:  {Started: "fights with itself over", Ongoing: "still fights with itself over", Ended: "no longer fights with itself over"},
	}[len(g.Parties) == 1][g.Phase]
	if g.Kind == "loop" {
		verb = map[Phase]string{Started: "writes again and again to", Ongoing: "still writes again and again to",
			Ended: "no longer writes again and again to"}[g.Phase]
	}
	return who(g.Parties) + " " + verb + " " + what
}

// name names an object with its namespace, as in ingresses.networking.k8s.io/shop/web.
func name(o report.Object) string {
	if o.Namespace == "" {
		return o.String()
	}
	return resourceOf(o) + "/" + o.Namespace + "/" + o.Name
}

// facts are what is known of a group, in the order in which it matters.
func (g *Group) facts(clock func(time.Time) string) [][2]string {
	count := plural(g.Writes, "write")
	if g.Reversals > 0 {
		count += ", " + plural(g.Reversals, "reversal")
	}
	facts := [][2]string{{"Since", clock(g.Since)}}
	if g.Phase == Ended {
		facts = append(facts, [2]string{"Ended", clock(g.Ended)}, [2]string{"In all", count})
	} else {
		facts = append(facts, [2]string{"How fast", perMinute(g.RatePerMinute) + " writes a minute lately; " + count + " so far"},
			[2]string{"What Truce does", g.Doing})
		if !g.Until.IsZero() {
			facts = append(facts, [2]string{"Until", clock(g.Until)})
		}
	}
	if g.Prevented.Total() > 0 {
		p := g.Prevented
		facts = append(facts, [2]string{"Not stored", fmt.Sprintf("%d held, %d rejected, %d throttled", p.Held, p.Rejected, p.Throttled)})
	}
	return facts
}

// perMinute writes a rate as exactly as anybody wants to know it.
func perMinute(rate float64) string {
	if rate >= 10 {
		return fmt.Sprintf("%.0f", rate)
	}
	return fmt.Sprintf("%.1f", rate)
}

// lines name the fights of a group.
func (g *Group) lines() []string {
	var lines []string
	for i := range g.Fights {
		f := &g.Fights[i]
		line := name(f.Object)
		if f.Field != "" {
			line += " " + f.Field
		}
		lines = append(lines, oneLine(line))
	}
	return lines
}

func (g *Group) text() string {
	var b strings.Builder
	fmt.Fprintln(&b, g.title())
	for _, fact := range g.facts(utc) {
		fmt.Fprintf(&b, "%s: %s\n", fact[0], fact[1])
	}
	for i, line := range g.lines() {
		fmt.Fprintf(&b, "- %s [%s]\n", line, g.Fights[i].ID)
	}
	if g.More > 0 {
		fmt.Fprintf(&b, "and %d more\n", g.More)
	}
	return b.String()
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// keySpan is the time in which the same thing has the same key: that of replicas that find it out one after the other.
const (
	keySpan = 10 * time.Minute
	keyTime = "2006-01-02T15:04Z"
)

// maxTogether is how many groups one message tells of in full.
const maxTogether = 8

// about returns the message about groups, of which there is at least one.
func about(groups []Group, cluster string, now time.Time) Message {
	m := Message{Phase: groups[0].Phase, Time: now.UTC().Truncate(time.Millisecond), Cluster: cluster, Title: groups[0].title()}
	if n := len(groups) - 1; n > 0 {
		m.Title += ", and " + plural(n, "more group")
	}
	m.Key = fmt.Sprintf("%s/%s/%s", groups[0].ID, m.Phase, now.UTC().Truncate(keySpan).Format(keyTime))
	m.Groups = groups[:min(len(groups), maxTogether)]
	m.MoreGroups = len(groups) - len(m.Groups)
	texts := make([]string, len(m.Groups))
	for i := range m.Groups {
		texts[i] = m.Groups[i].text()
	}
	m.Text = strings.Join(texts, "\n")
	if m.MoreGroups > 0 {
		m.Text += fmt.Sprintf("\nand %s\n", plural(m.MoreGroups, "more group"))
	}
	return m
}
