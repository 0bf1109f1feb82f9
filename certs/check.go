package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"time"
)

// Fault says why a certificate is not fit for use. The set is closed; the empty fault means it is fit.
type Fault string

// The faults, in the order in which they are looked for.
const (
	Fit            Fault = ""
	Missing        Fault = "missing"                     // the certificate is not there
	Unreadable     Fault = "unreadable"                  // it is not a certificate in PEM
	Foreign        Fault = "made by somebody else"       // authority only: Truce did not make it
	KeyMissing     Fault = "without its key"             // the key is not there
	KeyMismatch    Fault = "not the one of its key"      // the key is another one's, or unreadable
	WrongUse       Fault = "not for this use"            // not an authority, or not for servers
	OtherAuthority Fault = "signed by another authority" // serving only: another authority than the bundle's signed it
	OtherHosts     Fault = "for other hosts"             // serving only: it is for more, fewer or other hosts
	NotYetValid    Fault = "not valid yet"               // its time begins later
	Expired        Fault = "expired"                     // its time is over
	Expiring       Fault = "about to expire"             // its time ends soon: a new one is due
)

// CheckAuthority says whether the bundle's authority can be used, and sign, at the given time.
func CheckAuthority(b Bundle, at time.Time) Fault { return inDirectory.checkAuthority(b, at) }

// CheckServing says whether the bundle's serving certificate can be used at the given time to serve exactly hosts,
// to clients that trust the bundle's authority. It does not look at the authority itself.
func CheckServing(b Bundle, hosts Hosts, at time.Time) Fault {
	return inDirectory.checkServing(b, hosts, at)
}

func (l Lifetimes) checkAuthority(b Bundle, at time.Time) Fault {
	if len(b.CA) == 0 {
		return Missing
	}
	ca, err := parseCertificate(b.CA)
	switch {
	case err != nil:
		return Unreadable
	case !made(ca):
		return Foreign
	case len(b.CAKey) == 0:
		return KeyMissing
	case !pair(b.CA, b.CAKey):
		return KeyMismatch
	case !ca.IsCA || ca.KeyUsage&x509.KeyUsageCertSign == 0:
		return WrongUse
	}
	return checkTime(ca, at, l.RenewAuthority)
}

func (l Lifetimes) checkServing(b Bundle, hosts Hosts, at time.Time) Fault {
	if len(b.Cert) == 0 {
		return Missing
	}
	cert, err := parseCertificate(b.Cert)
	switch {
	case err != nil:
		return Unreadable
	case len(b.Key) == 0:
		return KeyMissing
	case !pair(b.Cert, b.Key):
		return KeyMismatch
	case !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth):
		return WrongUse
	}
	if ca, err := parseCertificate(b.CA); err != nil || !signed(cert, ca) {
		return OtherAuthority
	}
	if !hostsOf(cert).equal(hosts.sorted()) {
		return OtherHosts
	}
	return checkTime(cert, at, l.RenewServing)
}

func checkTime(cert *x509.Certificate, at time.Time, renewBefore time.Duration) Fault {
	switch {
	case at.Before(cert.NotBefore):
		return NotYetValid
	case at.After(cert.NotAfter):
		return Expired
	case at.After(cert.NotAfter.Add(-renewBefore)):
		return Expiring
	}
	return Fit
}

// signed also compares the names: a verifier builds the chain by them before it looks at a signature.
func signed(cert, ca *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, ca.RawSubject) && cert.CheckSignatureFrom(ca) == nil
}

// made reports whether an authority is one of ours.
func made(ca *x509.Certificate) bool {
	return ca.Subject.CommonName == authorityName && slices.Equal(ca.Subject.Organization, []string{organization})
}

// issued reports whether a serving certificate comes from one of our authorities.
func issued(cert *x509.Certificate) bool {
	return cert.Issuer.CommonName == authorityName && slices.Equal(cert.Issuer.Organization, []string{organization})
}

func pair(certPEM, keyPEM []byte) bool {
	_, err := tls.X509KeyPair(certPEM, keyPEM)
	return err == nil
}
