// Package auditlog proves that what truce audit says of a log is true: the stories of the corpus are played on a real API
// server, which records them at every audit level, and what the logs show is compared with what the webhook finds.
package auditlog

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/truce-dev/truce/test/cluster"
)

// shared is the cluster that all tests use.
var shared *cluster.Cluster

// levels are the audit levels, each with the group whose requests the API server records at it.
var levels = []struct{ name, short, group string }{
	{"RequestResponse", "rr", "recorded-with-responses"},
	{"Request", "rq", "recorded-with-requests"},
	{"Metadata", "md", "recorded-without-objects"},
}

// auditPolicy goes by who authenticates, not by who is impersonated.
func auditPolicy() string {
	text := "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n"
	for _, l := range levels {
		text += fmt.Sprintf("- {level: %s, userGroups: [%s], verbs: [create, update, patch, delete]}\n", l.name, l.group)
	}
	return text + "- level: None\n"
}

func TestMain(m *testing.M) {
	flag.Parse()
	ctrllog.SetLogger(logr.Discard())
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "auditlog:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "truce-auditlog-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	shared, err = cluster.Start(ctx, cluster.Options{
		Progress: os.Stderr, Dir: dir, AuditPolicy: auditPolicy(),
		// A port that a story names is hardly ever one that another Service got.
		APIServerArgs: map[string]string{"service-node-port-range": "30000-65000"},
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, shared.Stop()) }()
	return m.Run(), nil
}
