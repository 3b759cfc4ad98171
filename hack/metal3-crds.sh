#!/usr/bin/env bash
# Generates the CRDs of the Metal3 kinds Rackplane reads and writes, from Metal3's own Go types at the version
# in go.mod: the published module ships types only. Usage: metal3-crds.sh CONTROLLER_GEN PACKAGE
set -euo pipefail
cd "$(dirname "$0")/.."
generator=$1 package=$2 out=config/crd/metal3
all=$(mktemp -d)
trap 'rm -rf "$all"' EXIT
"$generator" crd:allowDangerousTypes=true "paths=$package" "output:crd:dir=$all"
for kind in baremetalhosts hardwaredata hostfirmwaresettings; do
	cp "$all/metal3.io_$kind.yaml" "$out/"
done
