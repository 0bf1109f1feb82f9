package policy

import (
	"fmt"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/history"
)

// at is for stories whose times matter more than their number.
func at(times ...time.Duration) []time.Duration { return times }

func TestTwoWritersWhoUndoEachOther(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	duel := []string{"hpa=3", "argo=0"}
	both := []string{"argo", "hpa"}
	judge(t, []finding{
		{
			name: "two reversals are a rollback", writes: turns(3, s, duel...),
			why: "hpa writes 3, argo 1 again, hpa 3 again: each undid the other once. What hpa found at first was nobody's",
		},
		{
			name: "three are a fight", writes: turns(4, s, duel...), found: 4, want: history.TwoWriters, count: 3, parties: both,
			why: "the threshold is inclusive",
		},
		{
			name: "four are as well", writes: turns(5, s, duel...), found: 4, want: history.TwoWriters, count: 3, last: 4,
			why: "every further one counts",
		},
		{
			name: "as many as are remembered", writes: turns(30, s, duel...), found: 4, want: history.TwoWriters, count: 3, last: 12,
			why: "a ledger has 12 states",
		},
		{
			name: "three within a moment less than two minutes", writes: paced(at(0, s, m, 2*m+s-ms), duel...),
			found: 4, want: history.TwoWriters, count: 3, why: "what counts are the reversals: the first of them is the second write",
		},
		{
			name: "three within two minutes", writes: paced(at(0, s, m, 2*m+s), duel...),
			found: 4, want: history.TwoWriters, count: 3, why: "the time is inclusive",
		},
		{
			name: "three within a moment more", writes: paced(at(0, s, m, 2*m+s+ms), duel...), why: "one fell out of the window",
		},
		{
			name: "a count that is switched off", writes: turns(12, s, duel...), detect: "reversals: {count: 0}",
			found: 5, want: history.SlowTwoWriters, count: 4, why: "the slow signal is another one",
		},
		{
			name: "all counts of two writers switched off", writes: turns(30, s, duel...),
			detect: "reversals: {count: 0}, slowReversals: {count: 0}, peopleReversals: {count: 0}, alternations: {count: 0}",
			why:    "there is nothing left to find two writers by",
		},
		{
			name: "a count of one's own", writes: turns(7, s, duel...), detect: "reversals: {count: 5}, slowReversals: {count: 0}",
			found: 6, want: history.TwoWriters, count: 5, why: "five reversals take six writes",
		},
		{
			name: "removing is undoing", path: "metadata.annotations[example.com/key]", starts: "-", writes: turns(4, s, "operator=v", "cloud=-"),
			found: 4, want: history.TwoWriters, count: 3, parties: []string{"cloud", "operator"},
			why: "absent is a value; the third reversal is the cloud's second",
		},
		{
			name: "values that one's own writes come between", writes: paced(at(0, s, 2*s, 3*s, 4*s, 5*s),
				"hpa=3", "hpa=4", "argo=0", "hpa=3", "hpa=4", "argo=0"),
			found: 6, want: history.TwoWriters, count: 3, why: "argo undoes twice, hpa once; its second value is no further party's",
		},
		{
			name: "a lock that two take by turns", starts: "-", writes: turns(60, s, "a=a", "a=-", "b=b", "b=-"),
			why: "each gives it back by itself, and finds it as it left it",
		},
		{
			name: "a lock that three take by turns", starts: "-", writes: turns(60, s, "a=a", "a=-", "b=b", "b=-", "c=c", "c=-"),
			why: "also when the ledger has forgotten how the oldest ones came to be given back",
		},
		{
			name: "a lock that is taken away", starts: "-", writes: turns(12, s, "a=a", "b=b", "b=-"),
			found: 7, want: history.TwoWriters, count: 3, parties: []string{"a", "b"}, why: "a takes again what b took away",
		},
		{
			name: "finalizers that go in the reverse order", path: "metadata.finalizers[*]", starts: "-",
			writes: turns(8, s, "a=a", "b=ab", "c=abc", "d=abcd", "d=abc", "c=ab", "b=a", "a=-"), why: "each takes off its own",
		},
		{
			name: "three parties go round", writes: turns(6, s, "a=1", "b=2", "c=3"),
			found: 6, want: history.TwoWriters, count: 3, parties: []string{"a", "b", "c"}, why: "a cycle of three is undoing as well",
		},
		{
			name: "one of two is not known", writes: turns(12, 10*s, "hpa=3", "=0"),
			why: "an unknown writer differs from nobody, and may be hpa; then it returns far too seldom to be a machine's own fight",
			// Eight returns at this pace are a writer's fight with itself: that is told elsewhere.
			detect: "selfReversals: {count: 0}",
		},
		{
			name: "two pods of one controller", writes: turns(4, s, "ctl/ctl/pod-a=1", "ctl/ctl/pod-b=0"),
			found: 4, want: history.TwoWriters, count: 3, why: "two replicas of one controller are two writers",
		},
		{
			name: "two managers of one user", writes: turns(4, s, "ctl/one/=1", "ctl/two/=0"),
			found: 4, want: history.TwoWriters, count: 3, why: "so are two controllers that share an account",
		},
		{
			name: "always the same way", writes: turns(20, s, "hpa=3", "argo=#"), detect: "alternations: {count: 0}",
			found: 7, want: history.TwoWriters, count: 3, why: "one side alone brings its value back: it takes twice as long",
		},
		{
			name: "a look-alike of one writer", writes: turns(4, s, duel...), context: Context{OneWriterSilent: true},
			found: 4, want: history.TwoWriters, count: 3, why: "it is silent for one writer only",
		},
	})
}

func TestCompanyAndWidespread(t *testing.T) {
	const s, m = time.Second, time.Minute
	duel := []string{"hpa=3", "argo=0"}
	judge(t, []finding{
		{
			name: "in company one reversal", writes: turns(2, s, duel...), context: Context{Company: true},
			why: "one reversal is never a fight",
		},
		{
			name: "in company two reversals", writes: turns(3, s, duel...), context: Context{Company: true},
			found: 3, want: history.TwoWriters, count: 2, why: "one less than three: fields of one fight need not have begun together",
		},
		{
			name: "in company of a count of two", writes: turns(2, s, duel...), detect: "reversals: {count: 2}",
			context: Context{Company: true}, why: "one less would be one",
		},
		{
			name: "in company of a count of two, two reversals", writes: turns(3, s, duel...), detect: "reversals: {count: 2}",
			context: Context{Company: true}, found: 3, want: history.TwoWriters, count: 2, why: "the count stays as it is",
		},
		{
			name: "in company of a signal that is switched off", writes: turns(12, s, duel...), context: Context{Company: true},
			detect: "reversals: {count: 0}, slowReversals: {count: 0}, peopleReversals: {count: 0}, alternations: {count: 0}",
			why:    "off is off",
		},
		{
			name: "widespread, two slow reversals", writes: turns(3, 10*m, duel...), context: Context{Widespread: true},
			why: "two are enough nowhere",
		},
		{
			name: "widespread, three slow reversals", writes: turns(4, 10*m, duel...), context: Context{Widespread: true},
			found: 4, want: history.SlowTwoWriters, count: 3, why: "one less than four: the fight is spread thinly",
		},
		{
			name: "widespread, two fast reversals", writes: turns(3, s, duel...), context: Context{Widespread: true},
			why: "at a fast pace nothing is less: a new version of a controller is fast",
		},
		{
			name: "widespread and in company", writes: turns(4, 10*m, duel...), context: Context{Widespread: true, Company: true},
			found: 4, want: history.SlowTwoWriters, count: 3, why: "one less, not two",
		},
		{
			name: "in company at a slow pace", writes: turns(4, 10*m, duel...), context: Context{Company: true},
			found: 4, want: history.SlowTwoWriters, count: 3, why: "company counts at any pace",
		},
	})
}

func TestSlowReversals(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	duel := []string{"hpa=3", "argo=0"}
	judge(t, []finding{
		{
			name: "three at ten-minute intervals", writes: turns(4, 10*m, duel...), why: "may still be a rollout",
		},
		{
			name: "four at ten-minute intervals", writes: turns(5, 10*m, duel...),
			found: 5, want: history.SlowTwoWriters, count: 4, parties: []string{"argo", "hpa"}, why: "real fights run at GitOps intervals",
		},
		{
			name: "five at ten-minute intervals", writes: turns(6, 10*m, duel...),
			found: 5, want: history.SlowTwoWriters, count: 4, last: 5, why: "every further one counts",
		},
		{
			name: "four within a moment less than the memory", writes: paced(at(0, s, 16*h, 32*h, 48*h+s-ms), duel...),
			found: 5, want: history.SlowTwoWriters, count: 4, why: "the first reversal is the second write",
		},
		{
			name: "four within the memory", writes: paced(at(0, s, 16*h, 32*h, 48*h+s), duel...),
			found: 5, want: history.SlowTwoWriters, count: 4, why: "the memory is inclusive",
		},
		{
			name: "four within a moment more", writes: paced(at(0, s, 16*h, 32*h, 48*h+s+ms), duel...),
			why: "what is forgotten is as if it had never been written",
		},
		{
			name: "switched off", writes: turns(20, 10*m, duel...), detect: "slowReversals: {count: 0}, selfReversals: {count: 0}",
			why: "the fast signal does not reach so far",
		},
		{
			name: "two autoscalers who share the work", why: "KEDA goes from 0 to 1 and back, the HPA from 1 up: nobody brings back what was there before the other came",
			writes: turns(60, 10*m, "keda=1", "hpa=5", "hpa=8", "hpa=1", "keda=0"),
		},
		{
			name: "two autoscalers who share the work, faster", why: "at any pace: there are no people whom a machine undoes, either",
			writes: turns(60, 2*m, "keda=1", "hpa=5", "hpa=8", "hpa=1", "keda=0"),
		},
		{
			name: "two autoscalers who do not", why: "the HPA brings back what KEDA took away",
			writes: turns(8, 10*m, "hpa=5", "keda=0"), found: 5, want: history.SlowTwoWriters, count: 4,
		},
		{
			name: "three parties go round slowly, three returns", writes: turns(6, 10*m, "a=1", "b=2", "c=3"),
			why: "nobody brings back what was there right before; and three are too few",
		},
		{
			name: "three parties go round slowly, four returns", writes: turns(7, 10*m, "a=1", "b=2", "c=3"),
			found: 7, want: history.SlowTwoWriters, count: 4, parties: []string{"a", "b", "c"}, why: "but it is a strict cycle",
		},
		{
			name: "three parties go round, switched off", writes: turns(30, 10*m, "a=1", "b=2", "c=3"), detect: "slowReversals: {count: 0}",
			why: "a count of 0 is not reached by none",
		},
		{
			name: "five parties go round slowly", writes: turns(9, 10*m, "a=1", "b=2", "c=3", "d=4", "e=5"),
			found: 9, want: history.SlowTwoWriters, count: 4, parties: []string{"a", "b", "c", "d", "e"}, why: "the longest cycle that is recognised",
		},
		{
			name: "six parties go round slowly", writes: turns(24, 10*m, "a=1", "b=2", "c=3", "d=4", "e=5", "f=6"),
			why: "a longer one is not, as slow as that",
		},
		{
			name: "releases that are undone until they are in Git", starts: "1", writes: gaps(18, []time.Duration{m, 2 * m, 57 * m},
				"ci=2", "git=1", "git=2", "ci=3", "git=2", "git=3", "ci=4", "git=3", "git=4",
				"ci=5", "git=4", "git=5", "ci=6", "git=5", "git=6", "ci=7", "git=6", "git=7"),
			why: "git gives in every time",
		},
		{
			name: "releases that are undone and do not get into Git", starts: "1", writes: gaps(18, []time.Duration{m, 59 * m},
				"ci=2", "git=1", "ci=3", "git=1", "ci=4", "git=1", "ci=5", "git=1", "ci=6", "git=1"),
			found: 8, want: history.SlowTwoWriters, count: 4, why: "git does not give in",
		},
		{
			name: "two parties, each of which puts its finalizer on and takes it off", path: "metadata.finalizers[*]", starts: "-",
			writes: turns(24, 10*m, "a=a", "b=ab", "a=b", "b=-"), why: "neither undoes the other",
		},
		{
			name: "a party that takes two steps each time", writes: turns(30, 10*m, "flux=stable", "mesh=step", "mesh=canary"),
			found: 13, want: history.SlowTwoWriters, count: 4, parties: []string{"flux", "mesh"},
			why: "flux alone brings back what was there before; a ledger of 12 states holds its four returns, the oldest of which is told by the others",
		},
		{
			name: "requests, each of another time, that are taken away when they are done", path: "metadata.annotations[k]", starts: "-",
			writes: gaps(48, []time.Duration{2 * m, 58 * m}, "asker=#", "doer=-"), why: "each is answered, and there is another an hour later",
		},
		{
			name: "a key that is put back with another value", path: "metadata.annotations[k]", starts: "-",
			writes: gaps(48, []time.Duration{58 * m, 2 * m}, "server=#", "cleaner=-"),
			found:  10, want: history.SlowTwoWriters, count: 4, parties: []string{"cleaner", "server"},
			why: "it comes back as soon as it is gone: that is the answer",
		},
		{
			name: "a key that is put back a quarter of an hour later", path: "metadata.annotations[k]", starts: "-",
			writes: gaps(48, []time.Duration{45 * m, 15 * m}, "server=#", "cleaner=-"),
			found:  10, want: history.SlowTwoWriters, count: 4, why: "inclusive",
		},
		{
			name: "a key that is put there after more than that", path: "metadata.annotations[k]", starts: "-",
			writes: gaps(48, []time.Duration{45*m - s, 15*m + s}, "culler=#", "user=-"), why: "nobody is answered so late",
		},
		{
			name: "a request in a Pod template", path: "spec.template.metadata.annotations[k]", starts: "-",
			writes: gaps(48, []time.Duration{2 * m, 58 * m}, "vault=#", "operator=-"), found: 8, want: history.SlowTwoWriters, count: 4,
			why: "to change a template is to roll out: nobody asks for something there, and then takes it back",
		},
		{
			name: "the same request again and again", path: "metadata.annotations[k]", starts: "-",
			writes: gaps(48, []time.Duration{2 * m, 58 * m}, "asker=yes", "doer=-"), found: 5, want: history.SlowTwoWriters, count: 4,
			why: "by its writes alone it cannot be told from a fight: the look-alikes name such keys",
		},
		{
			name: "two robots with a timetable", writes: gaps(20, []time.Duration{14 * h, 10 * h}, "morning=3", "night=0"),
			why: "one scales down in the evening, the other one up in the morning",
		},
		{
			name: "two robots with a timetable, ten minutes late at times", writes: gaps(20, []time.Duration{14*h + 10*m, 10 * h, 14*h - 10*m, 10 * h}, "morning=3", "night=0"),
			why: "inclusive",
		},
		{
			name: "two robots whose days are too long", writes: gaps(20, []time.Duration{14*h + 10*m + s, 10 * h}, "morning=3", "night=0"),
			found: 5, want: history.SlowTwoWriters, count: 4, why: "that is no timetable of every day",
		},
		{
			name: "a robot with a timetable who is answered", writes: gaps(20, []time.Duration{23 * h, h}, "git=3", "night=0"),
			found: 5, want: history.SlowTwoWriters, count: 4, why: "within the hour, inclusive",
		},
		{
			name: "a robot with a timetable who is answered later", writes: gaps(20, []time.Duration{23*h - s, h + s}, "morning=3", "night=0"),
			why: "after more than an hour it is no answer",
		},
		{
			name: "four parties who go round", writes: turns(8, 10*m, "a=1", "b=2", "c=3", "d=4"),
			found: 8, want: history.SlowTwoWriters, count: 4, why: "each undoes all the others",
		},
	})
}

func TestPeopleAndMachines(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	const jane, joe = "jane@example.com", "joe@example.com"
	undone := []string{jane + "=3", "argo=0"}
	judge(t, []finding{
		{
			name: "one person toggles", writes: turns(40, s, jane+"=1", jane+"=0"), why: "a person at work",
		},
		{
			name: "two people toggle", writes: turns(40, s, jane+"=1", joe+"=0"), why: "people talk to each other",
		},
		{
			name: "a script toggles", writes: flagged(history.ByScript, turns(40, 30*s, "ci=1", "ci=0")), why: "a procedure that somebody has written down",
		},
		{
			name: "a script that works for one owner and then for another", writes: flagged(history.ByScript|history.Owner, turns(40, s, "ci=1", "ci=0")),
			why: "the same",
		},
		{
			name: "two scripts", writes: flagged(history.ByScript, turns(40, 10*m, "ci=1", "cron=0")), found: 5, want: history.SlowTwoWriters, count: 4,
			why: "against each other they are machines",
		},
		{
			name: "a machine undoes a person four times", writes: turns(9, m, undone...), why: "people toggle things while they work",
		},
		{
			name: "a machine undoes a person five times", writes: turns(10, m, undone...), found: 10, want: history.PeopleAndMachine, count: 5,
			parties: []string{"argo", jane}, why: "inclusive",
		},
		{
			name: "a machine undoes a person six times", writes: turns(12, m, undone...), found: 10, want: history.PeopleAndMachine, count: 5,
			last: 6, why: "more than that a ledger of 12 states cannot hold",
		},
		{
			name: "a machine undoes a person as long as a policy allows", writes: turns(14, s, undone...),
			detect: "peopleReversals: {count: 8}", bounds: remember(24), why: "seven reversals of people's writes: the repair of a drift",
		},
		{
			name: "a machine undoes a person once more", writes: turns(16, s, undone...), detect: "peopleReversals: {count: 8}", bounds: remember(24),
			found: 16, want: history.PeopleAndMachine, count: 8, parties: []string{"argo", jane}, why: "the machine's eighth reversal",
		},
		{
			name: "and goes on", writes: turns(18, s, undone...), detect: "peopleReversals: {count: 8}", bounds: remember(24),
			found: 16, want: history.PeopleAndMachine, count: 8, last: 9, why: "every further one counts",
		},
		{
			name: "a machine undoes a person in company", writes: turns(14, s, undone...), detect: "peopleReversals: {count: 8}", bounds: remember(24),
			context: Context{Company: true}, found: 14, want: history.PeopleAndMachine, count: 7, why: "one less is enough",
		},
		{
			name: "a machine deletes what a person makes", path: history.Exists, starts: "-",
			writes: turns(12, m, jane+"=+", "ttl=-"), found: 10, want: history.PeopleAndMachine, count: 5, last: 6, why: "it had not served its purpose",
		},
		{
			name: "a machine clears away what a person has made and is done", path: history.Exists, starts: "-",
			writes: spent(turns(12, m, jane+"=+", "ttl=-")), why: "that undoes nobody",
		},
		{
			name: "within a moment less than an hour", detect: "peopleReversals: {count: 3}",
			writes: paced(at(0, s, m, 2*m, 30*m, h+s-ms), undone...), found: 6, want: history.PeopleAndMachine, count: 3,
			why: "the first reversal is the second write",
		},
		{
			name: "within an hour", detect: "peopleReversals: {count: 3}",
			writes: paced(at(0, s, m, 2*m, 30*m, h+s), undone...), found: 6, want: history.PeopleAndMachine, count: 3,
			why: "the time is inclusive",
		},
		{
			name: "within a moment more", detect: "peopleReversals: {count: 3}",
			writes: paced(at(0, s, m, 2*m, 30*m, h+s+ms), undone...), why: "one fell out of the window",
		},
		{
			name: "switched off", detect: "peopleReversals: {count: 0}", writes: turns(40, s, undone...), bounds: remember(24),
			why: "then people and machines never fight, at no pace",
		},
		{
			name: "people in between", why: "machines who undo each other are a fight whoever else is there",
			writes: then(turns(3, s, "hpa=3", "argo=0"), s, turns(3, s, jane+"=7", "argo=0", "hpa=3")),
			found:  6, want: history.TwoWriters, count: 3,
		},
		{
			name: "a person who undoes machines", writes: turns(40, s, "argo=3", jane+"=0"), bounds: remember(24),
			detect: "peopleReversals: {count: 8}", found: 17, want: history.PeopleAndMachine, count: 8,
			why: "only the machine's side counts",
		},
		{
			name: "a person by turns with a machine that is always new", writes: turns(40, s, "argo=#", jane+"=#"),
			why: "a person at work is no party of an alternation",
		},
	})
}

// spent has everything deleted when it had served its purpose.
func spent(all []write) []write {
	for i := range all {
		if all[i].to == "-" {
			all[i].flags |= history.Spent
		}
	}
	return all
}

// remember makes a ledger longer.
func remember(states int) func(*history.Bounds) {
	return func(b *history.Bounds) { b.States = states }
}

func TestAlternation(t *testing.T) {
	const s, m = time.Second, time.Minute
	issuers := []string{"one=#", "two=#"}
	judge(t, []finding{
		{name: "nine turns", writes: turns(10, m, issuers...), why: "whoever was there first is not known, so the first write is no turn"},
		{
			name: "ten turns", writes: turns(11, m, issuers...), found: 11, want: history.Alternation, count: 10,
			parties: []string{"one", "two"}, why: "within ten minutes, inclusive: the first turn is the second write",
		},
		{
			name: "eleven turns", writes: turns(12, 30*s, issuers...), found: 11, want: history.Alternation, count: 10, last: 11,
			why: "every further one counts",
		},
		{
			name: "within a moment less than ten minutes", found: 11, want: history.Alternation, count: 10,
			writes: then(turns(10, m, issuers...), 2*m-ms, turns(1, 0, "one=x")), why: "the first turn was at one minute",
		},
		{
			name: "within exactly ten minutes", found: 11, want: history.Alternation, count: 10,
			writes: then(turns(10, m, issuers...), 2*m, turns(1, 0, "one=x")), why: "the time is inclusive",
		},
		{
			name: "within a moment more", writes: then(turns(10, m, issuers...), 2*m+ms, turns(1, 0, "one=x")), why: "one fell out",
		},
		{
			name: "at a slow pace", writes: turns(40, 2*m, issuers...), why: "certificates are renewed",
		},
		{name: "switched off", writes: turns(40, s, issuers...), detect: "alternations: {count: 0}", why: "off is off"},
		{
			name: "points in time", writes: flagged(history.Clock, turns(40, s, issuers...)), why: "two who note when they came by are no fight",
		},
		{
			name: "one who writes twice", why: "its second write is no turn, and breaks the row",
			writes: then(turns(10, s, issuers...), s, then(turns(1, s, "two=x"), s, turns(9, s, "one=x#", "two=x#"))),
		},
		{
			name: "three parties", writes: turns(11, s, "one=#", "two=#", "three=#"), found: 11, want: history.Alternation, count: 10,
			parties: []string{"one", "three", "two"}, why: "or more than two",
		},
		{
			name: "a single turn", writes: turns(2, m, issuers...), detect: "alternations: {count: 1}", found: 2, want: history.Alternation, count: 1,
			parties: []string{"one", "two"}, why: "both are its parties: who wrote, and who wrote before",
		},
		{
			name: "one writer is nobody's turn", writes: turns(40, 30*s, "one=#"), why: "new values of one writer, too slow for a loop",
		},
	})
}

func TestStatus(t *testing.T) {
	const s, m = time.Second, time.Minute
	const condition = "status.conditions[type=Synced].status"
	judge(t, []finding{
		{
			name: "two managers of one user", path: condition, writes: turns(40, 30*s, "ctl/set/=True", "ctl/clear/=0"),
			why: "parts of one controller: one sets a condition, the other clears it when the work is done",
		},
		{
			name: "two managers of one user, fast", path: condition, writes: turns(40, s, "ctl/set/=True", "ctl/clear/=0"),
			why: "at no pace",
		},
		{
			name: "two managers of one user with new values", path: condition, writes: turns(40, s, "ctl/set/=#", "ctl/clear/=#"),
			why: "nor by turns",
		},
		{
			name: "two managers of one user going round", path: condition, writes: turns(40, 10*m, "ctl/a/=1", "ctl/b/=2", "ctl/c/=3"),
			why: "nor in a cycle",
		},
		{
			name: "two users", path: condition, writes: turns(4, s, "one/ctl/=True", "two/ctl/=0"),
			found: 4, want: history.TwoWriters, count: 3, why: "two controllers",
		},
		{
			name: "two pods of one user", path: condition, writes: turns(4, s, "ctl/set/pod-a=True", "ctl/clear/pod-b=0"),
			found: 4, want: history.TwoWriters, count: 3, why: "two processes are two parties",
		},
		{
			name: "one pod of one user", path: condition, writes: turns(40, 30*s, "ctl/set/pod-a=True", "ctl/clear/pod-a=0"),
			why: "the same process",
		},
		{
			name: "a pod that is not known", path: condition, writes: turns(40, 30*s, "ctl/set/pod-a=True", "ctl/clear/=0"),
			why: "may be the same process",
		},
		{
			name: "three users who go round slowly", path: "status.state", writes: gaps(60, []time.Duration{4 * m, s, m}, "alloc=Allocated", "game=Done", "ctl=Ready"),
			why: "a state that is handed on: to a match, to whoever cleans up, and to the next match",
		},
		{
			name: "three users who go round within two minutes", path: "status.state", writes: gaps(60, []time.Duration{m, s, 59 * s}, "alloc=Allocated", "game=Done", "ctl=Ready"),
			found: 6, want: history.TwoWriters, count: 3, why: "inclusive",
		},
		{
			name: "three users who go round just slower", path: "status.state", writes: gaps(60, []time.Duration{m, s, m}, "alloc=Allocated", "game=Done", "ctl=Ready"),
			why: "nor does it count as taking turns",
		},
		{
			name: "three users who go round fast", path: "status.state", writes: turns(60, s, "a=1", "b=2", "c=3"),
			found: 6, want: history.TwoWriters, count: 3, why: "no state is that short",
		},
		{
			name: "two users who go back and forth slowly, and a third one", path: "status.state", starts: "2",
			writes: turns(60, 10*m, "a=1", "b=2", "a=1", "b=2", "a=1", "b=2", "c=3", "b=2"),
			found:  5, want: history.SlowTwoWriters, count: 4, why: "two of them undo each other",
		},
		{
			name: "three users who go round slowly, in spec", path: "spec.state", writes: turns(60, 10*m, "a=1", "b=2", "c=3"),
			found: 7, want: history.SlowTwoWriters, count: 4, why: "what is wanted is no state",
		},
		{
			name: "two managers of one user in spec", path: "spec.paused", writes: turns(4, s, "ctl/set/=True", "ctl/clear/=0"),
			found: 4, want: history.TwoWriters, count: 3, why: "only reporting is a status's job",
		},
	})
}

func TestWhatIsNoMoreRemembered(t *testing.T) {
	s := newScene(t, "", "")
	for _, w := range turns(8, time.Second, "hpa=3", "argo=0") {
		s.watch(w)
	}
	s.store.Update(sceneKey, func(o *history.Object) {
		f := o.Field([]byte(replicas))
		f.End(s.clock)
		c := s.context
		c.Now = s.clock
		if got := s.rule.Detect(c, o, f); got.Found() {
			t.Errorf("found %v in what came before a fight's end", got.Signal)
		}
	})
	w := turns(1, 0, "hpa=3")[0]
	w.at = s.clock.Sub(t0) // within the millisecond of the end
	if got := s.watch(w); got.Found() {
		t.Errorf("found %v in a write of the same instant", got.Signal)
	}
}

func TestAWriteThatUndoesNothingIsNoPartOfIt(t *testing.T) {
	s := newScene(t, "", "")
	for _, w := range turns(5, time.Second, "hpa=3", "argo=0") {
		s.watch(w)
	}
	if s.detected.Signal != history.TwoWriters {
		t.Fatalf("found %v while they undo each other", s.detected.Signal)
	}
	if got := s.watch(paced(at(5*time.Second), "argo=7")[0]); got.Found() {
		t.Errorf("found %v in a new value", got.Signal)
	}
}

// A machine's pace does not matter to a fight between two: only that each undoes the other.
func TestAnyPaceIsFound(t *testing.T) {
	for _, gap := range []time.Duration{0, ms, 75 * ms, time.Second, 40 * time.Second, 10 * time.Minute, 5 * time.Hour, 11 * time.Hour} {
		t.Run(fmt.Sprint("every ", gap), func(t *testing.T) {
			s := newScene(t, "", "")
			found := 0
			for i, w := range turns(6, gap, "hpa=3", "argo=0") {
				if s.watch(w).Found() && found == 0 {
					found = i + 1
				}
			}
			if found == 0 {
				t.Error("not found")
			}
		})
	}
}

// The newest state is another writer's after Touch, and still marked as what it was: as the return of another party.
func TestAReturnThatIsTouchedByTheOneBefore(t *testing.T) {
	history.New(history.DefaultBounds).Update(sceneKey, func(o *history.Object) {
		f := o.Settle(t0, []byte(replicas), history.Stored{Value: valueOf("0")})
		for i, w := range []struct{ by, to string }{{"a", "1"}, {"a", "2"}, {"b", "1"}} {
			o.Propose(t0.Add(time.Duration(i+1)*time.Second), f, valueOf(w.to), writerOf(w.by), 0)
		}
		o.Touch(t0.Add(5*time.Second), f, writerOf("a"))
		c := Context{Now: t0.Add(5 * time.Second), Memory: history.DefaultBounds.Memory}
		if found := ruleOf(t, "").Detect(c, o, f); found.Found() {
			t.Errorf("found %+v", found)
		}
	})
}
