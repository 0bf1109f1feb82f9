package page

import (
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, method, target string, header http.Header) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Header = header
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	_, content, _ := strings.Cut(b.String(), "\r\n\r\n")
	return content
}

func TestHandlerServesThePageAndItsAssets(t *testing.T) {
	for target, kind := range map[string]string{
		"/":           "text/html; charset=utf-8",
		"/index.html": "text/html; charset=utf-8",
		"/page.css":   "text/css; charset=utf-8",
		"/main.js":    "text/javascript; charset=utf-8",
		"/icon.svg":   "image/svg+xml",
	} {
		r := get(t, http.MethodGet, target, nil)
		if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != kind {
			t.Errorf("%s: %d %s, want 200 %s", target, r.StatusCode, r.Header.Get("Content-Type"), kind)
		}
		if body(t, r) == "" {
			t.Errorf("%s is empty", target)
		}
		again := get(t, http.MethodGet, target, http.Header{"If-None-Match": {r.Header.Get("ETag")}})
		if again.StatusCode != http.StatusNotModified {
			t.Errorf("%s, asked again: %d, want 304", target, again.StatusCode)
		}
		if head := get(t, http.MethodHead, target, nil); head.StatusCode != http.StatusOK {
			t.Errorf("HEAD %s: %d, want 200", target, head.StatusCode)
		}
	}
}

func TestHandlerRefusesTheRest(t *testing.T) {
	for _, c := range []struct {
		method, target string
		want           int
	}{
		{http.MethodGet, "/none", http.StatusNotFound},
		{http.MethodGet, "/assets/", http.StatusNotFound},
		{http.MethodGet, "/assets/main.js", http.StatusNotFound},
		{http.MethodGet, "/../page.go", http.StatusNotFound},
		{http.MethodGet, "/api/v1/fights", http.StatusNotFound},
		{http.MethodPost, "/", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/main.js", http.StatusMethodNotAllowed},
	} {
		if r := get(t, c.method, c.target, nil); r.StatusCode != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.target, r.StatusCode, c.want)
		}
	}
}

func TestEveryAnswerKeepsOthersOut(t *testing.T) {
	for _, target := range []string{"/", "/main.js", "/none"} {
		header := get(t, http.MethodGet, target, nil).Header
		csp := map[string]string{}
		for directive := range strings.SplitSeq(header.Get("Content-Security-Policy"), ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), " ")
			csp[name] = value
		}
		for name, want := range map[string]string{
			"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'", "connect-src": "'self'",
			"base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'", "require-trusted-types-for": "'script'",
		} {
			if csp[name] != want {
				t.Errorf("%s: the policy's %s is %q, want %q", target, name, csp[name], want)
			}
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
	}
}

// What the policy forbids must not be there, or the page would not work; and the page must work below any path.
func TestAssetsAskForNothingFromElsewhere(t *testing.T) {
	absolute := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9.-]+\.[a-z]{2,}|(src|href)="/|from "/|url\(`)
	unsafe := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|style="|setAttribute\("style"|<style|localStorage|document\.cookie`)
	for target, f := range load() {
		for line := range strings.Lines(string(f.content)) {
			line = strings.ReplaceAll(line, "http://www.w3.org/2000/svg", "") // a name, not an address
			if found := absolute.FindString(line); found != "" {
				t.Errorf("%s asks for %s: %s", target, found, line)
			}
			if found := unsafe.FindString(line); found != "" {
				t.Errorf("%s uses %s: %s", target, found, line)
			}
		}
	}
}

func TestModulesImportOnlyWhatThereIs(t *testing.T) {
	files := load()
	imports := regexp.MustCompile(`(?m)^import .*$|^import \{[^}]*\} from .*$`)
	for target, f := range files {
		if path.Ext(target) != ".js" {
			continue
		}
		all := imports.FindAll(f.content, -1)
		understood := importing.FindAllSubmatch(f.content, -1)
		if len(all) != len(understood) {
			t.Errorf("%s has %d imports, of which a report's bundle understands %d: write import { a, b } from \"./c.js\"; and no other form",
				target, len(all), len(understood))
		}
		for _, m := range understood {
			from, ok := files["/"+string(m[2])]
			if !ok {
				t.Errorf("%s imports from %s, but there is none", target, m[2])
				continue
			}
			exported := map[string]bool{}
			for _, e := range exporting.FindAllSubmatch(from.content, -1) {
				exported[string(e[2])] = true
			}
			for name := range strings.SplitSeq(strings.Trim(string(m[1]), "{}"), ",") {
				if name = strings.TrimSpace(name); name != "" && !exported[name] {
					t.Errorf("%s imports %s from %s, which does not export it", target, name, m[2])
				}
			}
		}
	}
}
