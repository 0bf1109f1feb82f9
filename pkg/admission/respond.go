package admission

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// Response is the answer to one review.
type Response struct {
	UID               string
	Allowed           bool
	Code              int32  // HTTP status of a denial
	Reason            string // metav1.StatusReason of a denial
	Message           string // of a denial
	RetryAfterSeconds int32  // 0: none
	Warnings          []string
	Audit             []KV
	Patch             []byte // RFC 6902, nil if there is none
	// Verdicts are what was found, for metrics, logs and replays; they are not sent.
	Verdicts []Verdict
	// Object names what the review was about, if there is a verdict or a write to tell of.
	Object Object
	// Operation is CREATE, UPDATE, DELETE or CONNECT.
	Operation string
	// Key is what the object's history is kept under.
	Key history.Key
	// Writes are the changes of fields that rules watch, if the Guard is to tell (Journal). Their slice is used again:
	// not to be kept.
	Writes []Write
	// DryRun: nothing is going to be stored.
	DryRun bool
	// At is when the review was judged.
	At time.Time
	// Again: the request was judged before, or will lose its race. It is no further write.
	Again bool
}

// KV is an audit annotation.
type KV struct{ Key, Value string }

// Object names an object as messages do. Who keeps its strings for long should clone them.
type Object struct {
	Operation, Group, Resource, Subresource, Namespace, Name string
	// Version and Kind are the request's: of a subresource scale, those of the Scale. UID is empty at creation.
	Version, Kind, UID string
}

// String returns the name as kubectl takes it: `serviceaccounts/web -n shop` without the namespace.
func (o Object) String() string {
	s := o.Resource
	if o.Group != "" {
		s += "." + o.Group
	}
	return s + "/" + o.Name
}

// Verdict is what a review got for one field.
type Verdict struct {
	policy.Verdict
	// Path is the field's, empty for writes that changed nothing.
	Path string
	// Mode is the policy's.
	Mode policy.Mode
	// Writer wrote; Parties fight.
	Writer  history.Writer
	Parties []history.Writer
	// Since is when the first write that counts was made, of a fight that starts.
	Since time.Time
	// Length of the current truce, of a fight.
	Length time.Duration
}

// Kind is "fight" or "loop".
func (v *Verdict) Kind() string {
	if v.Signal.Loop() {
		return "loop"
	}
	return "fight"
}

// respond makes the answer out of the verdicts, the gravest first.
func (v *visit) respond(resp *Response) {
	r := &v.request
	resp.UID, resp.Allowed, resp.Verdicts = r.UID, true, v.verdicts
	resp.Operation, resp.DryRun, resp.Again, resp.Writes = r.Operation, r.DryRun, v.again, v.writes
	if len(v.verdicts) == 0 && len(v.writes) == 0 {
		return
	}
	resp.Object = Object{
		Operation: r.Operation, Group: r.Group, Resource: r.Resource, Subresource: r.Subresource, Namespace: r.Namespace,
		Name: v.name(), Version: r.Version, Kind: r.Kind, UID: v.old.UID,
	}
	resp.Key, resp.At = v.key, v.now
	if len(v.verdicts) == 0 {
		return
	}
	slices.SortStableFunc(v.verdicts, func(a, b Verdict) int { return gravity(b.Reason) - gravity(a.Reason) })
	main := &v.verdicts[0]
	switch main.Reason {
	case policy.ReasonRejected:
		resp.Allowed, resp.Code, resp.Reason = false, http.StatusForbidden, "Forbidden"
	case policy.ReasonThrottled:
		resp.Allowed, resp.Code, resp.Reason = false, http.StatusTooManyRequests, "TooManyRequests"
		resp.RetryAfterSeconds = int32(main.RetryAfter / time.Second)
	}
	if !resp.Allowed {
		resp.Message = denial(resp.Object, main)
	} else {
		if len(v.held) > 0 {
			v.holdClocks()
			patch, err := v.differ.Restore(r.OldObject, r.Object, v.changes, v.held)
			if err != nil {
				// What cannot be put back goes through.
				*resp = Response{UID: r.UID, Allowed: true, Operation: r.Operation, Writes: resp.Writes[:0]}
				return
			}
			if len(v.held) == len(v.changes) && !v.truncated {
				patch = appendOwnership(patch, v.old.ManagedFields)
			}
			resp.Patch = patch
		}
		resp.Warnings = warnings(resp.Object, v.verdicts)
	}
	resp.Audit = auditAnnotations(main, len(v.verdicts))
}

// holdClocks holds the points in time beside held fields of a list's element too. A condition's lastTransitionTime says
// when its status changed; that did not, and the time alone would make every attempt a write.
func (v *visit) holdClocks() {
	for _, h := range v.held[:len(v.held):len(v.held)] {
		dot := bytes.LastIndexByte(v.changes[h].Path, '.')
		if dot < 1 || v.changes[h].Path[dot-1] != ']' {
			continue
		}
		element := v.changes[h].Path[:dot+1]
		for i := range v.changes {
			rest, beside := bytes.CutPrefix(v.changes[i].Path, element)
			if beside && v.changes[i].Clock && !bytes.ContainsAny(rest, ".[") && !slices.Contains(v.held, i) {
				v.held = append(v.held, i)
			}
		}
	}
}

// appendOwnership makes a patch put the managedFields back too. The API server has noted already that the writer owns
// what it changed; if nothing of that is left, this note alone would be a write, and an applier's and an updater's
// notes would take turns for ever.
func appendOwnership(patch []byte, managedFields []byte) []byte {
	patch = append(patch[:len(patch)-1], ',')
	if managedFields == nil {
		return append(patch, `{"op":"add","path":"/metadata/managedFields","value":null}]`...)
	}
	patch = append(patch, `{"op":"add","path":"/metadata/managedFields","value":`...)
	patch = append(patch, managedFields...)
	return append(patch, "}]"...)
}

// gravity orders the reasons: what stops a write outweighs what is said about it, and that what lets it pass.
func gravity(r policy.Reason) int {
	switch r {
	case policy.ReasonRejected:
		return 6
	case policy.ReasonThrottled:
		return 5
	case policy.ReasonHeld:
		return 4
	case policy.ReasonWarned, policy.ReasonBucket, policy.ReasonUnheld:
		return 3
	case policy.ReasonLoop:
		return 1
	case policy.ReasonNone:
		return 0
	}
	return 2
}

// auditAnnotations says what a message says, for machines. The API server puts the webhook's name before the keys.
func auditAnnotations(v *Verdict, fields int) []KV {
	if v.Reason == policy.ReasonNone {
		return nil
	}
	parties := make([]string, len(v.Parties))
	for i, p := range v.Parties {
		parties[i] = writerKey(p)
	}
	kvs := []KV{
		{"verdict", string(v.Reason)},
		{"signal", v.Signal.String()},
		{"rule", v.Rule.Name},
		{"parties", strings.Join(parties, " ")},
		{"count", strconv.Itoa(v.Count)},
		{"mode", string(v.Mode)},
	}
	if v.Path != "" {
		kvs = append(kvs, KV{"field", v.Path})
	}
	if fields > 1 {
		kvs = append(kvs, KV{"fields", strconv.Itoa(fields)})
	}
	if !v.Until.IsZero() {
		kvs = append(kvs, KV{"until", v.Until.UTC().Format(time.RFC3339)})
	}
	return kvs
}

// writerKey names a writer without spaces: user, then manager and pod if they are known.
func writerKey(w history.Writer) string {
	s := w.User
	if w.Manager != "" {
		s += ",manager=" + strings.ReplaceAll(w.Manager, " ", "_")
	}
	if w.Pod != "" {
		s += ",pod=" + w.Pod
	}
	if s == "" {
		return "unknown"
	}
	return strings.TrimPrefix(s, ",")
}

// AppendJSON appends the AdmissionReview that carries the response.
func (r *Response) AppendJSON(b []byte) []byte {
	b = append(b, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":`...)
	b = appendString(b, r.UID)
	b = append(b, `,"allowed":`...)
	b = strconv.AppendBool(b, r.Allowed)
	if !r.Allowed {
		b = append(b, `,"status":{"status":"Failure","code":`...)
		b = strconv.AppendInt(b, int64(r.Code), 10)
		b = append(b, `,"reason":`...)
		b = appendString(b, r.Reason)
		b = append(b, `,"message":`...)
		b = appendString(b, r.Message)
		if r.RetryAfterSeconds > 0 {
			b = append(b, `,"details":{"retryAfterSeconds":`...)
			b = strconv.AppendInt(b, int64(r.RetryAfterSeconds), 10)
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	if len(r.Patch) > 0 {
		b = append(b, `,"patchType":"JSONPatch","patch":"`...)
		b = appendBase64(b, r.Patch)
		b = append(b, '"')
	}
	for i, w := range r.Warnings {
		if i == 0 {
			b = append(b, `,"warnings":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendString(b, w)
	}
	if len(r.Warnings) > 0 {
		b = append(b, ']')
	}
	for i, kv := range r.Audit {
		if i == 0 {
			b = append(b, `,"auditAnnotations":{`...)
		} else {
			b = append(b, ',')
		}
		b = appendString(b, kv.Key)
		b = append(b, ':')
		b = appendString(b, kv.Value)
	}
	if len(r.Audit) > 0 {
		b = append(b, '}')
	}
	return append(b, "}}\n"...)
}

func appendString(b []byte, s string) []byte {
	// The error is about invalid UTF-8, which is replaced.
	b, _ = jsontext.AppendQuote(b, s)
	return b
}
