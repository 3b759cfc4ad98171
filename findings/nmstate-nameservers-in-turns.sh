#!/usr/bin/env bash
# nmstate 2.2.62: nameservers of the two families are taken in two groups, either first, but not in turns: 192.0.2.53, 2001:db8::53,
# 192.0.2.54 on an interface that has both families is "NotImplementedError: Placing IPv4/IPv6 nameserver in the middle of IPv6/IPv4
# nameservers is not supported yet". resolv.conf(5) and NetworkManager have no such rule.
# Why it matters: whoever joins the nameservers of several networks in the networks' order makes such a list as soon as a third network is
# dual stack, and every node of it fails. Group them by family, that of the first one before the other.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cargo install --quiet nmstatectl --version 2.2.62 --no-default-features --features gen_conf --locked --root "$dir"
made() { # by the order of the servers: dns lines of both families, or the error
	cat >"$dir/document.yml" <<-DOCUMENT
		dns-resolver: {config: {server: [$1]}}
		interfaces:
		- name: eth0
		  type: ethernet
		  state: up
		  ipv4: {enabled: true, dhcp: false, address: [{ip: 192.0.2.5, prefix-length: 24}]}
		  ipv6: {enabled: true, dhcp: false, autoconf: false, address: [{ip: "2001:db8::5", prefix-length: 64}]}
	DOCUMENT
	{ "$dir/bin/nmstatectl" gc -q "$dir/document.yml" 2>&1 || true; } | sed -n 's/^ *\(dns=.*\|dns-priority=.*\)/\1/p; s/.*\(NotImplementedError\).*/\1/p' | paste -sd' '
}
grouped=$(made '192.0.2.53, 192.0.2.54, "2001:db8::53"') turned=$(made '"2001:db8::53", 192.0.2.53, 192.0.2.54') mixed=$(made '192.0.2.53, "2001:db8::53", 192.0.2.54')
printf 'IPv4 first: %s\nIPv6 first: %s\nin turns:   %s\n' "$grouped" "$turned" "$mixed"
case "$grouped|$turned|$mixed" in
*dns-priority=40*dns-priority=50*"|"*dns-priority=50*dns-priority=40*"|NotImplementedError") ;;
*) echo "the behaviour is another now" >&2; exit 1 ;;
esac
