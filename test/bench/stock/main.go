// Command stock is the webhook that benchmarks compare with: controller-runtime's own admission handler on its own
// server, allowing everything without looking.
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
	ctrladmission "sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

func main() {
	port := flag.Int("port", 9443, "port to listen at, on loopback")
	dir := flag.String("cert-dir", "", "directory with tls.crt and tls.key")
	flag.Parse()
	ctrllog.SetLogger(logr.Discard())

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	server := ctrlwebhook.NewServer(ctrlwebhook.Options{Host: "127.0.0.1", Port: *port, CertDir: *dir})
	server.Register("/validate", &ctrlwebhook.Admission{Handler: ctrladmission.HandlerFunc(allow)})
	if err := server.Start(ctx); err != nil {
		log.Fatal(err)
	}
}

func allow(context.Context, ctrladmission.Request) ctrladmission.Response {
	return ctrladmission.Allowed("")
}
