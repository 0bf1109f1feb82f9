package admission

import (
	"strings"
	"time"

	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// existence tracks a creation or deletion.
func (v *visit) existence(m policy.Matched) {
	if v.request.Operation == "DELETE" && (v.old.Deleting || generated(&v.old) && done(v.request.OldObject)) {
		return // somebody else decided on it before, as when the kubelet reports that a pod is gone; or it is of no more use
	}
	v.writer = v.identify()
	path := []byte(history.Exists)
	rule := m.Rule(path)
	if rule == nil {
		return
	}
	silence := m.Silence(path, v.writer.User, v.writer.Manager, v.request.User.Groups)
	if silence == policy.Always {
		return
	}
	t := tracked{path: path, change: -1, rule: rule, silent: silence == policy.OneWriter, flags: v.commonFlags()}
	t.from, t.to = history.Absent, history.Present
	of := &v.new
	if v.request.Operation == "DELETE" {
		t.from, t.to = history.Present, history.Absent
		of = &v.old
		switch {
		case done(v.request.OldObject):
			t.flags |= history.Spent
		case unready(v.request.OldObject), v.request.Resource == "pods" && v.now.Sub(v.old.Created) < startWithin:
			t.flags |= history.Vain
		}
	}
	v.numerous = numerous(of)
	if generated(of) {
		// Its successor will have another name: what persists is the owner and what names are generated from.
		v.family = true
		v.key.Name = "~" + of.Owner + "/" + of.GenerateName
	}
	v.tracked = append(v.tracked, t)
}

// done reports whether an object's status says that it has served its purpose, as that of a Pod or a Job that succeeded. To
// delete one of many such objects then undoes nothing. One that failed has not: who deletes that and who creates it anew may
// well be fighting. So may those who delete and create one of a name of its own: a delivery that brings back a Job whenever
// its time to live is over never ends.
func done(object []byte) bool {
	status := Find(object, "status")
	switch string(Text(Find(status, "phase"))) {
	case "Succeeded", "Completed", "Complete":
		return true
	}
	_, ok := mapValue(status, "completionTime")
	return ok
}

// startWithin is how soon after its creation a Pod can be of use at the earliest. The time of creation is cut to seconds.
const startWithin = 3 * time.Second

// unready reports whether an object's status says that it is not ready. Deleted like that, it was made in vain.
func unready(object []byte) bool {
	conditions := Find(Find(object, "status"), "conditions")
	if len(conditions) == 0 || conditions[0] != '[' {
		return false
	}
	for at, done := begin(conditions, 0); !done && at >= 0; {
		next := skipValue(conditions, at)
		if next < 0 {
			return false
		}
		if c := conditions[at:next]; string(Text(Find(c, "type"))) == "Ready" {
			return string(Text(Find(c, "status"))) != "True"
		}
		at, done = following(conditions, next, ']')
	}
	return false
}

// numerous reports whether an object is one of many whose names are made from one, by generation or by numbers.
func numerous(m *Meta) bool { return m.GenerateName != "" && strings.HasPrefix(m.Name, m.GenerateName) }

// generatedLength is how many letters and digits an API server puts after a generateName.
const generatedLength = 5

// generated reports whether an object's name was generated. An ordinal (web-0) comes back, so it is a name of its own.
func generated(m *Meta) bool {
	if !numerous(m) {
		return false
	}
	suffix := m.Name[len(m.GenerateName):]
	return len(suffix) == generatedLength || strings.Trim(suffix, "0123456789") != ""
}
