#!/usr/bin/env bash
# Installs the Debian packages that the test OpenStack needs on this machine and that it lacks. Silent when none.
set -euo pipefail

packages=(
	debootstrap
	iproute2
	systemd-container
	util-linux
)

missing=()
for package in "${packages[@]}"; do
	state=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ -n "${RACKPLANE_OFFLINE:-}" ]; then
	echo "openstack deps: missing packages: ${missing[*]}; run hack/openstack/deps.sh where the network is reachable" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "openstack deps: installing ${missing[*]} needs root" >&2
	exit 1
fi
echo "openstack deps: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet >&2
apt-get install --yes --quiet --no-install-recommends "${missing[@]}" >&2
