# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Checks of the roles' inputs, run before anything on a node is touched.

Every filter returns a list of problems, each one line that names the variable and the remedy; empty means good.
"""

from __future__ import annotations

import re

from ansible_collections.osp.edpm.plugins.module_utils.firewall import network_of, nft_rule, nft_ssh, rule_problems

KEY_TYPES = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
HOST = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$")
KNOWN_HOST = re.compile(r"^(\[[A-Za-z0-9.:-]+\]:\d+|[A-Za-z0-9.:-]+)$")
NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
SETTING = re.compile(r"^[A-Za-z0-9_]+([./][A-Za-z0-9_.:/-]+)+$")
ZONE = re.compile(r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")


def repo_problems(repos, family):
    """Check edpm_bootstrap_repos."""
    problems = []
    seen = set()
    for index, repo in enumerate(repos):
        where = f"edpm_bootstrap_repos[{index}]"
        name = str(repo.get("name", ""))
        if not NAME.match(name):
            problems.append(f"{where}.name {name!r} is no file name: use letters, digits, dots and dashes")
        if name in seen:
            problems.append(f"{where}.name {name!r} is used twice: name each repository once")
        seen.add(name)
        if not re.match(r"^(https?|file|copy|cdrom|ftp)://?\S+$", str(repo.get("url", ""))):
            problems.append(f"{where}.url {repo.get('url')!r} is no URL: set the mirror's address")
        if family == "Debian" and not repo.get("suites"):
            problems.append(f"{where}.suites is empty: set the release, such as [bookworm], or [./] for a flat repository")
        if repo.get("trusted") and repo.get("signed_by"):
            problems.append(f"{where} sets trusted and signed_by: keep the one you mean")
    return problems


def sysctl_problems(settings):
    """Check edpm_kernel_sysctl_extra_settings once flattened."""
    return [f"edpm_kernel_sysctl_extra_settings: {name!r} is no setting's name: write it as in net.ipv4.ip_forward"
            for name in sorted(settings) if not SETTING.match(name)]


def hugepage_problems(pages):
    """Check edpm_kernel_hugepages, {size in kB: {count, default}} as edpm-ansible takes it."""
    problems = []
    for size, want in sorted(pages.items(), key=lambda one: str(one[0])):
        where = f"edpm_kernel_hugepages[{size}]"
        if not re.match(r"^[1-9]\d*$", str(size)):
            problems.append(f"{where}: {size!r} is no size in kB: use 2048 or 1048576")
        if not isinstance(want, dict) or not re.match(r"^\d+$", str(want.get("count", ""))):
            problems.append(f"{where}.count is no number of pages: set it")
    if len([size for size, want in pages.items() if isinstance(want, dict) and want.get("default")]) > 1:
        problems.append("edpm_kernel_hugepages has more than one default size: keep one")
    return problems


def kernel_arguments(text, pages):
    """Return edpm_kernel_args and edpm_kernel_hugepages as a list of kernel arguments; hugepage_problems has found nothing."""
    words = str(text).split()
    default = [size for size, want in pages.items() if want.get("default")] or (list(pages) if len(pages) == 1 else [])
    words += [f"default_hugepagesz={size}k" for size in default]
    for size, want in sorted(pages.items(), key=lambda one: int(one[0])):
        words += [f"hugepagesz={size}k", f"hugepages={want['count']}"]
    return words


def ntp_problems(servers):
    """Check timesync_ntp_servers."""
    problems = []
    for index, server in enumerate(servers):
        where = f"timesync_ntp_servers[{index}]"
        if not isinstance(server, dict):
            problems.append(f"{where} is no mapping: write it as hostname: ADDRESS")
        elif not HOST.match(str(server.get("hostname", ""))):
            problems.append(f"{where}.hostname {server.get('hostname')!r} is no host name or address: correct it")
    return problems


def timezone_problems(zone):
    """Check edpm_timezone."""
    if ZONE.match(str(zone)):
        return []
    return [f"edpm_timezone {zone!r} is no time zone: use a name from timedatectl list-timezones, such as UTC"]


def range_problems(ranges):
    """Check edpm_sshd_allowed_ranges."""
    if not ranges:
        return ["edpm_sshd_allowed_ranges is empty, which would shut SSH: name the networks that may connect"]
    return [f"edpm_sshd_allowed_ranges: {text!r} is no network: write it as 192.0.2.0/24"
            for text in ranges if not network_of(text)]


def hosts_problems(address, names):
    """Check the node's own line of /etc/hosts: ctlplane_ip and canonical_hostname."""
    problems = []
    if not network_of(address) or "/" in str(address):
        problems.append(f"ctlplane_ip {address!r} is no address: give the node's control-plane address")
    problems += [f"canonical_hostname {name!r} is no host name: correct it" for name in names if not HOST.match(str(name))]
    return problems


def reach_targets(networks, gateways, addresses):
    """Return what must answer, each {address, role, mtu}, for the node's networks [name, address, prefix, mtu, gateway].

    gateways True means those of the networks. An address of one of them is also asked with packets of that network's MTU.
    """
    named = [(gateway, f"gateway of {name}") for name, _ip, _prefix, _mtu, gateway in networks if gateway]
    wanted = (named if gateways is True else [(one, "gateway") for one in gateways]) + [(one, "test address") for one in addresses]
    targets = {}
    for address, role in wanted:
        mtu = next((int(mtu) for _name, ip, prefix, mtu, _gateway in networks if inside(address, ip, prefix)), 0)
        targets.setdefault(str(address), {"address": str(address), "role": role, "mtu": mtu})
    return list(targets.values())


def inside(address, ip, prefix):
    """Report whether the address is in the network of ip/prefix."""
    network, one = network_of(f"{ip}/{prefix}"), network_of(address)
    return bool(network and one and network.version == one.version and one.subnet_of(network))


def target_problems(targets):
    """Check the addresses of edpm_nodes_validation."""
    return [f"edpm_nodes_validation: {target['role']} {target['address']!r} is no address: correct it"
            for target in targets if "/" in target["address"] or not network_of(target["address"])]


def known_host_problems(hosts):
    """Check edpm_known_hosts."""
    problems = []
    for index, host in enumerate(hosts):
        where = f"edpm_known_hosts[{index}]"
        names = host.get("names") or []
        if not names or not all(KNOWN_HOST.match(str(name)) for name in names):
            problems.append(f"{where}.names {names!r} must list host names or addresses: correct it")
        fields = str(host.get("key", "")).split()
        if len(fields) < 2 or fields[0] not in KEY_TYPES or not re.match(r"^[A-Za-z0-9+/]+=*$", fields[1]):
            problems.append(f"{where}.key is no public host key: give it as TYPE BASE64, such as ssh-ed25519 AAAA...")
    return problems


def known_host_lines(hosts):
    """Return the lines of ssh_known_hosts, sorted, so that the order of the input never shows."""
    lines = set()
    for host in hosts:
        kind, key = str(host["key"]).split()[:2]
        lines.add(",".join(sorted({str(name) for name in host["names"]})) + f" {kind} {key}")
    return sorted(lines)


def flat_settings(settings):
    """Return settings as name: value; edpm-ansible also writes them as name: {value: VALUE}."""
    return {name: value["value"] if isinstance(value, dict) and "value" in value else value
            for name, value in settings.items()}


def family(families, facts):
    """Return the data of the node's family: that of all of it, and over it what its release and distribution do otherwise.

    families has the keys Debian and RedHat (ansible_facts.os_family), and may have Debian12, Ubuntu, Ubuntu24, RedHat9...
    A node whose facts nobody has gathered yet (Ansible looks at a role's inputs before its first task) counts as Debian.
    """
    merged = {}
    major = facts.get("distribution_major_version", "")
    for name in (facts.get("os_family", "Debian"), facts.get("distribution", "Debian")):
        for key in (name, f"{name}{major}"):
            merged.update(families.get(key, {}))
    return merged


class FilterModule:
    """The filters."""

    def filters(self):
        """Return them by name."""
        return {
            "reach_targets": reach_targets,
            "repo_problems": repo_problems,
            "target_problems": target_problems,
            "sysctl_problems": sysctl_problems,
            "ntp_problems": ntp_problems,
            "timezone_problems": timezone_problems,
            "range_problems": range_problems,
            "rule_problems": rule_problems,
            "hosts_problems": hosts_problems,
            "hugepage_problems": hugepage_problems,
            "kernel_arguments": kernel_arguments,
            "known_host_problems": known_host_problems,
            "known_host_lines": known_host_lines,
            "family": family,
            "flat_settings": flat_settings,
            "nft_ssh": nft_ssh,
            "nft_rule": nft_rule,
        }
