package certs

import (
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// short are lifetimes for stories: an authority lasts 40 hours and is due 10 hours before its end, a serving certificate
// lasts 10 and is due after 7.
var short = Lifetimes{
	Authority: 40 * time.Hour, Serving: 10 * time.Hour,
	RenewAuthority: 10 * time.Hour, RenewServing: 3 * time.Hour,
	Backdate: time.Hour, Overlap: 2 * time.Hour,
}

func rotate(t *testing.T, l Lifetimes, k Keyring, trusted bool, at time.Time) (Keyring, []Step) {
	t.Helper()
	next, steps, err := l.Rotate(k, servers, trusted, at)
	if err != nil {
		t.Fatal(err)
	}
	return next, steps
}

func newKeyring(t *testing.T, l Lifetimes, at time.Time) Keyring {
	t.Helper()
	k, _ := rotate(t, l, Keyring{}, false, at)
	return k
}

// verifies reports how a client with that caBundle likes the keyring's serving certificate.
func verifies(serving, bundle []byte, at time.Time) error {
	cert, err := parseCertificate(serving)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: servers.DNS[0], CurrentTime: at})
	return err
}

// validAt returns a time at which a certificate is valid.
func validAt(t *testing.T, certificate []byte) time.Time {
	t.Helper()
	cert, err := parseCertificate(certificate)
	if err != nil {
		t.Fatal(err)
	}
	return cert.NotAfter.Add(-time.Minute)
}

// One authority's life, from the first to the last step of its rotation.
func TestRotationStory(t *testing.T) {
	type step struct {
		name    string
		at      time.Duration
		trusted bool
		want    []Step
		trust   int // certificates in the caBundle afterwards
	}
	h := time.Hour
	steps := []step{
		{"from nothing, all is made", 0, false, []Step{AuthorityMade, CertificateMade}, 1},
		{"nothing while all is fit", 7 * h, false, nil, 1},
		{"the serving certificate is due", 7*h + 1, false, []Step{CertificateMade}, 1},
		{"and later again", 29 * h, false, []Step{CertificateMade}, 1},
		{"nothing up to the last moment", 30 * h, false, nil, 1},
		{"the authority is due: its successor is announced, and signs nothing", 30*h + 1, false, []Step{AuthorityAnnounced}, 2},
		{"as long as not everybody trusts it, nothing changes", 31 * h, false, nil, 2},
		{"once everybody does, it signs", 32 * h, true, []Step{AuthorityChanged, CertificateMade}, 2},
		{"being trusted again changes nothing", 32 * h, true, nil, 2},
		{"the old one stays for the overlap", 34*h - 1, false, nil, 2},
		{"and goes after it", 34 * h, false, []Step{AuthorityRetired}, 1},
		{"nothing", 34*h + 1, false, nil, 1},
	}
	var k Keyring
	for _, s := range steps {
		var got []Step
		k, got = rotate(t, short, k, s.trusted, epoch.Add(s.at))
		if diff := cmp.Diff(s.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", s.name, diff)
		}
		if n := len(parseCertificates(k.Trust())); n != s.trust {
			t.Errorf("%s: %d certificates in the caBundle, want %d", s.name, n, s.trust)
		}
		if err := verifies(k.Cert, k.Trust(), epoch.Add(s.at)); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}

func TestRotateMends(t *testing.T) {
	announced := func(t *testing.T) Keyring {
		k, _ := rotate(t, short, newKeyring(t, short, epoch), false, epoch.Add(31*time.Hour))
		return k
	}
	tests := []struct {
		name string
		why  string
		ring func(t *testing.T) Keyring
		at   time.Duration
		want []Step
		// old: the serving certificate from before stays trusted, as long as it lasts. same: it is even kept.
		old, same bool
	}{
		{
			name: "an expired authority is replaced at once", why: "nobody accepts what it signed",
			at: 41 * time.Hour, want: []Step{AuthorityMade, CertificateMade},
		},
		{
			name: "by the announced one if there is one", why: "it may be trusted already", ring: announced,
			at: 41 * time.Hour, want: []Step{AuthorityChanged, CertificateMade},
		},
		{
			name: "a serving certificate that expired alone is replaced under the same authority",
			at:   20 * time.Hour, want: []Step{CertificateMade}, old: true,
		},
		{
			name: "an authority from the future is replaced at once", why: "the clock was wrong when it was made",
			at: -2 * time.Hour, want: []Step{AuthorityMade, CertificateMade}, old: true,
		},
		{
			name: "an authority without its key is replaced in good order", why: "what it signed is still good",
			ring: func(t *testing.T) Keyring { k := newKeyring(t, short, epoch); k.CAKey = nil; return k },
			at:   time.Hour, want: []Step{AuthorityAnnounced}, old: true, same: true,
		},
		{
			name: "or with another one's key",
			ring: func(t *testing.T) Keyring {
				k := newKeyring(t, short, epoch)
				k.CAKey = newKeyring(t, short, epoch).CAKey
				return k
			},
			at: time.Hour, want: []Step{AuthorityAnnounced}, old: true, same: true,
		},
		{
			name: "without its key and without a serving certificate it is replaced at once",
			ring: func(t *testing.T) Keyring {
				k := newKeyring(t, short, epoch)
				k.CAKey, k.Key = nil, nil
				return k
			},
			at: time.Hour, want: []Step{AuthorityMade, CertificateMade}, old: true,
		},
		{
			name: "a serving key that is gone means a new certificate",
			ring: func(t *testing.T) Keyring { k := newKeyring(t, short, epoch); k.Key = nil; return k },
			at:   time.Hour, want: []Step{CertificateMade}, old: true,
		},
		{
			name: "an announced authority without its key is announced anew",
			ring: func(t *testing.T) Keyring { k := announced(t); k.NextCAKey = nil; return k },
			at:   31 * time.Hour, want: []Step{AuthorityAnnounced}, old: true, same: true,
		},
		{
			name: "a serving certificate that ends with its authority is not made again and again",
			ring: func(t *testing.T) Keyring {
				k, _ := rotate(t, short, announced(t), false, epoch.Add(39*time.Hour))
				return k
			},
			at: 39*time.Hour + time.Minute, old: true, same: true,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := newKeyring(t, short, epoch)
			if test.ring != nil {
				k = test.ring(t)
			}
			at := epoch.Add(test.at)
			next, steps := rotate(t, short, k, false, at)
			if diff := cmp.Diff(test.want, steps); diff != "" {
				t.Errorf("steps (-want +got)\n%s", diff)
			}
			if err := verifies(next.Cert, next.Trust(), at); err != nil {
				t.Errorf("the new serving certificate: %v", err)
			}
			if _, again := rotate(t, short, next, false, at); len(again) > 0 {
				t.Errorf("it does %q again and again", again)
			}
			if same := string(k.Cert) == string(next.Cert); same != test.same {
				t.Errorf("kept the serving certificate: %t, want %t", same, test.same)
			}
			if trusted := verifies(k.Cert, next.Trust(), validAt(t, k.Cert)) == nil; trusted != test.old {
				t.Errorf("the old serving certificate is trusted: %t, want %t", trusted, test.old)
			}
		})
	}
}

func TestSomebodyElsesSecretIsLeftAlone(t *testing.T) {
	foreign, _ := craft(t, func(c *x509.Certificate) { c.Subject.CommonName = "Example Root" }, nil, nil)
	tests := []struct {
		name string
		ring Keyring
		want string // of the error; empty: none
	}{
		{"nothing at all is nobody's", Keyring{}, ""},
		{"our own", newKeyring(t, short, epoch), ""},
		{"another authority", Keyring{Bundle: Bundle{CA: foreign}}, "ca.crt of the Secret a/b was not made by Truce"},
		{"another certificate", Keyring{Bundle: Bundle{Cert: foreign}}, "tls.crt of the Secret a/b was not made by Truce"},
		{"what is no certificate", Keyring{Bundle: Bundle{Cert: []byte("x")}}, "tls.crt of the Secret a/b is not a certificate"},
		{"a key alone", Keyring{Bundle: Bundle{Key: []byte("x")}}, "tls.key of the Secret a/b is a key without a certificate"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.ring.CheckOwner("the Secret a/b")
			if (err == nil) != (test.want == "") || err != nil && err.Error()[:len(test.want)] != test.want {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestKeyringInASecret(t *testing.T) {
	k, err := short.Announce(newKeyring(t, short, epoch), epoch)
	if err != nil {
		t.Fatal(err)
	}
	k.FormerCA = newKeyring(t, short, epoch).CA
	data := map[string][]byte{"other": []byte("kept")}
	k.Put(data)
	if len(data) != 8 || string(data["other"]) != "kept" {
		t.Errorf("%d entries, want seven and the other one", len(data))
	}
	if !ParseKeyring(data).Equal(k) {
		t.Error("it does not come back as it was")
	}
	k.NextCA, k.NextCAKey, k.FormerCA = nil, nil, nil
	k.Put(data)
	if _, ok := data[NextCAKeyFile]; ok || len(data) != 5 {
		t.Errorf("%d entries, want four and the other one", len(data))
	}
}

func TestSameTrust(t *testing.T) {
	a, b := newKeyring(t, short, epoch).CA, newKeyring(t, short, epoch).CA
	tests := []struct {
		name string
		x, y []byte
		want bool
	}{
		{"the same", a, a, true},
		{"two of them in another order, one twice", slices.Concat(a, b), slices.Concat(b, []byte("# text\n"), a, a), true},
		{"one more", slices.Concat(a, b), a, false},
		{"another one", a, b, false},
		{"nothing and something", nil, a, false},
		{"what is no certificate is nothing", []byte("Cg=="), nil, true},
	}
	for _, test := range tests {
		if got := SameTrust(test.x, test.y); got != test.want {
			t.Errorf("%s: %t, want %t", test.name, got, test.want)
		}
	}
}

// In a world in which API servers hear of a caBundle late, and replicas of a new certificate even later, no API server
// is ever shown a certificate that it cannot verify, over many rotations and whatever goes missing from the Secret
// between them.
func TestNobodyIsEverShownWhatHeDoesNotTrust(t *testing.T) {
	const step, settle, slowest = 5 * time.Minute, 20 * time.Minute, 100 * time.Minute
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			type late struct {
				at   time.Time
				data []byte
			}
			// Each hears of what was said after a time of its own, at most the limit.
			hear := func(news []late, now time.Time, lag time.Duration) []byte {
				for _, n := range slices.Backward(news) {
					if !now.Before(n.at.Add(lag)) {
						return n.data
					}
				}
				return news[0].data
			}
			k := newKeyring(t, short, epoch)
			bundles, serving := []late{{epoch, k.Trust()}}, []late{{epoch, k.Cert}}
			since := epoch
			count := map[Step]int{}
			verified := map[string]time.Time{} // what an API server verified, and when it ends
			for now := epoch; now.Before(epoch.Add(250 * time.Hour)); now = now.Add(step) {
				if random.IntN(300) == 0 {
					k.CAKey = nil // somebody took the key out of the Secret
				}
				next, steps := rotate(t, short, k, now.Sub(since) >= settle, now)
				k = next
				for _, s := range steps {
					count[s]++
				}
				if !SameTrust(k.Trust(), bundles[len(bundles)-1].data) {
					bundles, since = append(bundles, late{now, k.Trust()}), now
				}
				serving = append(serving, late{now, k.Cert})
				for range 3 {
					lag := time.Duration(random.Int64N(int64(settle)))
					bundle := hear(bundles, now, lag)
					cert := hear(serving, now, time.Duration(random.Int64N(int64(slowest))))
					key := string(bundle) + string(cert)
					if end, ok := verified[key]; ok && now.Before(end) {
						continue
					}
					if err := verifies(cert, bundle, now); err != nil {
						t.Fatalf("after %v: %v", now.Sub(epoch), err)
					}
					parsed, err := parseCertificate(cert)
					if err != nil {
						t.Fatal(err)
					}
					verified[key] = parsed.NotAfter
				}
			}
			if count[AuthorityChanged] < 7 || count[AuthorityRetired] < 7 || count[AuthorityMade] > 0 {
				t.Errorf("steps %v: hardly anything happened", count)
			}
		})
	}
}
