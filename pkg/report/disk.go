package report

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"
)

// Disk keeps changes in a file, an embedded bbolt store: up to an age, and up to a size. Each group of changes is on the
// disk before it is shown, so that what anybody saw survives the process, however it ends. A disk that is slow makes
// changes show later; if too many wait, or the disk fails, changes are kept in memory only, which is counted and logged.
type Disk struct {
	db   *bbolt.DB
	age  time.Duration
	size int64
	log  *slog.Logger
	now  func() time.Time

	scan    time.Duration // how long a question may take
	queue   chan Change
	show    func([]Change)
	dropped prometheus.Counter
	stopped sync.WaitGroup
	warned  time.Time
}

// DiskOptions say where changes are kept, and how long.
type DiskOptions struct {
	Dir string
	// Age is how long a change is kept, Size how large the file gets, about, in bytes.
	Age  time.Duration
	Size int64
	Log  *slog.Logger
	Now  func() time.Time
}

// What the disk does at a time.
const (
	diskQueue  = 8_192 // changes that may wait
	diskGroup  = 1_024 // changes that are written together
	diskForget = 4_096 // old ones that are forgotten together
	diskScan   = 2 * time.Second
	keepEvery  = time.Minute
)

var changesBucket = []byte("changes.v1")

// OpenDisk opens the store, or makes it. Only one process can have it.
func OpenDisk(o DiskOptions) (*Disk, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the journal's directory: %w", err)
	}
	path := filepath.Join(o.Dir, "changes.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 5 * time.Second, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("opening the journal %s (does another process have it?): %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(changesBucket)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the journal %s: %w", path, err)
	}
	return &Disk{
		db: db, age: o.Age, size: o.Size, log: o.Log, now: o.Now, scan: diskScan, queue: make(chan Change, diskQueue),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "unregistered"}),
	}, nil
}

// start shows the newest n changes, and then those that are added, once they are written.
func (d *Disk) start(n int, show func([]Change)) {
	d.show = show
	newest, _ := d.read(ChangeQuery{}, n)
	slices.Reverse(newest)
	show(newest)
	d.stopped.Go(d.run)
}

// add queues a change. It does not block.
func (d *Disk) add(c Change) {
	select {
	case d.queue <- c:
	default:
		d.dropped.Inc()
		d.show([]Change{c})
	}
}

// finish writes what is queued, and closes the store.
func (d *Disk) finish() {
	close(d.queue)
	d.stopped.Wait()
	if err := d.db.Close(); err != nil {
		d.log.Error("closing the journal", "error", err)
	}
}

func (d *Disk) run() {
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	d.keep()
	for {
		select {
		case <-ticker.C:
			d.keep()
		case c, ok := <-d.queue:
			if !ok {
				return
			}
			group := append(make([]Change, 0, 16), c)
			for len(group) < diskGroup {
				select {
				case c, ok := <-d.queue:
					if !ok {
						d.write(group)
						return
					}
					group = append(group, c)
					continue
				default:
				}
				break
			}
			d.write(group)
		}
	}
}

// write puts a group on the disk, which bbolt makes sure of before it returns, and shows it.
func (d *Disk) write(group []Change) {
	err := d.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(changesBucket)
		b.FillPercent = 0.9 // what comes is mostly the newest
		for i := range group {
			n, err := b.NextSequence()
			if err != nil {
				return err
			}
			v, err := json.Marshal(&group[i])
			if err != nil {
				return err
			}
			if err := b.Put(diskKey(group[i].Time, n), v); err != nil {
				return err
			}
		}
		return d.shrink(tx, 2*len(group))
	})
	if err != nil {
		d.dropped.Add(float64(len(group)))
		if now := d.now(); now.Sub(d.warned) >= time.Minute {
			d.warned = now
			d.log.Error("changes are kept in memory only", "error", err)
		}
	}
	d.show(group)
}

// diskKey puts changes in the order of their time, and then in that in which they came.
func diskKey(t time.Time, n uint64) []byte {
	k := binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(max(t.UnixNano(), 0)))
	return binary.BigEndian.AppendUint64(k, n)
}

// shrink forgets up to n of the oldest changes if there are too many. The file stays as it is, but has room in it.
func (d *Disk) shrink(tx *bbolt.Tx, n int) error {
	s := d.db.Stats()
	free := int64(s.FreePageN+s.PendingPageN) * int64(d.db.Info().PageSize)
	if tx.Size()-free <= d.size {
		return nil
	}
	return forget(tx, func([]byte) bool {
		n--
		return n >= 0
	})
}

// keep forgets what is too old.
func (d *Disk) keep() {
	oldest := diskKey(d.now().Add(-d.age), 0)
	for more := true; more; {
		n := 0
		err := d.db.Update(func(tx *bbolt.Tx) error {
			return forget(tx, func(k []byte) bool {
				old := string(k) < string(oldest)
				if old {
					n++
				}
				return old
			})
		})
		if err != nil {
			d.log.Error("old changes could not be forgotten", "error", err)
			return
		}
		more = n == diskForget
	}
}

// forget deletes the oldest changes, as long as they are to go, and not too many at once.
func forget(tx *bbolt.Tx, gone func(key []byte) bool) error {
	c := tx.Bucket(changesBucket).Cursor()
	n := 0
	for k, _ := c.First(); k != nil && n < diskForget && gone(k); k, _ = c.First() {
		if err := c.Delete(); err != nil {
			return err
		}
		n++
	}
	return nil
}

// read returns the newest changes that fit, newest first. If that takes too long, it returns what it has, and false.
func (d *Disk) read(q ChangeQuery, limit int) (found []Change, all bool) {
	deadline := time.Now().Add(d.scan)
	all = true
	err := d.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(changesBucket).Cursor()
		k, v := c.Last()
		if !q.Until.IsZero() {
			if k, v = c.Seek(diskKey(q.Until.Add(time.Millisecond), 0)); k == nil {
				k, v = c.Last()
			}
		}
		for n := 1; k != nil && len(found) < limit; k, v = c.Prev() {
			if !q.Since.IsZero() && string(k) < string(diskKey(q.Since, 0)) {
				break
			}
			var change Change
			if err := json.Unmarshal(v, &change); err == nil && q.fits(&change) {
				found = append(found, change)
			}
			if n++; n%1024 == 0 && time.Now().After(deadline) {
				all = false
				break
			}
		}
		return nil
	})
	if err != nil {
		d.log.Error("the journal could not be read", "error", err)
		return found, false
	}
	return found, all
}
