package notify

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/truce-dev/truce/pkg/policy"
)

// Kind is that of a file of receivers.
const Kind = "Notifications"

// maxFile is the size of the largest file of receivers, in bytes.
const maxFile = 1 << 20

// File says who is told what. Its tags are those of policy.File.
type File struct {
	// APIVersion must be truce.dev/v1alpha1.
	APIVersion string `json:"apiVersion"`
	// Kind must be Notifications.
	Kind string `json:"kind"`
	// Cluster names this cluster in messages.
	Cluster string `json:"cluster,omitzero"`
	// Receivers are told independently of each other.
	Receivers []Receiver `json:"receivers"`
}

// Receiver is one place to tell, and what. It has one of Slack, Teams, HTTP and CloudEvents.
type Receiver struct {
	// Name tells it from the others, in logs and in what replicas agree on.
	Name        string       `json:"name" check:"label"`
	Slack       *Chat        `json:"slack,omitzero"`
	Teams       *Chat        `json:"teams,omitzero"`
	HTTP        *HTTP        `json:"http,omitzero"`
	CloudEvents *CloudEvents `json:"cloudEvents,omitzero"`
	// Fights is which fights it is told of. Left out, with Changes left out too: all fights.
	Fights *Fights `json:"fights,omitzero"`
	// Changes is which changes it gets summaries of. Left out: none.
	Changes *Changes `json:"changes,omitzero"`
}

// Chat is an incoming webhook, whose URL is a secret.
type Chat struct {
	// URLFile holds the URL.
	URLFile string `json:"urlFile"`
}

// HTTP is any endpoint that takes a POST.
type HTTP struct {
	// URL or URLFile is where to post.
	URL     string `json:"url,omitzero"`
	URLFile string `json:"urlFile,omitzero"`
	// Headers are sent along.
	Headers []Header `json:"headers,omitzero"`
	// ContentType is what Body makes; application/json.
	ContentType string `json:"contentType,omitzero"`
	// Body is a Go template of what is posted, executed with a Message. Left out: the Message as JSON.
	Body string `json:"body,omitzero" check:"template"`
}

// CloudEvents is an endpoint that takes CloudEvents 1.0 over HTTP.
type CloudEvents struct {
	// URL or URLFile is where to post.
	URL     string `json:"url,omitzero"`
	URLFile string `json:"urlFile,omitzero"`
	// Headers are sent along.
	Headers []Header `json:"headers,omitzero"`
	// Mode is Binary, the default, or Structured.
	Mode string `json:"mode,omitzero"`
	// Source is the events' source; /truce, and the cluster's name after it.
	Source string `json:"source,omitzero"`
}

// The modes of CloudEvents.
const (
	Binary     = "Binary"
	Structured = "Structured"
)

// Header is a header of a request.
type Header struct {
	Name string `json:"name"`
	// Value or ValueFile is what it says; a secret belongs in a file.
	Value     string `json:"value,omitzero"`
	ValueFile string `json:"valueFile,omitzero"`
}

// Fights says which fights are told of, and how often.
type Fights struct {
	// Kinds are fight and loop; fight alone.
	Kinds []string `json:"kinds,omitzero"`
	// Namespaces are patterns of the objects' namespaces. Left out: all, and objects of the cluster.
	Namespaces []string `json:"namespaces,omitzero" check:"wildcard"`
	// Resources are patterns such as ingresses.networking.k8s.io. Left out: all.
	Resources []string `json:"resources,omitzero" check:"resource"`
	// Every is how often it is told that a fight goes on, at most; 4h.
	Every policy.Duration `json:"every,omitzero" range:"1m,30d"`
	// Pause is how long after the end of a fight the same writers' next one is told of at the earliest; 10m.
	Pause policy.Duration `json:"pause,omitzero" range:"10s,7d"`
}

// Changes says what is summed up, and how often.
type Changes struct {
	// Namespaces are patterns of the objects' namespaces. Left out: all, and objects of the cluster.
	Namespaces []string `json:"namespaces,omitzero" check:"wildcard"`
	// Resources are patterns such as deployments.apps. Left out: all that the policy watches.
	Resources []string `json:"resources,omitzero" check:"resource"`
	// Every is the time that one summary covers, counted from midnight UTC; 1d.
	Every policy.Duration `json:"every,omitzero" range:"5m,7d"`
}

// Load reads a file of receivers. What is wrong with it comes back as policy.Problems, all at once. Files of secrets are
// not read: they may come later, and change.
func Load(data []byte, name string) (*File, error) {
	f := &File{}
	err := policy.Decode(data, name, "a list of receivers", f, f.check)
	if err != nil {
		return nil, err
	}
	f.fill()
	return f, nil
}

// LoadFile is Load for the file at path. If it cannot be read, the error is not Problems but wraps the reason.
func LoadFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading --notify: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading --notify: %w", err)
	}
	return Load(data, path)
}

// problems is where what is wrong is told.
type problems func(path, format string, args ...any)

func (f *File) check(problem func(path, format string, args ...any)) {
	if f.APIVersion != "" && f.APIVersion != policy.APIVersion {
		problem("apiVersion", "must be `%s`, not %q", policy.APIVersion, f.APIVersion)
	}
	if f.Kind != "" && f.Kind != Kind {
		problem("kind", "must be `%s`, not %q", Kind, f.Kind)
	}
	if f.Receivers != nil && len(f.Receivers) == 0 {
		problem("receivers", "is empty: nobody would be told")
	}
	if len(f.Receivers) > maxReceivers {
		problem("receivers", "must have at most %d entries", maxReceivers)
		return
	}
	names := map[string]int{}
	for i := range f.Receivers {
		r, at := &f.Receivers[i], fmt.Sprintf("receivers[%d]", i)
		if first, twice := names[r.Name]; twice && r.Name != "" {
			problem(at+".name", "`%s` is the name of receivers[%d] already", r.Name, first)
		} else {
			names[r.Name] = i
		}
		r.check(at, problem)
	}
}

// maxReceivers bounds the receivers: each has a goroutine, and keeps track of the fights.
const maxReceivers = 32

func (r *Receiver) check(at string, problem problems) {
	types := 0
	for _, given := range []bool{r.Slack != nil, r.Teams != nil, r.HTTP != nil, r.CloudEvents != nil} {
		if given {
			types++
		}
	}
	if types != 1 {
		problem(at, "must have one of `slack`, `teams`, `http` and `cloudEvents`, not %d of them", types)
	}
	if h := r.HTTP; h != nil {
		place{h.URL, h.URLFile, h.Headers}.check(at+".http", problem)
		if h.Body != "" {
			if err := tryTemplate(h.Body, h.ContentType); err != nil {
				problem(at+".http.body", "%s", cut(strings.ReplaceAll(err.Error(), "\n", " "), 300))
			}
		}
	}
	if c := r.CloudEvents; c != nil {
		place{c.URL, c.URLFile, c.Headers}.check(at+".cloudEvents", problem)
		if c.Mode != "" && c.Mode != Binary && c.Mode != Structured {
			problem(at+".cloudEvents.mode", "must be `Binary` or `Structured`, not %q", c.Mode)
		}
		if _, err := url.Parse(c.Source); err != nil {
			problem(at+".cloudEvents.source", "is no URI reference such as `/truce/production`")
		}
	}
	if r.Fights != nil {
		for i, kind := range r.Fights.Kinds {
			if kind != "fight" && kind != "loop" {
				problem(fmt.Sprintf("%s.fights.kinds[%d]", at, i), "must be `fight` or `loop`, not %q", kind)
			}
		}
		checkPatterns(at+".fights", r.Fights.Namespaces, r.Fights.Resources, problem)
	}
	if r.Changes != nil {
		checkPatterns(at+".changes", r.Changes.Namespaces, r.Changes.Resources, problem)
	}
}

// place is where to post, and with which headers.
type place struct {
	url, urlFile string
	headers      []Header
}

func (p place) check(at string, problem problems) {
	switch {
	case (p.url == "") == (p.urlFile == ""):
		problem(at, "must have one of `url` and `urlFile`")
	case p.url != "":
		if _, err := parseURL(p.url); err != nil {
			problem(at+".url", "%v", err)
		}
	}
	for i, h := range p.headers {
		below := fmt.Sprintf("%s.headers[%d]", at, i)
		if h.Name != "" && !isToken(h.Name) {
			problem(below+".name", "is no name of a header")
		}
		if (h.Value == "") == (h.ValueFile == "") {
			problem(below, "must have one of `value` and `valueFile`")
		}
		if !isHeaderValue(h.Value) {
			problem(below+".value", "has a character that a header cannot have")
		}
	}
}

// isToken reports whether s can name a header, and one that is not the request's own.
func isToken(s string) bool {
	for _, r := range s {
		if !strings.ContainsRune("!#$%&'*+-.^_`|~", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return false
		}
	}
	own := []string{"host", "content-length", "transfer-encoding", "connection", "content-type"}
	return !slices.Contains(own, strings.ToLower(s))
}

func isHeaderValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

func checkPatterns(at string, namespaces, resources []string, problem problems) {
	for key, patterns := range map[string][]string{"namespaces": namespaces, "resources": resources} {
		for i, p := range patterns {
			if strings.ContainsAny(p, `[]?\`) || key == "resources" && strings.Contains(p, "/") {
				problem(fmt.Sprintf("%s.%s[%d]", at, key, i), "may have `*` for any run of characters, but no brackets, "+
					"question marks, slashes or backslashes")
			}
		}
	}
}

func (f *File) fill() {
	for i := range f.Receivers {
		r := &f.Receivers[i]
		if r.Fights == nil && r.Changes == nil {
			r.Fights = &Fights{}
		}
		if r.Fights != nil {
			if r.Fights.Kinds == nil {
				r.Fights.Kinds = []string{"fight"}
			}
			orElse(&r.Fights.Every, 4*time.Hour)
			orElse(&r.Fights.Pause, 10*time.Minute)
		}
		if r.Changes != nil {
			orElse(&r.Changes.Every, 24*time.Hour)
		}
	}
}

func orElse(d *policy.Duration, otherwise time.Duration) {
	if *d == 0 {
		*d = policy.Duration(otherwise)
	}
}

// fits reports whether name fits one of the patterns, or there are none. None of the names has a slash in it.
func fits(patterns []string, name string) bool {
	return patterns == nil || slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name) // checked when the file was read
		return ok
	})
}
