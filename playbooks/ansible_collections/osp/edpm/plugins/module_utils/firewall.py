# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Firewall rules in edpm-ansible's form, {rule_name, rule: {proto, dport, ...}}, checked and written as nft rules.

Pure; filters and modules share it.
"""

from __future__ import annotations

import ipaddress
import re

# By number in the rules, as a minimal image has no /etc/protocols (IANA protocol numbers).
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "vrrp": 112, "sctp": 132}
ACTIONS = ("accept", "drop", "reject")


def rule_problems(rules, variable="edpm_nftables_user_rules"):
    """Return what is wrong with the rules, each problem one line that names the variable and the remedy."""
    problems = []
    for index, entry in enumerate(rules):
        where = f"{variable}[{index}]"
        rule = entry.get("rule") if isinstance(entry, dict) else None
        if not isinstance(rule, dict) or not entry.get("rule_name"):
            problems.append(f"{where} needs rule_name and rule: write it as rule_name: 110 name, rule: {{proto: tcp, dport: 22}}")
            continue
        problems.extend(_rule_problems(where, rule))
    return problems


def _rule_problems(where, rule):
    known = {"proto", "dport", "sport", "source", "destination", "iniface", "action"}
    for key in sorted(set(rule) - known):
        yield f"{where}.rule.{key} is not known: use {', '.join(sorted(known))}"
    if str(rule.get("proto", "tcp")) not in (*PROTOCOLS, "all"):
        yield f"{where}.rule.proto {rule['proto']!r} is not known: use one of {', '.join(PROTOCOLS)} or all"
    if str(rule.get("action", "accept")) not in ACTIONS:
        yield f"{where}.rule.action {rule['action']!r} is not known: use one of {', '.join(ACTIONS)}"
    for key in ("dport", "sport"):
        if rule.get(key) and str(rule.get("proto", "tcp")) not in ("tcp", "udp", "sctp"):
            yield f"{where}.rule.{key} needs proto tcp, udp or sctp: set it"
        for port in ports(rule.get(key)):
            if not re.match(r"^\d{1,5}(-\d{1,5})?$", port) or any(int(one) > 65535 for one in port.split("-")):
                yield f"{where}.rule.{key} {port!r} is no port or range: write it as 80 or 5900-6923"
    for key in ("source", "destination"):
        if rule.get(key) and not network_of(rule[key]):
            yield f"{where}.rule.{key} {rule[key]!r} is no network: write it as 192.0.2.0/24"


def ports(value):
    """Return ports as a list of texts; edpm-ansible takes one or many, and a:b as well as a-b."""
    if value in (None, "", []):
        return []
    return [str(one).replace(":", "-") for one in (value if isinstance(value, list) else [value])]


def nft_ssh(network, port):
    """Return the nft rule that accepts SSH from the network."""
    return f'{_match(network, "saddr")} tcp dport {port} accept comment "ssh"'


def nft_rule(entry):
    """Return one entry of edpm_nftables_user_rules as an nft rule; rule_problems has found nothing in it."""
    rule = entry["rule"]
    proto = str(rule.get("proto", "tcp"))
    words = [f'iifname "{rule["iniface"]}"'] if rule.get("iniface") else []
    words += [_match(rule[key], side) for key, side in (("source", "saddr"), ("destination", "daddr")) if rule.get(key)]
    matched = [f"{proto} {key} {{ {', '.join(ports(rule[key]))} }}" for key in ("sport", "dport") if rule.get(key)]
    if proto != "all" and not matched:
        matched = [f"meta l4proto {PROTOCOLS[proto]}"]
    name = str(entry["rule_name"]).replace('"', "")[:120]
    return " ".join([*words, *matched, str(rule.get("action", "accept")), f'comment "{name}"'])


def _match(network, side):
    family = "ip6" if network_of(network).version == 6 else "ip"
    return f"{family} {side} {network}"


def network_of(text):
    """Return the text as a network; None when it is none."""
    try:
        return ipaddress.ip_network(str(text), strict=False)
    except ValueError:
        return None
