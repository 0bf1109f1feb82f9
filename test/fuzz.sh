#!/usr/bin/env bash
# Fuzzes every fuzz target of the module, one after the other, each for the time given (60s).
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-60s}
grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' pkg cmd certs | sort | while read -r file; do
	grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | cut -c6- | while read -r target; do
		echo "fuzzing $(dirname "$file") $target for $time"
		go test -run "^$" -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "./$(dirname "$file")" </dev/null
	done
done
