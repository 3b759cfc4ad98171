#!/usr/bin/env bash
# Ironic 39.0.0: every question to a BMC over Redfish hashes its password anew with 600,000 rounds of PBKDF2 (SHA-512), 0.4 s of CPU, whether
# or not a session of that password is in its cache: the hash is the cache's key (drivers/modules/redfish/utils.py, SessionCache).
# Why it matters: a conductor's CPU grows with questions, not with logins: a power sync of 1,000 servers is seven minutes of a core, and
# polls that ask a BMC through Ironic are dear. In test/rack it was most of what Ironic cost; there the same password is hashed once.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HOME=$dir
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check ironic==39.0.0
"$dir/venv/bin/python" - 2>"$dir/log" >"$dir/seen" <<'PYTHON' || { cat "$dir/log" >&2; exit 1; }
import hashlib

rounds, real = [], hashlib.pbkdf2_hmac


def counting(name, password, salt, iterations, dklen=None):
    rounds.append((name, iterations))
    return real(name, password, salt, iterations, dklen)


hashlib.pbkdf2_hmac = counting
from ironic.drivers.modules.redfish import utils

bmc = {"address": "https://192.0.2.1", "username": "admin", "password": "x", "verify_ca": True, "auth_type": "auto"}
caches = [utils.SessionCache(bmc) for _ in range(3)]
print("keys:", len({cache._session_key for cache in caches}), "hashed:", rounds)
PYTHON
cat "$dir/seen"
diff - "$dir/seen" <<'WANT' || { echo "the behaviour is another now" >&2; exit 1; }
keys: 1 hashed: [('sha512', 600000), ('sha512', 600000), ('sha512', 600000)]
WANT
