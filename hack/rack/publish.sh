#!/usr/bin/env bash
# Builds the compute image where it is not built yet, adds the raw form to it, and says how a NodeSet names them.
#   edpm.qcow2, edpm.raw, and for each the checksum in a file that ends in .sha256
# The settings of image.sh apply.
set -euo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$("$here/image.sh" compute)
exec 9<"$out"
flock 9
cd "$out"
if [ ! -e edpm.raw.sha256 ]; then
	echo "rack image: writing $out/edpm.raw" >&2
	qemu-img convert -f qcow2 -O raw edpm.qcow2 edpm.raw
	sha256sum edpm.raw >edpm.raw.new
	mv edpm.raw.new edpm.raw.sha256
fi
cat <<END
$out
$(du --apparent-size -h edpm.qcow2 edpm.raw | awk '{printf "  %-12s%s\n", $2, $1}')
Serve that directory over HTTP where the servers reach it, and write into the NodeSet:
  spec:
    image:
      url: http://WEB-SERVER/edpm.qcow2
      checksum: $(cut -d' ' -f1 edpm.qcow2.sha256)
or, for a deploy agent that writes the image to the disk as it arrives:
      url: http://WEB-SERVER/edpm.raw
      checksum: $(cut -d' ' -f1 edpm.raw.sha256)
      format: raw
END
