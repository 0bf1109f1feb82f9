package report

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/truce-dev/truce/pkg/policy"
)

func TestJSON(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)
	object := Object{Resource: "serviceaccounts", Namespace: "shop", Name: "web"}
	cases := []struct {
		name string
		in   any
		want string
	}{
		{"a fight leaves out what it does not have", Fight{
			ID: "f-7c1e0b527c1e", Kind: "fight", Object: object, Field: "spec.a", Signal: "Reversal", Rule: "all",
			Mode: policy.Warn, Action: policy.ActionHold, Parties: []Writer{{User: "a"}}, State: Open, Reversals: 3, Writes: 4,
			FirstSeen: at, Detected: at, LastSeen: at, Turns: []Turn{{Time: at, Turn: policy.Started}},
		}, `{"id":"f-7c1e0b527c1e","kind":"fight","object":{"group":"","resource":"serviceaccounts","namespace":"shop",` +
			`"name":"web"},"field":"spec.a","signal":"Reversal","rule":"all","mode":"Warn","action":"Hold",` +
			`"parties":[{"user":"a"}],"state":"Open","reversals":3,"writes":4,` +
			`"prevented":{"throttled":0,"rejected":0,"held":0},"ratePerMinute":0,"firstSeen":"2026-03-01T12:00:00.005Z",` +
			`"detected":"2026-03-01T12:00:00.005Z","lastSeen":"2026-03-01T12:00:00.005Z",` +
			`"turns":[{"time":"2026-03-01T12:00:00.005Z","turn":"Started"}]}`},
		{"a change has hashes, not values", Change{
			Time: at, Object: object, Field: "spec.a", Writer: Writer{Manager: "m"}, Verb: "UPDATE", From: "absent",
			To: "9f3a000000000000", Outcome: Stored,
		}, `{"time":"2026-03-01T12:00:00.005Z","object":{"group":"","resource":"serviceaccounts","namespace":"shop",` +
			`"name":"web"},"field":"spec.a","writer":{"manager":"m"},"verb":"UPDATE","from":"absent",` +
			`"to":"9f3a000000000000","outcome":"Stored"}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := json.Marshal(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
