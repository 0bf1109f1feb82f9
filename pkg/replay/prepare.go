package replay

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
)

// attempt is a write on its way through the API server.
type attempt struct {
	Request
	cluster   *Cluster
	now       time.Time
	operation admissionv1.Operation
	id        identity
	old       *object // nil for a create
	generated bool    // the name is generated, after the mutating webhooks

	next    map[string]any // content as proposed; nil for a delete
	fields  entries
	deduced bool
	applied map[string]map[string]any
}

// systemKeys are the keys of metadata that the API server alone sets. A story may set deletionTimestamp itself, since
// a delete in a story is never a graceful one.
var systemKeys = []string{
	"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields",
}

func failed(code int, format string, args ...any) *Outcome {
	return &Outcome{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (a *attempt) prepareDelete() *Outcome {
	if a.old == nil {
		return failed(http.StatusNotFound, "%s is not there to be deleted", a.Object)
	}
	a.operation = admissionv1.Delete
	return nil
}

// prepareCreate works out the object to create, as the mutating webhooks see it.
func (a *attempt) prepareCreate() (*Outcome, error) {
	v, _ := merged(nil, a.Merge)
	a.next = tidy(v.(map[string]any))
	id, err := identityOf(a.next)
	if err != nil {
		if a.Op == OpApply {
			return failed(http.StatusNotFound, "%s is not there, and what is applied cannot make it", a.Object), nil
		}
		return nil, fmt.Errorf("creating %s: %w", a.Object, err)
	}
	if key, taken := a.cluster.live[id]; taken || a.old != nil {
		return failed(http.StatusConflict, "%s is there already, as %s", id, key), nil
	}
	a.id, a.operation, a.deduced = id, admissionv1.Create, !isBuiltIn(id.gvk)
	metadata := copied(a.next["metadata"].(map[string]any))
	for _, key := range systemKeys {
		delete(metadata, key)
	}
	prefix, _ := metadata["generateName"].(string)
	if a.generated = a.Op == OpCreate && prefix != "" && strings.HasPrefix(id.name, prefix); a.generated {
		delete(metadata, "name")
	}
	a.next["metadata"] = metadata
	a.cluster.created++
	blank := &object{id: id, deduced: a.deduced, content: map[string]any{
		"apiVersion": a.next["apiVersion"], "kind": a.next["kind"],
	}}
	return nil, a.track(blank)
}

// named completes a create after the mutating webhooks: name, uid, time and generation.
func (a *attempt) named() {
	metadata := a.cluster.systemMetadata(a.id, a.now)
	metadata["name"] = a.id.name
	own, _ := a.next["metadata"].(map[string]any)
	for key, v := range own {
		if _, system := metadata[key]; !system {
			metadata[key] = v
		}
	}
	a.next = with(a.next, metadata, "metadata")
}

// prepareUpdate works out the object after an update or apply, as the mutating webhooks see it.
func (a *attempt) prepareUpdate() (*Outcome, error) {
	if a.old == nil {
		return failed(http.StatusNotFound, "%s is not there", a.Object), nil
	}
	a.operation = admissionv1.Update
	a.fields, a.deduced, a.applied = a.old.fields, a.old.deduced, a.old.applied
	v, changed := merged(a.old.content, a.patch())
	a.next = tidy(v.(map[string]any))
	if !changed && a.Op == OpUpdate {
		return nil, nil
	}
	if id, err := identityOf(a.next); err != nil || id != a.id {
		return nil, fmt.Errorf("%s of %s: apiVersion, kind, name and namespace cannot be changed; delete and create",
			a.Op, a.id)
	}
	a.keepSystemMetadata()
	return nil, a.track(a.old)
}

// patch is the part of the merge that the subresource takes. The status of the built-in kinds takes labels and
// annotations along, that of custom resources nothing.
func (a *attempt) patch() map[string]any {
	switch a.Sub {
	case SubScale:
		if replicas := at(a.Merge, "spec", "replicas"); replicas != nil {
			return map[string]any{"spec": map[string]any{"replicas": replicas}}
		}
		return map[string]any{}
	case SubStatus:
		out := make(map[string]any, 2)
		if status, ok := a.Merge["status"]; ok {
			out["status"] = status
		}
		if metadata, ok := a.Merge["metadata"]; ok && isBuiltIn(a.id.gvk) {
			out["metadata"] = metadata
		}
		return out
	}
	return a.Merge
}

// keepSystemMetadata undoes what a write, or a webhook, did to metadata that are not its own.
func (a *attempt) keepSystemMetadata() {
	was, _ := a.old.content["metadata"].(map[string]any)
	is, _ := a.next["metadata"].(map[string]any)
	for _, key := range systemKeys {
		v, there := was[key]
		if w, now := is[key]; now != there || !equal(v, w) {
			a.next = with(a.next, v, "metadata", key)
		}
	}
}

// track works out the managedFields of a.next, coming from live.
func (a *attempt) track(live *object) error {
	if a.operation == admissionv1.Update && len(live.fields) == 0 && a.Op != OpApply {
		return nil // what is not tracked stays so until it is applied: the field manager would find the same, slowly
	}
	scratch := &object{deduced: a.deduced}
	err := scratch.track(func(deduced bool) (err error) {
		c := change{
			now: a.now, gvk: a.id.gvk, sub: a.Sub, manager: a.Writer.manager(), deduced: deduced,
			live: live.content, fields: live.fields, next: a.next,
		}
		switch {
		case a.Sub == SubScale:
			c.live, c.next = scaleOf(live.content), scaleOf(a.next)
			a.fields, err = c.scaled()
		case a.Op == OpApply:
			err = a.trackApply(&c)
		default:
			a.fields, err = c.updated()
		}
		return err
	})
	a.deduced = scratch.deduced
	return err
}

// trackApply works out the managedFields of an apply. What the manager applied before and still stands counts as
// applied again, since a story names only what is new, and an apply that leaves a field out gives it up.
func (a *attempt) trackApply(c *change) (err error) {
	by := c.manager + "/" + c.sub
	config, _ := merged(agreeing(a.old.configuration(by), c.live), a.patch())
	identity := map[string]any{"name": a.id.name, "namespace": nil}
	if a.id.namespace != "" {
		identity["namespace"] = a.id.namespace
	}
	for _, key := range systemKeys {
		identity[key] = nil
	}
	config, _ = merged(config, map[string]any{
		"apiVersion": c.next["apiVersion"], "kind": c.next["kind"], "metadata": identity,
	})
	applied := config.(map[string]any)
	if a.fields, err = c.applied(applied); err != nil {
		return err
	}
	a.applied = maps.Clone(a.applied)
	if a.applied == nil {
		a.applied = make(map[string]map[string]any)
	}
	a.applied[by] = applied
	return nil
}

// scaleOf returns the Scale of an object, without managedFields, as webhooks get it.
func scaleOf(content map[string]any) map[string]any {
	metadata := make(map[string]any)
	for _, key := range []string{"name", "namespace", "uid", "resourceVersion", "creationTimestamp"} {
		if v := at(content, "metadata", key); v != nil {
			metadata[key] = v
		}
	}
	number := func(v any) any {
		switch v.(type) {
		case int64, float64:
			return v
		}
		return int64(0)
	}
	status := map[string]any{"replicas": number(at(content, "status", "replicas"))}
	if selector := selectorOf(content); selector != "" {
		status["selector"] = selector
	}
	return map[string]any{
		"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "status": status,
		"spec": map[string]any{"replicas": number(at(content, "spec", "replicas"))},
	}
}
