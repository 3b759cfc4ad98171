#!/usr/bin/env bash
# Builds the Python environment of sushy-tools and virtualbmc, with Debian's libvirt, once and prints its directory.
# The directory's name is a hash of the pinned requirements and of the interpreter's version.
#   RACKPLANE_CACHE    where to keep it
#   RACKPLANE_OFFLINE  when set, fail instead of downloading
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${RACKPLANE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rackplane}/bmc
python=/usr/bin/python3 # Debian's: its libvirt binding fits no other
key=$( (cat "$here/requirements.txt" "${BASH_SOURCE[0]}" && "$python" --version) | sha256sum | cut -c1-16)
out=$cache/venv-$key

mkdir -p "$cache"
exec 9>"$cache/venv.lock"
flock 9
# A virtual environment holds its own path, so it is built in place and the stamp says that it is whole.
if [ ! -e "$out/complete" ]; then
	if [ -n "${RACKPLANE_OFFLINE:-}" ]; then
		echo "bmc venv: $out is missing; run hack/bmc/venv.sh where the network is reachable" >&2
		exit 1
	fi
	echo "bmc venv: installing sushy-tools and virtualbmc into $out" >&2
	rm -rf "$out"
	"$python" -m venv --system-site-packages "$out" >&2
	"$out/bin/pip" install --quiet --no-deps --requirement "$here/requirements.txt" >&2
	touch "$out/complete"
fi
echo "$out"
