package history

import (
	"testing"
	"time"
)

const ms = time.Millisecond

func TestWhatWasProposedIsSettledByWhatIsStored(t *testing.T) {
	tell(t, []story{
		{
			name: "a field that was never seen begins with what is stored",
			why:  "a restarted webhook needs somewhere to start from",
			steps: []step{
				{rv: 1, sees: "1", want: "1/u"},
			},
		},
		{
			name: "the owner and time that managedFields give are taken over",
			steps: []step{
				{rv: 1, sees: "1", owner: "helm", since: -time.Hour, want: "1@helm/u"},
			},
		},
		{
			name: "a proposal is pending",
			steps: []step{
				{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
			},
		},
		{
			name: "a pending write that is stored is confirmed",
			steps: []step{
				{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 2, at: time.Second, sees: "3", want: "1/u 3@hpa"},
			},
		},
		{
			name: "a pending write upon the same resourceVersion was not stored, however long ago",
			why:  "nothing at all was stored since",
			steps: []step{
				{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 1, at: time.Hour, sees: "1", want: "1/u"},
			},
		},
		{
			name: "the retry of a lost race does not count twice",
			why:  "another field was written in between, and the API server tries the same request again at once",
			steps: []step{
				{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 2, at: 10 * ms, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 3, at: 99 * ms, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
			},
		},
		{
			name: "just before a tenth of a second it was not stored",
			steps: []step{
				{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 2, at: 99 * ms, sees: "1", want: "1/u"},
			},
		},
		{
			name: "after exactly a tenth of a second it was stored and undone unseen",
			why:  "the API server's retries are over by then",
			steps: []step{
				{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 2, at: 100 * ms, sees: "1", want: "1/u 3@hpa 1/uR"},
			},
		},
		{
			name: "just after a tenth of a second as well",
			steps: []step{
				{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 2, at: 101 * ms, sees: "1", want: "1/u 3@hpa 1/uR"},
			},
		},
		{
			name: "an unknown resourceVersion has not moved on",
			steps: []step{
				{sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{at: time.Hour, sees: "1", want: "1/u"},
			},
		},
		{
			name: "something else is stored: somebody wrote unseen",
			steps: []step{
				{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 2, at: time.Second, sees: "5", want: "1/u 3@hpa 5/u"},
			},
		},
		{
			name: "and managedFields say who",
			steps: []step{
				{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 2, at: time.Second, sees: "5", owner: "argo", since: time.Second, want: "1/u 3@hpa 5@argo/uX"},
			},
		},
		{
			name: "a write that replaces a confirmed one unseen is noted as well",
			steps: []step{
				{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 2, at: time.Second, sees: "3", want: "1/u 3@hpa"},
				{rv: 3, at: 2 * time.Second, sees: "1", owner: "argo", since: 2 * time.Second, want: "1/u 3@hpa 1@argo/uRX"},
			},
		},
		{
			name: "a denied proposal leaves no state",
			steps: []step{
				{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 2, at: time.Second, sees: "3", by: "argo", sets: "1", deny: true, want: "1/u 3@hpa"},
				{rv: 2, at: 2 * time.Second, sees: "3", by: "argo", sets: "1", want: "1/u 3@hpa 1@argo/pRX"},
			},
		},
		{
			name: "after a dropped write the state below it is the stored one",
			why:  "two proposals in a row, the second of which was not stored",
			steps: []step{
				{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 2, at: time.Second, sees: "3", by: "hpa", sets: "4", want: "1/u 3@hpa 4@hpa/p"},
				{rv: 2, at: 2 * time.Second, sees: "3", want: "1/u 3@hpa"},
			},
		},
	})
}

func TestOfTwoWritesUponOneObjectTheFirstMayBeWhatIsStored(t *testing.T) {
	upon := step{rv: 1, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"}
	late := step{rv: 1, at: ms, sees: "1", by: "argo", sets: "5", want: "1/u 5@argo/p"}
	tell(t, []story{
		{
			name: "who was shown the object as it was before is asked again",
			why:  "the API server's cache was old, or both wrote at once; nobody has undone anything",
			steps: []step{
				upon, late,
				{rv: 2, at: 2 * ms, sees: "3", by: "argo", sets: "5", want: "1/u 3@hpa 5@argo/pX"},
			},
		},
		{
			name: "as often as it takes",
			steps: []step{
				upon, late,
				{rv: 1, at: 2 * ms, sees: "1", by: "helm", sets: "6", want: "1/u 6@helm/p"},
				{rv: 2, at: 3 * ms, sees: "3", by: "helm", sets: "6", want: "1/u 3@hpa 6@helm/pX"},
			},
		},
		{
			name: "also if the later one was denied",
			steps: []step{
				upon,
				{rv: 1, at: ms, sees: "1", by: "argo", sets: "5", deny: true, want: "1/u"},
				{rv: 2, at: 2 * ms, sees: "3", by: "argo", sets: "5", want: "1/u 3@hpa 5@argo/pX"},
			},
		},
		{
			name:  "and if managedFields agree",
			steps: []step{upon, late, {rv: 2, at: 2 * ms, sees: "3", owner: "hpa", since: 0, want: "1/u 3@hpa"}},
		},
		{
			name: "but not if they do not",
			steps: []step{
				upon, late,
				{rv: 2, at: time.Second, sees: "3", owner: "helm", since: time.Second, want: "1/u 5@argo 3@helm/uX"},
			},
		},
		{
			name:  "up to a minute later",
			steps: []step{upon, late, {rv: 2, at: time.Minute, sees: "3", want: "1/u 3@hpa"}},
		},
		{
			name:  "and not after that",
			steps: []step{upon, late, {rv: 2, at: time.Minute + ms, sees: "3", want: "1/u 5@argo 3/u"}},
		},
		{
			name: "of something else that is stored, neither is the writer",
			steps: []step{
				upon, late,
				{rv: 2, at: 2 * time.Second, sees: "7", want: "1/u 5@argo 7/u"},
				{rv: 3, at: 3 * time.Second, sees: "3", want: "1/u 5@argo 7/u 3/u"},
			},
		},
		{
			name: "and if what was there before is back, the first one was undone",
			why:  "it is a tenth of a second ago: nobody tries that one again",
			steps: []step{
				upon,
				{rv: 1, at: 90 * ms, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 3, at: 100 * ms, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa 1/uR 3@hpa/pR"},
			},
		},
		{
			name: "but not if it is less than that",
			steps: []step{
				upon,
				{rv: 1, at: 90 * ms, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
				{rv: 3, at: 99 * ms, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"},
			},
		},
		{
			name: "once the later one is there, the first one was never stored",
			steps: []step{
				upon, late,
				{rv: 2, at: time.Second, sees: "5", want: "1/u 5@argo"},
				{rv: 3, at: 2 * time.Second, sees: "3", want: "1/u 5@argo 3/u"},
			},
		},
		{
			name: "nor if the later one was made upon a newer object",
			why:  "the field had not changed by then",
			steps: []step{
				upon,
				{rv: 2, at: ms, sees: "1", by: "argo", sets: "5", want: "1/u 5@argo/p"},
				{rv: 3, at: 2 * time.Second, sees: "3", want: "1/u 5@argo 3/u"},
			},
		},
	})
}

func TestOfTwoProposalsInARowTheFirstMayBeWhatIsStored(t *testing.T) {
	o := &Object{}
	f := o.Settle(t0, []byte(replicas), Stored{Value: value("1")})
	o.Propose(t0, f, value("3"), writer("hpa"), 0)
	o.Propose(t0, f, value("4"), writer("hpa"), 0)
	f = o.Settle(t0.Add(ms), []byte(replicas), Stored{Value: value("3")})
	if got, want := ledger(o, f), "1/u 3@hpa"; got != want {
		t.Errorf("ledger %s, want %s: what is stored is not pending", got, want)
	}
}

func TestManagedFieldsTellWhetherAPendingWriteWasUndone(t *testing.T) {
	propose := step{rv: 1, at: 1500 * ms, sees: "1", by: "hpa", sets: "3", want: "1/u 3@hpa/p"}
	tell(t, []story{
		{
			name: "the owner wrote in an older second: the pending write was never stored",
			why:  "the resourceVersion alone would say it was undone",
			steps: []step{
				propose,
				{rv: 9, at: time.Minute, sees: "1", owner: "argo", since: 999 * ms, want: "1/u"},
			},
		},
		{
			name: "the owner wrote in a newer second: it was undone",
			why:  "the half second of the resourceVersion rule is not over",
			steps: []step{
				propose,
				{rv: 9, at: 1600 * ms, sees: "1", owner: "argo", since: 2 * time.Second, want: "1/u 3@hpa 1@argo/uRX"},
			},
		},
		{
			name: "the owner wrote in the same second, and little time has passed: it was never stored",
			steps: []step{
				propose,
				{rv: 9, at: 1599 * ms, sees: "1", owner: "argo", since: time.Second, want: "1/u"},
			},
		},
		{
			name: "the owner wrote in the same second, and more time has passed: it was undone",
			steps: []step{
				propose,
				{rv: 9, at: 2 * time.Second, sees: "1", owner: "argo", since: time.Second, want: "1/u 3@hpa 1@argo/uRX"},
			},
		},
		{
			name: "the owner wrote in the same second, and the resourceVersion is the same: it was never stored",
			steps: []step{
				propose,
				{rv: 1, at: time.Minute, sees: "1", owner: "argo", since: time.Second, want: "1/u"},
			},
		},
	})
}

func TestExistenceIsSettledByTheUID(t *testing.T) {
	created := step{uid: "?", path: Exists, sees: absent, by: "sts", sets: "here", want: "-/u here@sts/p"}
	deletion := step{
		uid: "a", rv: 5, at: time.Minute, path: Exists, sees: "here", by: "ops", sets: absent,
		want: "-/u here@sts -@ops/pRX",
	}
	tell(t, []story{
		{
			name: "a deletion that waits for finalizers is not undone by them",
			why:  "the object changes but is the same, and who wants it away asks again and again",
			steps: []step{
				created, deletion,
				{
					uid: "a", rv: 7, at: 2 * time.Minute, path: Exists, sees: "here", by: "ops", sets: absent,
					want: "-/u here@sts -@ops/pRX",
				},
				{
					uid: "?", at: 3 * time.Minute, path: Exists, sees: absent, by: "sts", sets: "here",
					want: "-/u here@sts -@ops/RX here@sts/pRX",
				},
			},
		},
		{
			name: "an object that was recreated unseen is there with another uid",
			steps: []step{
				created, deletion,
				{uid: "b", rv: 9, at: 2 * time.Minute, path: Exists, sees: "here", want: "-/u here@sts -@ops/RX here/uR"},
			},
		},
		{
			name: "to create what exists already undoes nothing",
			why:  "many controllers always try to create first",
			steps: []step{
				created,
				{uid: "a", rv: 5, at: time.Minute, sees: "1", want: "1/u"},
				{uid: "?", at: time.Hour, path: Exists, sees: absent, by: "sts", sets: "here", want: "-/u here@sts/p"},
				{uid: "a", rv: 8, at: time.Hour, sees: "1", want: "1/u"},
				{uid: "?", at: 2 * time.Hour, path: Exists, sees: absent, by: "sts", sets: "here", want: "-/u here@sts/p"},
			},
		},
		{
			name: "create and delete laps are reversals across uids",
			steps: []step{
				created, deletion,
				{
					uid: "?", at: 2 * time.Minute, path: Exists, sees: absent, by: "sts", sets: "here",
					want: "-/u here@sts -@ops/RX here@sts/pRX",
				},
				{
					uid: "b", rv: 9, at: 3 * time.Minute, path: Exists, sees: "here", by: "ops", sets: absent,
					want: "-/u here@sts -@ops/RX here@sts/RX -@ops/pRX",
				},
			},
		},
	})
}

func TestTwoReplicasThatSeeOneSideEachStillSeeReversals(t *testing.T) {
	tell(t, []story{
		{
			name: "of a tracked object, with the other party's name",
			steps: []step{
				{rv: 1, sees: "3", owner: "argo", since: -time.Minute, by: "hpa", sets: "1", want: "3@argo/u 1@hpa/pX"},
				{
					rv: 3, at: 10 * time.Second, sees: "3", owner: "argo", since: 5 * time.Second, by: "hpa", sets: "1",
					want: "3@argo/u 1@hpa/X 3@argo/uRX 1@hpa/pRX",
				},
				{
					rv: 5, at: 20 * time.Second, sees: "3", owner: "argo", since: 15 * time.Second, by: "hpa", sets: "1",
					want: "3@argo/u 1@hpa/X 3@argo/uRX 1@hpa/RX 3@argo/uRX 1@hpa/pRX",
				},
			},
		},
		{
			name: "of an object without managedFields, the other party unknown",
			steps: []step{
				{rv: 1, path: signature, sees: "b", by: "app", sets: "a", want: "b/u a@app/p"},
				{rv: 3, at: time.Second, path: signature, sees: "b", by: "app", sets: "a", want: "b/u a@app b/uR a@app/pR"},
				{
					rv: 5, at: 2 * time.Second, path: signature, sees: "b", by: "app", sets: "a",
					want: "b/u a@app b/uR a@app/R b/uR a@app/pR",
				},
			},
		},
	})
}

func TestARestartedWebhookRelearnsWithinOneLap(t *testing.T) {
	tell(t, []story{
		{
			name: "A and B undo each other: the second write after the restart is a reversal",
			steps: []step{
				{rv: 101, path: signature, sees: "a", by: "app", sets: "b", want: "a/u b@app/p"},
				{rv: 102, at: time.Second, path: signature, sees: "b", by: "app", sets: "a", want: "a/u b@app a@app/pR"},
			},
		},
		{
			name: "with managedFields the first state has a writer too",
			steps: []step{
				{rv: 101, sees: "1", owner: "argo", since: -time.Second, by: "hpa", sets: "3", want: "1@argo/u 3@hpa/pX"},
				{rv: 102, at: time.Second, sees: "3", by: "argo", sets: "1", want: "1@argo/u 3@hpa/X 1@argo/pRX"},
			},
		},
	})
}
