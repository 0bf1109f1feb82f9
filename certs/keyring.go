package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"
)

// The names of what a Secret holds besides the files of a directory.
const (
	NextCAFile    = "ca-next.crt"
	NextCAKeyFile = "ca-next.key"
	FormerCAFile  = "ca-former.crt"
)

// Keyring is what all replicas of a webhook share: the bundle they serve with, and the authorities before and after the
// bundle's. All is PEM.
type Keyring struct {
	Bundle
	// NextCA and NextCAKey are the authority that comes next. It signs nothing until everybody trusts it. Empty most
	// of the time.
	NextCA, NextCAKey []byte
	// FormerCA are the authorities that came before, as long as a replica may still serve with a certificate of theirs.
	FormerCA []byte
}

// maxFormer bounds FormerCA. There is more than one only if authorities replaced each other within the overlap.
const maxFormer = 3

// ParseKeyring takes what it knows out of a Secret's data.
func ParseKeyring(data map[string][]byte) Keyring {
	var k Keyring
	for _, e := range k.entries() {
		*e.data = data[e.name]
	}
	return k
}

// Put makes a Secret's data say what k says. What else it holds stays.
func (k Keyring) Put(data map[string][]byte) {
	for _, e := range k.entries() {
		if len(*e.data) == 0 {
			delete(data, e.name)
			continue
		}
		data[e.name] = *e.data
	}
}

func (k *Keyring) entries() []file {
	return append(files(&k.Bundle),
		file{name: NextCAFile, data: &k.NextCA},
		file{name: NextCAKeyFile, data: &k.NextCAKey},
		file{name: FormerCAFile, data: &k.FormerCA})
}

// Empty reports whether there is nothing at all.
func (k Keyring) Empty() bool { return k.Equal(Keyring{}) }

// Equal reports whether both hold the same bytes.
func (k Keyring) Equal(other Keyring) bool {
	theirs := other.entries()
	for i, e := range k.entries() {
		if !bytes.Equal(*e.data, *theirs[i].data) {
			return false
		}
	}
	return true
}

// CheckOwner refuses a keyring in which something that Truce did not make would be overwritten. where is the place that
// it is in, for the error.
func (k Keyring) CheckOwner(where string) error {
	return checkOwner(k.Bundle, func(name string) string { return fmt.Sprintf("%s of %s", name, where) })
}

// Trust is what belongs in the caBundle of a webhook configuration: the authority that signs, the one that comes next
// and those that came before.
func (k Keyring) Trust() []byte {
	var out []byte
	var seen [][]byte
	for _, data := range [][]byte{k.CA, k.NextCA, k.FormerCA} {
		for _, cert := range parseCertificates(data) {
			if !slices.ContainsFunc(seen, func(der []byte) bool { return bytes.Equal(der, cert.Raw) }) {
				seen = append(seen, cert.Raw)
				out = append(out, encodeCertificate(cert.Raw)...)
			}
		}
	}
	return out
}

// SameTrust reports whether two CA bundles in PEM hold the same certificates, in whatever order and with whatever
// between them.
func SameTrust(a, b []byte) bool {
	set := func(data []byte) [][]byte {
		var all [][]byte
		for _, cert := range parseCertificates(data) {
			all = append(all, cert.Raw)
		}
		slices.SortFunc(all, bytes.Compare)
		return slices.CompactFunc(all, bytes.Equal)
	}
	return slices.EqualFunc(set(a), set(b), bytes.Equal)
}

// parseCertificates returns the certificates in PEM data that can be read.
func parseCertificates(data []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return all
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			all = append(all, cert)
		}
	}
}

// withFormer returns FormerCA with the authority that signs now added to it, without those that nobody can trust.
func (k Keyring) withFormer(now time.Time) []byte {
	var out []byte
	n := 0
	for _, data := range [][]byte{k.CA, k.FormerCA} {
		for _, cert := range parseCertificates(data) {
			if n < maxFormer && made(cert) && !now.After(cert.NotAfter) {
				out = append(out, encodeCertificate(cert.Raw)...)
				n++
			}
		}
	}
	return out
}
