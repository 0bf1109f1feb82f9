package policy

import "slices"

// Policy is a policy file made ready for use. It never changes and is safe for concurrent use.
type Policy struct {
	// File is what the policy was made of, with all defaults filled in. It must not be changed.
	File File

	rules            []CompiledRule
	ruleIndex        resourceIndex
	looks            []compiledLookAlike
	lookIndex        resourceIndex
	exempt           writers
	people           people
	exemptNamespaces wildcards
	needsLabels      bool
}

// CompiledRule is a rule made ready for use.
type CompiledRule struct {
	// Rule is the rule as written, with all defaults filled in: no count is nil.
	Rule
	// Index is the rule's place among the policy's rules, from 0.
	Index int

	resources, excludeResources   []resourcePattern
	namespaces, excludeNamespaces wildcards
	selector                      selector
	fields, excludeFields         fields
	prefer                        writers
}

// compiledLookAlike is a look-alike made ready for use.
type compiledLookAlike struct {
	fields  fields
	writers writers
	anyone  bool // no writers are given
	silent  Silence
}

// compile makes a Policy of a file that validates and has its defaults.
func compile(f *File) *Policy {
	p := &Policy{
		File:             *f,
		rules:            make([]CompiledRule, len(f.Rules)),
		exempt:           newWriters(Writers{Users: f.Exempt.Users, Groups: f.Exempt.Groups, Managers: f.Exempt.Managers}),
		exemptNamespaces: newWildcards(f.Exempt.Namespaces),
		people:           newPeople(f.People),
	}
	for i := range f.Rules {
		p.rules[i] = compileRule(&f.Rules[i], i)
		p.ruleIndex.add(p.rules[i].resources, i)
		p.needsLabels = p.needsLabels || len(p.rules[i].selector) > 0
	}
	for i, l := range f.silences() {
		c := compiledLookAlike{fields: newFields(l.Fields), writers: newWriters(l.Writers), silent: l.Silent}
		c.anyone = c.writers.none()
		p.looks = append(p.looks, c)
		p.lookIndex.add(newResources(l.Resources), i)
	}
	return p
}

func compileRule(r *Rule, index int) CompiledRule {
	c := CompiledRule{
		Rule:              *r,
		Index:             index,
		resources:         newResources(r.Match.Resources),
		excludeResources:  newResources(r.Match.ExcludeResources),
		namespaces:        newWildcards(r.Match.Namespaces),
		excludeNamespaces: newWildcards(r.Match.ExcludeNamespaces),
		fields:            newFields(r.Match.Fields),
		excludeFields:     newFields(r.Match.ExcludeFields),
		prefer:            newWriters(r.Prefer),
	}
	c.selector, _ = parseSelector(r.Match.Selector)
	return c
}

// silences returns the look-alikes that f means: the presets it chose, but for those it defines itself, and its own.
func (f *File) silences() []LookAlike {
	var all []LookAlike
	for _, preset := range presets() {
		own := slices.ContainsFunc(f.LookAlikes, func(l LookAlike) bool { return l.Name == preset.Name })
		if !own && slices.Contains(f.Presets, preset.Name) {
			all = append(all, preset)
		}
	}
	return append(all, f.LookAlikes...)
}

// NeedsLabels reports whether some rule selects objects by label, so that Target.Label matters.
func (p *Policy) NeedsLabels() bool { return p.needsLabels }

// Rules returns the rules in order. They must not be changed.
func (p *Policy) Rules() []CompiledRule { return p.rules }
