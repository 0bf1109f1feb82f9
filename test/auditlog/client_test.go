package auditlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/truce-dev/truce/pkg/replay"
)

// writersGroup is the group that gives the writers of stories their rights.
const writersGroup = "story-writers"

// client speaks to the API server as plainly as can be, so that each request is what a story says.
type client struct {
	t    *testing.T
	http *http.Client
	base string
}

func newClient(t *testing.T, config *rest.Config) *client {
	t.Helper()
	h, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t, h, strings.TrimSuffix(config.Host, "/")}
}

// request is one to the API server.
type request struct {
	method, path string
	query        url.Values
	contentType  string
	body         any
	as           *replay.Writer // nil: nobody is impersonated
	auditID      string         // the API server takes it over
}

// do returns the answer, as an object, and its HTTP status.
func (c *client) do(r request) (answer map[string]any, code int) {
	c.t.Helper()
	var body io.Reader
	if r.body != nil {
		raw, err := json.Marshal(r.body)
		if err != nil {
			c.t.Fatal(err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), r.method, c.base+r.path+"?"+r.query.Encode(), body)
	if err != nil {
		c.t.Fatal(err)
	}
	if r.contentType == "" {
		r.contentType = "application/json"
	}
	req.Header.Set("Content-Type", r.contentType)
	req.Header.Set("Accept", "application/json")
	if r.auditID != "" {
		req.Header.Set("Audit-ID", r.auditID)
	}
	if w := r.as; w != nil {
		req.Header.Set("Impersonate-User", w.User)
		for _, g := range groupsOf(w) {
			req.Header.Add("Impersonate-Group", g)
		}
		for key, values := range w.Extra {
			for _, v := range values {
				req.Header.Add("Impersonate-Extra-"+url.PathEscape(key), v)
			}
		}
		req.Header.Set("User-Agent", agentOf(w)+"/v1.0")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		answer = map[string]any{"message": string(raw)}
	}
	return answer, resp.StatusCode
}

// must fails the test if the request does.
func (c *client) must(r request) map[string]any {
	c.t.Helper()
	answer, code := c.do(r)
	if code >= 300 {
		c.t.Fatalf("%s %s: %d %v", r.method, r.path, code, answer["message"])
	}
	return answer
}

func groupsOf(w *replay.Writer) []string {
	groups := []string{writersGroup, "system:authenticated"}
	if rest, ok := strings.CutPrefix(w.User, "system:serviceaccount:"); ok {
		namespace, _, _ := strings.Cut(rest, ":")
		return append(groups, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
	}
	if strings.HasPrefix(w.User, "system:node:") {
		return append(groups, "system:nodes")
	}
	return groups
}

// agentOf is the program that a writer is, if it names no field manager. The simulated API server takes the same.
func agentOf(w *replay.Writer) string {
	switch {
	case w.Manager != "":
		return w.Manager
	case strings.HasPrefix(w.User, "system:node:"):
		return "kubelet"
	case strings.Contains(w.User, "@"):
		return "kubectl"
	}
	return w.User[strings.LastIndexByte(w.User, ':')+1:]
}

// pathOf returns where the API server has an object; without a name, where its kind is.
func pathOf(apiVersion, kind, namespace, name string) string {
	path := "/apis/" + apiVersion
	if apiVersion == "v1" {
		path = "/api/v1"
	}
	if namespace != "" {
		path += "/namespaces/" + namespace
	}
	path += "/" + pluralOf(kind)
	if name != "" {
		path += "/" + name
	}
	return path
}

func pluralOf(kind string) string {
	s := strings.ToLower(kind)
	switch {
	case s == "endpoints":
		return s
	case strings.HasSuffix(s, "y") && !strings.HasSuffix(s, "ay"):
		return s[:len(s)-1] + "ies"
	case strings.HasSuffix(s, "s"), strings.HasSuffix(s, "ch"):
		return s + "es"
	}
	return s + "s"
}

// text returns a member of an object that is a string.
func text(object map[string]any, path ...string) string {
	var v any = object
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[key]
	}
	s, ok := v.(string)
	if !ok {
		return ""
	}
	return s
}

// identity is where an object is.
type identity struct{ apiVersion, kind, namespace, name string }

func identityOf(o map[string]any) identity {
	return identity{text(o, "apiVersion"), text(o, "kind"), text(o, "metadata", "namespace"), text(o, "metadata", "name")}
}

func (id identity) path() string       { return pathOf(id.apiVersion, id.kind, id.namespace, id.name) }
func (id identity) collection() string { return pathOf(id.apiVersion, id.kind, id.namespace, "") }
func (id identity) String() string     { return fmt.Sprintf("%s %s/%s", id.kind, id.namespace, id.name) }
