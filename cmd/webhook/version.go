package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Set by the linker for releases: -X main.version=v1.2.3 -X main.revision=COMMIT.
var version, revision string

// buildVersion returns version and revision as far as they are known.
func buildVersion() (v, r string) {
	v, r = version, revision
	info, ok := debug.ReadBuildInfo()
	if ok {
		if v == "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && r == "" {
				r = s.Value
			}
		}
	}
	if v == "" {
		v = "(devel)"
	}
	if r == "" {
		r = "unknown"
	}
	return v, r
}

func versionLine() string {
	v, r := buildVersion()
	return fmt.Sprintf("truce webhook %s, revision %s, %s", v, r, runtime.Version())
}
