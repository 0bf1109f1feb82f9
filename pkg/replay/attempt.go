package replay

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/managedfields"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/policy"
)

// run calls the webhooks and stores what is left of the write.
func (a *attempt) run() (Outcome, error) {
	var out Outcome
	out.Code, out.Reviewed = http.StatusOK, true
	object, old, err := a.encode()
	if err != nil {
		return out, err
	}
	if !a.cluster.unseen {
		response, err := a.call(admission.Mutating, object, old)
		if err != nil {
			return out, err
		}
		if out.add(response); !response.Allowed {
			return out, nil
		}
		if len(response.Patch) > 0 {
			if err := a.patched(object, response.Patch); err != nil {
				return out, err
			}
			out.Held, object = true, nil
		}
	}
	settled, changed := a.settle()
	if settled || object == nil {
		if object, _, err = a.encode(); err != nil {
			return out, err
		}
	}
	response, err := a.call(admission.Validating, object, old)
	if err != nil {
		return out, err
	}
	switch out.add(response); {
	case a.cluster.unseen: // a watch can only look on
		out.Code, out.Warnings = http.StatusOK, nil
	case !response.Allowed:
		return out, nil
	}
	if a.operation == admissionv1.Create {
		out.Code = http.StatusCreated
	}
	if changed && !a.DryRun {
		a.cluster.store(a)
		out.Stored = true
	}
	return out, nil
}

// add notes what a webhook said.
func (o *Outcome) add(r admission.Response) {
	o.Warnings = append(o.Warnings, r.Warnings...)
	for i := range r.Verdicts { // copied, since the reviewer may use its memory again at its next call
		if v := &r.Verdicts[i]; v.Reason != policy.ReasonNone {
			o.Findings = append(o.Findings, Finding{Kind: v.Kind(), Path: v.Path, Parties: slices.Clone(v.Parties)})
		}
	}
	if !r.Allowed {
		o.Code, o.Message = int(r.Code), r.Message
		if o.Code < 400 {
			o.Code = http.StatusForbidden // what the API server makes of a denial without a code
		}
	}
}

// encode returns object and oldObject for a review, as JSON; nil for what is not there.
func (a *attempt) encode() (object, old []byte, err error) {
	if a.Sub == SubScale {
		if object, err = encoded(scaleOf(a.next), nil); err == nil {
			old, err = encoded(scaleOf(a.old.content), nil)
		}
		return object, old, err
	}
	if a.old != nil {
		if old, err = a.old.json(); err != nil {
			return nil, nil, err
		}
	}
	if a.next != nil {
		object, err = encoded(a.next, a.fields)
	}
	return object, old, err
}

func (a *attempt) call(phase admission.Phase, object, old []byte) (admission.Response, error) {
	c := a.cluster
	c.reviews++
	review := call{
		uid: uuid(c.seed, "review", c.reviews), id: a.id, sub: a.Sub, operation: a.operation, writer: a.Writer,
		applies: a.Op == OpApply, name: a.id.name, dryRun: a.DryRun,
	}
	if a.generated && phase == admission.Mutating {
		review.name = ""
	}
	body, err := review.review(object, old)
	if err != nil {
		return admission.Response{}, err
	}
	response, err := c.reviewer.Review(a.now, phase, body)
	if err != nil {
		return admission.Response{}, fmt.Errorf("reviewing %s of %s: %w", a.Op, a.id, err)
	}
	if phase == admission.Validating && len(response.Patch) > 0 {
		return admission.Response{}, fmt.Errorf("reviewing %s of %s: a validating webhook may not change the object",
			a.Op, a.id)
	}
	return response, nil
}

// patched applies the JSON patch of a mutating webhook to the object it saw. As in the API server, managedFields were
// worked out for the write itself before, and a webhook may put others in their place, unless they make no sense.
func (a *attempt) patched(object, patch []byte) error {
	if object == nil {
		return fmt.Errorf("a webhook patched the delete of %s", a.id)
	}
	operations, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return fmt.Errorf("reading a webhook's patch of %s: %w", a.id, err)
	}
	raw, err := operations.Apply(object)
	if err != nil {
		return fmt.Errorf("applying a webhook's patch %s to %s: %w", patch, a.id, err)
	}
	var next map[string]any
	if err := utiljson.Unmarshal(raw, &next); err != nil {
		return fmt.Errorf("reading %s after a webhook's patch: %w", a.id, err)
	}
	if a.Sub == SubScale {
		a.next = with(a.next, at(next, "spec", "replicas"), "spec", "replicas")
		return nil
	}
	var meta struct {
		Metadata struct {
			ManagedFields entries `json:"managedFields"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &meta); err != nil {
		return fmt.Errorf("reading the managedFields of %s after a webhook's patch: %w", a.id, err)
	}
	if managedfields.ValidateManagedFields(meta.Metadata.ManagedFields) == nil {
		a.fields = meta.Metadata.ManagedFields
	}
	a.next = tidy(with(next, nil, "metadata", "managedFields"))
	if a.old != nil {
		a.keepSystemMetadata()
	}
	return nil
}

// settle does what the API server does between the two kinds of webhooks. redo says that the object is another now;
// changed says that it differs from what is stored.
func (a *attempt) settle() (redo, changed bool) {
	switch a.operation {
	case admissionv1.Delete:
		return false, true
	case admissionv1.Create:
		a.named()
		return true, true
	}
	if equal(a.next, a.old.content) {
		if sameOwners(a.fields, a.old.fields) {
			// Times alone are not worth a write.
			redo = !slices.EqualFunc(a.fields, a.old.fields, sameTime)
			a.fields = a.old.fields
			return redo, false
		}
		return false, true
	}
	if !hasGeneration(a.id.gvk) || a.Sub == SubStatus || !a.changesDesired() {
		return false, true
	}
	generation, _ := at(a.old.content, "metadata", "generation").(int64)
	a.next = with(a.next, generation+1, "metadata", "generation")
	return true, true
}

// changesDesired reports whether the write changes more than metadata and, for the built-in kinds, status. A custom
// resource whose status is written without the subresource has none, so there status counts as desired state.
func (a *attempt) changesDesired() bool {
	differs := func(x, y map[string]any) bool {
		for key, v := range x {
			if key == "metadata" || key == "status" && isBuiltIn(a.id.gvk) {
				continue
			}
			if w, there := y[key]; !there || !equal(v, w) {
				return true
			}
		}
		return false
	}
	return differs(a.next, a.old.content) || differs(a.old.content, a.next)
}

// selectorOf returns the selector of a scalable object as text, as in a=b,c=d.
func selectorOf(content map[string]any) string {
	labels, ok := at(content, "spec", "selector", "matchLabels").(map[string]any)
	if !ok {
		labels, _ = at(content, "spec", "selector").(map[string]any)
	}
	var terms []string
	for key, v := range labels {
		if text, ok := v.(string); ok {
			terms = append(terms, key+"="+text)
		}
	}
	sort.Strings(terms)
	return strings.Join(terms, ",")
}
