package stage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Entry is a line of the webhook's log: of all that lines say, what the lab shows.
type Entry struct {
	Time  time.Time `json:"time"`
	Level string    `json:"level"`
	Msg   string    `json:"msg"`

	// Of a turn that a fight takes.
	Turn      string    `json:"turn"`
	Kind      string    `json:"kind"`
	Resource  string    `json:"resource"`
	Group     string    `json:"group"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Field     string    `json:"field"`
	Parties   []string  `json:"parties"`
	Count     int       `json:"count"`
	Mode      string    `json:"mode"`
	Until     time.Time `json:"until"`

	// Of a policy that was read.
	Rules   int    `json:"rules"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path"`
	Problem string `json:"problem"`
	Error   string `json:"error"`
}

// What the lab looks for in the log.
const (
	msgFight   = "fight"
	MsgLoaded  = "policy loaded"
	MsgProblem = "problem in the policy"
)

// logReader takes the webhook's log line by line, keeps it, and tells of each entry.
type logReader struct {
	keep io.Writer
	tell func(Entry)
	rest []byte
}

// Write takes any piece of the log.
func (r *logReader) Write(data []byte) (int, error) {
	r.rest = append(r.rest, data...)
	for {
		line, rest, ok := bytes.Cut(r.rest, []byte("\n"))
		if !ok {
			break
		}
		var e Entry
		if json.Unmarshal(line, &e) == nil {
			r.tell(e)
		}
		r.rest = append([]byte(nil), rest...)
	}
	return r.keep.Write(data)
}

// Verdict says for people what an entry tells of a fight: a word or two, and a sentence.
func (e Entry) Verdict() (headline, sentence string) {
	what := e.Field + " of " + e.object()
	switch e.Field {
	case "":
		what = e.object()
	case "$exists":
		what = "the existence of " + e.object()
	}
	until := e.Until.Local().Format("15:04:05")
	enforcing := e.Mode == "Enforce"
	switch {
	case e.Kind == "loop":
		return "LOOP", fmt.Sprintf("%s keeps writing %s, %s so far, and nobody is helped by it. This is advice: "+
			"loops are never acted on.", parties(e.Parties), what, count(e.Count, "time"))
	case e.Turn == "Started":
		truce := "Enforcing would hold it down until " + until + "."
		if enforcing {
			truce = "A truce begins, until " + until + "."
		}
		return "FIGHT FOUND", fmt.Sprintf("%s over %s: %s so far. %s",
			undo(e.Parties), what, count(e.Count, "reversal"), truce)
	case e.Turn == "Probed":
		return "PROBE", "The truce over " + what + " is over. One change is let through, to see whether it is undone again."
	case e.Turn == "Resumed" && enforcing:
		return "FIGHT GOES ON", "The change was undone again. A longer truce over " + what + " begins, until " + until + "."
	case e.Turn == "Resumed":
		return "FIGHT GOES ON", "The change of " + what + " was undone again."
	case e.Turn == "Ended":
		return "FIGHT OVER", "Nobody fights over " + what + " any more."
	}
	return strings.ToUpper(e.Turn), what
}

func (e Entry) object() string {
	s := e.Resource
	if e.Group != "" {
		s += "." + e.Group
	}
	s += "/" + e.Name
	if e.Namespace != "" {
		s += " in namespace " + e.Namespace
	}
	return s
}

// undo says who undoes whom.
func undo(writers []string) string {
	switch len(writers) {
	case 0:
		return "unknown writers undo each other"
	case 1:
		return parties(writers) + " undoes itself"
	}
	return parties(writers) + " undo each other"
}

// parties names writers for people.
func parties(writers []string) string {
	names := make([]string, len(writers))
	for i, w := range writers {
		names[i] = party(w)
	}
	if n := len(names) - 1; n > 0 {
		return strings.Join(names[:n], ", ") + " and " + names[n]
	}
	return strings.Join(names, "")
}

// party names a writer, as the log has it, for people: `shop/signer as helm in pod signer-0`.
func party(writer string) string {
	var user, manager, pod string
	for part := range strings.SplitSeq(writer, ",") {
		if m, ok := strings.CutPrefix(part, "manager="); ok {
			manager = m
		} else if p, ok := strings.CutPrefix(part, "pod="); ok {
			pod = " in pod " + p
		} else {
			user = part
		}
	}
	if account, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		user = strings.Replace(account, ":", "/", 1)
	}
	switch {
	case user == "":
		user = manager
	case manager != "" && !strings.HasSuffix(user, "/"+manager):
		user += " as " + manager
	}
	return user + pod
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
