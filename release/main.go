// Command release makes what a release of Truce consists of, from this checkout alone: no daemon, no registry, no
// account. The same commit makes the same bytes with the same Go.
//
//	go -C release run . image   the container image for amd64 and arm64, and its SBOM
//	go -C release run . all     that, binaries, kubectl plugins with a krew manifest, the chart, checksums
//
// Everything goes to the directory that -out names, dist by default.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	root := flags.String("root", "..", "the checkout's `directory`")
	out := flags.String("out", "../dist", "`directory` for what is made; what was in it is deleted")
	version := flags.String("version", "", "`version`, such as v1.2.3 (default: what git describe says)")
	helm := flags.String("helm", "helm", "helm's `path`, for the chart's package")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b, err := newBuilder(ctx, *root, *out, *version)
	if err != nil {
		return err
	}
	switch what := flags.Arg(0); what {
	case "image":
		_, err = b.image(ctx, platforms{{"linux", "amd64"}, {"linux", "arm64"}})
	case "all":
		err = b.all(ctx, *helm)
	default:
		err = fmt.Errorf("say what to make: image or all, not %q", what)
	}
	if err != nil {
		return err
	}
	fmt.Println("made in", filepath.Clean(*out))
	return nil
}

// all makes a whole release.
func (b *builder) all(ctx context.Context, helm string) error {
	if _, err := b.image(ctx, platforms{{"linux", "amd64"}, {"linux", "arm64"}}); err != nil {
		return err
	}
	plugins, err := b.archives(ctx, platforms{
		{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"},
	})
	if err != nil {
		return err
	}
	if err := b.krew(plugins); err != nil {
		return err
	}
	if err := b.chart(ctx, helm); err != nil {
		return err
	}
	return b.checksums()
}
