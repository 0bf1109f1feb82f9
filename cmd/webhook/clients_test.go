package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clientPKI is an authority of clients.
type clientPKI struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue signs a certificate as the API server has one, after change. The nil authority signs itself an authority.
func (a *clientPKI) issue(t *testing.T, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "kube-apiserver"}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	change(template)
	parent, signer := template, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func newClientPKI(t *testing.T) *clientPKI {
	cert, key := (*clientPKI)(nil).issue(t, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.KeyUsage, c.ExtKeyUsage = "clients", true, x509.KeyUsageCertSign, nil
	})
	return &clientPKI{cert, key}
}

func (a *clientPKI) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Every refused client but the first differs from an accepted one in one thing.
func TestWhoMaySendReviews(t *testing.T) {
	ours, theirs := newClientPKI(t), newClientPKI(t)
	file := filepath.Join(t.TempDir(), "ca.crt")
	replace(t, file, ours.pem())
	as := func(a *clientPKI, change func(*x509.Certificate)) []*x509.Certificate {
		cert, _ := a.issue(t, change)
		return []*x509.Certificate{cert}
	}
	same := func(*x509.Certificate) {}
	tests := []struct {
		name  string
		names []string
		shows []*x509.Certificate
		at    time.Time
		want  string // of the error; empty: accepted
	}{
		{"the API server by its common name", []string{"a", "kube-apiserver"}, as(ours, same), noon, ""},
		{"by a DNS name", []string{"api.example.com"}, as(ours, func(c *x509.Certificate) {
			c.DNSNames = []string{"b.example.com", "api.example.com"}
		}), noon, ""},
		{"without names, anyone of the authority", nil, as(ours, same), noon, ""},
		{"nothing", nil, nil, noon, "it shows no certificate"},
		{"another name", []string{"a"}, as(ours, same), noon, `its certificate is for "kube-apiserver", which --client-name does not list`},
		{"another authority", nil, as(theirs, same), noon, "its certificate is not one of --client-ca"},
		{"one for servers", nil, as(ours, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}), noon, "its certificate is not one of --client-ca"},
		{"in its last second", nil, as(ours, same), noon.Add(time.Hour), ""},
		{"after it", nil, as(ours, same), noon.Add(time.Hour + time.Second), "its certificate is not one of --client-ca"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var log buffer
			c, err := newClientCheck(Config{clientCA: file, clientNames: test.names}, prometheus.NewRegistry(),
				newLogger(&log, formatJSON, 0))
			if err != nil {
				t.Fatal(err)
			}
			err = c.verify(tls.ConnectionState{PeerCertificates: test.shows}, test.at)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			warned := strings.Contains(log.String(), "every client with a certificate of this authority")
			if warned != (test.names == nil) {
				t.Errorf("it warns that any name will do: %t", warned)
			}
		})
	}
}

func TestAnAuthorityOfClientsThatIsNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.crt")
	replace(t, file, []byte("none"))
	for args, want := range map[string]string{
		file:           "holds no certificate in PEM",
		file + ".gone": "no such file or directory",
	} {
		code, _, stderr := runToEnd(t, "--client-ca", args, "--self-cert-dir", t.TempDir(), "--ops-listen", "127.0.0.1:0")
		if code != exitFailed || !strings.Contains(stderr.String(), "(--client-ca)") || !strings.Contains(stderr.String(), want) {
			t.Errorf("exit code %d, log %s, want %q", code, stderr.String(), want)
		}
	}
}

func TestTheAuthorityOfClientsIsFollowed(t *testing.T) {
	ours, theirs := newClientPKI(t), newClientPKI(t)
	file := filepath.Join(t.TempDir(), "ca.crt")
	replace(t, file, ours.pem())
	c, err := newClientCheck(Config{clientCA: file}, prometheus.NewRegistry(), newLogger(io.Discard, formatJSON, 0))
	if err != nil {
		t.Fatal(err)
	}
	c.poll = time.Millisecond
	go c.Run(t.Context())
	replace(t, file, []byte("broken")) // the one in use stays
	cert, _ := ours.issue(t, func(*x509.Certificate) {})
	if err := c.verify(tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}, noon); err != nil {
		t.Error(err)
	}
	replace(t, file, theirs.pem())
	cert, _ = theirs.issue(t, func(*x509.Certificate) {})
	eventually(t, "the other authority", func() error {
		return c.verify(tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}, noon)
	})
}

func TestOutsideOfAClusterItSaysHowToReachTheAPIServer(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	code, _, stderr := runToEnd(t, "--cert-secret", "a/b", "--service", "a/c", "--webhook-config", "validating/d")
	if code != exitFailed || !strings.Contains(stderr.String(), "(--cert-secret)") || !strings.Contains(stderr.String(), "--kubeconfig") {
		t.Errorf("exit code %d, log %s", code, stderr.String())
	}
}
