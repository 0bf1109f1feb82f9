package report

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func openDisk(t *testing.T, dir string, age time.Duration, size int64) *Disk {
	t.Helper()
	d, err := OpenDisk(DiskOptions{
		Dir: dir, Age: age, Size: size, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return noon.Add(time.Hour) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func second(n int) Change {
	return Change{
		Time: noon.Add(time.Duration(n) * time.Second), Object: Object{Resource: "configmaps", Name: fmt.Sprint("o", n%2)},
		Field: "data[k]", Outcome: Stored,
	}
}

func TestChangesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	j := newJournal(4, "", openDisk(t, dir, 48*time.Hour, 64<<20))
	for i := range 10 {
		j.add(second(i))
	}
	j.close()
	j = newJournal(4, "", openDisk(t, dir, 48*time.Hour, 64<<20))
	defer j.close()
	if j.Len() != 4 {
		t.Errorf("%d changes in memory", j.Len())
	}
	for _, c := range []struct {
		name      string
		q         ChangeQuery
		want      []int
		truncated bool
	}{
		{"all, from the disk", ChangeQuery{}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, false},
		{"the newest, from memory", ChangeQuery{Limit: 3}, []int{7, 8, 9}, true},
		{"more than memory has", ChangeQuery{Limit: 6}, []int{4, 5, 6, 7, 8, 9}, true},
		{"an object", ChangeQuery{Object: "configmaps/o1"}, []int{1, 3, 5, 7, 9}, false},
		{"since a time", ChangeQuery{Since: noon.Add(2 * time.Second), Until: noon.Add(4 * time.Second)}, []int{2, 3, 4}, false},
		{"until a time", ChangeQuery{Until: noon.Add(time.Second)}, []int{0, 1}, false},
	} {
		got := j.Changes(c.q)
		if diff := cmp.Diff(c.want, seconds(got.Items)); diff != "" || got.Truncated != c.truncated {
			t.Errorf("%s: truncated %v, %s", c.name, got.Truncated, diff)
		}
	}
}

func TestOldChangesAreForgotten(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, time.Hour-5*time.Second, 64<<20) // it is an hour past noon
	j := newJournal(1, "", d)
	for i := range 10 {
		j.add(second(i))
	}
	j.close()
	j = newJournal(1, "", openDisk(t, dir, time.Hour-5*time.Second, 64<<20))
	j.close() // it forgets when it starts
	d = openDisk(t, dir, 48*time.Hour, 64<<20)
	defer d.db.Close()
	got, _ := d.read(ChangeQuery{}, 100)
	if diff := cmp.Diff([]int{9, 8, 7, 6, 5}, seconds(got)); diff != "" {
		t.Error(diff)
	}
}

func TestTheDiskIsBounded(t *testing.T) {
	dir := t.TempDir()
	const size = 2 << 20
	d := openDisk(t, dir, 48*time.Hour, size)
	shown := 0
	d.show = func(c []Change) { shown += len(c) }
	long := strings.Repeat("x", 500)
	n := 0
	for range 40 {
		group := make([]Change, 512)
		for i := range group {
			group[i] = second(n)
			group[i].Field = long
			n++
		}
		d.write(group)
	}
	info, err := os.Stat(d.db.Path())
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 4*size || shown != n {
		t.Errorf("the file has %d bytes after %d changes of 700 bytes; %d were shown", info.Size(), n, shown)
	}
	got, _ := d.read(ChangeQuery{}, n)
	if len(got) < 1000 || len(got) == n || !got[0].Time.Equal(second(n-1).Time) {
		t.Errorf("%d of %d are left, the newest of %v", len(got), n, got[0].Time)
	}
	d.db.Close()
}

func TestADiskThatFailsCostsNoChange(t *testing.T) {
	d := openDisk(t, t.TempDir(), time.Hour, 1<<20)
	j := newJournal(10, "", d)
	d.db.Close()
	j.add(second(1))
	j.close()
	if got := j.Changes(ChangeQuery{}).Items; len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestOnlyOneProcessHasTheJournal(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, time.Hour, 1<<20)
	defer d.db.Close()
	_, err := OpenDisk(DiskOptions{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "does another process have it?") {
		t.Errorf("%v", err)
	}
}

// victimDir tells this test's process that it is the one to be killed.
const victimDir = "TRUCE_TEST_VICTIM_DIR"

// killedSize is more than it writes until it is killed, however long that takes: it must forget nothing.
const killedSize = 4 << 30

func TestWhatWasShownSurvivesAKill(t *testing.T) {
	if dir := os.Getenv(victimDir); dir != "" {
		d := openDisk(t, dir, 48*time.Hour, killedSize)
		j := newJournal(100, "", d)
		show := d.show
		d.show = func(c []Change) {
			show(c)
			fmt.Println("shown", int(c[len(c)-1].Time.Sub(noon)/time.Second))
		}
		for i := 0; ; i++ {
			for len(d.queue) > diskQueue/2 { // full, it would keep changes in memory only
				time.Sleep(time.Millisecond) //nolint:forbidigo // it is to be killed while it does this
			}
			j.add(second(i))
		}
	}
	dir := t.TempDir()
	victim := exec.Command(os.Args[0], "-test.run=^TestWhatWasShownSurvivesAKill$")
	victim.Env = append(os.Environ(), victimDir+"="+dir)
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	last := -1
	lines := bufio.NewScanner(out)
	for n := 0; n < 5 && lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "shown %d", &last); err == nil {
			n++
		}
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // it may have shown more before it died
		_, _ = fmt.Sscanf(lines.Text(), "shown %d", &last)
	}
	_ = victim.Wait()
	if last < 0 {
		t.Fatal("it showed nothing")
	}
	d := openDisk(t, dir, 48*time.Hour, killedSize)
	defer d.db.Close()
	d.scan = time.Hour
	got, _ := d.read(ChangeQuery{Until: noon.Add(time.Duration(last) * time.Second)}, last+10)
	if len(got) != last+1 {
		t.Errorf("%d changes were shown, %d are left", last+1, len(got))
	}
}
