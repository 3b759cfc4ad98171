#!/usr/bin/env bash
# Usage: image.sh [PROFILE]    a profile is a folder in image/: base (the default) or compute
# Builds the node image of the profile once and prints its directory:
#   edpm.qcow2, edpm.qcow2.sha256, repo/
# base is small: the simulated rack's ordinary hosts run it, and it takes packages from the rack's own repository.
# compute is for real servers: a kernel, a UEFI boot loader, all packages of the default services, Debian's sources.
# The directory's name is a hash of everything that shapes its contents, so an existing one is never stale.
# A build appears by one rename; builders take turns on a lock. Downloaded packages are kept for the next one.
#   RACKPLANE_CACHE           where to keep it
#   RACKPLANE_OFFLINE         when set, fail instead of building
#   RACKPLANE_DEBIAN_MIRROR   Debian mirror to build from and, with its sibling MIRROR-security, to name in the compute
#                             image; debootstrap's default when empty
#   RACKPLANE_IMAGE_PACKAGES  more packages for the compute image, such as a network card's firmware
set -euo pipefail
umask 022

profile=${1:-base}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${RACKPLANE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rackplane}/rack
suite=trixie
mirror=${RACKPLANE_DEBIAN_MIRROR:-}
extra=
case $profile in
base) root_mib=2560 esp_mib=0 features=^has_journal ;;
compute) root_mib=6144 esp_mib=64 features=has_journal extra=${RACKPLANE_IMAGE_PACKAGES:-} ;;
*)
	echo "rack image: no profile $profile: use base or compute" >&2
	exit 2
	;;
esac

key=$(cd "$here" && (find image.sh image/common "image/$profile" -type f | LC_ALL=C sort | xargs sha256sum && echo "$mirror $extra") | sha256sum | cut -c1-16)
out=$cache/image-$profile-$key

# Prints the names in the profile's lists of one kind.
names() { cat "$here/image/common/$1" "$here/image/$profile/$1" 2>/dev/null | grep -v '^#' | tr '\n' ' ' || true; }

# Runs a command in the root, in mount and PID namespaces of its own, so nothing it mounts or starts outlives it.
in_root() {
	local root=$1
	shift
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare --mount --pid --fork --kill-child sh -euc '
		root=$1 debs=$2
		shift 2
		mount -t proc proc "$root/proc"
		mount -t tmpfs -o mode=755 tmpfs "$root/run"
		mount -t tmpfs tmpfs "$root/tmp"
		mount --bind "$debs" "$root/var/cache/apt/archives"
		exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
	' sh "$root" "$cache/debs" "$@"
}

install_packages() {
	local root=$1
	shift
	in_root "$root" apt-get install --yes --no-install-recommends "$@" >&2
}

# Prints the units that the root starts by itself, sorted.
enabled_units() {
	in_root "$1" systemctl --root=/ list-unit-files --state=enabled --plain --no-legend | awk '{print $1}' | LC_ALL=C sort
}

# Writes the root file system: no identity in it, every service it does not need switched off.
build_root() {
	local root=$1
	mkdir -p "$cache/bootstrap-debs" "$cache/debs/partial"
	# It mounts /proc in the root; in namespaces of its own that ends with it, even when it is killed.
	unshare --mount --pid --fork --kill-child --mount-proc \
		debootstrap --variant=minbase --cache-dir="$cache/bootstrap-debs" "$suite" "$root" ${mirror:+"$mirror"} >&2
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod +x "$root/usr/sbin/policy-rc.d"
	printf 'Dpkg::Options {"--force-unsafe-io";};\nAcquire::Languages "none";\n' >"$root/etc/apt/apt.conf.d/90build"
	cp -r --no-target-directory "$here/image/common/root" "$root"
	[ ! -d "$here/image/$profile/root" ] || cp -r --no-target-directory "$here/image/$profile/root" "$root"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	debian_sources "$root"
	in_root "$root" apt-get update >&2
	# shellcheck disable=SC2046,SC2086 # one word per package
	"install_$profile" "$root" $(names packages.txt) $extra
	local unit
	for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
		systemd-timesyncd.service wpa_supplicant.service ModemManager.service cloud-init-hotplugd.socket; do
		ln -sf /dev/null "$root/etc/systemd/system/$unit"
	done
}

# Names all suites of the mirror that debootstrap has used.
debian_sources() {
	local root=$1 url
	url=$(awk '/^deb / {print $2; exit}' "$root/etc/apt/sources.list")
	printf 'deb %s %s main non-free-firmware\n' "$url" "$suite" "$url" "$suite-updates" "${url%/}-security" "$suite-security" \
		>"$root/etc/apt/sources.list"
}

# Keeps the root small and its boot short: what runs from it is a container, for minutes.
install_base() {
	local root=$1 unit
	install_packages "$@"
	for unit in getty.target console-getty.service systemd-journal-flush.service NetworkManager-wait-online.service; do
		ln -sf /dev/null "$root/etc/systemd/system/$unit"
	done
}

# Installs everything, and leaves it to the roles what of it runs.
install_compute() {
	local root=$1 before unit
	printf 'grub-efi-amd64 grub2/%s boolean %s\n' force_efi_extra_removable true update_nvram false |
		in_root "$root" debconf-set-selections
	# shellcheck disable=SC2046 # one word per package
	install_packages "$root" $(grep -v '^#' "$here/image/common/packages.txt")
	before=$(enabled_units "$root")
	install_packages "$@"
	for unit in $(enabled_units "$root" | comm -13 <(echo "$before") - | grep -vxFf "$here/image/compute/enabled.txt"); do
		in_root "$root" systemctl --root=/ disable "$unit" >&2
	done
}

# Downloads what the image lacks into a flat apt repository. Versions come from the mirror the root was built from.
build_repo() {
	local root=$1 repo=$2 wanted file
	mkdir -p "$repo"
	wanted=$(names repo.txt)
	if [ -n "$wanted" ]; then
		# shellcheck disable=SC2086 # one word per package
		in_root "$root" apt-get install --yes --download-only --no-install-recommends $wanted >&2
		# shellcheck disable=SC2086 # one word per package
		for file in $(in_root "$root" apt-get install --print-uris --quiet=2 --no-install-recommends \
			-o Dir::Cache::archives=/tmp/ $wanted | awk '{print $2}'); do
			cp "$cache/debs/$file" "$repo/"
		done
		# The rack owns this address in every network namespace it makes; see test/rack.
		echo "deb [trusted=yes] http://192.168.122.1/repo ./" >"$root/etc/apt/sources.list"
	fi
	(cd "$repo" && dpkg-scanpackages --multiversion . /dev/null >Packages 2>/dev/null && gzip -kf Packages)
}

# Removes what must differ between the hosts that are made from the image, and what only the build needed.
# Whatever is removed here is made anew by its owner at the first start.
clean_root() {
	local root=$1
	rm -rf "$root/usr/sbin/policy-rc.d" "$root/etc/apt/apt.conf.d/90build" "$root/etc/resolv.conf" "$root/etc/hostname" \
		"$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/usr/share/{man,locale}/* "$root"/var/log/*.log \
		"$root"/etc/ssh/ssh_host_*_key* "$root"/var/lib/dbus/machine-id "$root"/var/lib/systemd/{random-seed,credential.secret} \
		"$root"/etc/nvme/host{nqn,id} "$root"/etc/openvswitch/system-id.conf "$root"/var/lib/openvswitch/conf.db \
		"$root"/var/lib/nova/compute_id
	# open-iscsi gives the host its name when the daemon starts for the first time, and only when the file says so.
	[ ! -d "$root/etc/iscsi" ] || echo GenerateName=yes >"$root/etc/iscsi/initiatorname.iscsi"
	find "$root/usr/share/doc" -mindepth 2 ! -type d ! -name copyright -delete
	: >"$root/etc/machine-id"
	# Caches of what is in /usr are fresh; older than /usr these stamps would have the first boot build them again.
	touch "$root/etc/.updated" "$root/var/.updated"
}

# Writes what the firmware starts: Debian's signed shim and GRUB, which find the root by its UUID.
build_esp() {
	local root=$1 esp=$2 uuid=$3
	local signed=$root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed shim=$root/usr/lib/shim dir
	printf 'UUID=%s / ext4 errors=remount-ro 0 1\nLABEL=ESP /boot/efi vfat umask=0077,nofail 0 1\n' "$uuid" >"$root/etc/fstab"
	mkdir -p "$root/boot/efi" "$root/boot/grub"
	printf 'set timeout=2\nmenuentry Debian {\n\tlinux /vmlinuz root=UUID=%s ro console=tty0 console=ttyS0,115200\n\tinitrd /initrd.img\n}\n' \
		"$uuid" >"$root/boot/grub/grub.cfg"
	printf 'search --no-floppy --fs-uuid --set=root %s\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n' "$uuid" >"$esp.cfg"
	mkfs.vfat -n ESP -C "$esp" $((esp_mib * 1024)) >&2
	mmd -i "$esp" ::EFI ::EFI/BOOT ::EFI/debian
	# The signed GRUB looks for its configuration in EFI/debian. The other folder is for firmware without boot entries.
	mcopy -i "$esp" "$esp.cfg" ::EFI/debian/grub.cfg
	for dir in BOOT debian; do
		mcopy -i "$esp" "$signed" ::EFI/$dir/grubx64.efi
		mcopy -i "$esp" "$shim/mmx64.efi.signed" ::EFI/$dir/mmx64.efi
	done
	mcopy -i "$esp" "$shim/shimx64.efi.signed" ::EFI/BOOT/BOOTX64.EFI
	mcopy -i "$esp" "$shim/shimx64.efi.signed" ::EFI/debian/shimx64.efi
}

# Packs the root into a GPT disk, an EFI system partition before it where the profile has one, without mounting anything.
build_disk() {
	local root=$1 qcow=$2 raw=$2.raw uuid
	uuid=$(cat /proc/sys/kernel/random/uuid)
	truncate -s $((1 + esp_mib + root_mib + 1))M "$raw"
	{
		echo 'label: gpt'
		[ "$esp_mib" = 0 ] || echo "start=1MiB, size=${esp_mib}MiB, type=uefi, name=ESP"
		echo "start=$((1 + esp_mib))MiB, size=${root_mib}MiB, type=linux, name=root"
	} | sfdisk --quiet "$raw"
	if [ "$esp_mib" != 0 ]; then
		build_esp "$root" "$qcow.esp" "$uuid"
		dd if="$qcow.esp" of="$raw" bs=1M seek=1 conv=notrunc,sparse status=none
		rm "$qcow.esp" "$qcow.esp.cfg"
	fi
	mkfs.ext4 -q -F -L root -U "$uuid" -O "$features" -d "$root" -E offset=$(((1 + esp_mib) * 1024 * 1024)) "$raw" $((root_mib * 1024))k
	qemu-img convert -c -f raw -O qcow2 -o compression_type=zstd "$raw" "$qcow"
	rm "$raw"
	(cd "$(dirname "$qcow")" && sha256sum "$(basename "$qcow")" >"$(basename "$qcow").sha256")
}

if [ ! -d "$out" ]; then
	if [ -n "${RACKPLANE_OFFLINE:-}" ]; then
		echo "rack image: $out is missing; run hack/rack/image.sh $profile where the network is reachable" >&2
		exit 1
	fi
	mkdir -p "$cache"
	exec 9>"$cache/image.lock"
	flock 9
fi
if [ ! -d "$out" ]; then
	echo "rack image: building $out" >&2
	work=$(mktemp -d "$cache/image-build.XXXXXX")
	trap 'rm -rf --one-file-system "$work"' EXIT
	mkdir "$work/out"
	build_root "$work/root"
	build_repo "$work/root" "$work/out/repo"
	clean_root "$work/root"
	build_disk "$work/root" "$work/out/edpm.qcow2"
	mv -T "$work/out" "$out"
fi
echo "$out"
