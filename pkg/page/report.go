package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"regexp"
	"strings"
	"time"
)

// Data is what a report shows. Fights and Changes are anything that encodes to a JSON array of what the API answers with
// at api/v1/fights and api/v1/changes; nil is an empty one. Changes need no order. The page draws the newest 20,000 changes
// of a timeline; a report of many more gets large, so give it the ones that tell something.
type Data struct {
	Title     string    `json:"title"`          // in one line
	Text      string    `json:"text,omitzero"`  // below the title
	Facts     []Fact    `json:"facts,omitzero"` // what was read, and when
	Generated time.Time `json:"generated"`      // the report's present: ages count back from here
	Fights    any       `json:"fights"`
	Changes   any       `json:"changes"`
	Sections  []Section `json:"sections,omitzero"` // further tables, below the fights
}

// Fact is a number or word with a name, and a note below it.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Note  string `json:"note,omitzero"`
}

// Section is a table with a title and a text above it. Without columns it is only a text. A cell is a string, a number,
// or a slice of numbers, which is drawn as small bars.
type Section struct {
	Title   string   `json:"title"`
	Text    string   `json:"text,omitzero"`
	Columns []Column `json:"columns,omitzero"`
	Rows    [][]any  `json:"rows"`
	Empty   string   `json:"empty,omitzero"` // said in place of no rows
}

// Column is a table's column.
type Column struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind,omitzero"`
}

// Kind is how a column's cells look.
type Kind string

// The kinds of columns.
const (
	Text   Kind = ""
	Number Kind = "number" // to the right
	Code   Kind = "code"   // in a typewriter's letters
)

// Report writes one HTML file that shows data, works from a disk, and loads nothing.
func Report(w io.Writer, data Data) error {
	for i, s := range data.Sections {
		for j, row := range s.Rows {
			if len(row) != len(s.Columns) {
				return fmt.Errorf("section %d (%s): row %d has %d cells, but there are %d columns",
					i, s.Title, j, len(row), len(s.Columns))
			}
		}
	}
	if data.Fights == nil {
		data.Fights = []struct{}{}
	}
	if data.Changes == nil {
		data.Changes = []struct{}{}
	}
	carried, err := json.Marshal(data) // it escapes <, so that no value can end the script element
	if err != nil {
		return fmt.Errorf("encoding the report's data: %w", err)
	}
	page, err := whole(data.Title, carried)
	if err != nil {
		return err
	}
	if _, err := w.Write(page); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// whole puts the assets and data into index.html. Its policy allows exactly that script and that style.
func whole(title string, data []byte) ([]byte, error) {
	files := load()
	page, style, icon := string(files["/index.html"].content), files["/page.css"].content, files["/icon.svg"].content
	script, err := bundle(files)
	if err != nil {
		return nil, err
	}
	csp := fmt.Sprintf("default-src 'none'; script-src %s; style-src %s; img-src data:; base-uri 'none'; form-action 'none'",
		digest(script), digest(style))
	for _, put := range []struct{ place, what string }{
		{`<meta charset="utf-8">`,
			`<meta charset="utf-8">` + "\n" + `<meta http-equiv="Content-Security-Policy" content="` + csp + `">`},
		{"<title>Truce</title>", "<title>" + html.EscapeString(title) + "</title>"},
		{`href="icon.svg"`, `href="data:image/svg+xml;base64,` + base64.StdEncoding.EncodeToString(icon) + `"`},
		{`<link rel="stylesheet" href="page.css">`, "<style>" + string(style) + "</style>"},
		{`<script type="module" src="main.js"></script>`,
			`<script type="application/json" id="data">` + string(data) + "</script>\n<script type=\"module\">" + string(script) + "</script>"},
	} {
		before, after, found := strings.Cut(page, put.place)
		if !found {
			return nil, fmt.Errorf("index.html has no %s", put.place)
		}
		page = before + put.what + after
	}
	return []byte(page), nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

var (
	importing = regexp.MustCompile(`(?m)^import (\{[^}]*\}) from "\./([a-z]+\.js)";$`)
	exporting = regexp.MustCompile(`(?m)^export ((?:async )?(?:function|class|const)) (\w+)`)
)

// bundle makes one script of the modules, because a page on a disk may not import from it. Each module becomes a function
// that returns what it exports, after the ones that it imports.
func bundle(files map[string]file) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("\"use strict\";\nconst modules = {};\n")
	done := map[string]bool{}
	var add func(name string, from []string) error
	add = func(name string, from []string) error {
		if done[name] {
			return nil
		}
		done[name] = true
		f, ok := files["/"+name]
		if !ok {
			return fmt.Errorf("%s is imported by %s, but there is none", name, strings.Join(from, " by "))
		}
		for _, m := range importing.FindAllSubmatch(f.content, -1) {
			if err := add(string(m[2]), append([]string{name}, from...)); err != nil {
				return err
			}
		}
		source := importing.ReplaceAll(f.content, []byte(`const $1 = modules["$2"];`))
		var names []string
		for _, m := range exporting.FindAllSubmatch(source, -1) {
			names = append(names, string(m[2]))
		}
		source = exporting.ReplaceAll(source, []byte("$1 $2"))
		fmt.Fprintf(&out, "modules[%q] = (() => {\n%s\nreturn { %s };\n})();\n", name, source, strings.Join(names, ", "))
		return nil
	}
	if err := add("main.js", nil); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
