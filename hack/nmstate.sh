#!/usr/bin/env bash
# Builds the nmstatectl that the golden network documents are held against (network/guide_test.go) into the user's cache. It is
# built without what applies a network: it turns documents into NetworkManager profiles, and nothing else.
set -euo pipefail
version=2.2.62
into=${XDG_CACHE_HOME:-$HOME/.cache}/rackplane/nmstate
if [ -x "$into/bin/nmstatectl" ]; then exit 0; fi
cargo install nmstatectl --version "$version" --no-default-features --features gen_conf --locked --root "$into"
