package history

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestPairsThatUndoEachOtherOnManyObjectsAreWidespread(t *testing.T) {
	p := Pair{Group: "apps", Resource: "deployments", Path: replicas, A: writer("argo"), B: writer("hpa")}
	type note struct {
		at     time.Duration
		object string
		pair   func(*Pair)
	}
	on := func(objects ...string) (notes []note) {
		for i, o := range objects {
			notes = append(notes, note{at: time.Duration(i) * time.Minute, object: o})
		}
		return notes
	}
	for _, c := range []struct {
		name  string
		notes []note
		want  bool
	}{
		{"four objects are not many", on("a", "b", "c", "d"), false},
		{"five are", on("a", "b", "c", "d", "e"), true},
		{"one of them twice is four", on("a", "b", "c", "d", "a"), false},
		{"one of them first and last is five", on("a", "b", "c", "d", "a", "e"), true},
		{"many more than are remembered", on("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"), true},
		{"the first not yet an hour ago", append(on("a", "b", "c", "d"), note{at: time.Hour - ms, object: "e"}), true},
		{"the first exactly an hour ago", append(on("a", "b", "c", "d"), note{at: time.Hour, object: "e"}), false},
		{
			"the first an hour ago, but noted again since",
			append(on("a", "b", "c", "d"), note{at: 30 * time.Minute, object: "a"}, note{at: time.Hour, object: "e"}),
			true,
		},
		{"the clock jumps back", append(on("a", "b", "c", "d"), note{at: -24 * time.Hour, object: "e"}), true},
		{
			"it does not matter who undid whom",
			append(on("a", "b", "c", "d"), note{object: "e", pair: func(p *Pair) { p.A, p.B = p.B, p.A }}),
			true,
		},
		{
			"another party",
			append(on("a", "b", "c", "d"), note{object: "e", pair: func(p *Pair) { p.B = writer("kubectl") }}),
			false,
		},
		{
			"another field",
			append(on("a", "b", "c", "d"), note{object: "e", pair: func(p *Pair) { p.Path = signature }}),
			false,
		},
		{
			"another resource",
			append(on("a", "b", "c", "d"), note{object: "e", pair: func(p *Pair) { p.Resource = "x" }}),
			false,
		},
		{
			"another group",
			append(on("a", "b", "c", "d"), note{object: "e", pair: func(p *Pair) { p.Group = "x" }}),
			false,
		},
		{
			"a party with itself is another pair",
			append(on("a", "b", "c", "d"), note{object: "e", pair: func(p *Pair) { p.B = p.A }}),
			false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			ps := NewPairs()
			got := false
			for _, n := range c.notes {
				q := p
				if n.pair != nil {
					n.pair(&q)
				}
				got = ps.Note(t0.Add(n.at), q, key(n.object))
			}
			if got != c.want {
				t.Errorf("widespread %v, want %v", got, c.want)
			}
		})
	}
}

func TestPairsAreBounded(t *testing.T) {
	ps := NewPairs()
	for i := range 3 * maxPairs {
		ps.Note(t0, Pair{Path: fmt.Sprint(i), A: writer("a"), B: writer("b")}, key("x"))
	}
	if n := ps.lru.Len(); n != maxPairs {
		t.Errorf("%d pairs, want %d", n, maxPairs)
	}
}

func TestPairsMayBeNotedAtOnce(t *testing.T) {
	ps := NewPairs()
	p := Pair{Path: replicas, A: writer("a"), B: writer("b")}
	var wg sync.WaitGroup
	for i := range widespreadOn - 1 {
		wg.Go(func() {
			for range 100 {
				if ps.Note(t0, p, key(fmt.Sprint(i))) {
					t.Error("widespread on four objects")
				}
			}
		})
	}
	wg.Wait()
	if !ps.Note(t0, p, key("one more")) {
		t.Error("not widespread on five objects")
	}
}
