package incluster

import (
	"testing"
	"time"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestRestraint(t *testing.T) {
	type step struct {
		name string
		at   time.Duration
		wait time.Duration // before it may be put back; 0: it is, then
		tell bool          // an Event
	}
	s, m, h := time.Second, time.Minute, time.Hour
	tests := []struct {
		name  string
		steps []step
	}{
		{"a tool that resets it at once", []step{
			{"the first time, at once", 0, 0, false},
			{"then after 5 s", 1 * s, 4 * s, false},
			{"not a moment earlier", 5*s - 1, 1, false},
			{"but then", 5 * s, 0, false},
			{"then after 10 s", 6 * s, 9 * s, false},
			{"the third time is told", 15 * s, 0, true},
			{"then after 20 s", 35*s - 1, 1, false},
			{"and told once an hour", 35 * s, 0, false},
			{"40 s", 75 * s, 0, false},
			{"80 s", 155 * s, 0, false},
			{"160 s", 315 * s, 0, false},
			{"320 s", 635 * s, 0, false},
			{"never longer than 10 min", 635*s + 10*m - 1, 1, false},
			{"", 635*s + 10*m, 0, false},
			{"", 635*s + 20*m, 0, false},
			{"", 635*s + 30*m, 0, false},
			{"", 635*s + 40*m, 0, false},
			{"told again after an hour", 635*s + 50*m, 0, true},
			{"an hour of peace is not enough", 635*s + 50*m + h, 0, true},
			{"so it still waits", 635*s + 51*m + h, 9 * m, false},
			{"after more than an hour it is as at first", 635*s + 50*m + 2*h + 1, 0, false},
			{"and waits 5 s again", 635*s + 50*m + 2*h + s + 1, 4 * s, false},
		}},
		{"upgrades now and then are not told", []step{
			{"", 0, 0, false}, {"", 2 * h, 0, false}, {"", 4 * h, 0, false}, {"", 6 * h, 0, false},
		}},
		{"a clock that was set back does not make it wait", []step{
			{"", 0, 0, false}, {"", 5 * s, 0, false}, {"", -1 * h, 0, false}, {"", -1*h + s, 4 * s, false},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var r restraint
			for i, step := range test.steps {
				now := epoch.Add(step.at)
				if got := r.remaining(now); got != step.wait {
					t.Fatalf("step %d, %s: it waits %v, want %v", i, step.name, got, step.wait)
				}
				if step.wait > 0 {
					continue
				}
				r.restored(now)
				if got := r.tell(now); got != step.tell {
					t.Errorf("step %d, %s: told %t, want %t", i, step.name, got, step.tell)
				}
			}
		})
	}
}

// However fast somebody resets it, in a day it is put back fewer than 160 times.
func TestRestraintIsABound(t *testing.T) {
	var r restraint
	restored, told := 0, 0
	for now := epoch; now.Before(epoch.Add(24 * time.Hour)); now = now.Add(time.Second) {
		if r.remaining(now) > 0 {
			continue
		}
		r.restored(now)
		restored++
		if r.tell(now) {
			told++
		}
	}
	if restored < 140 || restored > 160 || told < 20 || told > 24 {
		t.Errorf("put back %d times, told %d times", restored, told)
	}
}
