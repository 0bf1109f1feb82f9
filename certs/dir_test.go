package certs

import (
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// snapshot returns the files of a directory that matter: name to contents.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range entries {
		if e.Name() == ".lock" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[e.Name()] = string(data)
	}
	return got
}

// changed lists the files that differ, in the order of the layout.
func changed(before, after map[string]string) []string {
	var names []string
	for _, name := range []string{CAFile, CAKeyFile, CertFile, KeyFile} {
		if before[name] != after[name] {
			names = append(names, name)
		}
	}
	return names
}

func put(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func ensure(t *testing.T, dir string, hosts Hosts, now time.Time) Outcome {
	t.Helper()
	out, err := Ensure(dir, hosts, now)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEnsureFillsAnEmptyDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on", "the", "way")
	out := ensure(t, dir, servers, epoch)

	want := Outcome{
		CAPath: filepath.Join(dir, CAFile), Authority: Missing, Serving: Missing, NotAfter: epoch.Add(ServingLifetime),
	}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("outcome (-want +got)\n%s", diff)
	}
	modes := map[string]fs.FileMode{CAFile: 0o644, CAKeyFile: 0o600, CertFile: 0o644, KeyFile: 0o600}
	for name := range snapshot(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if mode, ok := modes[name]; !ok || info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), mode)
		}
		delete(modes, name)
	}
	if len(modes) > 0 {
		t.Errorf("not written: %v", modes)
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile)); err != nil {
		t.Error(err)
	}
}

// Every story begins with a directory that Ensure filled at epoch; then one thing happens to it.
func TestEnsureMends(t *testing.T) {
	all := []string{CAFile, CAKeyFile, CertFile, KeyFile}
	pair := []string{CertFile, KeyFile}
	tests := []struct {
		name    string
		why     string
		happens func(t *testing.T, dir string)
		hosts   Hosts
		at      time.Time
		want    Outcome
		changes []string
	}{
		{name: "keeps what is fit", at: epoch.Add(335 * day)},
		{
			name: "renews the serving certificate thirty days before its end",
			at:   epoch.Add(335*day + time.Second), want: Outcome{Serving: Expiring}, changes: pair,
		},
		{
			name: "renews an expired serving certificate",
			at:   epoch.Add(400 * day), want: Outcome{Serving: Expired}, changes: pair,
		},
		{
			name: "makes everything anew when the authority is about to expire",
			at:   epoch.Add(AuthorityLifetime - 29*day), want: Outcome{Authority: Expiring, Serving: Expired}, changes: all,
		},
		{
			name: "makes everything anew when the clock was set back", why: "nobody with this clock would accept either",
			at: epoch.Add(-2 * day), want: Outcome{Authority: NotYetValid, Serving: NotYetValid}, changes: all,
		},
		{
			name: "renews for other hosts", hosts: mustHosts("localhost"),
			at: epoch, want: Outcome{Serving: OtherHosts}, changes: pair,
		},
		{
			name:    "renews when the serving key was removed",
			happens: func(t *testing.T, dir string) { remove(t, dir, KeyFile) },
			at:      epoch, want: Outcome{Serving: KeyMissing}, changes: pair,
		},
		{
			name: "renews when the serving key is another one's", why: "a crash between two writes",
			happens: func(t *testing.T, dir string) { put(t, dir, KeyFile, newBundle(t, epoch).Key) },
			at:      epoch, want: Outcome{Serving: KeyMismatch}, changes: pair,
		},
		{
			name:    "renews when the serving certificate was removed",
			happens: func(t *testing.T, dir string) { remove(t, dir, CertFile) },
			at:      epoch, want: Outcome{Serving: Missing}, changes: pair,
		},
		{
			name:    "renews a truncated serving certificate",
			happens: func(t *testing.T, dir string) { put(t, dir, CertFile, []byte("-----BEGIN CERT")) },
			at:      epoch, want: Outcome{Serving: Unreadable}, changes: pair,
		},
		{
			name: "renews when another authority of ours signed the certificate",
			happens: func(t *testing.T, dir string) {
				other := newBundle(t, epoch)
				put(t, dir, CertFile, other.Cert)
				put(t, dir, KeyFile, other.Key)
			},
			at: epoch, want: Outcome{Serving: OtherAuthority}, changes: pair,
		},
		{
			name: "makes everything anew when the authority's key was removed", why: "nothing could be renewed with it",
			happens: func(t *testing.T, dir string) { remove(t, dir, CAKeyFile) },
			at:      epoch, want: Outcome{Authority: KeyMissing, Serving: OtherAuthority}, changes: all,
		},
		{
			name:    "makes everything anew when the authority's key is another one's",
			happens: func(t *testing.T, dir string) { put(t, dir, CAKeyFile, newBundle(t, epoch).CAKey) },
			at:      epoch, want: Outcome{Authority: KeyMismatch, Serving: OtherAuthority}, changes: all,
		},
		{
			name: "makes everything anew when the authority's certificate was removed", why: "tls.crt says whose it was",
			happens: func(t *testing.T, dir string) { remove(t, dir, CAFile) },
			at:      epoch, want: Outcome{Authority: Missing, Serving: OtherAuthority}, changes: all,
		},
		{
			name: "finishes what a crash after the first file left", why: "ca.crt is written first and says whose it is",
			happens: func(t *testing.T, dir string) {
				remove(t, dir, CAKeyFile)
				remove(t, dir, CertFile)
				remove(t, dir, KeyFile)
			},
			at: epoch, want: Outcome{Authority: KeyMissing, Serving: Missing}, changes: all,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			ensure(t, dir, servers, epoch)
			before := snapshot(t, dir)
			if test.happens != nil {
				test.happens(t, dir)
			}
			if test.hosts.DNS == nil {
				test.hosts = servers
			}
			out := ensure(t, dir, test.hosts, test.at)
			if out.Authority != test.want.Authority || out.Serving != test.want.Serving {
				t.Errorf("authority %q, serving %q; want %q, %q",
					out.Authority, out.Serving, test.want.Authority, test.want.Serving)
			}
			after := snapshot(t, dir)
			if diff := cmp.Diff(test.changes, changed(before, after)); diff != "" {
				t.Errorf("files replaced (-want +got)\n%s", diff)
			}
			if len(after) != 4 {
				t.Errorf("the directory holds %d files, want 4", len(after))
			}
			if again := ensure(t, dir, test.hosts, test.at); again.Authority != Fit || again.Serving != Fit {
				t.Errorf("not fit after mending: authority %q, serving %q", again.Authority, again.Serving)
			}
		})
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func TestEnsureLeavesOtherPeoplesFilesAlone(t *testing.T) {
	foreign := func(t *testing.T) (ca, key []byte) {
		return craft(t, func(c *x509.Certificate) { c.Subject.CommonName = "Example Root" }, nil, nil)
	}
	tests := []struct {
		name  string
		setup func(t *testing.T, dir string)
		want  []string
	}{
		{
			name: "an authority that Truce did not make",
			setup: func(t *testing.T, dir string) {
				ca, key := foreign(t)
				put(t, dir, CAFile, ca)
				put(t, dir, CAKeyFile, key)
			},
			want: []string{`ca.crt was not made by Truce (it is of "CN=Example Root,O=truce.dev")`, "move it away"},
		},
		{
			name: "an authority that cannot be read",
			setup: func(t *testing.T, dir string) {
				ensure(t, dir, servers, epoch)
				put(t, dir, CAFile, []byte("broken"))
			},
			want: []string{"ca.crt is not a certificate (no certificate in PEM)"},
		},
		{
			name: "a serving certificate that Truce did not make",
			setup: func(t *testing.T, dir string) {
				cert, key := foreign(t)
				put(t, dir, CertFile, cert)
				put(t, dir, KeyFile, key)
			},
			want: []string{`tls.crt was not made by Truce (it was issued by "CN=Example Root,O=truce.dev")`},
		},
		{
			name: "a serving certificate that Truce did not make, beside an authority that it made",
			setup: func(t *testing.T, dir string) {
				ensure(t, dir, servers, epoch)
				cert, _ := foreign(t)
				put(t, dir, CertFile, cert)
			},
			want: []string{"tls.crt was not made by Truce"},
		},
		{
			name:  "a serving certificate that cannot be read, with nothing beside it",
			setup: func(t *testing.T, dir string) { put(t, dir, CertFile, []byte("broken")) },
			want:  []string{"tls.crt is not a certificate"},
		},
		{
			name:  "a lone key",
			setup: func(t *testing.T, dir string) { put(t, dir, KeyFile, []byte("precious")) },
			want:  []string{"tls.key is a key without a certificate by Truce beside it"},
		},
		{
			name: "everything that is wrong at once",
			setup: func(t *testing.T, dir string) {
				put(t, dir, CAFile, []byte("broken"))
				put(t, dir, CertFile, []byte("broken"))
			},
			want: []string{"ca.crt is not a certificate", "tls.crt is not a certificate"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			test.setup(t, dir)
			before := snapshot(t, dir)
			_, err := Ensure(dir, servers, epoch)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want %q", err, want)
				}
			}
			if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
				t.Errorf("files changed (-before +after)\n%s", diff)
			}
		})
	}
}

func TestEnsureReportsWhatItCannotDo(t *testing.T) {
	t.Run("a file in the place of the directory", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		put(t, filepath.Dir(path), "file", nil)
		if _, err := Ensure(path, servers, epoch); err == nil || !strings.Contains(err.Error(), "making the directory") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a directory in the place of a file", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, CertFile), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := Ensure(dir, servers, epoch); err == nil || !strings.Contains(err.Error(), "reading certificates") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a directory in the place of the lock", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, ".lock"), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := Ensure(dir, servers, epoch); err == nil || !strings.Contains(err.Error(), "locking") {
			t.Errorf("error %v", err)
		}
	})
}

func TestWriteFileLeavesNothingBehindWhenItFails(t *testing.T) {
	dir := t.TempDir()
	// A directory that is not empty cannot be replaced by a file.
	if err := os.MkdirAll(filepath.Join(dir, CertFile, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(filepath.Join(dir, CertFile), []byte("x"), 0o644); err == nil {
		t.Fatal("no error")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestWriteReportsADirectoryThatIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	err := write(dir, Bundle{}, newBundle(t, epoch))
	if err == nil || !strings.Contains(err.Error(), "writing certificates") {
		t.Errorf("error %v", err)
	}
}

// Servers that start at once in an empty directory must end up with one authority and with what is in the files.
func TestEnsureAtOnceMakesOneAuthority(t *testing.T) {
	dir := t.TempDir()
	const replicas = 8
	outcomes := make([]Outcome, replicas)
	var wg sync.WaitGroup
	for i := range outcomes {
		wg.Go(func() {
			out, err := Ensure(dir, servers, epoch)
			if err != nil {
				t.Error(err)
			}
			outcomes[i] = out
		})
	}
	wg.Wait()
	made := 0
	for _, out := range outcomes {
		if out.Authority == Missing {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d authorities were made, want 1", made)
	}
	if out := ensure(t, dir, servers, epoch); out.Authority != Fit || out.Serving != Fit {
		t.Errorf("authority %q, serving %q afterwards", out.Authority, out.Serving)
	}
}
