package auditlog

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/truce-dev/truce/pkg/replay"
)

// stage is where one story is played at one level: namespaces and cluster-wide names of its own.
type stage struct {
	*client
	story *replay.Story
	id    string
	admin *client

	live    map[string]identity       // objects by the story's names for them
	stored  map[string]map[string]any // the same as they were stored last
	applied map[string]map[string]any // by object, manager and subresource: what was applied last
	n       int
	// times are when requests came in virtual time, by audit ID.
	times map[string]time.Time
	// created are when objects were created in virtual time, by uid.
	created map[string]time.Time
}

func newStage(c, admin *client, s *replay.Story, id string) *stage {
	return &stage{
		client: c, admin: admin, story: s, id: id, live: make(map[string]identity),
		stored: make(map[string]map[string]any), applied: make(map[string]map[string]any),
		times: make(map[string]time.Time), created: make(map[string]time.Time),
	}
}

// local returns the name that a namespace, or an object of the whole cluster, has on this stage.
func (s *stage) local(name string) string { return name + "-" + s.id }

// place makes an object one of this stage. It returns a copy.
func (s *stage) place(o map[string]any) map[string]any {
	o = s.lawful(clone(o))
	meta, ok := o["metadata"].(map[string]any)
	if !ok {
		return o
	}
	if ns := text(meta, "namespace"); ns != "" {
		meta["namespace"] = s.local(ns)
		return o
	}
	name := text(meta, "name")
	if name == "" || o["kind"] == nil {
		return o
	}
	if o["kind"] == "CustomResourceDefinition" { // it is named after its group
		plural, group, _ := strings.Cut(name, ".")
		meta["name"] = plural + "." + s.id + "." + group
		if spec, ok := o["spec"].(map[string]any); ok {
			spec["group"] = s.id + "." + group
		}
		return o
	}
	meta["name"] = s.local(name)
	return o
}

// setUp creates what is there before the story begins, some days before.
func (s *stage) setUp() error {
	installer := &replay.Writer{User: "system:serviceaccount:kube-system:installer", Manager: "installer"}
	long := replay.Epoch.Add(-7 * 24 * time.Hour)
	for _, o := range s.story.Objects {
		if o.State == nil {
			continue
		}
		object := s.place(o.State)
		if err := s.ensureNamespace(text(object, "metadata", "namespace")); err != nil {
			return err
		}
		id := identityOf(object)
		r := request{method: http.MethodPost, path: id.collection(), body: object, as: installer,
			query: url.Values{"fieldManager": {installer.Manager}}}
		if by := s.applier(o.Key); by != nil { // who applies to it later applied it, or could not remove anything of it
			r.method, r.path, r.contentType, r.as = http.MethodPatch, id.path(), "application/apply-patch+yaml", by
			r.query = url.Values{"fieldManager": {agentOf(by)}, "force": {"true"}}
			s.applied[appliedBy(o.Key, by, "")] = object
		}
		answer, err := s.write(long, r)
		if err != nil {
			return fmt.Errorf("setting up: %w", err)
		}
		s.live[o.Key], s.stored[o.Key] = id, answer
		s.created[text(answer, "metadata", "uid")] = long
		if status, ok := object["status"]; ok && !reflect.DeepEqual(answer["status"], status) {
			_, err := s.write(long, request{
				method: http.MethodPatch, path: id.path() + "/status", contentType: "application/merge-patch+json",
				body: map[string]any{"status": status}, as: installer, query: url.Values{"fieldManager": {"installer"}},
			})
			if err != nil {
				return fmt.Errorf("setting up: %w", err)
			}
		}
	}
	return nil
}

// applier returns the writer who applies to an object first, nil if nobody does.
func (s *stage) applier(key string) *replay.Writer {
	for _, step := range s.story.Steps {
		if step.Op == replay.OpApply && step.Sub == "" && step.Object == key {
			by, _ := s.story.Writer(step.By)
			return by
		}
	}
	return nil
}

func appliedBy(object string, w *replay.Writer, sub string) string {
	return strings.Join([]string{object, agentOf(w), sub}, "/")
}

func (s *stage) ensureNamespace(name string) error {
	if name == "" {
		return nil
	}
	body := map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}}
	answer, code := s.admin.do(request{method: http.MethodPost, path: "/api/v1/namespaces", body: body})
	if code >= 300 && code != http.StatusConflict {
		return fmt.Errorf("creating the namespace: %v", answer["message"])
	}
	return nil
}

// write makes a request that is to be recorded as if it had come at a point in virtual time.
func (s *stage) write(at time.Time, r request) (map[string]any, error) {
	s.n++
	r.auditID = fmt.Sprintf("%s-%d", s.id, s.n)
	s.times[r.auditID] = at
	answer, code := s.do(r)
	if code >= 300 {
		return nil, fmt.Errorf("%d %v", code, answer["message"])
	}
	return answer, nil
}

// play makes a write of the story.
func (s *stage) play(w replay.Write) error {
	at := replay.Epoch.Add(w.At)
	r := request{as: w.Writer, query: url.Values{}}
	if w.Writer.Manager != "" {
		r.query.Set("fieldManager", w.Writer.Manager)
	}
	id, there := s.live[w.Object]
	merge := s.place(w.Merge)
	switch {
	case w.Step.Op == replay.OpDelete:
		r.method, r.path = http.MethodDelete, id.path()
		r.query = url.Values{}
		r.body = map[string]any{"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "propagationPolicy": "Background"}
		if _, err := s.write(at, r); err != nil {
			return err
		}
		delete(s.live, w.Object)
		return nil
	case w.Step.Op == replay.OpCreate:
		id = identityOf(merge)
		if err := s.ensureNamespace(id.namespace); err != nil {
			return err
		}
		r.method, r.path, r.body = http.MethodPost, id.collection(), merge
	case w.Step.Op == replay.OpApply:
		if !there {
			id = identityOf(merge)
		}
		config, err := s.config(w, id, merge)
		if err != nil {
			return err
		}
		r.method, r.path, r.body, r.contentType = http.MethodPatch, id.path(), config, "application/apply-patch+yaml"
		r.query.Set("force", "true")
		r.query.Set("fieldManager", agentOf(w.Writer)) // an apply cannot do without
	default:
		r.method, r.path, r.body, r.contentType = http.MethodPatch, id.path(), merge, "application/merge-patch+json"
	}
	if w.Step.Sub != "" {
		r.path += "/" + w.Step.Sub
	}
	answer, err := s.write(at, r)
	// A port that was tried once may stay allocated: the API server begins an update anew, and then finds taken what it took
	// itself. Which port it is, is not what a story is about.
	for i := 0; i < 3 && err != nil && strings.Contains(err.Error(), "port is already allocated"); i++ {
		otherPorts(merge)
		answer, err = s.write(at, r)
	}
	if err != nil {
		return err
	}
	if text(answer, "kind") == id.kind {
		s.stored[w.Object] = answer
	}
	if !there {
		s.live[w.Object] = id
		s.created[text(answer, "metadata", "uid")] = at
	}
	return nil
}

// otherPorts changes the ports that a Service is to have on nodes.
func otherPorts(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			if port, ok := inner.(float64); ok && key == "nodePort" {
				v[key] = port + 10_000
			}
			otherPorts(inner)
		}
	case []any:
		for _, inner := range v {
			otherPorts(inner)
		}
	}
}

// config returns what a manager applies now. A story names only what is new: what it applied before and still stands, it
// applies again.
func (s *stage) config(w replay.Write, id identity, merge map[string]any) (map[string]any, error) {
	key := appliedBy(w.Object, w.Writer, w.Step.Sub)
	before, err := json.Marshal(standing(s.applied[key], s.stored[w.Object]))
	if err != nil {
		return nil, err
	}
	patch, err := json.Marshal(merge)
	if err != nil {
		return nil, err
	}
	after, err := jsonpatch.MergePatch(before, patch)
	if err != nil {
		return nil, err
	}
	config := make(map[string]any)
	if err := json.Unmarshal(after, &config); err != nil {
		return nil, err
	}
	config["apiVersion"], config["kind"] = id.apiVersion, id.kind
	meta, ok := config["metadata"].(map[string]any)
	if !ok {
		meta = make(map[string]any)
		config["metadata"] = meta
	}
	meta["name"] = id.name
	if id.namespace != "" {
		meta["namespace"] = id.namespace
	}
	s.applied[key] = config
	return config, nil
}

// standing returns what of a configuration an object still has.
func standing(config, object map[string]any) map[string]any {
	out := make(map[string]any)
	for key, v := range config {
		if kept, ok := stands(v, object[key]); ok {
			out[key] = kept
		}
	}
	return out
}

func stands(config, stored any) (kept any, ok bool) {
	switch config := config.(type) {
	case map[string]any:
		stored, ok := stored.(map[string]any)
		if !ok {
			return nil, false
		}
		return standing(config, stored), true
	case []any:
		stored, ok := stored.([]any)
		if !ok || len(stored) != len(config) {
			return nil, false
		}
		out := make([]any, len(config))
		for i := range config {
			if out[i], ok = stands(config[i], stored[i]); !ok {
				return nil, false
			}
		}
		return out, true
	}
	return config, reflect.DeepEqual(config, stored)
}

// clear removes what others could stumble over: objects of the whole cluster, and Services, whose ports are.
func (s *stage) clear() {
	for _, id := range s.live {
		if id.namespace != "" && id.kind != "Service" {
			continue
		}
		s.admin.do(request{method: http.MethodPatch, path: id.path(), contentType: "application/merge-patch+json",
			body: map[string]any{"metadata": map[string]any{"finalizers": nil}}})
		s.admin.do(request{method: http.MethodDelete, path: id.path()})
	}
}

// lawful makes of what a story writes something that a real API server takes, without changing what it is about.
func (s *stage) lawful(o map[string]any) map[string]any {
	certificates(o)
	texts(o)
	if spec, ok := o["spec"].(map[string]any); ok && o["kind"] == "Service" {
		delete(spec, "clusterIP") // it is of another network
	}
	if data, ok := o["data"].(map[string]any); ok && s.secrets() {
		for key, v := range data {
			if plain, ok := v.(string); ok && !isBase64(plain) {
				data[key] = base64.StdEncoding.EncodeToString([]byte(plain))
			}
		}
	}
	if hooks, ok := o["webhooks"].([]any); ok {
		for _, h := range hooks {
			hook, ok := h.(map[string]any)
			if !ok {
				continue
			}
			// It is registered for nothing, or other tests' writes would fail.
			hook["rules"] = []any{map[string]any{
				"operations": []any{"CREATE"}, "apiGroups": []any{"none.example.com"}, "apiVersions": []any{"v1"}, "resources": []any{"nothings"},
			}}
			for key, v := range map[string]any{"sideEffects": "None", "admissionReviewVersions": []any{"v1"}} {
				if hook[key] == nil {
					hook[key] = v
				}
			}
		}
	}
	return o
}

// texts makes text of what has to be: stories have numbers as annotations and labels.
func texts(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			m, ok := inner.(map[string]any)
			if !ok || key != "annotations" && key != "labels" && key != "matchLabels" {
				texts(inner)
				continue
			}
			for name, value := range m {
				if _, ok := value.(string); !ok && value != nil {
					m[name] = fmt.Sprint(value)
				}
			}
		}
	case []any:
		for _, inner := range v {
			texts(inner)
		}
	}
}

// secrets reports whether the story is about Secrets.
func (s *stage) secrets() bool {
	for _, o := range s.story.Objects {
		if o.State["kind"] == "Secret" {
			return true
		}
	}
	return false
}

func isBase64(text string) bool {
	_, err := base64.StdEncoding.DecodeString(text)
	return err == nil
}

// certificates puts real certificates in the place of what stories have as CA bundles, for each always the same.
func certificates(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			if bundle, ok := inner.(string); ok && key == "caBundle" && bundle != "" {
				v[key] = certificate(bundle)
				continue
			}
			certificates(inner)
		}
	case []any:
		for _, inner := range v {
			certificates(inner)
		}
	}
}

var certificatesOf sync.Map

func certificate(name string) string {
	if c, ok := certificatesOf.Load(name); ok {
		return c.(string)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a story's CA"}, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	made := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	c, _ := certificatesOf.LoadOrStore(name, made)
	return c.(string)
}

func clone(o map[string]any) map[string]any {
	raw, err := json.Marshal(o)
	if err != nil {
		panic(err) // a story is made of JSON
	}
	out := make(map[string]any)
	if err := json.Unmarshal(raw, &out); err != nil {
		panic(err)
	}
	return out
}

// customKinds returns the kinds of the stories that the API server does not know, and whether their status is written as a
// subresource.
func customKinds(stories []*replay.Story) map[identity]bool {
	all := make(map[identity]bool)
	note := func(o map[string]any, status bool) {
		id := identityOf(o)
		gv, err := schema.ParseGroupVersion(id.apiVersion)
		if err != nil || id.kind == "" || id.kind == "CustomResourceDefinition" || scheme.Scheme.Recognizes(gv.WithKind(id.kind)) {
			return
		}
		if id.name = ""; id.namespace != "" {
			id.namespace = "some"
		}
		all[id] = all[id] || status
	}
	for _, s := range stories {
		status := slices.ContainsFunc(s.Steps, func(step replay.Step) bool { return step.Sub == replay.SubStatus })
		for _, o := range s.Objects {
			note(o.State, status)
		}
		for _, step := range s.Steps {
			note(step.Merge, status)
		}
	}
	return all
}

// define makes the API server serve a kind, whatever it looks like.
func define(t *testing.T, admin *client, id identity, status bool) {
	t.Helper()
	subresources := map[string]any{}
	if status {
		subresources["status"] = map[string]any{}
	}
	group, version, _ := strings.Cut(id.apiVersion, "/")
	plural := pluralOf(id.kind)
	scope := "Cluster"
	if id.namespace != "" {
		scope = "Namespaced"
	}
	open := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	admin.must(request{method: http.MethodPost, path: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{
			"name":        plural + "." + group,
			"annotations": map[string]any{"api-approved.kubernetes.io": "unapproved, for tests"},
		},
		"spec": map[string]any{
			"group": group, "scope": scope,
			"names": map[string]any{"kind": id.kind, "listKind": id.kind + "List", "plural": plural, "singular": strings.ToLower(id.kind)},
			"versions": []any{map[string]any{
				"name": version, "served": true, "storage": true, "subresources": subresources,
				"schema": map[string]any{"openAPIV3Schema": open},
			}},
		},
	}})
}

// served waits until the API server serves a kind.
func served(t *testing.T, admin *client, id identity) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		if _, code := admin.do(request{method: http.MethodGet, path: pathOf(id.apiVersion, id.kind, "", "")}); code == http.StatusOK {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s is not served", id.kind)
		}
	}
}
