package replay

import (
	"time"

	"go.yaml.in/yaml/v3"
)

func (p *parser) parseExpect() {
	n := p.fields["expect"]
	if n == nil {
		return
	}
	e := &p.story.Expect
	have := p.members(n, "expect", "verdict", "fields", "parties", "within", "or")
	p.required(n, "expect", have, "verdict")
	if n := have["verdict"]; n != nil {
		e.Verdict = p.choice(n, "expect.verdict", VerdictFight, VerdictLoop, VerdictNone)
	}
	if n := have["or"]; n != nil {
		e.Or = p.choice(n, "expect.or", VerdictFight, VerdictLoop, VerdictNone)
	}
	if n := have["fields"]; n != nil {
		e.Fields = p.texts(n, "expect.fields")
		for i, field := range e.Fields {
			if _, err := parsePath(field); err != nil {
				p.problem(n, index("expect.fields", i), "%v", err)
			}
		}
	}
	if n := have["parties"]; n != nil {
		e.Parties = p.texts(n, "expect.parties")
		for i, name := range e.Parties {
			if _, ok := p.story.Writer(name); !ok {
				p.problem(n, index("expect.parties", i), "%q is none of the writers", name)
			}
		}
	}
	if n := have["within"]; n != nil {
		e.Within = p.duration(n, "expect.within")
	}
	if e.Or != "" && e.Or == e.Verdict {
		p.problem(have["or"], "expect.or", "is the verdict itself; leave it out")
	}
	switch {
	case e.Verdict == VerdictFight || e.Verdict == VerdictLoop:
		if have["within"] == nil || e.Within == 0 {
			p.problem(n, "expect.within", "must say by when a %s is to be flagged", e.Verdict)
		}
		if len(e.Parties) == 0 {
			p.problem(n, "expect.parties", "must name at least one party of a %s", e.Verdict)
		}
	case e.Verdict == VerdictNone && (len(e.Fields) > 0 || len(e.Parties) > 0 || e.Within > 0):
		p.problem(n, "expect", "a story in which nothing need be flagged has no fields, parties or within")
	}
}

func (p *parser) parseRepeat() {
	p.laps = true
	n := p.fields["repeat"]
	if n == nil {
		return
	}
	before := len(p.problems)
	have := p.members(n, "repeat", "times", "every")
	p.required(n, "repeat", have, "times")
	if n := have["times"]; n != nil {
		times, ok := p.value(n, "repeat.times").(int64)
		if !ok || times < 1 || times > maxWrites {
			p.problem(n, "repeat.times", "must be a whole number from 1 to %d", maxWrites)
		} else {
			p.story.Laps = int(times)
		}
	}
	if n := have["every"]; n != nil {
		p.story.Every = p.duration(n, "repeat.every")
	}
	if p.story.Laps > 1 && p.story.Every == 0 {
		p.problem(n, "repeat.every", "must say how far apart laps start")
	}
	if p.story.Every > maxTime/time.Duration(p.story.Laps) {
		p.problem(n, "repeat", "lasts longer than %d days", maxTime/(24*time.Hour))
	}
	p.laps = len(p.problems) == before
}

// duration decodes a length of time, as in 90s, 1m6400ms, 11h42s.
func (p *parser) duration(n *yaml.Node, path string) time.Duration {
	before := len(p.problems)
	s := p.text(n, path)
	if len(p.problems) > before {
		return 0
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		p.problem(n, path, "%q is no length of time; write it as in 90s, 1m6400ms or 11h42s", s)
	case d < 0:
		p.problem(n, path, "must not be negative")
	case d > maxTime:
		p.problem(n, path, "must be at most %d days", maxTime/(24*time.Hour))
	}
	return min(max(d, 0), maxTime)
}
