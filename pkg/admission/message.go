package admission

import (
	"encoding/base64"
	"math/bits"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// Limits of the API server: it cuts a warning off after 256 characters, and drops those that together have more than
// 4,096.
const (
	maxWarning  = 256
	maxWarnings = 8
)

// warnings says to the client what happened to its write.
func warnings(o Object, verdicts []Verdict) []string {
	var all []string
	for i := range verdicts {
		v := &verdicts[i]
		what := consequence(v)
		if what == "" || v.Mode == policy.Audit || len(all) == maxWarnings {
			continue
		}
		all = append(all, warning(o, v, what))
	}
	return all
}

// consequence says what became of the write, or is to be done about it. Empty: nothing that its client must know.
func consequence(v *Verdict) string {
	switch v.Reason {
	case policy.ReasonHeld:
		return "your change of it was held back"
	case policy.ReasonBucket:
		return "let through, others will be throttled"
	case policy.ReasonUnheld:
		return "let through, it came past the mutating webhook"
	case policy.ReasonWarned:
		if v.Mode == policy.Enforce {
			return "let through"
		}
		switch v.Rule.Action {
		case policy.ActionThrottle:
			return "enforcing would throttle it"
		case policy.ActionReject:
			return "enforcing would reject it"
		case policy.ActionHold:
			return "enforcing would hold it"
		}
		return "let through"
	case policy.ReasonLoop:
		return "please check this controller"
	}
	return ""
}

// warning fits a message into what the API server passes on. Names give way, the longest first; numbers do not.
func warning(o Object, v *Verdict, what string) string {
	const longest, step, steps = 120, 4, 26
	cut := func(i int) string {
		return "truce: " + sentence(o, v, longest-step*i) + ": " + what + until(v)
	}
	fits := func(i int) bool { return utf8.RuneCountInString(cut(i)) <= maxWarning }
	if s := cut(0); utf8.RuneCountInString(s) <= maxWarning {
		return s
	}
	return cut(sort.Search(steps, fits))
}

// denial is the message of a denied write. It need not be short.
func denial(o Object, v *Verdict) string {
	what := "this write was rejected"
	if v.Reason == policy.ReasonThrottled {
		what = "this write was throttled"
	}
	return "truce: " + sentence(o, v, 500) + ": " + what + until(v) +
		" by rule " + v.Rule.Name + "; let one of them own the field, or set the annotation " + BreakGlass +
		" to the time until which this object is exempt"
}

func until(v *Verdict) string {
	if v.Until.IsZero() {
		return ""
	}
	return " until " + v.Until.UTC().Format(time.RFC3339)
}

// sentence names the object, the field, the parties and the count. No name in it is longer than limit.
func sentence(o Object, v *Verdict, limit int) string {
	object := shorten(o.String(), limit)
	field := shorten(v.Path, limit)
	if v.Kind() == "loop" {
		by := shorten(writerName(v.Writer), limit)
		times := roughly(v.Count) + " times in a row"
		switch v.Signal {
		case history.IneffectiveLoop:
			return by + " wrote " + object + " " + times + " without changing anything"
		case history.MintingLoop:
			return by + " wrote a new value to " + field + " of " + object + " " + times
		}
		return by + " rewrote " + field + " of " + object + " " + times
	}
	return field + " of " + object + " is fought over by " + partyNames(v.Parties, limit) + ", " +
		roughly(v.Count) + " reversals"
}

// exactly is up to where a count is said as it is.
const exactly = 16

// roughly says a count, a large one by the power of two that it is over. A fight then has few messages, however long it
// lasts: clients built with older versions of controller-runtime remember every warning that they have ever logged, and
// Events are counted by their text.
func roughly(n int) string {
	if n <= exactly {
		return strconv.Itoa(n)
	}
	return "over " + strconv.Itoa(1<<(bits.Len(uint(n-1))-1))
}

// maxNamed is how many parties a message names.
const maxNamed = 3

func partyNames(parties []history.Writer, limit int) string {
	switch len(parties) {
	case 0:
		return "unknown writers"
	case 1:
		return shorten(writerName(parties[0]), limit) + " with itself"
	}
	names := make([]string, 0, maxNamed)
	for _, p := range parties[:min(len(parties), maxNamed)] {
		name := writerName(p)
		if p.Pod != "" && samesOtherThanPod(p, parties) {
			name = p.Pod
		}
		names = append(names, shorten(name, limit))
	}
	if more := len(parties) - maxNamed; more > 0 {
		return strings.Join(names, ", ") + " and " + strconv.Itoa(more) + " more"
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// samesOtherThanPod reports whether only its pod tells p from another party.
func samesOtherThanPod(p history.Writer, parties []history.Writer) bool {
	for _, q := range parties {
		if q != p && q.User == p.User && q.Manager == p.Manager {
			return true
		}
	}
	return false
}

// writerName names a writer for people: the manager if it set one, and the user.
func writerName(w history.Writer) string {
	user := w.User
	if rest, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		user = strings.Replace(rest, ":", "/", 1)
	}
	switch {
	case user == "" && w.Manager == "":
		return "an unknown writer"
	case user == "":
		return w.Manager
	case w.Manager == "" || strings.HasSuffix(user, "/"+w.Manager):
		return user
	}
	return w.Manager + " (" + user + ")"
}

// shorten cuts the middle out of s if it has more than n characters, keeping both ends: names tend to differ there.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	head := (n - 1) / 2
	return string(r[:head]) + "…" + string(r[len(r)-(n-1-head):])
}

func appendBase64(b, data []byte) []byte { return base64.StdEncoding.AppendEncode(b, data) }
