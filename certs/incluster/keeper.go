package incluster

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/truce-dev/truce/certs"
)

// How long a keeper waits for what. They are not configurable: nobody should have to think about them.
const (
	retryFirst  = time.Second // after a failure, doubled up to Poll
	pause       = time.Second // between two looks, however often a watch reports
	lookTimeout = 20 * time.Second
	// releaseTimeout is how long it may take to give up the Lease: a process that ends must not hang on an API server.
	releaseTimeout = 3 * time.Second

	remindEvery = 10 * time.Minute // of a problem that stays the same

	// waitPatience is how long it waits for another replica before it says so.
	waitPatience = 15 * time.Second
)

// Poll is how often a keeper looks, besides when a watch reports something.
const Poll = 30 * time.Second

// Settle is how long a next authority has to have been in every webhook configuration before it signs: more than the
// slowest API server takes to hear of a changed configuration.
const Settle = time.Minute

// Config is what a [Keeper] works with. Everything must be set.
type Config struct {
	Client kubernetes.Interface
	// Secret holds the keyring. The Lease beside it has the same name.
	Secret types.NamespacedName
	// Targets are the webhook configurations that get the caBundle. One that does not exist gets it when it does.
	Targets []Target
	// Hosts are what the serving certificate is for.
	Hosts certs.Hosts
	// Lifetimes are [certs.InCluster], and Settle and Poll what this package says, but in tests.
	Lifetimes    certs.Lifetimes
	Settle, Poll time.Duration
	// Identity tells this replica from the others.
	Identity string
	// Now is the clock by which certificates begin and end, see [Clock].
	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Keeper serves with the certificate in a Secret, and, while it holds the Lease, sees to it that the Secret has one and
// that the API server trusts it. All its methods may be used concurrently; none but Run waits for anything.
type Keeper struct {
	cfg     Config
	metrics metrics
	poke    chan struct{} // something changed
	leading atomic.Bool
	lease   atomic.Pointer[leaseState]

	inUse atomic.Pointer[tls.Certificate]
	ready chan struct{} // closed when inUse is first set

	problem  atomic.Pointer[problem]
	injector *injector

	// What only Run's goroutine touches.
	ring     certs.Keyring // what the Secret held last
	settled  []byte        // the trust that every configuration was seen with
	since    time.Time     // and since when
	reminded time.Time     // of the problem
	told     time.Time     // about this machine's clock
}

// problem is what keeps the keeper from its work, and since when.
type problem struct {
	error
	since time.Time
}

// waiting is a problem that is none yet: another replica is at work.
type waiting struct{ error }

// New returns a keeper. Run must follow, once.
func New(cfg Config) *Keeper {
	k := &Keeper{cfg: cfg, poke: make(chan struct{}, 1), ready: make(chan struct{})}
	k.metrics = newMetrics(cfg.Registerer)
	k.injector = newInjector(cfg, k.metrics)
	k.problem.Store(&problem{error: errors.New("the Secret has not been read yet")})
	return k
}

// GetCertificate returns the certificate in use, as [tls.Config] wants it.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := k.inUse.Load(); cert != nil {
		return cert, nil
	}
	return nil, k.Check()
}

// Ready is closed once there is a certificate.
func (k *Keeper) Ready() <-chan struct{} { return k.ready }

// Check returns why there is no certificate that can be served with, in words for whoever operates the server.
func (k *Keeper) Check() error {
	cert, p := k.inUse.Load(), k.problem.Load()
	switch {
	case cert == nil && p == nil:
		return errors.New("no certificate yet")
	case cert == nil:
		return fmt.Errorf("no certificate yet: %w", p.error)
	case !k.cfg.Now().After(cert.Leaf.NotAfter):
		return nil
	case p == nil:
		return fmt.Errorf("the certificate expired at %s", cert.Leaf.NotAfter.Format(time.RFC3339))
	}
	return fmt.Errorf("the certificate expired at %s: %w", cert.Leaf.NotAfter.Format(time.RFC3339), p.error)
}

// Run works until ctx ends. Then it gives up the Lease, if the API server answers in time.
func (k *Keeper) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	ended := k.startWatches(ctx)
	defer func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(releaseTimeout):
			k.cfg.Log.Warn("the Lease was not given up in time; another replica takes it when it has run out")
		}
	}()
	retry := retryFirst
	for {
		wait, err := k.look(ctx)
		if ctx.Err() != nil {
			return
		}
		k.note(err)
		switch {
		case errors.Is(err, errChanged):
			wait = pause
		case err != nil:
			wait, retry = min(retry, k.cfg.Poll), min(2*retry, k.cfg.Poll)
		default:
			retry = retryFirst
		}
		if !sleep(ctx, pause) {
			return
		}
		if !wakes(ctx, wait-pause, k.poke) {
			return
		}
	}
}

// look is one round: read the Secret; while leading, make it and the configurations as they should be; use what it
// holds. It returns when to look again at the latest.
func (k *Keeper) look(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	stored, err := k.read(ctx)
	if err != nil {
		return 0, err
	}
	now := k.cfg.Now() // after a response, which may have set the clock
	k.compareClocks(now)
	ring := stored.ring
	if err := ring.CheckOwner(k.place()); err != nil {
		return 0, err
	}
	leading := k.leading.Load()
	if leading {
		if ring, err = k.rotate(ctx, stored, now); err != nil {
			return 0, err
		}
	} else {
		k.settled = nil
		k.metrics.stale.Set(0)
	}
	unused := k.use(ring, now, leading)
	if !ring.Empty() {
		k.ring = ring
	}
	if !leading {
		return k.cfg.Poll, unused
	}
	result, err := k.injector.inject(ctx, ring.Trust(), now)
	return min(k.settle(ring, result.everywhere, now), cmp.Or(result.again, k.cfg.Poll)), cmp.Or(unused, err)
}

// rotate brings the Secret up to date and returns what it holds then.
func (k *Keeper) rotate(ctx context.Context, stored secret, now time.Time) (certs.Keyring, error) {
	ring := stored.ring
	var steps []certs.Step
	if ring.Empty() && !k.ring.Empty() {
		// Somebody deleted or emptied it. The authority in it is trusted, so the other replicas go on with it; but who
		// deletes it may have reason to, so a new authority takes its place soon.
		k.cfg.Log.Warn("the Secret with the certificates was deleted or emptied: it is put back, and a new authority "+
			"takes the place of the old one", "secret", k.cfg.Secret.String())
		var err error
		if ring, err = k.cfg.Lifetimes.Announce(k.ring, now); err != nil {
			return certs.Keyring{}, err
		}
		steps = append(steps, certs.AuthorityAnnounced)
	}
	trusted := len(ring.NextCA) > 0 && bytes.Equal(k.settled, ring.Trust()) && now.Sub(k.since) >= k.cfg.Settle
	ring, more, err := k.cfg.Lifetimes.Rotate(ring, k.cfg.Hosts, trusted, now)
	if err != nil {
		return certs.Keyring{}, err
	}
	if ring.Equal(stored.ring) {
		return ring, nil
	}
	if err := k.write(ctx, stored, ring); err != nil {
		return certs.Keyring{}, err
	}
	for _, step := range append(steps, more...) {
		k.cfg.Log.Info("certificates rotated", "step", string(step), "secret", k.cfg.Secret.String())
		k.metrics.steps.WithLabelValues(string(step)).Inc()
	}
	return ring, nil
}

// settle notes since when the keyring's trust is in every configuration, and returns when to look again for it.
func (k *Keeper) settle(ring certs.Keyring, everywhere bool, now time.Time) time.Duration {
	trust := ring.Trust()
	switch {
	case !everywhere:
		k.settled = nil
	case !bytes.Equal(k.settled, trust) || now.Before(k.since):
		k.settled, k.since = trust, now
	}
	if len(ring.NextCA) == 0 || k.settled == nil {
		return k.cfg.Poll
	}
	return min(max(k.cfg.Settle-now.Sub(k.since), pause), k.cfg.Poll)
}

// use serves with the keyring's certificate from now on. The error says why it does not.
func (k *Keeper) use(ring certs.Keyring, now time.Time, leading bool) error {
	if !leading && len(ring.Cert) == 0 {
		return k.lease.Load().waiting()
	}
	pair, err := tls.X509KeyPair(ring.Cert, ring.Key)
	if err != nil {
		return fmt.Errorf("the certificate in %s cannot be used: %w", k.place(), err)
	}
	if now.After(pair.Leaf.NotAfter) {
		return fmt.Errorf("the certificate in %s expired at %s: %w", k.place(), pair.Leaf.NotAfter.Format(time.RFC3339),
			k.lease.Load().waiting())
	}
	old := k.inUse.Load()
	if old != nil && bytes.Equal(old.Certificate[0], pair.Certificate[0]) {
		return nil
	}
	k.inUse.Store(&pair)
	k.metrics.expiry(ring)
	k.cfg.Log.Info("certificate loaded", "secret", k.cfg.Secret.String(), "serial", pair.Leaf.SerialNumber.String(),
		"not_after", pair.Leaf.NotAfter.Format(time.RFC3339))
	if old == nil {
		close(k.ready)
	}
	return nil
}

// note keeps what went wrong for [Keeper.Check], and logs it when it is new, and every now and then.
func (k *Keeper) note(err error) {
	if errors.Is(err, errChanged) {
		return // somebody else was faster
	}
	old := k.problem.Load()
	if err == nil {
		k.problem.Store(nil)
		return
	}
	now := time.Now()
	next := &problem{err, now}
	same := old != nil && old.Error() == err.Error()
	if same {
		next.since = old.since
	}
	k.problem.Store(next)
	if errors.As(err, new(waiting)) && now.Sub(next.since) < waitPatience {
		return
	}
	if same && !k.reminded.Before(next.since) && now.Sub(k.reminded) < remindEvery {
		return
	}
	k.reminded = now
	k.cfg.Log.Warn("certificates not looked after", "error", err, "serving", k.inUse.Load() != nil)
}

// compareClocks warns about a machine whose clock is wrong. The certificates do not mind, see [Clock]; much else does.
func (k *Keeper) compareClocks(now time.Time) {
	own := time.Now()
	if now.Sub(own).Abs() < time.Minute || own.Sub(k.told) < remindEvery {
		return
	}
	k.told = own
	k.cfg.Log.Warn("this machine's clock differs from the API server's, which certificates go by",
		"api_server_ahead", now.Sub(own).Round(time.Second).String())
}

func (k *Keeper) place() string { return "the Secret " + k.cfg.Secret.String() }

// explain says what was being done and, where the API server refuses it, what to allow.
func explain(doing string, err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%s: %w; docs/security.md has the rules that the service account needs", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// sleep waits, and reports false if ctx ended meanwhile.
func sleep(ctx context.Context, d time.Duration) bool { return wakes(ctx, d, nil) }

// wakes waits for d or a poke, and reports false if ctx ended meanwhile.
func wakes(ctx context.Context, d time.Duration, poke <-chan struct{}) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-poke:
	case <-timer.C:
	}
	return true
}
