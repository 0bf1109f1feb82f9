package certs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The names of the files in a directory.
const (
	CAFile    = "ca.crt"
	CAKeyFile = "ca.key"
	CertFile  = "tls.crt"
	KeyFile   = "tls.key"
)

// Outcome is what [Ensure] found and did.
type Outcome struct {
	// CAPath is the file that goes into the caBundle of a webhook configuration.
	CAPath string
	// Authority is why the authority was made anew, which makes every caBundle out of date; empty: it was kept.
	Authority Fault
	// Serving is why the serving certificate was made anew; empty: it was kept.
	Serving Fault
	// NotAfter is when the serving certificate ends.
	NotAfter time.Time
}

// Ensure sees to it that dir holds an authority and a serving certificate for exactly hosts that are fit at now. What
// is fit is kept: an authority that is fit is never replaced, so what was registered with it stays good. What is not
// is made anew, but only if Truce made it: somebody else's files, and files nobody can tell whose they are, are an
// error and stay as they are.
//
// Each file is replaced atomically. Keys are readable by their owner alone. Calls for one directory wait for each
// other, across processes too. If two servers ask for different hosts in one directory, the last one wins.
func Ensure(dir string, hosts Hosts, now time.Time) (Outcome, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Outcome{}, fmt.Errorf("making the directory for certificates: %w", err)
	}
	unlock, err := lock(dir)
	if err != nil {
		return Outcome{}, fmt.Errorf("locking %s: %w", dir, err)
	}
	defer unlock()

	old, err := read(dir)
	if err != nil {
		return Outcome{}, err
	}
	if err := checkOwner(old, func(name string) string { return filepath.Join(dir, name) }); err != nil {
		return Outcome{}, err
	}

	out := Outcome{CAPath: filepath.Join(dir, CAFile), Authority: CheckAuthority(old, now)}
	// A new authority always means a new serving certificate: the old one's signature is not worth anything now.
	out.Serving = CheckServing(old, hosts, now)
	next := old
	switch {
	case out.Authority != Fit:
		if out.Serving == Fit {
			out.Serving = OtherAuthority
		}
		next, err = New(hosts, now)
	case out.Serving != Fit:
		next, err = old.Renew(hosts, now)
	}
	if err != nil {
		return Outcome{}, err
	}
	if err := write(dir, old, next); err != nil {
		return Outcome{}, err
	}
	cert, err := parseCertificate(next.Cert)
	if err != nil {
		return Outcome{}, fmt.Errorf("reading the serving certificate: %w", err)
	}
	out.NotAfter = cert.NotAfter
	return out, nil
}

const remedy = "move it away, choose another place, or serve with a certificate of your own"

// checkOwner refuses a place in which something that Truce did not make would be overwritten. What cannot be read
// counts as somebody else's: it may be valuable. at says where the file of a name is.
func checkOwner(b Bundle, at func(name string) string) error {
	var problems []error
	refuse := func(name, what string) {
		problems = append(problems, fmt.Errorf("%s %s: %s", at(name), what, remedy))
	}
	ours := false
	if len(b.CA) > 0 {
		ca, err := parseCertificate(b.CA)
		switch {
		case err != nil:
			refuse(CAFile, fmt.Sprintf("is not a certificate (%v)", err))
		case !made(ca):
			refuse(CAFile, fmt.Sprintf("was not made by Truce (it is of %q)", ca.Subject))
		default:
			ours = true
		}
	}
	if len(b.Cert) > 0 {
		cert, err := parseCertificate(b.Cert)
		switch {
		case err != nil && !ours:
			refuse(CertFile, fmt.Sprintf("is not a certificate (%v)", err))
		case err == nil && !issued(cert):
			refuse(CertFile, fmt.Sprintf("was not made by Truce (it was issued by %q)", cert.Issuer))
		case err == nil:
			ours = true
		}
	}
	// Ensure writes ca.crt first, so a key without any certificate of ours is not left over from a crash.
	if !ours && len(problems) == 0 {
		for _, f := range files(&b) {
			if len(*f.data) > 0 { // only keys can be left here
				refuse(f.name, "is a key without a certificate by Truce beside it")
			}
		}
	}
	return errors.Join(problems...)
}

// read returns what is there; what is not is empty.
func read(dir string) (Bundle, error) {
	var b Bundle
	for _, f := range files(&b) {
		data, err := os.ReadFile(filepath.Join(dir, f.name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Bundle{}, fmt.Errorf("reading certificates: %w", err)
		}
		*f.data = data
	}
	return b, nil
}

// write replaces the files that differ. A crash in between leaves a key that does not fit its certificate, which the
// next Ensure mends.
func write(dir string, old, next Bundle) error {
	was := files(&old)
	for i, f := range files(&next) {
		if string(*was[i].data) == string(*f.data) {
			continue
		}
		if err := writeFile(filepath.Join(dir, f.name), *f.data, f.mode); err != nil {
			return fmt.Errorf("writing certificates: %w", err)
		}
	}
	return nil
}

type file struct {
	name string
	mode fs.FileMode
	data *[]byte
}

// files lists a bundle's files in the order in which they are written: the authority's certificate first, because
// it says whose the others are.
func files(b *Bundle) []file {
	return []file{
		{CAFile, 0o644, &b.CA},
		{CAKeyFile, 0o600, &b.CAKey},
		{KeyFile, 0o600, &b.Key},
		{CertFile, 0o644, &b.Cert},
	}
}

// writeFile replaces a file in one step: whoever reads it sees the old contents or the new.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // made with mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}
