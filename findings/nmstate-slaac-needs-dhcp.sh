#!/usr/bin/env bash
# nmstate 2.2.62: an interface with ipv6 enabled, autoconf: true and dhcp: false, which the API documents as two switches of their own, is
# refused: "NotImplementedError: Autoconf without DHCP is not supported yet". dhcp: true with autoconf: false is taken (method=dhcp).
# So SLAAC alone cannot be asked for: autoconf: true needs dhcp: true beside it, and becomes NetworkManager's method=auto, where what
# routers announce decides whether DHCPv6 is asked. A NetworkManager keyfile has no such limit.
# Why it matters: networks whose routers announce prefixes and nobody serves DHCPv6 (BGP uplinks, most IPv6 fabrics) look as if nmstate
# could not have them, and a document that is checked by its schema alone fails on the node.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cargo install --quiet nmstatectl --version 2.2.62 --no-default-features --features gen_conf --locked --root "$dir"
made() { # of the interface's ipv6 section: the method, or the error
	echo "{interfaces: [{name: eth0, type: ethernet, state: up, ipv6: {enabled: true, $1}}]}" >"$dir/document.yml"
	{ "$dir/bin/nmstatectl" gc -q "$dir/document.yml" 2>&1 || true; } | sed -n '/\[ipv6\]/,$s/.*\(method=.*\)/\1/p; s/.*\(NotImplementedError.*\)/\1/p'
}
slaac=$(made "autoconf: true, dhcp: false") both=$(made "autoconf: true, dhcp: true") dhcp=$(made "autoconf: false, dhcp: true")
printf 'autoconf alone: %s\nboth:           %s\ndhcp alone:     %s\n' "$slaac" "$both" "$dhcp"
[ "$slaac/$both/$dhcp" = "NotImplementedError: Autoconf without DHCP is not supported yet/method=auto/method=dhcp" ] || { echo "the behaviour is another now" >&2; exit 1; }
