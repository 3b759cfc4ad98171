#!/usr/bin/env bash
# Usage: image.sh ROLE    a role is a folder beside this script, such as controlplane
# Builds the root file system that the role runs from once and prints its directory.
# The directory's name is a hash of everything that shapes its contents, so an existing one is never stale.
# A build appears by one rename; two builders take turns on a lock.
#   RACKPLANE_CACHE          where to keep it
#   RACKPLANE_OFFLINE        when set, fail instead of building
#   RACKPLANE_DEBIAN_MIRROR  Debian mirror to build from; debootstrap's default when empty
set -euo pipefail
umask 022

role=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${RACKPLANE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rackplane}/openstack
suite=trixie
mirror=${RACKPLANE_DEBIAN_MIRROR:-}
base_packages=ca-certificates,dbus,iproute2,procps,systemd,systemd-sysv

key_of() { (cd "$here" && find "$@" -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-16); }
base=$cache/base-$(key_of image.sh)
out=$cache/$role-$(key_of image.sh "$role")

# Runs a command in the root, in namespaces of its own, so nothing it mounts or starts outlives it.
# The new network namespace of "closed" has a loopback interface only.
in_root() {
	local network=$1 root=$2
	shift 2
	local closed=()
	[ "$network" = open ] || closed=(--net)
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare --mount --pid --fork --kill-child "${closed[@]}" sh -euc '
		network=$1 root=$2 debs=$3
		shift 3
		[ "$network" = open ] || ip link set lo up
		mount -t proc proc "$root/proc"
		mount -t tmpfs -o mode=755 tmpfs "$root/run"
		mount -t tmpfs tmpfs "$root/tmp"
		mount --bind "$debs" "$root/var/cache/apt/archives"
		exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive INITRD=No "$@"
	' sh "$network" "$root" "$cache/debs" "$@"
}

# Writes the root file system that the roles share.
build_base() {
	local root=$1
	mkdir -p "$cache/bootstrap-debs"
	# It mounts /proc in the root; in namespaces of its own that ends with it, even when it is killed.
	unshare --mount --pid --fork --kill-child --mount-proc debootstrap --variant=minbase --cache-dir="$cache/bootstrap-debs" --include="$base_packages" "$suite" "$root" ${mirror:+"$mirror"} >&2
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod +x "$root/usr/sbin/policy-rc.d"
	printf 'Dpkg::Options {"--force-unsafe-io";};\nAcquire::Languages "none";\n' >"$root/etc/apt/apt.conf.d/90build"
	printf 'path-exclude=%s\n' '/usr/share/doc/*' '/usr/share/man/*' '/usr/share/locale/*' >"$root/etc/dpkg/dpkg.cfg.d/90build"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	in_root open "$root" apt-get update >&2
	local unit
	for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
		systemd-timesyncd.service getty.target console-getty.service systemd-journal-flush.service systemd-logind.service; do
		ln -sf /dev/null "$root/etc/systemd/system/$unit"
	done
}

# Adds the role's packages and files and lets its finish.sh complete the root without a network.
build_role() {
	local root=$1
	# shellcheck disable=SC2046 # one word per package
	in_root open "$root" apt-get install --yes --no-install-recommends $(grep -v '^#' "$here/$role/packages.txt" | tr '\n' ' ') >&2
	[ ! -d "$here/$role/root" ] || cp -r --no-target-directory "$here/$role/root" "$root"
	mkdir "$root/finish"
	cp "$here/$role"/finish* "$root/finish/"
	in_root closed "$root" bash /finish/finish.sh >&2
	rm -r "$root/finish" "$root/usr/sbin/policy-rc.d"
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root/etc/resolv.conf" "$root/etc/hostname"
	: >"$root/etc/machine-id"
}

mkdir -p "$cache/debs/partial"
exec 9>"$cache/$role.lock"
flock 9
if [ ! -d "$out" ]; then
	if [ -n "${RACKPLANE_OFFLINE:-}" ]; then
		echo "openstack image: $out is missing; run hack/openstack/image.sh $role where the network is reachable" >&2
		exit 1
	fi
	exec 8>"$cache/build.lock"
	flock 8
	echo "openstack image: building $out" >&2
	work=$(mktemp -d "$cache/build.XXXXXX")
	trap 'rm -rf --one-file-system "$work"' EXIT
	if [ ! -d "$base" ]; then
		build_base "$work/base"
		mv -T "$work/base" "$base"
	fi
	cp -a --reflink=auto "$base" "$work/root"
	build_role "$work/root"
	if [ -d "$work/root/product" ]; then
		mv -T "$work/root/product" "$out"
	else
		mv -T "$work/root" "$out"
	fi
fi
echo "$out"
