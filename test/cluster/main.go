package cluster

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// Main is the TestMain of a package whose tests share a cluster: it calls run with a directory that is removed
// afterwards, and ends the process.
func Main(name string, run func(ctx context.Context, dir string) (code int, err error)) {
	flag.Parse()
	ctrllog.SetLogger(logr.Discard())
	// Tests spend their time waiting, not computing: more of them run at once than there are processors.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("12")
	}
	code, err := inDir(name, run)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(code)
}

func inDir(name string, run func(context.Context, string) (int, error)) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute) // to build and start everything
	defer cancel()
	dir, err := os.MkdirTemp("", "truce-"+name+"-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	// What the race detector does at a process's end by default is to wait a second.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")); err != nil {
		return 0, err
	}
	return run(ctx, dir)
}
