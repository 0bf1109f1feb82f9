package replay

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const shop = `
expect: {verdict: none}
objects:
  conf:
    apiVersion: v1
    kind: ConfigMap
    metadata: {namespace: web, name: conf, annotations: {a: "1"}}
    data: {k: v}
  deploy:
    apiVersion: apps/v1
    kind: Deployment
    metadata: {namespace: web, name: shop, labels: {app: shop}}
    spec:
      replicas: 2
      selector: {matchLabels: {tier: front, app: shop}}
      template: {metadata: {labels: {app: shop}}, spec: {containers: [{name: shop, image: "shop:1"}]}}
    status: {replicas: 2}
  pizza:
    apiVersion: ops.tips/v1
    kind: PizzaOrder
    metadata: {name: pizza}
    spec: {toppings: [ham]}
  none: null
writers:
  hpa: {user: "system:serviceaccount:kube-system:hpa", manager: ""}
  argo: {user: "system:serviceaccount:argocd:argo", manager: argocd-controller}
  jane: {user: jane@example.com}
steps: [{at: 0s, by: hpa, object: none, op: delete}]
`

// server is a cluster with the story's objects and writers at hand.
type server struct {
	*Cluster
	t        *testing.T
	story    *Story
	reviewer *reviewer
	now      time.Time
}

func serve(t *testing.T, text string) *server {
	t.Helper()
	s := &server{t: t, story: parse(t, text), reviewer: quiet(t), now: Epoch}
	var err error
	if s.Cluster, err = NewCluster(Epoch, s.story, s.reviewer); err != nil {
		t.Fatal(err)
	}
	return s
}

// write plays one write, a second after the one before, with its merge patch as YAML.
func (s *server) write(by, op, sub, key, merge string) Outcome {
	s.t.Helper()
	out, err := s.try(by, op, sub, key, merge, false)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *server) try(by, op, sub, key, merge string, dryRun bool) (Outcome, error) {
	s.t.Helper()
	s.now = s.now.Add(time.Second)
	writer, _ := s.story.Writer(by)
	request := Request{Writer: writer, Object: key, Op: op, Sub: sub, DryRun: dryRun}
	if merge != "" {
		request.Merge = ints(s.t, merge).(map[string]any)
	}
	return s.Write(s.now, request)
}

func (s *server) object(key string) map[string]any {
	s.t.Helper()
	raw, err := s.Object(key)
	if err != nil {
		s.t.Fatal(err)
	}
	if raw == nil {
		return nil
	}
	return decoded(s.t, raw)
}

// version is the object's resourceVersion.
func (s *server) version(key string) string {
	s.t.Helper()
	v, _ := at(s.object(key), "metadata", "resourceVersion").(string)
	return v
}

// owners lists the managedFields of an object: who, how, subresource, when after the epoch.
func (s *server) owners(key string) (out []string) {
	for _, e := range s.objects[key].fields {
		when := "before"
		switch {
		case e.Time == nil:
			when = "some time"
		case !e.Time.Time.Before(Epoch):
			when = e.Time.Sub(Epoch).String()
		}
		out = append(out, strings.TrimSuffix(fmt.Sprintf("%s %s %s /%s", e.Manager, e.Operation, when, e.Subresource), " /"))
	}
	return out
}

// owned is the fieldsV1 of a manager, as JSON.
func (s *server) owned(key, manager string) string {
	for _, e := range s.objects[key].fields {
		if e.Manager == manager {
			return string(rawFields(e))
		}
	}
	return ""
}

func (s *server) wantOwners(key string, want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.owners(key)); diff != "" {
		s.t.Errorf("managedFields of %s differ (-want +got):\n%s", key, diff)
	}
}
