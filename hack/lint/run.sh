#!/usr/bin/env bash
# Runs golangci-lint on this tree, always at one and the same path: its cache keys what it finds, and what it knows of all
# dependencies, by content and path, so that each new clone would have everything analysed anew (and clones that share a cache would
# be told of files of the other one). The path is a mount that only this run sees. Where mounts are not allowed, each tree has a
# cache of its own.
#
# Usage: run.sh ARGUMENT...    RACKPLANE_CACHE is the cache
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${RACKPLANE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rackplane}
linter=$cache/tools/golangci-lint
place=$cache/lint/tree

mkdir -p "$place"
if unshare --mount mount --bind "$root" "$place" 2>/dev/null; then
	export GOLANGCI_LINT_CACHE=$cache/lint/cache
	exec unshare --mount bash -c 'mount --bind "$1" "$2" && cd "$2" && shift 2 && exec "$@"' - "$root" "$place" "$linter" "$@"
fi
GOLANGCI_LINT_CACHE=$cache/golangci-lint/$(printf %s "$root" | cksum | cut -d' ' -f1)
export GOLANGCI_LINT_CACHE
cd "$root"
exec "$linter" "$@"
