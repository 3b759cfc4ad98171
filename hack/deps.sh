#!/usr/bin/env bash
# Usage: deps.sh NAME...    a name is a folder beside this script with a deps.txt, such as rack
# Installs the Debian packages that the folders list and this machine lacks; says which. Silent when none.
#   RACKPLANE_OFFLINE  when set, fail instead of installing
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
missing=()
for package in $(for name in "$@"; do grep -v '^#' "$here/$name/deps.txt"; done | sort -u); do
	state=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ -n "${RACKPLANE_OFFLINE:-}" ]; then
	echo "deps: missing packages: ${missing[*]}; run hack/deps.sh $* where the network is reachable" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: installing ${missing[*]} needs root" >&2
	exit 1
fi
echo "deps: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet >&2
apt-get install --yes --quiet --no-install-recommends "${missing[@]}" >&2
