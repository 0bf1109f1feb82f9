package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// auditEvent is the part of an entry of the API server's audit log that tests look at.
type auditEvent struct {
	Verb string
	User struct{ Username string }
	// ImpersonatedUser is who a party of a fight is.
	ImpersonatedUser struct{ Username string }
	ObjectRef        struct{ APIGroup, Resource, Subresource, Namespace, Name string }
	ResponseStatus   struct {
		Code    int
		Message string
	}
	RequestReceivedTimestamp time.Time
	Annotations              map[string]string
}

// who returns the user that the request was made as.
func (e *auditEvent) who() string {
	if e.ImpersonatedUser.Username != "" {
		return e.ImpersonatedUser.Username
	}
	return e.User.Username
}

// truce returns the annotation that Truce's validating or mutating webhook gave the event, empty if none.
func (e *auditEvent) truce(key string) string {
	if v := e.Annotations["mutate.truce.dev/"+key]; v != "" {
		return v
	}
	return e.Annotations["validate.truce.dev/"+key]
}

// trail reads the API server's audit log, once for all tests, and keeps the entries that Truce said something about.
type trail struct {
	path string

	mu      sync.Mutex
	at      int64
	events  []auditEvent
	writes  int
	partial []byte
}

func newTrail(path string) *trail { return &trail{path: path} }

// of returns the entries up to now that Truce annotated in the namespaces. An entry is written before its request is
// answered to the end, so those of the caller's own requests are there or will be very soon.
func (tr *trail) of(t *testing.T, namespaces ...string) []auditEvent {
	t.Helper()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if err := tr.readLocked(); err != nil {
		t.Fatal(err)
	}
	var found []auditEvent
	for _, e := range tr.events {
		for _, ns := range namespaces {
			if e.ObjectRef.Namespace == ns || e.ObjectRef.Resource == "namespaces" && e.ObjectRef.Name == ns {
				found = append(found, e)
			}
		}
	}
	return found
}

// all returns every entry up to now that Truce annotated, and how many writes there were at all.
func (tr *trail) all(t *testing.T) ([]auditEvent, int) {
	t.Helper()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if err := tr.readLocked(); err != nil {
		t.Fatal(err)
	}
	return append([]auditEvent(nil), tr.events...), tr.writes
}

func (tr *trail) readLocked() error {
	f, err := os.Open(tr.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(tr.at, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		tr.at += int64(len(line))
		tr.partial = append(tr.partial, line...)
		if err == io.EOF {
			return nil // the rest of a line comes with the next read
		}
		if err != nil {
			return err
		}
		tr.writes++
		if bytes.Contains(tr.partial, []byte("truce.dev/verdict")) {
			var e auditEvent
			if err := json.Unmarshal(tr.partial, &e); err != nil {
				return err
			}
			for key := range e.Annotations {
				if strings.HasSuffix(key, "truce.dev/verdict") {
					tr.events = append(tr.events, e)
					break
				}
			}
		}
		tr.partial = tr.partial[:0]
	}
}
