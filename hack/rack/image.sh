#!/usr/bin/env bash
# Builds the rack's base image and apt repository once and prints their directory:
#   edpm.qcow2, edpm.qcow2.sha256, repo/
# The directory's name is a hash of everything that shapes its contents, so an existing one is never stale.
# A build appears by one rename; two builders take turns on a lock.
#   RACKPLANE_CACHE          where to keep it
#   RACKPLANE_OFFLINE        when set, fail instead of building
#   RACKPLANE_DEBIAN_MIRROR  Debian mirror to build from; debootstrap's default when empty
set -euo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${RACKPLANE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rackplane}/rack
suite=bookworm
mirror=${RACKPLANE_DEBIAN_MIRROR:-}
disk_mib=2560

key=$(cat "$here"/image.sh "$here"/image-packages.txt "$here"/repo-packages.txt "$here"/image/* | sha256sum | cut -c1-16)
out=$cache/image-$key

names() { grep -v '^#' "$1" | tr '\n' ' '; }

# Runs a command in the root, in mount and PID namespaces of its own, so nothing it mounts or starts outlives it.
in_root() {
	local root=$1
	shift
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare --mount --pid --fork --kill-child sh -euc '
		root=$1
		shift
		mount -t proc proc "$root/proc"
		exec chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"
	' sh "$root" "$@"
}

# Writes the root file system: no identity in it, every service it does not need switched off.
build_root() {
	local root=$1
	debootstrap --variant=minbase --cache-dir="$cache/debs" "$suite" "$root" ${mirror:+"$mirror"} >&2
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod +x "$root/usr/sbin/policy-rc.d"
	printf 'Dpkg::Options {"--force-unsafe-io";};\n' >"$root/etc/apt/apt.conf.d/build"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	in_root "$root" apt-get update >&2
	# shellcheck disable=SC2046 # one word per package
	in_root "$root" apt-get install --yes --no-install-recommends $(names "$here/image-packages.txt") >&2
	in_root "$root" apt-get clean
	rm "$root/usr/sbin/policy-rc.d" "$root/etc/apt/apt.conf.d/build"
	install -m 644 "$here/image/90-rackplane.cfg" "$root/etc/cloud/cloud.cfg.d/"
	install -m 644 "$here/image/ds-identify.cfg" "$root/etc/cloud/"
	install -m 644 "$here/image/NetworkManager.conf" "$root/etc/NetworkManager/conf.d/rackplane.conf"
	install -m 644 "$here/image/sshd.conf" "$root/etc/ssh/sshd_config.d/rackplane.conf"
	local unit
	for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
		systemd-timesyncd.service getty.target console-getty.service wpa_supplicant.service \
		ModemManager.service systemd-journal-flush.service cloud-init-hotplugd.socket NetworkManager-wait-online.service; do
		ln -sf /dev/null "$root/etc/systemd/system/$unit"
	done
	rm -f "$root"/etc/ssh/ssh_host_*_key* "$root"/etc/hostname "$root"/var/lib/dbus/machine-id
	: >"$root/etc/machine-id"
}

# Downloads what the image lacks into a flat apt repository. Versions come from the mirror the root was built from.
build_repo() {
	local root=$1 repo=$2
	mkdir -p "$repo"
	# shellcheck disable=SC2046 # one word per package
	in_root "$root" apt-get install --yes --download-only --no-install-recommends $(names "$here/repo-packages.txt") >&2
	mv "$root"/var/cache/apt/archives/*.deb "$repo/"
	(cd "$repo" && dpkg-scanpackages --multiversion . /dev/null >Packages 2>/dev/null && gzip -kf Packages)
	# The rack owns this address in every network namespace it makes; see test/rack.
	echo "deb [trusted=yes] http://192.168.122.1/repo ./" >"$root/etc/apt/sources.list"
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root/etc/resolv.conf"
}

# Packs the root into a GPT disk with one ext4 partition, without mounting anything.
build_disk() {
	local root=$1 qcow=$2 raw=$2.raw
	rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/usr/share/{doc,man,locale}/* "$root"/var/log/*.log
	truncate -s "${disk_mib}M" "$raw"
	printf 'label: gpt\nstart=1MiB, size=%dMiB, type=linux, name=root\n' $((disk_mib - 2)) | sfdisk --quiet "$raw"
	mkfs.ext4 -q -F -L root -O ^has_journal -d "$root" -E offset=$((1024 * 1024)) "$raw" $(((disk_mib - 2) * 1024))k
	qemu-img convert -f raw -O qcow2 "$raw" "$qcow"
	rm "$raw"
	(cd "$(dirname "$qcow")" && sha256sum "$(basename "$qcow")" >"$(basename "$qcow").sha256")
}

mkdir -p "$cache/debs"
exec 9>"$cache/image.lock"
flock 9
if [ ! -d "$out" ]; then
	if [ -n "${RACKPLANE_OFFLINE:-}" ]; then
		echo "rack image: $out is missing; run hack/rack/image.sh where the network is reachable" >&2
		exit 1
	fi
	echo "rack image: building $out" >&2
	work=$(mktemp -d "$cache/image-build.XXXXXX")
	trap 'rm -rf --one-file-system "$work"' EXIT
	mkdir "$work/out"
	build_root "$work/root"
	build_repo "$work/root" "$work/out/repo"
	build_disk "$work/root" "$work/out/edpm.qcow2"
	mv -T "$work/out" "$out"
fi
echo "$out"
