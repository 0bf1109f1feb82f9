package history

import (
	"testing"
	"time"
)

func TestBeginSaysHowARequestRelatesToWhatIsKnown(t *testing.T) {
	first := step{rv: 100, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"}
	tell(t, []story{
		{
			name: "the same request twice counts once",
			steps: []step{
				{id: "r1", rv: 100, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{id: "r1", rv: 100, sees: "1", by: "hpa", sets: "3", standing: Duplicate, want: "1/u 3@hpa/p"},
				{id: "r2", rv: 101, sees: "3", by: "hpa", sets: "4", want: "1/u 3@hpa 4@hpa/p"},
			},
		},
		{
			name: "a request without an id is never a duplicate",
			steps: []step{
				first,
				{rv: 101, sees: "3", by: "hpa", sets: "4", want: "1/u 3@hpa 4@hpa/p"},
			},
		},
		{
			name: "an older resourceVersion within a minute is stale",
			why:  "the API server tries with what its cache holds first; that write will lose",
			steps: []step{
				first,
				{rv: 99, at: time.Minute - ms, sees: "0", by: "argo", sets: "7", standing: Stale, want: "1/u 3@hpa/p"},
			},
		},
		{
			name: "after exactly a minute it is accepted",
			why:  "versions that start anew are those of a cluster restored from a backup",
			steps: []step{
				first,
				{rv: 99, at: time.Minute, sees: "0", by: "argo", sets: "7", want: "1/u 3@hpa 0/u 7@argo/p"},
			},
		},
		{
			name: "the same resourceVersion is not stale",
			steps: []step{
				first,
				{rv: 100, at: time.Second, sees: "1", by: "argo", sets: "7", want: "1/u 7@argo/p"},
			},
		},
		{
			name: "an unknown resourceVersion is not stale",
			steps: []step{
				first,
				{rv: 0, at: time.Second, sees: "3", want: "1/u 3@hpa"},
				{rv: 99, at: 2 * time.Second, standing: Stale, want: "1/u 3@hpa"},
			},
		},
		{
			name: "a stale request does not become the measure of the next",
			steps: []step{
				first,
				{rv: 90, at: time.Second, standing: Stale, want: "1/u 3@hpa/p"},
				{rv: 95, at: 2 * time.Second, standing: Stale, want: "1/u 3@hpa/p"},
			},
		},
		{
			name: "the minute starts with the newest version",
			steps: []step{
				first,
				{rv: 101, at: 50 * time.Second, sees: "3", want: "1/u 3@hpa"},
				{rv: 100, at: 109 * time.Second, standing: Stale, want: "1/u 3@hpa"},
			},
		},
		{
			name: "a stale object with the uid of its predecessor forgets nothing",
			why:  "the object has been recreated; the cache does not know yet",
			steps: []step{
				{uid: "old", rv: 100, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{uid: "new", rv: 110, at: time.Second, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{uid: "old", rv: 101, at: 2 * time.Second, standing: Stale, want: "1/u 3@hpa/p"},
				{uid: "new", rv: 111, at: 3 * time.Second, sees: "3", want: "1/u 3@hpa"},
			},
		},
		{
			name: "a new uid clears the fields",
			steps: []step{
				{uid: "a", rv: 100, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{uid: "b", rv: 110, at: time.Second, sees: "5", want: "5/u"},
			},
		},
		{
			name: "and with them what was the newest version",
			steps: []step{
				{uid: "a", rv: 100, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{uid: "b", at: time.Second, sees: "5", want: "5/u"},
				{uid: "b", rv: 90, at: 2 * time.Second, sees: "5", want: "5/u"},
			},
		},
		{
			name: "an unknown uid clears nothing",
			steps: []step{
				{uid: "a", rv: 100, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{uid: "?", rv: 101, at: time.Second, sees: "3", want: "1/u 3@hpa"},
				{uid: "a", rv: 102, at: time.Second, sees: "3", want: "1/u 3@hpa"},
			},
		},
		{
			name: "the first uid to be known clears nothing",
			steps: []step{
				{uid: "?", sees: absent, by: "hpa", sets: "3", want: "-/u 3@hpa/p"},
				{uid: "a", rv: 101, at: time.Second, sees: "3", want: "-/u 3@hpa"},
			},
		},
	})
}

func TestANewUIDKeepsTheExistence(t *testing.T) {
	o := &Object{}
	for _, path := range []string{replicas, Exists, signature} {
		step{uid: "a", rv: 1, path: path, sees: absent, by: "sts", sets: "here"}.take(o)
	}
	o.Noop(t0, writer("sts"))
	if s := o.Begin(Request{Now: t0, UID: "b", Version: 2}); s != Current {
		t.Fatalf("standing %d", s)
	}
	if n := len(o.Fields()); n != 1 || o.Fields()[0].Path() != Exists {
		t.Fatalf("%d fields are left, the first is %q; want only %s", n, o.Fields()[0].Path(), Exists)
	}
	if got, want := ledger(o, o.Field([]byte(Exists))), "-/u here@sts/p"; got != want {
		t.Errorf("existence is %s, want %s", got, want)
	}
	if o.Idle.Count != 0 {
		t.Error("writes that changed nothing were those of the predecessor")
	}
}

func TestAClockThatJumpsBackNeverRewindsALedger(t *testing.T) {
	tell(t, []story{{
		name: "states stay in order, and reversals are seen",
		steps: []step{
			{rv: 1, at: time.Hour, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
			{rv: 2, at: 0, sees: "3", by: "argo", sets: "1", want: "1/u 3@hpa 1@argo/pRX"},
			{rv: 1, at: -time.Hour, standing: Stale, want: "1/u 3@hpa 1@argo/pRX"},
			{rv: 3, at: 2 * time.Hour, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa 1@argo/RX 3@hpa/pRX"},
		},
	}})

	o := &Object{}
	for _, s := range []step{
		{rv: 1, at: time.Hour, sees: "1", by: "hpa", sets: "3"},
		{rv: 2, at: 0, sees: "3", by: "hpa", sets: "1"},
		{rv: 3, at: time.Minute, sees: "7", owner: "argo", since: time.Minute},
	} {
		s.take(o)
	}
	for i, s := range o.Field([]byte(replicas)).States()[1:] {
		if want := t0.Add(time.Hour); !s.At().Equal(want) {
			t.Errorf("state %d is of %v, want %v: never before the one before it", i+1, s.At(), want)
		}
	}
	for range 3 {
		o.Noop(t0.Add(time.Hour), writer("hpa"))
		o.Noop(t0, writer("hpa"))
	}
	if o.Idle.Count != 6 || o.Idle.Span() != 0 {
		t.Errorf("%d writes in %v that changed nothing, want 6 in 0s", o.Idle.Count, o.Idle.Span())
	}
}

func TestAnOwnersClockThatIsAheadIsNotBelieved(t *testing.T) {
	now := t0.Add(time.Minute)
	for _, path := range []string{"known", "new"} {
		o := &Object{}
		if path == "known" {
			f := o.Settle(t0, []byte(path), Stored{Value: 5})
			o.Propose(t0, f, 6, writer("hpa"), 0)
		}
		f := o.Settle(now, []byte(path), Stored{Value: 7, Owner: writer("argo"), At: now.Add(time.Hour)})
		if last, _ := f.Last(); !last.At().Equal(now) {
			t.Errorf("%s field: stored at %v, want %v", path, last.At(), now)
		}
	}
}

func TestAWriteThatChangesNothingResetsNothing(t *testing.T) {
	o := &Object{}
	step{rv: 1, sees: "1", by: "hpa", sets: "3"}.take(o)
	step{rv: 2, at: time.Second, sees: "3", by: "argo", sets: "1"}.take(o)
	f := o.Field([]byte(replicas))
	f.Fight = &Fight{Phase: Open, Count: 7}
	before, run := ledger(o, f), f.Run
	o.Begin(Request{Now: t0.Add(2 * time.Second), UID: "uid-1", Version: 2})
	o.Noop(t0.Add(2*time.Second), writer("kubelet"))
	if got := ledger(o, f); got != before {
		t.Errorf("ledger %s, want %s", got, before)
	}
	if f.Run != run || f.Fight.Count != 7 {
		t.Errorf("run %+v and fight %+v changed", f.Run, *f.Fight)
	}
	if o.Idle.Count != 1 {
		t.Errorf("%d writes that changed nothing, want 1", o.Idle.Count)
	}
}
