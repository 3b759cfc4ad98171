#!/usr/bin/env bash
# Installs the Debian packages that the simulated rack needs and this machine lacks; says which. Silent when none.
set -euo pipefail

packages=(
	debian-archive-keyring
	debootstrap
	dosfstools
	dpkg-dev
	e2fsprogs
	fdisk
	iproute2
	mtools
	python3-venv
	qemu-utils
	systemd-container
	util-linux
	xorriso
)

missing=()
for package in "${packages[@]}"; do
	state=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ -n "${RACKPLANE_OFFLINE:-}" ]; then
	echo "rack deps: missing packages: ${missing[*]}; run hack/rack/deps.sh where the network is reachable" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "rack deps: installing ${missing[*]} needs root" >&2
	exit 1
fi
echo "rack deps: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet >&2
apt-get install --yes --quiet --no-install-recommends "${missing[@]}" >&2
