#!/usr/bin/env bash
# Prints the path of a Python virtual environment that holds what the requirements file names, and makes it first
# when the cache has none. Its folder's name is the hash of the file and the Python version, so a change of
# either makes a new one, and two callers at once end with the same one.
#
# Usage: venv.sh [REQUIREMENTS]    default: requirements.txt beside this script
# PYTHON names the interpreter (3.11 or newer); RACKPLANE_CACHE the cache.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
requirements=${1:-$here/requirements.txt}
python=${PYTHON:-python3}
cache=${RACKPLANE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rackplane}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
	echo "venv.sh: $python is older than Python 3.11: set PYTHON to a newer one" >&2
	exit 1
}
key=$({ "$python" -c 'import sys; print(sys.version, sys.base_prefix)'; cat "$requirements"; } | sha256sum | cut -c1-16)
venv=$cache/venv/ansible-$key

if [ ! -e "$venv/.complete" ]; then
	mkdir -p "$cache/venv"
	exec 9>"$venv.lock"
	flock 9
	if [ ! -e "$venv/.complete" ]; then
		echo "venv.sh: installing $(basename "$requirements") into the cache" >&2
		rm -rf "$venv"
		"$python" -m venv "$venv" >&2
		"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$requirements" >&2
		touch "$venv/.complete"
	fi
fi
echo "$venv"
