#!/usr/bin/env bash
# Builds the Python environment of Ironic and sushy-tools once and prints its directory.
# The directory's name is a hash of the pinned requirements and of the interpreter's version.
#   RACKPLANE_CACHE    where to keep it
#   RACKPLANE_OFFLINE  when set, fail instead of downloading
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${RACKPLANE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rackplane}/rack

# Prints the first interpreter that is new enough for Ironic.
interpreter() {
	local python
	for python in python3 python3.13 python3.12 python3.11; do
		if "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
			echo "$python"
			return
		fi
	done
	echo "rack venv: no Python 3.11 or newer with the venv module found" >&2
	return 1
}

python=$(interpreter)
key=$( (cat "$here/requirements.txt" "${BASH_SOURCE[0]}" && "$python" --version) | sha256sum | cut -c1-16)
out=$cache/venv-$key

mkdir -p "$cache"
exec 9>"$cache/venv.lock"
flock 9
# A virtual environment holds its own path, so it is built in place and the stamp says that it is whole.
if [ ! -e "$out/complete" ]; then
	if [ -n "${RACKPLANE_OFFLINE:-}" ]; then
		echo "rack venv: $out is missing; run hack/rack/venv.sh where the network is reachable" >&2
		exit 1
	fi
	echo "rack venv: installing Ironic and sushy-tools into $out" >&2
	rm -rf "$out"
	"$python" -m venv "$out" >&2
	"$out/bin/pip" install --quiet --no-deps --requirement "$here/requirements.txt" >&2
	# Ironic calls mkisofs; xorriso answers to that name with the same options and, unlike genisoimage, knows -e.
	ln -s "$(command -v xorriso)" "$out/bin/mkisofs"
	touch "$out/complete"
fi
echo "$out"
