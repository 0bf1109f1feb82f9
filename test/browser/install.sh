#!/usr/bin/env bash
# Puts in place what the browser tests need: Chromium, and axe-core (kept in the user cache, pinned by version and hash).
set -euo pipefail
axe=4.14.1
want=29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c
dir=${XDG_CACHE_HOME:-$HOME/.cache}/truce/axe-core-$axe

install() { # package
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "there is no $1: install your system's package of that name" >&2
		exit 1
	fi
	echo "installing $1 (first time only)"
	export DEBIAN_FRONTEND=noninteractive
	apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=5)
	"${apt[@]}" install -y --no-install-recommends "$1" >/dev/null 2>&1 ||
		{ "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "$1" >/dev/null; }
}

command -v chromium >/dev/null || install chromium

if [ ! -f "$dir/axe.min.js" ]; then
	command -v npm >/dev/null || install npm
	echo "fetching axe-core $axe (first time only)"
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	npm pack --silent --pack-destination "$tmp" "axe-core@$axe" >/dev/null
	tar -xzf "$tmp/axe-core-$axe.tgz" -C "$tmp" package/axe.min.js
	echo "$want  $tmp/package/axe.min.js" | sha256sum --check --quiet
	mkdir -p "$dir"
	mv "$tmp/package/axe.min.js" "$dir/axe.min.js"
fi
