package admission

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

func TestTwoWritersWhoUndoEachOther(t *testing.T) {
	for _, c := range []struct {
		action  string
		allowed bool
		code    int32
		reason  policy.Reason
	}{
		{"Warn", true, 0, policy.ReasonWarned},
		{"Throttle", true, 0, policy.ReasonBucket}, // the burst lets the first one through
		{"Reject", false, 403, policy.ReasonRejected},
		{"Hold", true, 0, policy.ReasonUnheld}, // nobody asked the mutating webhook
	} {
		t.Run(c.action, func(t *testing.T) {
			h := newHand(t, policyWith(c.action))
			r, _ := h.fight()
			if h.n != 5 {
				t.Errorf("found at write %d; the third reversal is the 5th write", h.n)
			}
			if r.Allowed != c.allowed || r.Code != c.code || reason(r) != c.reason {
				t.Errorf("allowed %v, code %d, reason %q", r.Allowed, r.Code, reason(r))
			}
			v := r.Verdicts[0]
			if v.Path != "metadata.annotations[k]" || len(v.Parties) != 2 || v.Count != 3 || v.Kind() != "fight" {
				t.Errorf("verdict %+v", v)
			}
			if want := h.now.Add(5 * time.Minute); !v.Until.Equal(want) {
				t.Errorf("until %v, want %v", v.Until, want)
			}
		})
	}
}

func TestThrottleAnswers429OnceTheBucketIsEmpty(t *testing.T) {
	h := newHand(t, policyWith("Throttle\n  throttle: {every: 60s, burst: 1, retryAfterSeconds: 7}"))
	_, stored := h.fight()
	r := h.by("blue", "blue").after(time.Second).set(stored, "blue")
	if r.Allowed || r.Code != 429 || r.Reason != "TooManyRequests" || r.RetryAfterSeconds != 7 {
		t.Fatalf("%+v", r)
	}
	var review struct {
		Response struct {
			Allowed bool
			Status  struct {
				Code    int
				Reason  string
				Details struct{ RetryAfterSeconds int }
			}
			AuditAnnotations map[string]string
		}
	}
	if err := json.Unmarshal(r.AppendJSON(nil), &review); err != nil {
		t.Fatal(err)
	}
	if s := review.Response.Status; s.Code != 429 || s.Reason != "TooManyRequests" || s.Details.RetryAfterSeconds != 7 {
		t.Errorf("status %+v", s)
	}
	if a := review.Response.AuditAnnotations; a["verdict"] != "Throttled" || a["field"] != "metadata.annotations[k]" ||
		a["signal"] != "Reversal" || a["count"] != "4" || a["rule"] != "all" || a["until"] == "" || a["mode"] != "Enforce" {
		t.Errorf("audit annotations %v", a)
	}
	if r := h.by("blue", "blue").after(60*time.Second).set(stored, "blue"); !r.Allowed || reason(r) != policy.ReasonBucket {
		t.Errorf("after a minute the bucket has a token: %+v", r)
	}
}

func TestHoldRestoresTheFieldAndLetsTheRestThrough(t *testing.T) {
	h := newHand(t, policyWith("Hold"))
	_, stored := h.fight()
	h.by("red", "red").after(time.Second)
	other := map[string]string{"red": "blue", "blue": "red"}[stored]
	h.by(other, other)
	old, updated := h.annotation(stored), h.annotation(other)
	updated["data"] = map[string]any{"honest": "change"}
	r := h.review(Mutating, old, updated)
	if !r.Allowed || reason(r) != policy.ReasonHeld || len(r.Warnings) != 1 {
		t.Fatalf("%+v", r)
	}
	got := patched(t, updated, r.Patch)
	want := h.annotation(stored)
	want["data"] = updated["data"]
	if !same(t, got, want) {
		t.Errorf("after the patch %s: %v", r.Patch, got)
	}
	if strings.Contains(string(r.Patch), "managedFields") {
		t.Error("managedFields were put back although something else changes")
	}
	if r := h.review(Validating, old, got); len(r.Verdicts) != 0 {
		t.Errorf("what comes past the mutating webhook is at peace: %+v", r.Verdicts)
	}
}

func TestHoldPutsOwnershipBackIfNothingElseChanges(t *testing.T) {
	h := newHand(t, policyWith("Hold"))
	_, stored := h.fight()
	other := map[string]string{"red": "blue", "blue": "red"}[stored]
	h.by(other, other).after(time.Second)
	old, updated := h.annotation(stored), h.annotation(other)
	entry := func(m string) []any {
		return []any{map[string]any{
			"manager": m, "operation": "Update", "apiVersion": "v1", "time": "2025-03-01T12:00:00Z", "fieldsType": "FieldsV1",
			"fieldsV1": map[string]any{"f:metadata": map[string]any{"f:annotations": map[string]any{"f:k": map[string]any{}}}},
		}}
	}
	old["metadata"].(map[string]any)["managedFields"] = entry(stored)
	updated["metadata"].(map[string]any)["managedFields"] = entry(other)
	r := h.review(Mutating, old, updated)
	if got := patched(t, updated, r.Patch); !same(t, got, old) {
		t.Errorf("after the patch %s: %v", r.Patch, got)
	}
}

func TestMutatingAndValidatingOfOneWriteCountOnce(t *testing.T) {
	h := newHand(t, policyWith("Hold"))
	stored := "none"
	for i := 0; i < 4; i++ { // two reversals
		to := []string{"red", "blue"}[i%2]
		h.by(to, to).after(time.Second)
		old, updated := h.annotation(stored), h.annotation(to)
		for range 3 { // the API server may come again, for a reinvocation or after a lost race
			if r := h.review(Mutating, old, updated); len(r.Verdicts) != 0 {
				t.Fatalf("write %d: %+v", i, r.Verdicts)
			}
		}
		for range 2 {
			if r := h.review(Validating, old, updated); len(r.Verdicts) != 0 {
				t.Fatalf("write %d: %+v", i, r.Verdicts)
			}
		}
		h.version++
		stored = to
	}
	h.by("red", "red").after(time.Second)
	if r := h.review(Mutating, h.annotation("blue"), h.annotation("red")); reason(r) != policy.ReasonHeld {
		t.Errorf("the third reversal: %+v", r.Verdicts)
	}
}

func TestADryRunLeavesNoTraceAndIsAnsweredAsTheWriteWouldBe(t *testing.T) {
	h := newHand(t, policyWith("Reject"))
	h.dryRun = true
	for i := range 20 {
		to := []string{"red", "blue"}[i%2]
		if r := h.by(to, to).after(time.Second).set("none", to); len(r.Verdicts) != 0 {
			t.Fatalf("dry run %d: %+v", i, r.Verdicts)
		}
	}
	h.dryRun = false
	_, stored := h.fight()
	h.dryRun = true
	r := h.by("blue", "blue").after(time.Second).set(stored, "other")
	if r.Allowed {
		t.Error("during a truce a dry run is denied as the real write would be")
	}
	h.dryRun = false
	if r := h.by("blue", "blue").after(time.Second).set(stored, "other"); r.Verdicts[0].Count != 3 {
		t.Errorf("the dry run was counted: %d reversals", r.Verdicts[0].Count)
	}
}

func TestWhoPassesWhateverIsFoughtOver(t *testing.T) {
	const truce = "Reject\n  prefer: {managers: [boss]}\nexempt: {users: ['*:breakglass'], groups: [admins], managers: [exempt-*], namespaces: [free]}"
	for _, c := range []struct {
		name   string
		change func(h *hand, updated map[string]any)
		want   policy.Reason
	}{
		{"nobody in particular", func(*hand, map[string]any) {}, policy.ReasonRejected},
		{"an exempt user", func(h *hand, _ map[string]any) { h.user = "system:serviceaccount:shop:breakglass" }, policy.ReasonExempt},
		{"an exempt group", func(h *hand, _ map[string]any) { h.groups = []string{"admins"} }, policy.ReasonExempt},
		{"an exempt manager", func(h *hand, _ map[string]any) { h.manager = "exempt-1" }, policy.ReasonExempt},
		{"the preferred party", func(h *hand, _ map[string]any) { h.manager = "boss" }, policy.ReasonPreferred},
		{"glass broken until later", glass("2025-03-01T13:00:00Z"), policy.ReasonBreak},
		{"glass broken until now", glass("2025-03-01T12:00:06Z"), policy.ReasonRejected},
		{"glass broken until a millisecond later", glass("2025-03-01T12:00:06.001Z"), policy.ReasonBreak},
		{"glass broken wrongly", glass("tomorrow"), policy.ReasonRejected},
		{"an object on its way out", func(_ *hand, o map[string]any) {
			o["metadata"].(map[string]any)["deletionTimestamp"] = "2025-03-01T12:00:00Z"
		}, policy.ReasonCleanup},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHand(t, policyWith(truce))
			_, stored := h.fight()
			h.by("blue", "blue").after(time.Second)
			updated := h.annotation("green")
			c.change(h, updated)
			r := h.review(Validating, h.annotation(stored), updated)
			if reason(r) != c.want || r.Allowed != !c.want.Stops() {
				t.Errorf("reason %q, allowed %v; want %q", reason(r), r.Allowed, c.want)
			}
			if !c.want.Stops() && len(r.Warnings) != 0 {
				t.Errorf("warned: %q", r.Warnings)
			}
		})
	}
}

func glass(until string) func(*hand, map[string]any) {
	return func(_ *hand, o map[string]any) {
		o["metadata"].(map[string]any)["annotations"].(map[string]any)[BreakGlass] = until
	}
}

func TestWhatIsNotLookedAt(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(h *hand)
	}{
		{"a connection", func(h *hand) { h.operation = "CONNECT" }},
		{"another subresource", func(h *hand) { h.subresource = "ephemeralcontainers" }},
		{"a resource that no rule watches", func(h *hand) { h.resource = "secrets" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHand(t, policyWith("Reject\n  match: {resources: [configmaps]}"))
			c.change(h)
			for i := range 10 {
				to := []string{"red", "blue"}[i%2]
				if r := h.by(to, to).after(time.Second).set([]string{"blue", "red"}[i%2], to); !r.Allowed || len(r.Verdicts) != 0 {
					t.Fatalf("write %d: %+v", i, r)
				}
			}
			if n := h.guard.store.Len(); n != 0 {
				t.Errorf("%d objects are remembered", n)
			}
		})
	}
}

func TestAScaleIsTheSameFieldAsItsObjectsReplicas(t *testing.T) {
	h := newHand(t, policyWith("Reject"))
	h.group, h.resource, h.kind = "apps", "deployments", "Deployment"
	deployment := func(n int) map[string]any {
		return h.object(map[string]any{"spec": map[string]any{"replicas": n}, "status": map[string]any{"replicas": n}})
	}
	replicas := 2
	for i := 0; i < 5; i++ {
		h.after(time.Second)
		var r Response
		if i%2 == 0 {
			h.by("hpa", "").subresource, h.kind = "scale", "Scale"
			r = h.review(Validating, deployment(replicas), deployment(5))
			replicas = 5
		} else {
			h.by("argo", "argocd").subresource, h.kind = "", "Deployment"
			old, updated := deployment(replicas), deployment(1)
			delete(old, "status")
			delete(updated, "status")
			r = h.review(Validating, old, updated)
			replicas = 1
		}
		h.version++
		if want := i == 4; (reason(r) == policy.ReasonRejected) != want {
			t.Fatalf("write %d: %+v", i, r.Verdicts)
		} else if want && r.Verdicts[0].Path != "spec.replicas" {
			t.Errorf("the field is %s", r.Verdicts[0].Path)
		}
	}
}

func TestCreationAndDeletionAreWritesOfTheObjectItself(t *testing.T) {
	lap := func(h *hand, generate, suffix string, created time.Time) (deleted, recreated Response) {
		meta := map[string]any{"creationTimestamp": created.UTC().Format(time.RFC3339)}
		if generate != "" {
			meta["generateName"] = generate
			meta["ownerReferences"] = []any{map[string]any{"uid": "owner", "controller": true, "kind": "DaemonSet", "name": "d", "apiVersion": "apps/v1"}}
			h.name = generate + suffix
		}
		h.operation = "DELETE"
		old := h.object(map[string]any{"metadata": meta})
		deleted = h.by("argo", "").after(time.Second).review(Validating, old, nil)
		h.operation, h.uid = "CREATE", fmt.Sprint("uid-", h.n)
		meta["creationTimestamp"] = h.now.UTC().Format(time.RFC3339)
		recreated = h.by("operator", "").after(time.Second).review(Validating, nil, h.object(map[string]any{"metadata": meta}))
		return deleted, recreated
	}
	t.Run("a name that stays", func(t *testing.T) {
		h := newHand(t, policyWith("Reject"))
		var found []policy.Reason
		for range 3 {
			d, c := lap(h, "", "", h.now)
			found = append(found, reason(d), reason(c))
		}
		// The first deletion undoes nobody whom we saw; the first creation is the first reversal.
		if want := []policy.Reason{"", "", "", "Rejected", "Rejected", "Rejected"}; !slices.Equal(found, want) {
			t.Errorf("reasons %q, want %q", found, want)
		}
	})
	t.Run("generated names of one owner", func(t *testing.T) {
		h := newHand(t, policyWith("Reject"))
		var last Response
		for i := range 3 {
			_, last = lap(h, "exporter-", fmt.Sprintf("x%dbcd", i), h.now)
		}
		if reason(last) != policy.ReasonRejected || last.Verdicts[0].Path != history.Exists {
			t.Errorf("%+v", last.Verdicts)
		}
	})
	t.Run("old pods that are replaced one by one are a rolling update", func(t *testing.T) {
		h := newHand(t, policyWith("Reject"))
		for i := range 10 {
			if d, c := lap(h, "exporter-", fmt.Sprintf("x%dbcd", i), start.Add(-time.Hour)); reason(d) != "" || reason(c) != "" {
				t.Fatalf("lap %d: %q %q", i, reason(d), reason(c))
			}
		}
	})
	for _, c := range []struct {
		name, generate string
		status         map[string]any
		want           policy.Reason
	}{
		{"a Pod that succeeded", "run-", map[string]any{"phase": "Succeeded"}, policy.ReasonNone},
		{"a Restore that completed", "run-", map[string]any{"phase": "Completed"}, policy.ReasonNone},
		{"a Job that is complete", "run-", map[string]any{"conditions": []any{}, "completionTime": "2025-03-01T11:59:30Z"}, policy.ReasonNone},
		{"a Pod that failed", "run-", map[string]any{"phase": "Failed"}, policy.ReasonRejected},
		{"a Pod that still runs", "run-", map[string]any{"phase": "Running", "completionTime": nil}, policy.ReasonRejected},
		{"a Job of a name of its own, which is brought back", "", map[string]any{"completionTime": "2025-03-01T11:59:30Z"}, policy.ReasonRejected},
	} {
		t.Run("to clear away "+c.name, func(t *testing.T) {
			h := newHand(t, policyWith("Reject"))
			if c.generate != "" {
				h.name = c.generate + "x7bcd"
			}
			stopped := recreate(h, 6, "runner", "cleaner", c.generate, c.status)
			if stopped != c.want {
				t.Errorf("got %q, want %q", stopped, c.want)
			}
		})
	}
	t.Run("ordinals are names of their own", func(t *testing.T) {
		h := newHand(t, policyWith("Reject"))
		for i := range 10 {
			if d, c := lap(h, "web-", fmt.Sprint(i), h.now); reason(d) != "" || reason(c) != "" {
				t.Fatalf("lap %d: %q %q", i, reason(d), reason(c))
			}
		}
	})
	for _, c := range []struct {
		name, generate, suffix string
		status                 map[string]any
		want                   policy.Reason
	}{
		{"a StatefulSet's Pod that is replaced and scaled away again and again", "web-", "1", nil, policy.ReasonNone},
		{"an object of a name of its own", "", "web-1", nil, policy.ReasonRejected},
		{"a Pod before it is ready", "web-", "x7bcd", ready("False"), policy.ReasonLoop},
		{"a Pod before anybody knows", "web-", "x7bcd", ready("Unknown"), policy.ReasonLoop},
		{"a Pod that was ready", "web-", "x7bcd", ready("True"), policy.ReasonNone},
		{"a Pod that does not say", "web-", "x7bcd", map[string]any{"conditions": []any{}}, policy.ReasonNone},
		{"an object that is not ready, of a name of its own", "", "web-1", ready("False"), policy.ReasonRejected},
		{"a hook's Job once it is complete", "", "migrate", map[string]any{"completionTime": "2025-03-01T11:59:30Z"}, policy.ReasonNone},
		{"a Job that failed", "", "migrate", map[string]any{"failed": 1}, policy.ReasonRejected},
	} {
		t.Run("one writer deletes and creates "+c.name, func(t *testing.T) {
			h := newHand(t, policyWith("Reject"))
			h.name = c.generate + c.suffix
			stopped := recreate(h, 20, "controller", "controller", c.generate, c.status)
			if stopped != c.want {
				t.Errorf("got %q, want %q", stopped, c.want)
			}
		})
	}
	for _, c := range []struct {
		name, resource string
		lives          time.Duration
		want           policy.Reason
	}{
		{"a Pod within three seconds", "pods", 3*time.Second - 1, policy.ReasonLoop},
		{"a Pod after three seconds", "pods", 3 * time.Second, policy.ReasonNone},
		{"something else within three seconds", "tokens", time.Second, policy.ReasonNone},
	} {
		t.Run("one writer deletes and creates "+c.name, func(t *testing.T) {
			h := newHand(t, policyWith("Reject"))
			h.resource, h.name = c.resource, "web-x7bcd"
			for range 20 {
				meta := map[string]any{"generateName": "web-", "creationTimestamp": h.after(10 * time.Second).now.UTC().Format(time.RFC3339)}
				h.operation, h.uid = "CREATE", fmt.Sprint("uid-", h.n)
				created := h.by("ds", "").review(Validating, nil, h.object(map[string]any{"metadata": meta}))
				h.operation = "DELETE"
				h.after(c.lives).review(Validating, h.object(map[string]any{"metadata": meta}), nil)
				h.now = h.now.Truncate(time.Second)
				if got := reason(created); got != "" && got != c.want {
					t.Fatalf("got %q, want %q", got, c.want)
				} else if c.want != "" && got == c.want {
					return
				}
			}
			if c.want != "" {
				t.Errorf("got nothing, want %q", c.want)
			}
		})
	}
	t.Run("what lived for more than an hour was not created in vain", func(t *testing.T) {
		h := newHand(t, policyWith("Reject"))
		for i := range 6 {
			if d, c := lap(h.after(time.Hour+time.Second), "", "", h.now); reason(d) != "" || reason(c) != "" {
				t.Fatalf("lap %d: %q %q", i, reason(d), reason(c))
			}
		}
	})
}

// ready is a status with a condition Ready among others.
func ready(status string) map[string]any {
	return map[string]any{"conditions": []any{
		map[string]any{"type": "PodScheduled", "status": "True"},
		map[string]any{"type": "Ready", "status": status},
		map[string]any{"type": "ContainersReady", "status": "False"},
	}}
}

// recreate has an object made by one writer and deleted by another, ten seconds apart, again and again. It returns the gravest
// reason for which one of them was stopped.
func recreate(h *hand, times int, creator, deleter, generate string, status map[string]any) (stopped policy.Reason) {
	meta := map[string]any{}
	if generate != "" {
		meta["generateName"] = generate
	}
	for range times {
		meta["creationTimestamp"] = h.now.Add(10 * time.Second).UTC().Format(time.RFC3339)
		h.operation, h.uid = "CREATE", fmt.Sprint("uid-", h.n)
		created := h.by(creator, "").after(10*time.Second).review(Validating, nil, h.object(map[string]any{"metadata": meta}))
		h.operation = "DELETE"
		deleted := h.by(deleter, "").after(10*time.Second).review(Validating, h.object(map[string]any{"metadata": meta, "status": status}), nil)
		stopped = max(stopped, reason(created), reason(deleted))
	}
	return stopped
}

func TestDeletionsThatAreNeverHeldUp(t *testing.T) {
	for _, c := range []struct {
		user, group, resource string
		want                  policy.Reason
	}{
		{"system:serviceaccount:kube-system:generic-garbage-collector", "", "configmaps", policy.ReasonCleanup},
		{"system:serviceaccount:kube-system:namespace-controller", "", "configmaps", policy.ReasonCleanup},
		{"system:serviceaccount:shop:argo", "", "namespaces", policy.ReasonCleanup},
		{"system:serviceaccount:shop:argo", "", "configmaps", policy.ReasonRejected},
	} {
		t.Run(c.user+" "+c.resource, func(t *testing.T) {
			h := newHand(t, policyWith("Reject"))
			h.resource = c.resource
			var last Response
			for range 4 {
				h.operation, h.user = "DELETE", c.user
				last = h.after(time.Second).review(Validating, h.annotation("x"), nil)
				h.operation, h.user, h.uid = "CREATE", "system:serviceaccount:shop:operator", fmt.Sprint(h.n)
				h.after(time.Second).review(Validating, nil, h.annotation("x"))
			}
			if reason(last) != c.want || last.Allowed != (c.want == policy.ReasonCleanup) {
				t.Errorf("reason %q, allowed %v", reason(last), last.Allowed)
			}
		})
	}
}

func TestTheLastStepOfADeletionIsNobodysDecision(t *testing.T) {
	h := newHand(t, policyWith("Reject"))
	h.operation = "DELETE"
	old := h.object(map[string]any{"metadata": map[string]any{"deletionTimestamp": "2025-03-01T11:59:30Z"}})
	if h.by("kubelet", "").review(Validating, old, nil); h.guard.store.Len() != 0 {
		t.Error("the kubelet's last word on a pod was remembered as a deletion")
	}
}

func TestADeniedWriteIsNotAState(t *testing.T) {
	h := newHand(t, policyWith("Reject"))
	_, stored := h.fight()
	for i := range 5 {
		if r := h.by("blue", "blue").after(time.Second).set(stored, "new"); r.Allowed {
			t.Fatalf("attempt %d passed", i)
		}
	}
	h.guard.store.Update(history.Key{Resource: "configmaps", Namespace: "shop", Name: "web"}, func(o *history.Object) {
		f := o.Field([]byte("metadata.annotations[k]"))
		last, _ := f.Last()
		if last.Value != h.guard.hasher.Sum([]byte(`"`+stored+`"`)) {
			t.Error("the newest state is not the stored one")
		}
		if f.Fight.Stopped != 6 {
			t.Errorf("%d attempts were stopped, want 6", f.Fight.Stopped)
		}
	})
}

func TestADuplicateGetsItsVerdictAndTeachesNothing(t *testing.T) {
	h := newHand(t, policyWith("Reject"))
	_, stored := h.fight()
	h.by("blue", "blue").after(time.Second)
	body := h.body(h.annotation(stored), h.annotation("new"))
	first, _ := h.guard.Review(h.now, Validating, body)
	again, _ := h.guard.Review(h.now, Validating, body)
	if first.Allowed || again.Allowed {
		t.Error("a duplicate is judged like the request")
	}
	if r := h.after(time.Second).set(stored, "new"); r.Verdicts[0].Count != first.Verdicts[0].Count {
		t.Errorf("count %d after %d", r.Verdicts[0].Count, first.Verdicts[0].Count)
	}
}

func TestWritesThatChangeNothingAreALoopInTheEnd(t *testing.T) {
	h := newHand(t, policyWith("Reject"))
	for i := 0; i <= 30; i++ {
		r := h.by("operator", "op").after(3*time.Second).set("same", "same")
		loop := i*3 >= 60
		if (reason(r) == policy.ReasonLoop) != loop || !r.Allowed {
			t.Fatalf("write %d: reason %q, allowed %v", i, reason(r), r.Allowed)
		}
		if loop && (len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "without changing anything")) {
			t.Errorf("warnings %q", r.Warnings)
		}
	}
}

func TestALosersNoopsDuringAFightAreNoLoop(t *testing.T) {
	h := newHand(t, policyWith("Hold"))
	_, stored := h.fight()
	for i := range 40 {
		if r := h.by("blue", "blue").after(2*time.Second).set(stored, stored); len(r.Verdicts) != 0 {
			t.Fatalf("write %d: %+v", i, r.Verdicts)
		}
	}
}

func TestAPolicyIsSwappedWithoutForgetting(t *testing.T) {
	h := newHand(t, policyWith("Warn"))
	_, stored := h.fight()
	p, err := h.guard.Policy().WithMode(policy.Enforce)
	if err != nil {
		t.Fatal(err)
	}
	reject, err := policy.Load([]byte(policyWith("Reject")), "")
	if err != nil {
		t.Fatal(err)
	}
	h.guard.SetPolicy(p)
	h.guard.SetPolicy(reject)
	other := map[string]string{"red": "blue", "blue": "red"}[stored]
	if r := h.by(other, other).after(time.Second).set(stored, other); reason(r) != policy.ReasonRejected {
		t.Errorf("the fight was forgotten: %+v", r)
	}
}

func TestNothingRemembersTheBodyOrAnyValue(t *testing.T) {
	const secret = "hunter2-s3cr3t"
	h := newHand(t, policyWith("Reject"))
	var out bytes.Buffer
	stored := secret
	for i := range 12 {
		to := []string{"red", "blue"}[i%2]
		body := h.by(to, to).after(time.Second).body(h.annotation(stored), h.annotation(to+secret))
		r, err := h.guard.Review(h.now, Validating, body)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(r.AppendJSON(nil))
		fmt.Fprintf(&out, "%+v", r.Verdicts)
		clear(body) // what was kept of it would change now
		if r.Allowed {
			stored = to + secret
			h.version++
		}
	}
	if strings.Contains(out.String(), secret) {
		t.Error("a value got into an answer")
	}
	if !strings.Contains(out.String(), "red") || !strings.Contains(out.String(), "blue") {
		t.Errorf("the parties are not named: %s", out.String())
	}
	h.guard.store.Update(history.Key{Resource: "configmaps", Namespace: "shop", Name: "web"}, func(o *history.Object) {
		b, err := o.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(secret)) || !bytes.Contains(b, []byte("metadata.annotations[k]")) {
			t.Errorf("what is remembered: %q", b)
		}
	})
}

func patched(t *testing.T, o map[string]any, patch []byte) map[string]any {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		t.Fatalf("%v: %s", err, patch)
	}
	if raw, err = p.Apply(raw); err != nil {
		t.Fatalf("%v: %s", err, patch)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func same(t *testing.T, a, b map[string]any) bool {
	t.Helper()
	x, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(x, y)
}

// A condition's lastTransitionTime says that the condition changed.
func TestATimeOfNoTransitionIsALoopInTheEnd(t *testing.T) {
	condition := func(status string, n int) map[string]any {
		return map[string]any{"type": "Ready", "status": status, "lastTransitionTime": start.Add(time.Duration(n) * time.Second).Format(time.RFC3339)}
	}
	for _, c := range []struct {
		name   string
		status func(i int) map[string]any
		want   policy.Reason
	}{
		{"nothing else changes", func(i int) map[string]any {
			return map[string]any{"conditions": []any{condition("True", i), map[string]any{"type": "Other", "status": fmt.Sprint(i)}}}
		}, policy.ReasonLoop},
		{"the condition changes as well", func(i int) map[string]any {
			return map[string]any{"conditions": []any{condition(fmt.Sprint("True", i), i)}}
		}, policy.ReasonNone},
		{"it is a heartbeat", func(i int) map[string]any {
			return map[string]any{"conditions": []any{map[string]any{"type": "Ready", "lastHeartbeatTime": fmt.Sprint(start.Add(time.Duration(i) * time.Second).Format(time.RFC3339))}}}
		}, policy.ReasonNone},
		{"it is no condition", func(i int) map[string]any {
			return map[string]any{"phases": []any{condition("True", i)}}
		}, policy.ReasonNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHand(t, policyWith("Reject"))
			worst := policy.ReasonNone
			for i := range 30 {
				old, updated := h.object(map[string]any{"status": c.status(i)}), h.object(map[string]any{"status": c.status(i + 1)})
				worst = max(worst, reason(h.by("operator", "op").after(4*time.Second).review(Validating, old, updated)))
			}
			if worst != c.want {
				t.Errorf("got %q, want %q", worst, c.want)
			}
		})
	}
}
