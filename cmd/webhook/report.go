package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/notify"
	"github.com/truce-dev/truce/pkg/report"
)

// reportConfig is what the flags say of who is told what.
type reportConfig struct {
	topFights   int
	events      bool
	metricsAuth bool
	opsTLS      bool
	valueKey    string // file; empty: a random key
	journal     string // directory; empty: changes are kept in memory only
	journalAge  time.Duration
	journalSize int64
	watch       bool
	notify      string // file; empty: nobody is notified
	// notifyClaims is the ConfigMap by which replicas agree on who notifies; empty: each one does.
	notifyClaims types.NamespacedName
}

// maxTopFights bounds --top-fights: each is a time series, and the fights that are the fastest change.
const maxTopFights = 100

func parseTop(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxTopFights {
		return 0, fmt.Errorf("%q is out of bounds: give a number from 0 to %d", text, maxTopFights)
	}
	return n, nil
}

// Bounds of the journal on disk.
const (
	minJournal    = 16 << 20
	maxJournal    = 64 << 30
	minJournalAge = time.Hour
	maxJournalAge = 366 * 24 * time.Hour
)

func parseSize(text string) (int64, error) {
	q, err := resource.ParseQuantity(text)
	if err != nil || q.Value() < minJournal || q.Value() > maxJournal {
		return 0, fmt.Errorf("%q is out of bounds: give a size from 16Mi to 64Gi", text)
	}
	return q.Value(), nil
}

func parseAge(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < minJournalAge || d > maxJournalAge {
		return 0, fmt.Errorf("%q is out of bounds: give a time from 1h to 8784h, a year", text)
	}
	return d, nil
}

// reporting is what tells people of fights.
type reporting struct {
	recorder *report.Recorder
	gate     *report.Gate     // nil: there is no API server to ask who somebody is
	events   *report.Events   // nil: nobody is told
	watch    *report.Watch    // nil: what admission cannot see is not looked for
	notifier *notify.Notifier // nil: nobody is notified
}

func newReporting(cfg Config, g *admission.Guard, store *history.Store, keyID string, reg prometheus.Registerer,
	log *slog.Logger,
) (*reporting, error) {
	r := &reporting{}
	to, err := apiServer(cfg.kubeconfig)
	if err != nil {
		return nil, err
	}
	var client kubernetes.Interface // nil: there is no API server
	if to != nil {
		watching := rest.CopyConfig(to) // without a timeout: it does not end
		to.Timeout = 10 * time.Second
		if client, err = kubernetes.NewForConfig(to); err != nil {
			return nil, fmt.Errorf("making a client of the API server: %w", err)
		}
		if r.gate, err = report.NewGate(client); err != nil {
			return nil, err
		}
		if cfg.report.events {
			r.events = report.NewEvents(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
		}
		if cfg.report.watch {
			r.watch = &report.Watch{Guard: g, Discovery: client.Discovery(), Log: log}
			if r.watch.Client, err = dynamic.NewForConfig(watching); err != nil {
				return nil, fmt.Errorf("making a client of the API server: %w", err)
			}
		}
	}
	var disk *report.Disk
	if dir := cfg.report.journal; dir != "" {
		disk, err = report.OpenDisk(report.DiskOptions{
			Dir: dir, Age: cfg.report.journalAge, Size: cfg.report.journalSize, Log: log, Now: time.Now,
		})
		if err != nil {
			return nil, fmt.Errorf("keeping changes on disk (--journal-dir): %w", err)
		}
	}
	r.recorder = report.New(report.Options{
		Store: store, Registry: reg, Log: log, Now: time.Now, TopFights: cfg.report.topFights, Events: r.events, Key: keyID,
		Disk: disk,
	})
	if r.watch != nil {
		r.watch.Recorder = r.recorder
	}
	if cfg.report.notify != "" {
		if r.notifier, err = newNotifier(cfg.report, client, r.recorder, reg, log); err != nil {
			return nil, err
		}
	}
	return r, nil
}

var errReceivers = errors.New("loading the receivers of notifications")

func newNotifier(cfg reportConfig, client kubernetes.Interface, r *report.Recorder, reg prometheus.Registerer, log *slog.Logger,
) (*notify.Notifier, error) {
	file, err := notify.LoadFile(cfg.notify)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errReceivers, err)
	}
	o := notify.Options{
		File: file, Register: r.Register, Journal: r.Journal, Replica: hostname(), Log: log, Registerer: reg, Now: time.Now,
	}
	if cfg.notifyClaims.Name != "" {
		if client == nil {
			return nil, errors.New("agreeing with other replicas on who notifies (--notify-claims): this is no pod of a cluster: " +
				"outside of one, --kubeconfig says how to reach the API server")
		}
		o.Claims = &notify.Claims{
			Client: client.CoreV1(), ConfigMap: cfg.notifyClaims, Replica: hostname() + "-" + rand.Text()[:8],
		}
	}
	return notify.New(o)
}

// run reports until ctx ends, and then what is left to report.
func (r *reporting) run(ctx context.Context) {
	var watching, notifying sync.WaitGroup
	if r.watch != nil {
		watching.Go(func() { r.watch.Run(ctx) })
	}
	if r.notifier != nil {
		notifying.Go(func() { r.notifier.Run(ctx) })
	}
	r.recorder.Run(ctx)
	watching.Wait()
	r.events.Stop()
	notifying.Wait()
}

// guarded returns h for those who may: whoever reaches a loopback address, or whom the API server allows it.
func (r *reporting) guarded(on net.Addr) func(http.Handler) http.Handler {
	if tcp, ok := on.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		return report.Local
	}
	return func(h http.Handler) http.Handler { return r.gate.Guard(h, report.Permission) }
}

// keyedHasher hashes values. Hashers with the same id have the same key.
type keyedHasher struct {
	history.Hasher
	id string
}

// minKey is how long a key of values must be, in bytes.
const minKey = 16

// newHasher returns a hasher with the key in a file or, without one, that of the journal's directory, so that what is
// kept there can be compared after a restart. Without either the key is random.
func newHasher(file, journal string) (keyedHasher, error) {
	if file == "" && journal == "" {
		secret := make([]byte, 2*minKey)
		rand.Read(secret) // never fails, says its documentation
		key, id := report.KeyOf(secret)
		return keyedHasher{history.KeyedHasher(key), id}, nil
	}
	if file == "" {
		file = filepath.Join(journal, "value.key")
		if err := makeKey(file); err != nil {
			return keyedHasher{}, fmt.Errorf("making a key of values in --journal-dir: %w", err)
		}
	}
	secret, err := os.ReadFile(file)
	if err != nil {
		return keyedHasher{}, fmt.Errorf("reading the key of values (--value-key): %w", err)
	}
	if len(secret) < minKey {
		return keyedHasher{}, fmt.Errorf("the key of values (--value-key) in %s has %d bytes, it must have at least %d",
			file, len(secret), minKey)
	}
	key, id := report.KeyOf(secret)
	return keyedHasher{history.KeyedHasher(key), id}, nil
}

// makeKey puts a random key into a file, unless there is one.
func makeKey(file string) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	secret := make([]byte, 2*minKey)
	rand.Read(secret) // never fails, says its documentation
	made := file + ".new"
	if err := os.WriteFile(made, secret, 0o600); err != nil {
		return err
	}
	return os.Rename(made, file)
}
