package incluster

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	clienttesting "k8s.io/client-go/testing"

	"github.com/truce-dev/truce/certs"
)

// The tests here run in virtual time against client-go's fake of an API server, which knows neither resourceVersions nor
// rights; those of test/certs run against a real one.

const host = "truce.truce-system.svc"

// short are lifetimes with which a rotation takes place every half an hour.
var short = certs.Lifetimes{
	Authority: 40 * time.Minute, Serving: 15 * time.Minute, RenewAuthority: 10 * time.Minute, RenewServing: 5 * time.Minute,
	Backdate: time.Minute, Overlap: 3 * time.Minute,
}

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

type world struct {
	t      *testing.T
	client *fake.Clientset
}

func newWorld(t *testing.T) *world {
	name := metav1.ObjectMeta{Name: "truce"}
	return &world{t, fake.NewClientset(
		&admissionv1.ValidatingWebhookConfiguration{ObjectMeta: name, Webhooks: []admissionv1.ValidatingWebhook{{Name: "a.truce.dev"}, {Name: "b.truce.dev"}}},
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: name, Webhooks: []admissionv1.MutatingWebhook{{Name: "a.truce.dev"}}},
	)}
}

func (w *world) keeper(id string, change ...func(*Config)) (*Keeper, *prometheus.Registry) {
	hosts, err := certs.ParseHosts([]string{host})
	if err != nil {
		w.t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	cfg := Config{
		Client: w.client, Secret: types.NamespacedName{Namespace: "truce-system", Name: "truce-certs"},
		Targets: []Target{{Name: "truce"}, {Mutating: true, Name: "truce"}, {Mutating: true, Name: "never-made"}},
		Hosts:   hosts, Lifetimes: short, Settle: time.Minute, Poll: 30 * time.Second, Identity: id,
		Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: reg,
	}
	for _, c := range change {
		c(&cfg)
	}
	return New(cfg), reg
}

// fail has the API server refuse something, while it is told to.
func (w *world) fail(verb, resource, why string) (set func(bool)) {
	var failing atomic.Bool
	w.client.PrependReactor(verb, resource, func(clienttesting.Action) (bool, runtime.Object, error) {
		return failing.Load(), nil, errors.New(why)
	})
	return failing.Store
}

// start runs a keeper until the test ends.
func start(t *testing.T, k *Keeper) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// bundles returns the caBundles of all webhooks.
func (w *world) bundles() [][]byte {
	w.t.Helper()
	api := w.client.AdmissionregistrationV1()
	v, err := api.ValidatingWebhookConfigurations().Get(context.Background(), "truce", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := api.MutatingWebhookConfigurations().Get(context.Background(), "truce", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return [][]byte{v.Webhooks[0].ClientConfig.CABundle, v.Webhooks[1].ClientConfig.CABundle, m.Webhooks[0].ClientConfig.CABundle}
}

// verify is what an API server with that caBundle makes of what a keeper serves with.
func verify(k *Keeper, bundle []byte) error {
	cert, err := k.GetCertificate(nil)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	_, err = cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: time.Now()})
	return err
}

// Two replicas for two and a half hours and four rotations. API servers hear of a caBundle half a minute late.
func TestTwoKeepersOverManyRotations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, regA := w.keeper("a")
		b, regB := w.keeper("b")
		var running sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		ctxA, cancelA := context.WithCancel(ctx)
		running.Go(func() { a.Run(ctxA) })
		running.Go(func() { b.Run(ctx) })
		defer running.Wait()
		defer cancel()
		defer cancelA()
		pass(time.Minute)
		old := w.bundles()
		live := []*Keeper{a, b}
		for minute := 1.0; minute < 150; minute += 0.5 {
			if minute == 70 { // the leader goes, as in an upgrade
				cancelA()
				live = []*Keeper{b}
			}
			for _, k := range live {
				if err := k.Check(); err != nil {
					t.Fatalf("after %v min: %v", minute, err)
				}
				for _, bundle := range append(old, w.bundles()...) {
					if err := verify(k, bundle); err != nil {
						t.Fatalf("after %v min: %v", minute, err)
					}
				}
			}
			old = w.bundles()
			pass(30 * time.Second)
		}
		made := func(reg *prometheus.Registry, step certs.Step) int {
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				for _, m := range f.GetMetric() {
					if f.GetName() == "truce_certificate_rotation_steps_total" && m.GetLabel()[0].GetValue() == string(step) {
						return int(m.GetCounter().GetValue())
					}
				}
			}
			return 0
		}
		// An authority is replaced every 30 min and a bit.
		for step, want := range map[certs.Step][2]int{
			certs.AuthorityMade: {1, 1}, certs.AuthorityAnnounced: {3, 5}, certs.AuthorityChanged: {3, 5}, certs.AuthorityRetired: {3, 5},
		} {
			if n := made(regA, step) + made(regB, step); n < want[0] || n > want[1] {
				t.Errorf("%s %d times, want %d to %d", step, n, want[0], want[1])
			}
		}
		if made(regB, certs.AuthorityChanged) == 0 || testutil.ToFloat64(b.metrics.stale) != 0 {
			t.Error("b did not take over")
		}
	})
}

// While a configuration cannot be written, the next authority does not sign: somebody may not trust it. When the old one
// is at its end, it has to.
func TestWithoutTheConfigurationsNothingIsSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, _ := w.keeper("a")
		refuse := w.fail("patch", "mutatingwebhookconfigurations", "refused")
		start(t, k)
		pass(time.Minute)
		refuse(true)
		steps := func(s certs.Step) float64 { return testutil.ToFloat64(k.metrics.steps.WithLabelValues(string(s))) }
		pass(36 * time.Minute) // announced after 30
		if steps(certs.AuthorityAnnounced) != 1 || steps(certs.AuthorityChanged) != 0 {
			t.Errorf("announced %v, changed %v; want only announced", steps(certs.AuthorityAnnounced), steps(certs.AuthorityChanged))
		}
		if testutil.ToFloat64(k.metrics.stale) != 1 {
			t.Errorf("%v configurations are said to be stale, want 1", testutil.ToFloat64(k.metrics.stale))
		}
		for i, bundle := range w.bundles() {
			if err := verify(k, bundle); err != nil {
				t.Errorf("webhook %d: %v", i, err)
			}
		}
		pass(5 * time.Minute) // past the end of the first one
		if steps(certs.AuthorityChanged) != 1 || k.Check() != nil {
			t.Errorf("changed %v, %v; want a certificate again", steps(certs.AuthorityChanged), k.Check())
		}
		refuse(false)
		pass(time.Minute)
		for i, bundle := range w.bundles() {
			if err := verify(k, bundle); err != nil {
				t.Errorf("webhook %d: %v", i, err)
			}
		}
	})
}

// An API server that is away for longer than a certificate lasts: not ready, with the reason; and ready again after it.
func TestWithoutAnAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, _ := w.keeper("a")
		away := w.fail("*", "*", "connection refused")
		away(true)
		start(t, k)
		pass(time.Minute)
		err := k.Check()
		if want := "no certificate yet: reading the Secret truce-system/truce-certs: connection refused"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if _, err := k.GetCertificate(nil); err == nil {
			t.Error("it serves with something")
		}
		away(false)
		pass(time.Minute)
		if err := k.Check(); err != nil {
			t.Fatal(err)
		}
		<-k.Ready()
		away(true)
		pass(14 * time.Minute)
		if err := k.Check(); err != nil {
			t.Errorf("it has a certificate, and says %v", err)
		}
		pass(2 * time.Minute)
		if err := k.Check(); err == nil || !strings.Contains(err.Error(), "the certificate expired at ") ||
			!strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%v, want that it expired and why", err)
		}
		away(false)
		pass(2 * time.Minute)
		if err := k.Check(); err != nil {
			t.Error(err)
		}
	})
}

// A process that ends does not hang on an API server that does not answer.
func TestItEndsWithoutAnAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		hang := make(chan struct{})
		k, _ := w.keeper("a", func(c *Config) { c.Client = hanging{c.Client, hang} })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan time.Time, 1)
		go func() {
			k.Run(ctx)
			ended <- time.Now()
		}()
		synctest.Wait()
		cancel()
		began := time.Now()
		if took := (<-ended).Sub(began); took > releaseTimeout {
			t.Errorf("it took %v to end", took)
		}
		close(hang)
	})
}

// hanging is an API server that does not answer when asked for a Lease, as over a connection on which nothing comes.
type hanging struct {
	kubernetes.Interface
	end chan struct{}
}

func (h hanging) CoordinationV1() coordinationclient.CoordinationV1Interface {
	return hangingGroup{h.Interface.CoordinationV1(), h.end}
}

type hangingGroup struct {
	coordinationclient.CoordinationV1Interface
	end chan struct{}
}

func (h hangingGroup) Leases(namespace string) coordinationclient.LeaseInterface {
	return hangingLeases{h.CoordinationV1Interface.Leases(namespace), h.end}
}

type hangingLeases struct {
	coordinationclient.LeaseInterface
	end chan struct{}
}

func (h hangingLeases) Get(context.Context, string, metav1.GetOptions) (*coordinationv1.Lease, error) {
	<-h.end
	return nil, errors.New("no answer")
}
