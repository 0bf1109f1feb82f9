package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

const days = 24 * time.Hour

// How long certificates in a directory last. Their authority lasts long, because somebody has to register a new one.
const (
	AuthorityLifetime = 10 * 365 * days
	ServingLifetime   = 365 * days

	// RenewBefore is how long before its end a certificate counts as expiring.
	RenewBefore = 30 * days

	// Backdate is how far in the past a new certificate begins, for clients whose clocks run late.
	Backdate = time.Hour
)

// The subject of the authorities made here, by which they are told from others. It protects a stranger's files from
// being overwritten by mistake; it proves nothing.
const (
	organization  = "truce.dev"
	authorityName = "truce self-made authority"
	servingName   = "truce webhook"
)

// Lifetimes say how long certificates last, and when new ones take their place. All are positive.
type Lifetimes struct {
	// Authority and Serving are how long a new one lasts. A serving certificate never outlives its authority.
	Authority, Serving time.Duration
	// RenewAuthority and RenewServing are how long before its end one counts as expiring.
	RenewAuthority, RenewServing time.Duration
	// Backdate is how far in the past a new certificate begins, for clients whose clocks run late.
	Backdate time.Duration
	// Overlap is how long an authority is trusted after another one took its place: the time that every replica has to
	// notice. It is of no meaning in a directory, where nobody rotates.
	Overlap time.Duration
}

var inDirectory = Lifetimes{
	Authority: AuthorityLifetime, Serving: ServingLifetime,
	RenewAuthority: RenewBefore, RenewServing: RenewBefore, Backdate: Backdate,
}

// Bundle is an authority and a serving certificate with their keys, each in PEM.
type Bundle struct {
	CA, CAKey []byte
	Cert, Key []byte
}

// New makes an authority and a serving certificate for hosts, signed by it, with the lifetimes of a directory. Both are
// ECDSA P-256.
func New(hosts Hosts, now time.Time) (Bundle, error) { return inDirectory.New(hosts, now) }

// Renew returns a bundle with the same authority and a new serving certificate for hosts, with a new key and the
// lifetime of a directory's.
func (b Bundle) Renew(hosts Hosts, now time.Time) (Bundle, error) {
	return inDirectory.renew(b, hosts, now)
}

// New makes an authority and a serving certificate for hosts, signed by it. Both are ECDSA P-256.
func (l Lifetimes) New(hosts Hosts, now time.Time) (Bundle, error) {
	b, err := l.authority(now)
	if err != nil {
		return Bundle{}, err
	}
	return l.renew(b, hosts, now)
}

// authority makes an authority alone.
func (l Lifetimes) authority(now time.Time) (Bundle, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return Bundle{}, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{organization}, CommonName: authorityName},
		NotBefore:             now.Add(-l.Backdate),
		NotAfter:              now.Add(l.Authority),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return Bundle{}, fmt.Errorf("making the certificate authority: %w", err)
	}
	return Bundle{CA: encodeCertificate(der), CAKey: keyPEM}, nil
}

// renew returns a bundle with the same authority and a new serving certificate, which does not outlive it.
func (l Lifetimes) renew(b Bundle, hosts Hosts, now time.Time) (Bundle, error) {
	authority, err := tls.X509KeyPair(b.CA, b.CAKey)
	if err != nil {
		return Bundle{}, fmt.Errorf("reading the certificate authority and its key: %w", err)
	}
	signer, ok := authority.PrivateKey.(crypto.Signer)
	if !ok {
		return Bundle{}, fmt.Errorf("the key of the certificate authority (%T) cannot sign", authority.PrivateKey)
	}
	key, keyPEM, err := newKey()
	if err != nil {
		return Bundle{}, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{organization}, CommonName: servingName},
		DNSNames:              hosts.DNS,
		IPAddresses:           hosts.netIPs(),
		NotBefore:             now.Add(-l.Backdate),
		NotAfter:              now.Add(l.Serving),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if end := authority.Leaf.NotAfter; template.NotAfter.After(end) {
		template.NotAfter = end
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority.Leaf, key.Public(), signer)
	if err != nil {
		return Bundle{}, fmt.Errorf("making the serving certificate: %w", err)
	}
	b.Cert, b.Key = encodeCertificate(der), keyPEM
	return b, nil
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding a key: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// parseCertificate reads the first certificate of a PEM file.
func parseCertificate(data []byte) (*x509.Certificate, error) {
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			return nil, errors.New("no certificate in PEM")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
}
