package audit_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/truce-dev/truce/pkg/audit"
)

// event is a line of an audit log at second n.
func event(n int) string {
	return fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"%d","stage":"ResponseComplete",`+
		`"requestURI":"/api/v1/namespaces/shop/configmaps/c%d","verb":"get","user":{"username":"u"},`+
		`"objectRef":{"resource":"configmaps","namespace":"shop","name":"c%d","apiVersion":"v1"},"responseStatus":{"code":200},`+
		`"requestReceivedTimestamp":"2025-01-01T00:%02d:%02d.000000Z","stageTimestamp":"2025-01-01T00:%02d:%02d.000000Z"}`,
		n, n, n, n/60%60, n%60, n/60%60, n%60)
}

func eventsFrom(from, to int) string {
	var b strings.Builder
	for n := from; n < to; n++ {
		b.WriteString(event(n) + "\n")
	}
	return b.String()
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func zstded(text string) string {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return string(w.EncodeAll([]byte(text), nil))
}

// input opens paths, with text as standard input.
func input(t *testing.T, text string, paths ...string) *audit.Input {
	t.Helper()
	if len(paths) == 0 {
		paths = []string{"-"}
	}
	in, err := audit.Open(paths, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// ids reads the names of all events' IDs, in order.
func ids(t *testing.T, in *audit.Input) (got []string) {
	t.Helper()
	err := in.Ordered(context.Background(), func(*audit.Event) bool { return true }, func(e *audit.Event) {
		got = append(got, string(e.ID))
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func numbers(from, to int) (out []string) {
	for n := from; n < to; n++ {
		out = append(out, fmt.Sprint(n))
	}
	return out
}

func TestWhereEventsAreReadFrom(t *testing.T) {
	pretty := strings.NewReplacer("{", "{\n  ", ",", ",\n  ").Replace(event(1))
	for _, c := range []struct {
		name  string
		files map[string]string
		paths []string
		want  []string
	}{
		{"a file", map[string]string{"audit.log": eventsFrom(0, 3)}, []string{"audit.log"}, numbers(0, 3)},
		{"a file without a last line's end", map[string]string{"a": strings.TrimSpace(eventsFrom(0, 3))}, []string{"a"}, numbers(0, 3)},
		{"lines that end as on Windows", map[string]string{"a": strings.ReplaceAll(eventsFrom(0, 3), "\n", "\r\n")}, []string{"a"}, numbers(0, 3)},
		{"the same file twice", map[string]string{"a": eventsFrom(0, 3)}, []string{"a", "./a"}, numbers(0, 3)},
		{"gzip", map[string]string{"a.gz": gzipped(eventsFrom(0, 3))}, []string{"a.gz"}, numbers(0, 3)},
		{"gzip in two members", map[string]string{"a.gz": gzipped(eventsFrom(0, 3)) + gzipped(eventsFrom(3, 5))}, []string{"a.gz"}, numbers(0, 5)},
		{"zstd", map[string]string{"a": zstded(eventsFrom(0, 3))}, []string{"a"}, numbers(0, 3)},
		{"a set that lumberjack rotated", map[string]string{
			"audit.log": eventsFrom(6, 9), "audit-2025-01-01T00-00-06.000.log.gz": gzipped(eventsFrom(3, 6)),
			"audit-2025-01-01T00-00-03.000.log": eventsFrom(0, 3),
		}, []string{"."}, numbers(0, 9)},
		{"a set that logrotate rotated", map[string]string{
			"audit.log": eventsFrom(20, 30), "audit.log.1": eventsFrom(10, 20), "audit.log.2.gz": gzipped(eventsFrom(0, 10)),
		}, []string{"audit.log*"}, numbers(0, 30)},
		{"the logs of two API servers", map[string]string{
			"a/audit.log": event(0) + "\n" + event(2) + "\n" + event(4), "b/audit.log": event(1) + "\n" + event(3),
		}, []string{"."}, numbers(0, 5)},
		{"lines that are out of order by a moment", map[string]string{"a": event(1) + "\n" + event(0) + "\n" + event(2)}, []string{"a"}, numbers(0, 3)},
		{"hidden files", map[string]string{"a": eventsFrom(0, 1), ".b": eventsFrom(1, 2), ".c/d": eventsFrom(2, 3)}, []string{"."}, numbers(0, 1)},
		{"an EventList", map[string]string{"a": `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + event(0) + "," + event(1) + "]}"}, []string{"a"}, numbers(0, 2)},
		{"EventLists, one per line", map[string]string{"a": `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[` + event(0) + "]}\n" + `{"kind":"EventList","items":[` + event(1) + "]}\n"}, []string{"a"}, numbers(0, 2)},
		{"an EventList over many lines", map[string]string{"a": "{\n\"kind\": \"EventList\",\n\"items\": [\n" + event(0) + ",\n" + pretty + "\n],\n\"metadata\": {}\n}\n"}, []string{"a"}, numbers(0, 2)},
		{"events over many lines", map[string]string{"a": pretty + "\n" + pretty + "\n"}, []string{"a"}, []string{"1", "1"}},
		{"a list of events", map[string]string{"a": "[\n" + event(0) + ",\n" + event(1) + "\n]\n"}, []string{"a"}, numbers(0, 2)},
		{"nothing", map[string]string{"a": ""}, []string{"a"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			for name, text := range c.files {
				if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			in := input(t, "", c.paths...)
			if diff := cmp.Diff(c.want, ids(t, in)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if in.Problems.Count() > 0 {
				t.Error(in.Problems.String())
			}
			if total, read := in.Size(); total != read {
				t.Errorf("read %d of %d bytes", read, total)
			}
		})
	}
}

func TestWhatCannotBeOpened(t *testing.T) {
	t.Chdir(t.TempDir())
	for path, want := range map[string]string{
		"none": "looking for audit logs: stat none: no such file", "none*": "nothing fits none*", "[": "is no pattern", ".": "no file in it",
	} {
		if _, err := audit.Open([]string{path}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	for i := range 40 {
		if err := os.WriteFile(fmt.Sprintf("%c%c.log", 'a'+i/26, 'a'+i%26), []byte(eventsFrom(0, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := audit.Open([]string{"."}, nil); err == nil || !strings.Contains(err.Error(), "40 logs to be merged") {
		t.Errorf("40 logs: %v", err)
	}
}

// What is no event is counted and located, and the rest is read.
func TestWhatIsNoEvent(t *testing.T) {
	for _, c := range []struct {
		name, text string
		count      int
		says       string
		want       []string
	}{
		{"garbage", event(0) + "\nhello\n" + event(1) + "\n", 1, "stdin:2: it is not JSON", numbers(0, 2)},
		{"a line that was cut off", event(0)[:200] + "\n" + event(1) + "\n", 1, "stdin:1: it is not JSON", []string{"1"}},
		{"a last line that was cut off", event(0) + "\n" + event(1)[:200], 1, "stdin:2: it is not JSON", numbers(0, 1)},
		{"two lines in one", event(0) + "\n" + event(1)[:200] + event(2) + "\n" + event(3), 1, "stdin:2: it is not JSON", []string{"0", "3"}},
		{"another kind of event", event(0) + "\n" + `{"kind":"Event","apiVersion":"v1","reason":"x"}` + "\n", 1, "stdin:2: it is no audit event", numbers(0, 1)},
		{"zeroes of a machine that crashed", event(0) + "\n" + strings.Repeat("\x00", 5000) + "\n" + event(1) + "\n", 1, "stdin:2: it is not JSON", numbers(0, 2)},
		{"empty lines", event(0) + "\n\n  \n" + event(1) + "\n", 0, "", numbers(0, 2)},
		{"a document that breaks off", "{\"items\": [\n" + event(0) + ",\n" + event(1)[:100], 1, "it is not JSON", numbers(0, 1)},
		{"a document with garbage in it", "[\n" + event(0) + ",\n}\n" + event(1) + "\n", 1, "it is not JSON", numbers(0, 2)},
		{"one wrong element of a list", "[\n" + event(0) + ",\n{\"a\":1},\n" + event(1) + "\n]", 1, "stdin:3: it is no audit event", numbers(0, 2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := input(t, c.text)
			if diff := cmp.Diff(c.want, ids(t, in)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if n, s := in.Problems.Count(), in.Problems.String(); n != c.count || !strings.Contains(s, c.says) {
				t.Errorf("%d problems, want %d with %q: %s", n, c.count, c.says, s)
			}
		})
	}
}

func TestACompressedFileThatBreaksOff(t *testing.T) {
	whole := gzipped(eventsFrom(0, 20_000))
	in := input(t, whole[:len(whole)/2])
	if got := ids(t, in); len(got) < 1000 {
		t.Errorf("%d events", len(got))
	}
	if n := in.Problems.Count(); n == 0 || !strings.Contains(in.Problems.String(), "unexpected EOF") {
		t.Errorf("%d problems: %s", n, in.Problems.String())
	}
}

// Blocks end in the middle of lines; every event is read once all the same, by Scan and by Ordered.
func TestMoreThanABlock(t *testing.T) {
	const n = 10_000
	text := eventsFrom(0, n)
	in := input(t, text)
	var mu sync.Mutex
	seen := make(map[string]int)
	err := in.Scan(context.Background(), func() func(*audit.Event) {
		return func(e *audit.Event) {
			mu.Lock()
			defer mu.Unlock()
			seen[string(e.ID)]++
			if want := fmt.Sprint(e.At.Line - 1); want != string(e.ID) {
				t.Errorf("event %s is said to be on line %d", e.ID, e.At.Line)
			}
		}
	})
	if err != nil || len(seen) != n || in.Events() != n {
		t.Fatalf("%d events, %d of them different: %v", in.Events(), len(seen), err)
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("event %s came %d times", id, times)
		}
	}
	if got := len(ids(t, input(t, text))); got != n {
		t.Errorf("Ordered: %d events", got)
	}
	list := "[" + strings.ReplaceAll(strings.TrimSpace(text), "\n", ",") + "]"
	if got := len(ids(t, input(t, list))); got != n {
		t.Errorf("in a list on one line: %d events", got)
	}
}

func TestALineThatIsTooLong(t *testing.T) {
	long := strings.Replace(event(1), `"verb"`, `"x":"`+strings.Repeat("y", 33<<20)+`","verb"`, 1)
	in := input(t, event(0)+"\n"+long+"\n"+event(2)+"\n")
	if diff := cmp.Diff([]string{"0", "2"}, ids(t, in)); diff != "" {
		t.Error(diff)
	}
	if s := in.Problems.String(); !strings.Contains(s, "stdin:2: it is longer than 32 MiB") {
		t.Error(s)
	}
	large := strings.Replace(event(1), `"verb"`, `"x":"`+strings.Repeat("y", 3<<20)+`","verb"`, 1)
	if got := ids(t, input(t, event(0)+"\n"+large+"\n"+event(2)+"\n")); len(got) != 3 {
		t.Errorf("with a line of 3 MiB: %v", got)
	}
}

func TestReadingEndsWithItsContext(t *testing.T) {
	text := eventsFrom(0, 50_000)
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	err := input(t, text).Ordered(ctx, func(*audit.Event) bool { return true }, func(*audit.Event) {
		if n++; n == 10 {
			cancel()
		}
	})
	if err != nil || n >= 50_000 {
		t.Errorf("%d events, %v", n, err)
	}
	if err := input(t, text).Scan(ctx, func() func(*audit.Event) { return func(*audit.Event) {} }); err != nil {
		t.Error(err)
	}
}

func TestFilter(t *testing.T) {
	at := func(s string) audit.Micros {
		var e audit.Micros
		in := input(t, strings.ReplaceAll(event(0), "2025-01-01T00:00:00.000000Z", s))
		_ = in.Ordered(context.Background(), func(*audit.Event) bool { return true }, func(x *audit.Event) { e = x.Received })
		return e
	}
	for _, c := range []struct {
		name   string
		filter audit.Filter
		want   []string
	}{
		{"nothing", audit.Filter{}, numbers(0, 5)},
		{"since, inclusive", audit.Filter{Since: at("2025-01-01T00:00:03Z")}, numbers(3, 5)},
		{"until, exclusive", audit.Filter{Until: at("2025-01-01T00:00:03.000000Z")}, numbers(0, 3)},
		{"with an offset", audit.Filter{Until: at("2025-01-01T01:00:03+01:00")}, numbers(0, 3)},
		{"a namespace", audit.Filter{Namespaces: []string{"sh*p"}}, numbers(0, 5)},
		{"another namespace", audit.Filter{Namespaces: []string{"shops", "hop"}}, nil},
		{"a user", audit.Filter{Users: []string{"?"}}, numbers(0, 5)},
		{"another user", audit.Filter{Users: []string{"v"}}, nil},
		{"a resource", audit.Filter{Resources: []string{"configmaps"}}, numbers(0, 5)},
		{"another resource", audit.Filter{Resources: []string{"configmaps.apps"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := input(t, eventsFrom(0, 5))
			in.Filter = c.filter
			if diff := cmp.Diff(c.want, ids(t, in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A pipe in which nothing comes any more does not keep an interrupted reading from its end, and what came is read.
func TestAPipeThatIsSilentCanBeInterrupted(t *testing.T) {
	for name, read := range map[string]func(ctx context.Context, in *audit.Input) (events int, err error){
		"in order": func(ctx context.Context, in *audit.Input) (n int, err error) {
			err = in.Ordered(ctx, func(*audit.Event) bool { return true }, func(*audit.Event) { n++ })
			return n, err
		},
		"in no order": func(ctx context.Context, in *audit.Input) (int, error) {
			var n atomic.Int64
			err := in.Scan(ctx, func() func(*audit.Event) { return func(*audit.Event) { n.Add(1) } })
			return int(n.Load()), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, w := io.Pipe()
			defer w.Close()
			in, err := audit.Open([]string{audit.Stdin}, r)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				_, _ = w.Write([]byte(eventsFrom(0, 100))) // it returns when all of it was taken
				_, _ = w.Write([]byte(event(100)[:50]))
				cancel()
			}()
			if n, err := read(ctx, in); n != 100 || err != nil {
				t.Errorf("%d events, %v", n, err)
			}
		})
	}
}
