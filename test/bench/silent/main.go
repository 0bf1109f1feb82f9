// Command silent is Truce's webhook with nothing reported: reviews are judged and answered, and that is all. The
// benchmark of reporting compares with it.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"log"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
)

// silent is an observer that tells nobody.
type silent struct{}

func (silent) Reviewed(admission.Phase, *admission.Response, time.Duration) {}
func (silent) Refused(admission.Phase, int)                                 {}
func (silent) Panicked(admission.Phase, any, []byte)                        {}

func main() {
	port := flag.Int("port", 9443, "port to listen at, on loopback")
	dir := flag.String("cert-dir", "", "directory with tls.crt and tls.key")
	flag.Parse()
	ctrllog.SetLogger(logr.Discard())

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	p := policy.Default()
	mux := http.NewServeMux()
	mux.Handle("/validate", &admission.Handler{
		Guard: admission.NewGuard(p, history.New(admission.Bounds(p)), history.NewHasher()), Phase: admission.Validating,
		Observer: silent{}, Now: time.Now,
	})
	server := ctrlwebhook.NewServer(ctrlwebhook.Options{
		Host: "127.0.0.1", Port: *port, CertDir: *dir, WebhookMux: mux,
		TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }},
	})
	if err := server.Start(ctx); err != nil {
		log.Fatal(err)
	}
}
