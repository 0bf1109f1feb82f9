package main

import (
	"fmt"
	"runtime/debug"
)

// ownDependency returns the version and the checksum of a module that this program is built with.
func ownDependency(path string) (version, sum string, err error) {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, d := range info.Deps {
			if d.Path == path {
				return d.Version, d.Sum, nil
			}
		}
	}
	return "", "", fmt.Errorf("this program does not know the version of %s that it is built with", path)
}
