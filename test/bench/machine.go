package main

import (
	"os"
	"runtime"
	"strings"
)

// cpuModel names the machine's processor as far as it is known.
func cpuModel() string {
	info, _ := os.ReadFile("/proc/cpuinfo") // elsewhere than on Linux, the architecture has to do
	_, rest, found := strings.Cut(string(info), "model name")
	if !found {
		return runtime.GOARCH
	}
	line, _, _ := strings.Cut(rest, "\n")
	return strings.Trim(line, "\t :")
}
