package history

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// player reads a script of random bytes.
type player struct {
	t      *testing.T
	script []byte
	told   []func() string
	now    time.Time
	rv     uint64
	object *Object
	model  *modelObject
}

var (
	scriptPaths  = []string{replicas, signature, Exists, "data[key]"}
	scriptValues = []Value{Absent, Present, 11, 12, 13}
	scriptUsers  = []Writer{
		{}, {"u", "", ""}, {"u", "m", ""}, {"u", "n", ""}, {"v", "m", "p"}, {"", "m", ""}, {"u", "m", "p"},
	}
	scriptFlags = []Flags{0, 0, ByPerson, Owner, OrderOnly | Clock, ^Flags(0)}
	scriptUIDs  = []string{"", "a", "a", "a", "a", "a", "a", "b"}
	// Around each threshold, and back in time.
	scriptTimes = []time.Duration{
		0, time.Millisecond, 99 * time.Millisecond, time.Millisecond, 100 * time.Millisecond, time.Second,
		10 * time.Second, 10*time.Second + time.Millisecond, time.Minute, modelMemory, modelMemory + time.Millisecond,
		-time.Millisecond, -time.Second, -time.Minute, -2 * time.Hour, 2 * time.Hour,
	}
)

// next returns a number below n out of the script.
func (p *player) next(n int) int {
	if len(p.script) == 0 {
		return 0
	}
	b := p.script[0]
	p.script = p.script[1:]
	return int(b) % n
}

// value returns a value that a field can have.
func (p *player) value(path string) Value {
	if path == Exists {
		return Value(p.next(2))
	}
	return pick(p, scriptValues)
}

func pick[T any](p *player, from []T) T { return from[p.next(len(from))] }

// tell notes what is done, for the story that a failure tells.
func (p *player) tell(format string, args ...any) {
	p.told = append(p.told, func() string { return fmt.Sprintf(format, args...) })
}

func (p *player) fail(format string, args ...any) {
	p.t.Helper()
	var b strings.Builder
	for _, line := range p.told {
		fmt.Fprintf(&b, "\t%s\n", line())
	}
	p.t.Fatalf("after\n%s"+format, append([]any{b.String()}, args...)...)
}

func (p *player) play() {
	switch p.next(12) {
	case 0:
		p.now = p.now.Add(pick(p, scriptTimes))
		p.tell("clock: %v", p.now.Sub(t0))
	case 1:
		p.roundTrip()
	case 2:
		p.object = p.object.Clone()
		p.tell("clone")
	case 3:
		by := pick(p, scriptUsers)
		p.tell("noop by %v", by)
		p.object.Noop(p.now, by)
		p.model.noop(p.now, by)
	case 4:
		p.fight()
	default:
		p.request()
	}
}

func (p *player) roundTrip() {
	b := encode(p.t, p.object)
	got := &Object{bounds: p.object.bounds}
	if err := got.UnmarshalBinary(b); err != nil {
		p.fail("a round trip fails: %v", err)
	}
	if again := encode(p.t, got); !bytes.Equal(b, again) {
		p.fail("encoded as\n%x\nand after decoding as\n%x", b, again)
	}
	p.object = got
	p.tell("round trip")
}

func (p *player) fight() {
	if len(p.model.fields) == 0 {
		return
	}
	i := p.next(len(p.model.fields))
	m, f := p.model.fields[i], &p.object.Fields()[i]
	if m.fight {
		p.tell("the fight over %s ends", m.path)
		f.End(p.now)
		m.fight, m.ended = false, p.now
		return
	}
	p.tell("a fight over %s", m.path)
	f.Fight, m.fight = &Fight{Phase: Open, Since: t0}, true
}

func (p *player) request() {
	p.now = p.now.Add(pick(p, scriptTimes[:8]))
	version := p.rv
	switch p.next(8) {
	case 0: // the same again
	case 1:
		version--
	case 2:
		version = 0
	default:
		p.rv++
		version = p.rv
	}
	r := Request{Now: p.now, UID: pick(p, scriptUIDs), Version: version}
	if p.next(4) == 0 {
		r.ID = fmt.Sprint("request-", p.next(3))
	}
	got, want := p.object.Begin(r), p.model.begin(r)
	p.tell("request at %v: id %q, uid %q, version %d", p.now.Sub(t0), r.ID, r.UID, r.Version)
	if got != want {
		p.fail("standing %d, want %d", got, want)
	}
	if got != Current {
		return
	}
	first, n := p.next(len(scriptPaths)), 1+p.next(2)
	for i := range n {
		p.settle(scriptPaths[(first+i)%len(scriptPaths)])
	}
	by, deny := pick(p, scriptUsers), p.next(4) == 0
	var retract []func()
	for i := range n {
		path := scriptPaths[(first+i)%len(scriptPaths)]
		m := p.model.field(path)
		if m == nil || p.next(8) == 0 {
			continue
		}
		v, flags := p.value(path), pick(p, scriptFlags)
		p.tell("%v proposes %s: %d, flags %b, denied %v", by, path, v, flags, deny)
		a := p.object.Propose(p.now, p.object.Field([]byte(path)), v, by, flags)
		undo := p.model.propose(p.now, m, v, by, flags&callers)
		retract = append(retract, func() { p.object.Retract(a); undo() })
	}
	for i := len(retract) - 1; deny && i >= 0; i-- {
		retract[i]()
	}
}

func (p *player) settle(path string) {
	s := Stored{Value: p.value(path)}
	if m := p.model.field(path); m != nil { // mostly what is to be expected
		switch back := p.next(4); {
		case back == 0:
		case back < 3:
			s.Value = m.all[len(m.all)-1].value
		case len(m.all) > 1:
			s.Value = m.all[len(m.all)-2].value
		}
	}
	if p.next(2) == 0 {
		s.Owner = pick(p, scriptUsers)
		s.At = p.now.Add(-pick(p, scriptTimes)).Truncate(time.Second)
	}
	p.tell("settle %s: %d by %v at %v", path, s.Value, s.Owner, s.At.Sub(t0))
	p.object.Settle(p.now, []byte(path), s)
	p.model.settle(p.now, path, s)
}

func (p *player) compare() {
	if got, want := len(p.object.Fields()), len(p.model.fields); got != want {
		p.fail("%d fields, want %d", got, want)
	}
	for i, m := range p.model.fields {
		f := &p.object.Fields()[i]
		if f.Path() != m.path || (f.Fight != nil) != m.fight {
			p.fail("field %d: %s, fight %v; want %s, %v", i, f.Path(), f.Fight != nil, m.path, m.fight)
		}
		want := m.all[m.forgotten:]
		if len(f.States()) != len(want) {
			p.fail("%s: %d states, want %d", m.path, len(f.States()), len(want))
		}
		for j, s := range f.States() {
			flags := m.flags(p.model, m.forgotten+j)
			if s.Value != want[j].value || !s.At().Equal(want[j].at) || p.object.WriterOf(s) != want[j].by ||
				s.flags() != flags {
				p.fail("%s: state %d: %d at %v by %v, flags %b; want %d at %v by %v, flags %b", m.path, j,
					s.Value, s.At(), p.object.WriterOf(s), s.flags(), want[j].value, want[j].at, want[j].by, flags)
			}
		}
		count, span, all, fresh := m.runs()
		if r := f.Run; int(r.Count) != count || r.Span() != span || r.All != all || r.Fresh != fresh {
			p.fail("%s: run of %d in %v, flags %b, fresh %v; want %d in %v, %b, %v", m.path,
				r.Count, r.Span(), r.All, r.Fresh, count, span, all, fresh)
		}
		for _, memory := range []time.Duration{0, time.Minute, modelMemory} {
			if got, want := len(f.Counted(p.now, memory)), m.counted(p.now, memory); got != want {
				p.fail("%s: %d states count in %v, want %d", m.path, got, memory, want)
			}
		}
	}
	if got, want := int(p.object.Idle.Count), len(p.model.idle); got != want {
		p.fail("%d writes that changed nothing, want %d", got, want)
	} else if want > 0 {
		if got, want := p.object.Idle.Span(), p.model.idle[want-1].at.Sub(p.model.idle[0].at); got != want {
			p.fail("%v of writes that changed nothing, want %v", got, want)
		}
	}
}
