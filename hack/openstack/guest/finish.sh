#!/usr/bin/env bash
# Runs in the new root: makes a guest of Debian's kernel and busybox. /product is what is kept: kernel and initrd.
set -euo pipefail

kernel=$(basename /lib/modules/*)
modules=/lib/modules/$kernel
tree=/tmp/guest
mkdir -p /product "$tree"/{bin,dev,modules,proc,sys}
cp /bin/busybox "$tree/bin/"
chroot "$tree" /bin/busybox --install -s /bin
install -m 755 /finish/finish-init "$tree/init"
install -m 755 /finish/finish-dhcp "$tree/dhcp"

# Drivers in the order they load; one that is built into the kernel has no file.
for module in virtio_pci virtio_net af_packet; do
	modprobe --set-version "$kernel" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' | while read -r file; do
	name=$(basename "$file" .xz)
	case $file in
	*.xz) xz --decompress --stdout "$file" >"$tree/modules/$name" ;;
	*) cp "$file" "$tree/modules/$name" ;;
	esac
	echo "$name" >>"$tree/modules/order"
done

(cd "$tree" && find . | cpio --quiet -o -H newc | gzip -9) >/product/initrd
cp "/boot/vmlinuz-$kernel" /product/vmlinuz
