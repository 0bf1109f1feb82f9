package replay

import (
	"fmt"
	"slices"
	"sort"
	"time"
)

// Result is how a story went, and whether that is what it expects. Its JSON is one line of truce replay -o json.
type Result struct {
	ID               string   `json:"id"`
	Visible          string   `json:"visible"`
	Expect           string   `json:"expect"`
	Verdict          string   `json:"verdict"`
	Fields           []string `json:"fields"`           // named by verdicts of that kind, in the order of the alphabet
	Parties          []string `json:"parties"`          // the story's writers they name, in the order of the story
	FlaggedAtSeconds *float64 `json:"flaggedAtSeconds"` // virtual time from step 1; null if nothing was flagged
	Writes           int      `json:"writes"`
	Stored           int      `json:"stored"`
	Warned           int      `json:"warned"`
	Denied           int      `json:"denied"`
	Held             int      `json:"held"`
	OK               bool     `json:"ok"`
	Why              []string `json:"-"` // what was expected and did not happen; empty if OK
	Failed           int      `json:"-"` // writes that were impossible: the object was there already, or no more
}

// Judge compares what happened with what the story expects. A fight, or a loop, must be flagged with all its fields
// and parties by the story's bound, inclusive; further ones may be named. Without a fight no write may be denied or
// held, and where nothing is expected nothing may be said at all.
func Judge(s *Story, r Record) Result {
	out := Result{
		ID: s.ID, Visible: s.Visible, Expect: s.Expect.Verdict, Verdict: VerdictNone,
		Fields: []string{}, Parties: []string{},
		Writes: r.Writes, Stored: r.Stored, Warned: r.Warned, Denied: r.Denied, Held: r.Held, Failed: r.Failed,
	}
	for _, kind := range []string{VerdictLoop, VerdictFight} {
		if slices.ContainsFunc(r.Flags, func(f Flag) bool { return f.Kind == kind }) {
			out.Verdict = kind
		}
	}
	j := judgement{story: s, result: &out}
	for _, f := range byTime(r.Flags) {
		if f.Kind == out.Verdict {
			j.flag(f)
		}
	}
	sort.Strings(out.Fields)
	slices.SortFunc(out.Parties, func(a, b string) int { return s.order(a) - s.order(b) })
	j.conclude()
	out.OK = len(out.Why) == 0
	return out
}

func (s *Story) order(writer string) int {
	return slices.IndexFunc(s.Writers, func(w Writer) bool { return w.Name == writer })
}

// judgement is a result in the making: when it was first flagged, and every field and party first named.
type judgement struct {
	story   *Story
	result  *Result
	flagged time.Duration
	paths   []flaggedPath
	parties map[string]time.Duration
}

type flaggedPath struct {
	at   time.Duration
	path []segment
}

func (j *judgement) flag(f Flag) {
	r := j.result
	if r.FlaggedAtSeconds == nil {
		seconds := f.At.Seconds()
		r.FlaggedAtSeconds, j.flagged = &seconds, f.At
	}
	if f.Path != "" && !slices.Contains(r.Fields, f.Path) {
		r.Fields = append(r.Fields, f.Path)
		if path, err := parsePath(f.Path); err == nil { // one that nobody can read names nothing
			j.paths = append(j.paths, flaggedPath{f.At, path})
		}
	}
	for _, name := range j.story.parties(f.Party) {
		if !slices.Contains(r.Parties, name) {
			r.Parties = append(r.Parties, name)
			if j.parties == nil {
				j.parties = make(map[string]time.Duration)
			}
			j.parties[name] = f.At
		}
	}
}

func (j *judgement) fail(format string, args ...any) {
	j.result.Why = append(j.result.Why, fmt.Sprintf(format, args...))
}

func (j *judgement) conclude() {
	e, r := j.story.Expect, j.result
	if r.Verdict != VerdictFight && r.Denied+r.Held > 0 {
		j.fail("%d writes denied and %d held without a fight", r.Denied, r.Held)
	}
	if r.Verdict != e.Verdict && (e.Or == "" || r.Verdict != e.Or) {
		j.fail("%s instead of %s%s", r.Verdict, e.Verdict, alternative(e.Or))
		if e.Verdict == VerdictNone {
			j.fail("named %s", list(r.Fields))
		}
		return
	}
	if r.Verdict == VerdictNone {
		if r.Warned > 0 {
			j.fail("%d writes warned about, though nothing was flagged", r.Warned)
		}
		return
	}
	j.bound("flagged", j.flagged)
	for _, field := range e.Fields {
		path, err := parsePath(field)
		if err != nil {
			j.fail("%v", err)
			continue
		}
		i := slices.IndexFunc(j.paths, func(p flaggedPath) bool { return names(path, p.path) })
		if i < 0 {
			j.fail("%s not named", field)
			continue
		}
		j.bound(field+" named", j.paths[i].at)
	}
	for _, party := range e.Parties {
		at, ok := j.parties[party]
		if !ok {
			j.fail("party %s not named", party)
			continue
		}
		j.bound("party "+party+" named", at)
	}
}

func (j *judgement) bound(what string, at time.Duration) {
	if within := j.story.Expect.Within; within > 0 && at > within {
		j.fail("%s after %s, later than %s", what, at, within)
	}
}

func alternative(or string) string {
	if or == "" {
		return ""
	}
	return " or " + or
}
