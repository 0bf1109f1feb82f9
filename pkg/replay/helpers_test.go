package replay

import (
	"encoding/json"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

const corpus = "../../testdata/corpus"

// reviewer is a reviewer that a test writes as a function. It keeps every review it was asked for.
type reviewer struct {
	t       *testing.T
	answer  func(now time.Time, phase admission.Phase, r *admissionv1.AdmissionRequest) admission.Response
	reviews []review
}

type review struct {
	Phase   admission.Phase
	Request *admissionv1.AdmissionRequest
	Body    []byte
}

func (r *reviewer) Review(now time.Time, phase admission.Phase, body []byte) (admission.Response, error) {
	var in admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &in); err != nil {
		r.t.Errorf("the review is not JSON: %v\n%s", err, body)
		return admission.Response{}, err
	}
	r.reviews = append(r.reviews, review{phase, in.Request, body})
	if r.answer == nil {
		return admission.Response{Allowed: true}, nil
	}
	return r.answer(now, phase, in.Request), nil
}

// quiet allows everything and says nothing.
func quiet(t *testing.T) *reviewer { return &reviewer{t: t} }

func deny(code int32) admission.Response {
	return admission.Response{Code: code, Message: "no"}
}

// finding is a verdict as a guard gives it.
func finding(kind, path string, parties ...history.Writer) admission.Verdict {
	v := admission.Verdict{Path: path, Parties: parties}
	v.Reason, v.Signal = policy.ReasonWarned, history.TwoWriters
	if kind == VerdictLoop {
		v.Reason, v.Signal = policy.ReasonLoop, history.MintingLoop
	}
	return v
}

// parse parses a story that is sound. A line "id: x" is put before it.
func parse(t *testing.T, text string) *Story {
	t.Helper()
	s, err := Parse([]byte("id: x\n"+text), "x.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// decoded decodes JSON as a test wants to see it.
func decoded(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	return out
}
