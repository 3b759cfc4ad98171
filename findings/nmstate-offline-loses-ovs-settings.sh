#!/usr/bin/env bash
# nmstatectl 2.2.62 gc (network state to NetworkManager profiles, without a node): the settings of Open vSwitch itself, top-level ovs-db, and
# OVN's bridge mappings, top-level ovn, are parsed (a misspelt key in them is refused) and then left out of the result without a word:
# exit 0, nothing on stderr, while the bridge and the DPDK port beside them become profiles.
# Why it matters: an image or a first boot made from gc's output has a userspace bridge whose Open vSwitch never initialises DPDK, so its
# ports stay down, and no bridge mapping. nmstatectl apply writes both. Give them to ovs-vsctl where gc's files are used.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cargo install --quiet nmstatectl --version 2.2.62 --no-default-features --features gen_conf --locked --root "$dir"
document() {
	cat <<-DOCUMENT
		ovs-db: {$1: {dpdk-init: "true", pmd-cpu-mask: "0x6"}}
		ovn: {bridge-mappings: [{localnet: physnet1, bridge: br-link}]}
		interfaces:
		- {name: br-link, type: ovs-bridge, state: up, bridge: {options: {datapath: netdev}, port: [{name: dpdk0}]}}
		- {name: dpdk0, type: ovs-interface, state: up, dpdk: {devargs: "0000:18:00.2"}}
	DOCUMENT
}
document other_config >"$dir/document.yml"
document other-configs >"$dir/misspelt.yml"
files=$("$dir/bin/nmstatectl" gc "$dir/document.yml" 2>"$dir/said")
warned=$(grep -ciE 'ovs-db|ovsdb|ovn|dpdk-init|physnet' "$dir/said" || true)
kept=$(grep -cE 'dpdk-init|pmd-cpu-mask|physnet1' <<<"$files" || true)
bridge=$(grep -c 'datapath-type=netdev' <<<"$files" || true)
misspelt=taken
"$dir/bin/nmstatectl" gc -q "$dir/misspelt.yml" >/dev/null 2>&1 || misspelt=refused
printf 'bridge made: %s, settings in the files: %s, words about them: %s, a misspelt key is %s\n' "$bridge" "$kept" "$warned" "$misspelt"
[ "$bridge/$kept/$warned/$misspelt" = "1/0/0/refused" ] || { echo "the behaviour is another now" >&2; exit 1; }
