package replay

import (
	"go.yaml.in/yaml/v3"
)

func (p *parser) parseSteps() {
	n := p.fields["steps"]
	if n == nil {
		return
	}
	at := n
	if n = p.resolve(n); n == nil {
		return
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		p.problem(at, "steps", "must be a list of at least one step")
		return
	}
	if len(n.Content) > maxWrites/p.story.Laps {
		p.problem(at, "steps", "%d steps in %d laps are more than %d writes", len(n.Content), p.story.Laps, maxWrites)
		return
	}
	for i, item := range n.Content {
		p.story.Steps = append(p.story.Steps, p.parseStep(item, index("steps", i)))
	}
}

func (p *parser) parseStep(n *yaml.Node, path string) Step {
	step := Step{Line: n.Line, Op: OpUpdate}
	have := p.members(n, path, "at", "by", "object", "op", "sub", "merge")
	if have == nil {
		return step
	}
	p.required(n, path, have, "at", "by", "object")
	if n := have["at"]; n != nil {
		step.At = p.duration(n, join(path, "at"))
	}
	if n := have["by"]; n != nil {
		step.By = p.text(n, join(path, "by"))
		p.reference(n, join(path, "by"), step.By, "writers", func(name string) bool {
			_, ok := p.story.Writer(name)
			return ok
		})
	}
	if n := have["object"]; n != nil {
		step.Object = p.text(n, join(path, "object"))
		keys := make(map[string]bool, len(p.story.Objects))
		for _, o := range p.story.Objects {
			keys[o.Key] = true
		}
		p.reference(n, join(path, "object"), step.Object, "objects", func(key string) bool { return keys[key] })
	}
	if n := have["op"]; n != nil {
		step.Op = p.choice(n, join(path, "op"), OpUpdate, OpApply, OpCreate, OpDelete)
	}
	if n := have["sub"]; n != nil {
		step.Sub = p.choice(n, join(path, "sub"), SubStatus, SubScale)
		if step.Op == OpCreate || step.Op == OpDelete {
			p.problem(n, join(path, "sub"), "a subresource can be updated or applied, not %sd", step.Op)
		}
	}
	merge := have["merge"]
	switch {
	case merge == nil && step.Op != OpDelete:
		p.problem(n, join(path, "merge"), "is missing; an update that changes nothing is written merge: {}")
	case merge != nil && step.Op == OpDelete:
		p.problem(merge, join(path, "merge"), "a delete writes nothing")
	case merge != nil:
		p.parseMerge(merge, join(path, "merge"), &step)
	}
	return step
}

func (p *parser) parseMerge(n *yaml.Node, path string, step *Step) {
	before := len(p.problems)
	merge, ok := p.value(n, path).(map[string]any)
	if len(p.problems) > before {
		return
	}
	if !ok {
		p.problem(n, path, "must be a map")
		return
	}
	step.Merge = merge
	if _, err := expandValue(merge, 0); err != nil {
		p.problem(n, path, "%v", err)
		return
	}
	if step.Op == OpCreate {
		if _, err := identityOf(merge); err != nil {
			p.problem(n, path, "%v", err)
		}
	}
}

// reference checks that text names something that is there in every lap.
func (p *parser) reference(n *yaml.Node, path, text, among string, known func(string) bool) {
	laps := 1
	if isDynamic(text) && p.laps {
		laps = p.story.Laps
	}
	for lap := range laps {
		name, err := expandText(text, lap)
		if err != nil {
			p.problem(n, path, "%v", err)
			return
		}
		if known(name) {
			continue
		}
		if isDynamic(text) {
			p.problem(n, path, "%q, in lap %d, is none of the %s", name, lap, among)
		} else {
			p.problem(n, path, "%q is none of the %s", name, among)
		}
		return
	}
}
