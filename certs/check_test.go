package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

var (
	epoch   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	servers = mustHosts("truce.truce-system.svc", "localhost", "127.0.0.1", "::1")
)

const day = 24 * time.Hour

func mustHosts(list ...string) Hosts {
	h, err := ParseHosts(list)
	if err != nil {
		panic(err)
	}
	return h
}

func newBundle(t *testing.T, now time.Time) Bundle {
	t.Helper()
	b, err := New(servers, now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// craft signs a certificate with a new key, as New does, after change has had its way with the template. The signer
// nil makes it self-signed.
func craft(t *testing.T, change func(*x509.Certificate), parent *x509.Certificate, signer any) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{Organization: []string{organization}, CommonName: authorityName},
		NotBefore:             epoch,
		NotAfter:              epoch.Add(AuthorityLifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	change(template)
	if signer == nil {
		parent, signer = template, private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, private.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return encodeCertificate(der), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func parseKey(t *testing.T, keyPEM []byte) any {
	t.Helper()
	block, _ := pem.Decode(keyPEM)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Every case but the first ones differs from a fit authority in one thing.
func TestCheckAuthority(t *testing.T) {
	authority := func(t *testing.T, change func(*x509.Certificate)) Bundle {
		var b Bundle
		b.CA, b.CAKey = craft(t, change, nil, nil)
		return b
	}
	tests := []struct {
		name   string
		why    string
		bundle func(t *testing.T) Bundle
		at     time.Time
		want   Fault
	}{
		{name: "a new one is fit", at: epoch, want: Fit},
		{name: "a client whose clock is an hour late accepts it", at: epoch.Add(-Backdate), want: Fit},
		{name: "one second more is too early", at: epoch.Add(-Backdate - time.Second), want: NotYetValid},
		{name: "it is fit until thirty days before its end", at: epoch.Add(AuthorityLifetime - RenewBefore), want: Fit},
		{
			name: "one second later it is about to expire",
			at:   epoch.Add(AuthorityLifetime - RenewBefore + time.Second), want: Expiring,
		},
		{name: "in its last second it is only about to expire", at: epoch.Add(AuthorityLifetime), want: Expiring},
		{name: "after its last second it is expired", at: epoch.Add(AuthorityLifetime + time.Second), want: Expired},
		{
			name: "the template of the cases below is fit", why: "otherwise they show nothing",
			bundle: func(t *testing.T) Bundle { return authority(t, func(*x509.Certificate) {}) },
			at:     epoch, want: Fit,
		},
		{
			name:   "nothing is missing",
			bundle: func(*testing.T) Bundle { return Bundle{} },
			at:     epoch, want: Missing,
		},
		{
			name:   "garbage is unreadable",
			bundle: func(t *testing.T) Bundle { b := newBundle(t, epoch); b.CA = []byte("garbage"); return b },
			at:     epoch, want: Unreadable,
		},
		{
			name: "a damaged certificate is unreadable",
			bundle: func(t *testing.T) Bundle {
				b := newBundle(t, epoch)
				b.CA = encodeCertificate([]byte("not DER"))
				return b
			},
			at: epoch, want: Unreadable,
		},
		{
			name: "another name is somebody else's",
			bundle: func(t *testing.T) Bundle {
				return authority(t, func(c *x509.Certificate) { c.Subject.CommonName = "Example Root" })
			},
			at: epoch, want: Foreign,
		},
		{
			name: "another organization is somebody else's",
			bundle: func(t *testing.T) Bundle {
				return authority(t, func(c *x509.Certificate) { c.Subject.Organization = []string{"example.com"} })
			},
			at: epoch, want: Foreign,
		},
		{
			name:   "without its key it cannot sign",
			bundle: func(t *testing.T) Bundle { b := newBundle(t, epoch); b.CAKey = nil; return b },
			at:     epoch, want: KeyMissing,
		},
		{
			name: "another one's key is of no use", why: "a crash between two writes leaves such a pair",
			bundle: func(t *testing.T) Bundle {
				b := newBundle(t, epoch)
				b.CAKey = newBundle(t, epoch).CAKey
				return b
			},
			at: epoch, want: KeyMismatch,
		},
		{
			name: "a certificate that is no authority cannot sign",
			bundle: func(t *testing.T) Bundle {
				return authority(t, func(c *x509.Certificate) { c.IsCA = false })
			},
			at: epoch, want: WrongUse,
		},
		{
			name: "an authority that may only sign revocations cannot sign",
			bundle: func(t *testing.T) Bundle {
				return authority(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
			},
			at: epoch, want: WrongUse,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.bundle == nil {
				test.bundle = func(t *testing.T) Bundle { return newBundle(t, epoch) }
			}
			if got := CheckAuthority(test.bundle(t), test.at); got != test.want {
				t.Errorf("at %v: got %q, want %q", test.at, got, test.want)
			}
		})
	}
}

func TestCheckServing(t *testing.T) {
	// serving signs a certificate with a good authority and lets change spoil one thing.
	serving := func(t *testing.T, change func(*x509.Certificate)) Bundle {
		b := newBundle(t, epoch)
		ca, err := parseCertificate(b.CA)
		if err != nil {
			t.Fatal(err)
		}
		b.Cert, b.Key = craft(t, func(c *x509.Certificate) {
			c.Subject.CommonName = servingName
			c.IsCA = false
			c.KeyUsage = x509.KeyUsageDigitalSignature
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			c.DNSNames, c.IPAddresses = servers.DNS, servers.netIPs()
			change(c)
		}, ca, parseKey(t, b.CAKey))
		return b
	}
	tests := []struct {
		name   string
		why    string
		bundle func(t *testing.T) Bundle
		hosts  Hosts
		at     time.Time
		want   Fault
	}{
		{name: "a new one is fit", at: epoch, want: Fit},
		{name: "a client whose clock is an hour late accepts it", at: epoch.Add(-Backdate), want: Fit},
		{name: "one second more is too early", at: epoch.Add(-Backdate - time.Second), want: NotYetValid},
		{name: "it is fit until thirty days before its end", at: epoch.Add(335 * day), want: Fit},
		{name: "one second later it is about to expire", at: epoch.Add(335*day + time.Second), want: Expiring},
		{name: "in its last second it is only about to expire", at: epoch.Add(365 * day), want: Expiring},
		{name: "after its last second it is expired", at: epoch.Add(365*day + time.Second), want: Expired},
		{
			name: "the order of the hosts does not matter", at: epoch, want: Fit,
			hosts: Hosts{DNS: []string{"truce.truce-system.svc", "localhost"}, IPs: mustHosts("::1", "127.0.0.1").IPs},
		},
		{
			name: "a missing name makes it one for other hosts", at: epoch, want: OtherHosts,
			hosts: mustHosts("truce.truce-system.svc", "localhost", "127.0.0.1", "::1", "elsewhere"),
		},
		{
			name: "a name too many makes it one for other hosts", why: "a name that was taken away is not served on",
			hosts: mustHosts("truce.truce-system.svc", "127.0.0.1", "::1"), at: epoch, want: OtherHosts,
		},
		{
			name: "an address of another machine makes it one for other hosts", at: epoch, want: OtherHosts,
			hosts: mustHosts("truce.truce-system.svc", "localhost", "127.0.0.2", "::1"),
		},
		{
			name: "the template of the cases below is fit", why: "otherwise they show nothing",
			bundle: func(t *testing.T) Bundle { return serving(t, func(*x509.Certificate) {}) },
			at:     epoch, want: Fit,
		},
		{
			name:   "nothing is missing",
			bundle: func(t *testing.T) Bundle { b := newBundle(t, epoch); b.Cert = nil; return b },
			at:     epoch, want: Missing,
		},
		{
			name: "a key in the certificate's file is unreadable",
			bundle: func(t *testing.T) Bundle {
				b := newBundle(t, epoch)
				b.Cert = b.Key
				return b
			},
			at: epoch, want: Unreadable,
		},
		{
			name:   "without its key it cannot serve",
			bundle: func(t *testing.T) Bundle { b := newBundle(t, epoch); b.Key = nil; return b },
			at:     epoch, want: KeyMissing,
		},
		{
			name:   "another one's key is of no use",
			bundle: func(t *testing.T) Bundle { b := newBundle(t, epoch); b.Key = b.CAKey; return b },
			at:     epoch, want: KeyMismatch,
		},
		{
			name: "a certificate for clients cannot serve",
			bundle: func(t *testing.T) Bundle {
				return serving(t, func(c *x509.Certificate) {
					c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
				})
			},
			at: epoch, want: WrongUse,
		},
		{
			name: "another authority of the same name did not sign it", why: "the signature decides, not the name",
			bundle: func(t *testing.T) Bundle {
				b := newBundle(t, epoch)
				b.CA = newBundle(t, epoch).CA
				return b
			},
			at: epoch, want: OtherAuthority,
		},
		{
			name: "the same key under another name did not sign it", why: "a verifier finds the issuer by its name",
			bundle: func(t *testing.T) Bundle {
				b := newBundle(t, epoch)
				ca, err := parseCertificate(b.CA)
				if err != nil {
					t.Fatal(err)
				}
				renamed := *ca
				renamed.RawSubject, renamed.Subject = nil, pkix.Name{CommonName: "renamed"}
				key := parseKey(t, b.CAKey).(*ecdsa.PrivateKey)
				der, err := x509.CreateCertificate(rand.Reader, &renamed, &renamed, key.Public(), key)
				if err != nil {
					t.Fatal(err)
				}
				b.CA = encodeCertificate(der)
				return b
			},
			at: epoch, want: OtherAuthority,
		},
		{
			name:   "no authority at all did not sign it",
			bundle: func(t *testing.T) Bundle { b := newBundle(t, epoch); b.CA = nil; return b },
			at:     epoch, want: OtherAuthority,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.bundle == nil {
				test.bundle = func(t *testing.T) Bundle { return newBundle(t, epoch) }
			}
			if test.hosts.DNS == nil {
				test.hosts = servers
			}
			if got := CheckServing(test.bundle(t), test.hosts, test.at); got != test.want {
				t.Errorf("at %v: got %q, want %q", test.at, got, test.want)
			}
		})
	}
}

// What Check says is fit must be what a TLS client accepts, and the other way round.
func TestACheckedBundleIsWhatAClientAccepts(t *testing.T) {
	b := newBundle(t, epoch)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b.CA) {
		t.Fatal("the authority is not usable as a caBundle")
	}
	cert, err := parseCertificate(b.Cert)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(host string, at time.Time) error {
		_, err := cert.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: at})
		return err
	}
	for _, host := range []string{"truce.truce-system.svc", "localhost", "127.0.0.1", "::1"} {
		for _, at := range []time.Time{epoch.Add(-Backdate), epoch, epoch.Add(ServingLifetime)} {
			if err := verify(host, at); err != nil {
				t.Errorf("%s at %v: %v", host, at, err)
			}
		}
	}
	if verify("elsewhere", epoch) == nil {
		t.Error("a client accepts it for a host it is not for")
	}
	if verify("localhost", epoch.Add(-Backdate-time.Second)) == nil {
		t.Error("a client accepts it before its time")
	}
	if verify("localhost", epoch.Add(ServingLifetime+time.Second)) == nil {
		t.Error("a client accepts it after its time")
	}
}

func TestRenew(t *testing.T) {
	old := newBundle(t, epoch)

	t.Run("keeps the authority and changes certificate and key", func(t *testing.T) {
		next, err := old.Renew(servers, epoch.Add(day))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(next.CA, old.CA) || !bytes.Equal(next.CAKey, old.CAKey) {
			t.Error("the authority changed: every caBundle would be out of date")
		}
		if bytes.Equal(next.Cert, old.Cert) || bytes.Equal(next.Key, old.Key) {
			t.Error("the certificate or its key is still the old one")
		}
		if fault := CheckServing(next, servers, epoch.Add(day)); fault != Fit {
			t.Errorf("the new certificate is %s", fault)
		}
	})
	t.Run("never outlives the authority", func(t *testing.T) {
		next, err := old.Renew(servers, epoch.Add(AuthorityLifetime-60*day))
		if err != nil {
			t.Fatal(err)
		}
		cert, err := parseCertificate(next.Cert)
		if err != nil {
			t.Fatal(err)
		}
		if want := epoch.Add(AuthorityLifetime); !cert.NotAfter.Equal(want) {
			t.Errorf("it ends at %v, want the authority's end %v", cert.NotAfter, want)
		}
	})
	t.Run("needs the authority's own key", func(t *testing.T) {
		if _, err := (Bundle{CA: old.CA, CAKey: old.Key}).Renew(servers, epoch); err == nil {
			t.Error("renewed with another key")
		}
	})
}
