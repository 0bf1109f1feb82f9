// Package variant makes other stories of the same kind out of a story: other times, names and bystanders, but the same
// incident. Rules that are right hold for them as well; rules that are tuned to the stories at hand do not. It is for
// tests.
package variant

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/truce-dev/truce/pkg/replay"
)

// Options say what is different. The zero value gives the same story, its laps written out. The same options give the
// same variant.
type Options struct {
	Seed uint64
	// Jitter moves every write by up to this share of the time to its neighbours, from 0 to 0.49: their order stays.
	Jitter float64
	// Pace multiplies every time; 0 is 1. A slower story may be flagged later in proportion, a faster one need not be
	// flagged earlier.
	Pace float64
	// Names renames namespaces and objects. Those of the cluster itself (kube-…, nodes) stay.
	Names bool
	// Keys moves the keys of annotations, labels and the like to other domains; what follows the / stays.
	Keys bool
	// Writers renames service accounts, field managers and pods. People and the cluster's own components stay.
	Writers bool
	// Noise adds this many writes of bystanders: each sets a new annotation once, on one of the story's objects.
	Noise int
}

// Of returns a variant of s, which stays as it is. It fails where playing s would.
func Of(s *replay.Story, o Options) (*replay.Story, error) {
	v := *s
	v.Laps, v.Every, v.Steps = 1, 0, nil
	err := s.Writes(func(w replay.Write) error {
		step := *w.Step
		step.At, step.By, step.Object, step.Merge = w.At, w.Writer.Name, w.Object, w.Merge
		v.Steps = append(v.Steps, step)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("writing out the laps of %s: %w", s.ID, err)
	}
	v.Objects, v.Writers = slices.Clone(s.Objects), slices.Clone(s.Writers)
	v.Expect.Fields = slices.Clone(s.Expect.Fields)
	m := maker{Options: o, story: &v, random: rand.New(rand.NewPCG(o.Seed, 0)), mark: mark(o.Seed, s.ID)}
	m.noise()
	m.jitter()
	m.pace()
	m.rename()
	return &v, nil
}

// mark returns a short text, good for a DNS label, that differs from seed to seed.
func mark(seed uint64, text string) string {
	h := fnv.New32a()
	fmt.Fprint(h, seed, text)
	return "v" + strconv.FormatUint(uint64(h.Sum32()%(36*36*36*36)), 36)
}

type maker struct {
	Options
	story  *replay.Story
	random *rand.Rand
	mark   string
}

func (m *maker) jitter() {
	steps := m.story.Steps
	if m.Jitter == 0 || len(steps) < 2 {
		return
	}
	share := min(m.Jitter, 0.49)
	was := make([]time.Duration, len(steps))
	for i, step := range steps {
		was[i] = step.At
	}
	for i := range steps {
		if shift := (2*m.random.Float64() - 1) * share; shift < 0 && i > 0 {
			steps[i].At += time.Duration(shift * float64(was[i]-was[i-1]))
		} else if shift > 0 && i+1 < len(steps) {
			steps[i].At += time.Duration(shift * float64(was[i+1]-was[i]))
		}
	}
}

func (m *maker) pace() {
	if m.Pace == 0 {
		return
	}
	for i := range m.story.Steps {
		m.story.Steps[i].At = time.Duration(m.Pace * float64(m.story.Steps[i].At))
	}
	if m.Pace > 1 {
		m.story.Expect.Within = time.Duration(m.Pace * float64(m.story.Expect.Within))
	}
}

func (m *maker) noise() {
	s := m.story
	var calm []string // objects that are there all the time
	for _, o := range s.Objects {
		comesAndGoes := func(step replay.Step) bool {
			return step.Object == o.Key && (step.Op == replay.OpCreate || step.Op == replay.OpDelete)
		}
		if o.State != nil && !slices.ContainsFunc(s.Steps, comesAndGoes) {
			calm = append(calm, o.Key)
		}
	}
	if m.Noise == 0 || len(calm) == 0 || len(s.Steps) == 0 {
		return
	}
	s.Writers = append(s.Writers,
		replay.Writer{Name: "bystander-1", User: "system:serviceaccount:platform:inventory"},
		replay.Writer{Name: "bystander-2", User: "system:serviceaccount:platform:billing", Manager: "billing-agent"})
	first, last := s.Steps[0].At, s.Steps[len(s.Steps)-1].At
	for i := range m.Noise {
		key := fmt.Sprintf("bystander.example.net/seen-%d", i)
		s.Steps = append(s.Steps, replay.Step{
			At:     first + time.Duration(m.random.Int64N(int64(last-first)+1)),
			By:     s.Writers[len(s.Writers)-1-i%2].Name,
			Object: calm[m.random.IntN(len(calm))],
			Op:     replay.OpUpdate,
			Merge:  map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: "yes"}}},
		})
	}
	slices.SortStableFunc(s.Steps, func(a, b replay.Step) int { return int(min(max(a.At-b.At, -1), 1)) })
}

func (m *maker) rename() {
	s := m.story
	for i, o := range s.Objects {
		if o.State != nil {
			s.Objects[i].State = m.object(o.State)
		}
	}
	for i, step := range s.Steps {
		if step.Merge != nil {
			s.Steps[i].Merge = m.object(step.Merge)
		}
	}
	if m.Keys {
		for i, field := range s.Expect.Fields {
			s.Expect.Fields[i] = bracketed.ReplaceAllStringFunc(field, func(key string) string {
				return "[" + m.key(key[1:len(key)-1]) + "]"
			})
		}
	}
	if m.Writers {
		for i := range s.Writers {
			m.writer(&s.Writers[i])
		}
	}
}

// bracketed finds the keys in brackets of a field path, leaving out selectors of list elements.
var bracketed = regexp.MustCompile(`\[[^\]=*]+\]`)

func (m *maker) object(o map[string]any) map[string]any {
	out, _ := m.value(o).(map[string]any)
	metadata, ok := out["metadata"].(map[string]any)
	if !ok || !m.Names {
		return out
	}
	for _, key := range []string{"namespace", "name", "generateName"} {
		name, ok := metadata[key].(string)
		inCluster := strings.HasPrefix(name, "kube-") || key != "namespace" && out["kind"] == "Node"
		if ok && !inCluster {
			metadata[key] = m.mark + "-" + name
		}
	}
	return out
}

// value copies v, with the domains of keys changed if they are to be.
func (m *maker) value(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[m.key(key)] = m.value(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = m.value(item)
		}
		return out
	}
	return v
}

func (m *maker) key(key string) string {
	domain, name, ok := strings.Cut(key, "/")
	if !m.Keys || !ok || !strings.Contains(domain, ".") {
		return key
	}
	return mark(m.Seed, domain) + ".example.org/" + name
}

func (m *maker) writer(w *replay.Writer) {
	account, ok := strings.CutPrefix(w.User, "system:serviceaccount:")
	if !ok || strings.HasPrefix(account, "kube-") {
		return
	}
	namespace, name, _ := strings.Cut(account, ":")
	w.User = "system:serviceaccount:" + m.mark + "-" + namespace + ":" + m.mark + "-" + name
	if w.Manager != "" && !strings.HasPrefix(w.Manager, "kubectl") {
		w.Manager = m.mark + "-" + w.Manager
	}
	extra := make(map[string][]string, len(w.Extra))
	for key, values := range w.Extra {
		for _, value := range values {
			extra[key] = append(extra[key], m.mark+"-"+value)
		}
	}
	w.Extra = extra
}
