package history

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/time/rate"
)

func TestThePartiesOfAFight(t *testing.T) {
	o := &Object{}
	f := o.Settle(t0, []byte(replicas), Stored{Value: 10})
	for i, by := range []string{"a", "b", "c", "", "b"} {
		o.Propose(t0, f, Value(11+i), writer(by), 0)
	}
	for _, c := range []struct {
		name     string
		evidence uint64
		want     []Writer
	}{
		{"the newest state's writer", 1, []Writer{writer("b")}},
		{"one who is not known is no party", 2, nil},
		{"the same one twice is one party", 1<<0 | 1<<3, []Writer{writer("b")}},
		{"all of them, in their order", 1<<6 - 1, []Writer{writer("a"), writer("b"), writer("c")}},
		{"evidence before the first state is none", 1 << 63, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			fight := &Fight{Phase: Open}
			fight.AddParties(f, c.evidence)
			if diff := cmp.Diff(c.want, o.Parties(fight)); diff != "" {
				t.Errorf("parties (-want +got):\n%s", diff)
			}
			if fight.Parties() != len(c.want) {
				t.Errorf("%d parties, want %d", fight.Parties(), len(c.want))
			}
		})
	}
	t.Run("one more joins", func(t *testing.T) {
		fight := &Fight{Phase: Open}
		o.AddParty(fight, writer("late"))
		o.AddParty(fight, writer("late"))
		if diff := cmp.Diff([]Writer{writer("late")}, o.Parties(fight)); diff != "" {
			t.Errorf("parties (-want +got):\n%s", diff)
		}
	})
	t.Run("the last of 64 writers can be a party", func(t *testing.T) {
		o := bounded(func(b *Bounds) { b.Writers = maxWriters })
		for i := range maxWriters {
			o.Writer(writer(string(rune('A' + i))))
		}
		fight := &Fight{}
		o.AddParty(fight, writer(string(rune('A'+maxWriters-1))))
		if got := o.Parties(fight); len(got) != 1 || got[0] != writer(string(rune('A'+maxWriters-1))) {
			t.Errorf("parties %v", got)
		}
	})
}

func TestAProbe(t *testing.T) {
	o := &Object{}
	f := &Fight{Phase: Probing}
	o.SetProbe(f, 11, writer("a"))
	if o.ProbedBy(f) != writer("a") {
		t.Errorf("probed by %v", o.ProbedBy(f))
	}
	for _, c := range []struct {
		name string
		v    Value
		w    Writer
		want bool
	}{
		{"the same writer with the same value", 11, writer("a"), true},
		{"another value", 12, writer("a"), false},
		{"another writer", 11, writer("b"), false},
		{"a writer of whom nothing is known", 11, hidden, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := o.IsProbe(f, c.v, c.w); got != c.want {
				t.Errorf("it is the probe: %v, want %v", got, c.want)
			}
		})
	}
}

func TestSignals(t *testing.T) {
	seen := map[string]bool{}
	for s := NoSignal; s < signals; s++ {
		if name := s.String(); name == "" || name == "Unknown" || seen[name] {
			t.Errorf("signal %d is called %q", s, name)
		} else {
			seen[name] = true
		}
	}
	if Signal(200).String() != "Unknown" {
		t.Errorf("a signal that does not exist is called %q", Signal(200))
	}
	for s, want := range map[Signal]bool{TwoWriters: false, Alternation: false, IneffectiveLoop: true, ChurnLoop: true} {
		if s.Loop() != want {
			t.Errorf("%v is a loop: %v, want %v", s, s.Loop(), want)
		}
	}
}

func TestACopiedBucketHasTheTokensOfTheFirst(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit rate.Limit
		burst int
		milli uint64
	}{
		{"full", rate.Every(time.Minute), 5, 5000},
		{"empty", rate.Every(time.Minute), 5, 0},
		{"half a token", rate.Every(time.Minute), 1, 500},
		{"some", rate.Every(time.Second), 100, 41_250},
		{"hardly ever refilled", rate.Every(1000 * time.Hour), 3, 1_999},
		{"unlimited", rate.Inf, 1, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &Fight{Last: t0, Bucket: bucketWith(c.limit, c.burst, c.milli, t0)}
			b := f.clone().Bucket
			if b == f.Bucket {
				t.Fatal("the bucket is shared")
			}
			if b.Limit() != c.limit || b.Burst() != c.burst {
				t.Errorf("rate %v and burst %d, want %v and %d", b.Limit(), b.Burst(), c.limit, c.burst)
			}
			for _, later := range []time.Duration{0, 30 * time.Second, time.Hour} {
				want := min(float64(c.milli)/1000+float64(c.limit)*later.Seconds(), float64(c.burst))
				if got := b.TokensAt(t0.Add(later)); got < want-1e-3 || got > want+1e-3 {
					t.Errorf("%v later: %v tokens, want %v", later, got, want)
				}
			}
		})
	}
	if c := (&Fight{Count: 3}).clone(); c.Bucket != nil || c.Count != 3 {
		t.Errorf("clone of a fight without bucket: %+v", c)
	}
}
