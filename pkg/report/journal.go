package report

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Journal keeps the latest changes in memory and, if it has a Disk, many more there. It is safe for concurrent use.
//
// What it shows it has kept: with a Disk, a change is shown once it is written there, so that nothing that anybody saw is
// lost when the process dies.
type Journal struct {
	key  string
	disk *Disk

	mu    sync.RWMutex
	ring  []Change // the newest so many changes: number n is at n % len(ring)
	count uint64   // of changes ever

	total atomic.Uint64 // the same, for metrics
}

func newJournal(size int, key string, disk *Disk) *Journal {
	j := &Journal{key: key, disk: disk, ring: make([]Change, size)}
	if disk != nil {
		disk.start(size, j.show)
	}
	return j
}

func (j *Journal) add(c Change) {
	if j.disk != nil {
		j.disk.add(c)
		return
	}
	j.show([]Change{c})
}

// show makes changes visible.
func (j *Journal) show(changes []Change) {
	j.mu.Lock()
	for _, c := range changes {
		j.ring[j.count%uint64(len(j.ring))] = c
		j.count++
	}
	j.mu.Unlock()
	j.total.Add(uint64(len(changes)))
}

func (j *Journal) close() {
	if j.disk != nil {
		j.disk.finish()
	}
}

// ChangeQuery says which changes are wanted. Its zero value: the newest MaxChanges.
type ChangeQuery struct {
	Namespace string
	// Object is a resource (deployments.apps), with a name (deployments.apps/web) and a namespace
	// (deployments.apps/shop/web).
	Object string
	// Field is a path, or its beginning followed by *.
	Field string
	// Manager is a field manager, a user or a pod.
	Manager string
	// Fight is a fight's id.
	Fight string
	// Since and Until bound the time; zero for no bound.
	Since, Until time.Time
	// Limit is how many are wanted at most; 0 means MaxChanges.
	Limit int
}

// MaxChanges is how many changes one answer has at most.
const MaxChanges = 10_000

func (q *ChangeQuery) limit() int {
	if q.Limit <= 0 || q.Limit > MaxChanges {
		return MaxChanges
	}
	return q.Limit
}

func (q *ChangeQuery) fits(c *Change) bool {
	return (q.Fight == "" || c.Fight == q.Fight) &&
		(q.Namespace == "" || c.Object.Namespace == q.Namespace) &&
		(q.Object == "" || q.fitsObject(&c.Object)) &&
		(q.Field == "" || q.fitsField(c.Field)) &&
		(q.Manager == "" || q.Manager == c.Writer.Manager || q.Manager == c.Writer.User || q.Manager == c.Writer.Pod) &&
		(q.Since.IsZero() || !c.Time.Before(q.Since)) &&
		(q.Until.IsZero() || !c.Time.After(q.Until))
}

func (q *ChangeQuery) fitsObject(o *Object) bool {
	parts := strings.Split(q.Object, "/")
	resource, group, _ := strings.Cut(parts[0], ".")
	if resource != o.Resource || group != o.Group || len(parts) > 3 {
		return false
	}
	switch parts = parts[1:]; len(parts) {
	case 1:
		return parts[0] == o.Name
	case 2:
		return parts[0] == o.Namespace && parts[1] == o.Name
	}
	return true
}

func (q *ChangeQuery) fitsField(field string) bool {
	if start, ok := strings.CutSuffix(q.Field, "*"); ok && !strings.HasSuffix(q.Field, "[*") {
		return strings.HasPrefix(field, start)
	}
	return q.Field == field
}

// Changes returns the newest changes that fit, oldest first.
func (j *Journal) Changes(q ChangeQuery) Changes {
	out := Changes{Items: []Change{}, Key: j.key}
	limit := q.limit()
	j.mu.RLock()
	all := j.count < uint64(len(j.ring)) // nothing was ever overwritten, or left on the disk
	oldest := j.count - min(j.count, uint64(len(j.ring)))
	n := j.count
	for ; n > oldest && len(out.Items) <= limit; n-- {
		if c := &j.ring[(n-1)%uint64(len(j.ring))]; q.fits(c) {
			out.Items = append(out.Items, *c)
		}
	}
	j.mu.RUnlock()
	if len(out.Items) <= limit && !all && j.disk != nil { // older ones are there
		var complete bool
		out.Items, complete = j.disk.read(q, limit+1)
		out.Truncated = !complete
	}
	if len(out.Items) > limit {
		out.Items, out.Truncated = out.Items[:limit], true
	}
	slices.Reverse(out.Items)
	return out
}

// Since returns the changes that fit after the first n ever, and how many there are now. What was overwritten meanwhile
// is left out.
func (j *Journal) Since(n uint64, q ChangeQuery) ([]Change, uint64) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	var out []Change
	for n = max(n, j.count-min(j.count, uint64(len(j.ring)))); n < j.count; n++ {
		if c := &j.ring[n%uint64(len(j.ring))]; q.fits(c) {
			out = append(out, *c)
		}
	}
	return out, j.count
}

// Len returns how many changes are in memory.
func (j *Journal) Len() int { return int(min(j.total.Load(), uint64(len(j.ring)))) }
