// Package page is the web page that shows fights: their list, and for each, and for any object, a timeline of who wrote
// what when. It reads the HTTP API that is served beside it (api/v1/fights, api/v1/changes, api/v1/events) and nothing
// else. Report writes the same page as one file that carries its data in itself.
//
// The assets are plain JavaScript modules and one style sheet, served as they are written.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"time"
)

//go:embed assets
var assets embed.FS

// policy is the Content-Security-Policy of the served page: its own scripts, styles and API, and nothing from elsewhere.
// No script can make another one out of text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// file is an asset, ready to be served.
type file struct {
	name, kind, tag string
	content         []byte
}

// Handler serves the page at / and its assets beside it. Serve it where api/v1/ is, with http.StripPrefix if that is not
// the root: all its addresses are relative. Register it for all methods ("/", not "GET /", which http.ServeMux takes to
// conflict with "/api/v1/"). It needs no authentication, since it holds no data; the API asks for that.
func Handler() http.Handler {
	files := load()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		f, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed: the page can only be read", http.StatusMethodNotAllowed)
			return
		}
		header.Set("Content-Type", f.kind)
		header.Set("ETag", f.tag)
		header.Set("Cache-Control", "no-cache") // asked each time, answered with 304: a new version shows at once
		http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(f.content))
	})
}

// load returns the assets by the path they are served at.
func load() map[string]file {
	files := map[string]file{}
	err := fs.WalkDir(assets, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := assets.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		f := file{name: path.Base(name), kind: contentType(name), tag: `"` + hex.EncodeToString(sum[:12]) + `"`, content: content}
		files["/"+f.name] = f
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("page: reading embedded assets: %v", err)) // they are part of the program
	}
	files["/"] = files["/index.html"]
	return files
}

// contentType does not depend on the machine's own table for what the page consists of.
func contentType(name string) string {
	switch ext := path.Ext(name); ext {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return mime.TypeByExtension(ext)
	}
}
