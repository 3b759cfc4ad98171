#!/usr/bin/env bash
# What the tests need beyond the demo: an SSH server binary. The tests start their own servers on loopback; the
# system's service is neither started now nor at the next boot unless it was there before.
set -euo pipefail
[ -x /usr/sbin/sshd ] && exit 0
echo "test deps: installing openssh-server (its service stays off)" >&2
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
	trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet >&2
apt-get install --yes --quiet --no-install-recommends openssh-server openssh-client >&2
if [ -d /run/systemd/system ]; then
	systemctl disable --quiet ssh.service ssh.socket 2>/dev/null || true
fi
