package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
)

// Input is what events are read from. It is read once.
type Input struct {
	// Filter leaves events out. Set it before reading.
	Filter Filter
	// Problems tells of what was no event. It may be read at any time.
	Problems Problems

	sets []set
	size int64
	read atomic.Int64
	seen atomic.Int64
}

// set is a log and what was rotated out of it, oldest first. Sets are read side by side and merged in the order of time,
// as those of several API servers must be.
type set struct {
	files []file
}

// file is one file of a set.
type file struct {
	path  string
	size  int64
	first Micros
	stdin io.Reader // nil if it is a real file
}

// maxSets is how many sets are merged. Each has some blocks in memory.
const maxSets = 32

// Stdin is the path that stands for standard input.
const Stdin = "-"

// Open finds the files that paths mean: files, folders with all that is in them, globs, Stdin. It reads the beginning of
// each, to know where in time it belongs.
func Open(paths []string, stdin io.Reader) (*Input, error) {
	in := &Input{}
	sets := make(map[string]*set)
	var order []string
	add := func(key string, f file) {
		s := sets[key]
		if s == nil {
			s = &set{}
			sets[key] = s
			order = append(order, key)
		}
		s.files = append(s.files, f)
		in.size += f.size
	}
	seen := make(map[string]bool)
	for _, path := range paths {
		if path == Stdin {
			if !seen[path] {
				seen[path] = true
				add(path, file{path: "stdin", stdin: stdin})
			}
			continue
		}
		found, err := find(path)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if seen[f.path] {
				continue
			}
			seen[f.path] = true
			if err := f.look(); err != nil {
				return nil, err
			}
			add(stem(f.path), f)
		}
	}
	for _, key := range order {
		s := sets[key]
		slices.SortStableFunc(s.files, func(a, b file) int {
			return cmp.Or(cmp.Compare(a.first, b.first), strings.Compare(a.path, b.path))
		})
		in.sets = append(in.sets, *s)
	}
	if len(in.sets) > maxSets {
		return nil, fmt.Errorf("these are %d logs to be merged in the order of time, and %d are the most: give fewer at once, "+
			"or one file per log", len(in.sets), maxSets)
	}
	if slices.ContainsFunc(paths, func(p string) bool { return p == Stdin }) {
		in.size = 0 // nobody knows
	}
	return in, nil
}

// find lists the files that a path means.
func find(path string) ([]file, error) {
	if _, err := os.Stat(path); err != nil && strings.ContainsAny(path, "*?[") {
		matches, globErr := filepath.Glob(path)
		if globErr != nil {
			return nil, fmt.Errorf("looking for audit logs: %q is no pattern: %w", path, globErr)
		}
		if len(matches) == 0 {
			return nil, fmt.Errorf("looking for audit logs: nothing fits %s", path)
		}
		var all []file
		for _, m := range matches {
			found, err := find(m)
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
		return all, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("looking for audit logs: %w", err)
	}
	path = filepath.Clean(path)
	if !info.IsDir() {
		return []file{{path: path, size: sizeOf(info)}}, nil
	}
	var all []file
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != path && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return filepath.SkipDir
			}
		case !entry.IsDir():
			info, err := os.Stat(name) // what a link leads to
			if err != nil || !info.Mode().IsRegular() {
				return err
			}
			all = append(all, file{path: name, size: sizeOf(info)})
		}
		return nil
	})
	if err == nil && len(all) == 0 {
		err = errors.New("no file in it")
	}
	if err != nil {
		return nil, fmt.Errorf("looking for audit logs in %s: %w", path, err)
	}
	return all, nil
}

// sizeOf is 0 for pipes and devices.
func sizeOf(info fs.FileInfo) int64 {
	if info.Mode().IsRegular() {
		return info.Size()
	}
	return 0
}

// rotated finds what rotation put into a name: audit-2025-01-01T00-00-00.000.log, audit.log.1, audit.log-20250101.
var rotated = regexp.MustCompile(`^(.*?)(?:-\d[\dTZ:._-]{5,})?(\.log|\.jsonl?|\.ndjson|\.txt)?(?:[.-]\d[\dTZ:._-]*)?$`)

// stem returns the path without what rotation and compression put into it: the same for all files of a set. Two logs
// taken for one would be read one after the other, out of time; one taken for two is merged. So in doubt they are two.
func stem(path string) string {
	dir, name := filepath.Split(path)
	for _, ext := range []string{".gz", ".gzip", ".zst", ".zstd"} {
		name = strings.TrimSuffix(name, ext)
	}
	if m := rotated.FindStringSubmatch(name); m != nil {
		name = m[1] + m[2]
	}
	return dir + name
}

// look reads the beginning of f for the time of its first event. A pipe is read once only, so it is not looked at.
func (f *file) look() error {
	if f.size == 0 {
		return nil
	}
	r, err := f.open(nil)
	if err != nil {
		return err
	}
	defer r.Close()
	head := make([]byte, 256<<10)
	n, _ := io.ReadFull(r, head) // an error shows again when the file is read
	head = head[:n]
	var e Event
	note := func(e *Event) {
		if f.first == 0 {
			f.first = e.Received
		}
	}
	d := documents{buf: head, eof: true, plain: !isDocument(head)}
	for f.first == 0 {
		element, _, err := d.next()
		if err != nil {
			break
		}
		_ = e.unwrap(element, note) // what is no event shows when the file is read
	}
	return nil
}

// heed makes the reading of standard input end with ctx.
func (in *Input) heed(ctx context.Context) {
	for i := range in.sets {
		for j := range in.sets[i].files {
			if f := &in.sets[i].files[j]; f.stdin != nil {
				f.stdin = newInterruptible(ctx, f.stdin)
			}
		}
	}
}

// Size returns how many bytes there are to be read, compressed as they are, 0 if that is not known; and how many were
// read so far.
func (in *Input) Size() (total, read int64) { return in.size, in.read.Load() }

// Events returns how many events were read so far.
func (in *Input) Events() int64 { return in.seen.Load() }
