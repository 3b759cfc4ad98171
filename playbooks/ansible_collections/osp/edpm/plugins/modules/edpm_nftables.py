#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Keeps one nftables table in the kernel equal to a rules file and to what each service adds to it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_nftables
short_description: Keep one nftables table equal to its rules, without cutting SSH
version_added: 0.1.0
author: Rackplane authors (@rackplane)
description:
  - Loads the rules into an empty network namespace first, which proves them and gives the form the kernel lists them in.
  - Compares that with the live table and loads the rules in one transaction when they differ, so a rule removed by hand comes back and other tables are never touched.
  - Refuses rules under which the run's own SSH client could not connect again.
  - With O(service) it adds one service's rules to the table. Before the table's own file was laid down (configure-os) the rules are only kept for it.
options:
  content:
    description: The rules file's text; it must define no table but inet edpm, and include what services add.
    type: str
  ssh_ranges:
    description: The networks from which O(content) accepts SSH.
    type: list
    elements: str
  service:
    description: Names the service whose O(rules) are added.
    type: str
  rules:
    description: What to let in, in the form of edpm_nftables_user_rules, action accept; none takes the service's rules away.
    type: list
    elements: dict
    default: []
  variable:
    description: The variable to name when the rules are refused.
    type: str
    default: edpm_nftables_user_rules
attributes:
  check_mode:
    description: Predicts the change; needs nft on the node to compare with the live table.
    support: full
  diff_mode:
    description: Shows the live table before and after.
    support: full
"""

EXAMPLES = r"""
- name: Load the firewall
  osp.edpm.edpm_nftables:
    content: "{{ lookup('ansible.builtin.template', 'edpm.nft.j2') }}"
    ssh_ranges: [192.0.2.0/24]

- name: Let the tunnels in
  osp.edpm.edpm_nftables:
    service: ovn
    rules:
      - rule_name: 118 tunnels
        rule: {proto: udp, dport: [4789, 6081]}
"""

RETURN = r"""
paths:
  description: The rules file when it changed.
  type: list
  elements: str
  returned: always
"""

import glob
import ipaddress
import os
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils.firewall import nft_rule, rule_problems
from ansible_collections.osp.edpm.plugins.module_utils.node import (
    one_line, read_text, ssh_connection, text_diff, write_text)

TABLE = ("inet", "edpm")
RULES = "/etc/nftables/edpm.nft"
# The rules file has this line in its chain; nft takes a pattern that matches nothing as nothing (nft(8), INCLUDE).
INCLUDE = 'include "/etc/nftables/edpm.d/*.nft"'
SNIPPETS = "/etc/nftables/edpm.d"
# In the namespace nothing else exists, so what nft lists afterwards is the wanted table and nothing more.
TRIAL = 'nft -f "$1" && nft -s list table $2'


class RulesError(Exception):
    """One line that names the variable, the cause and the remedy."""


class Firewall:
    """The kernel's side."""

    def __init__(self, module):
        self._run = module.run_command
        self._variable = module.params["variable"]

    def trial(self, text):
        """Return how the kernel lists the rules; raise when it refuses them."""
        path = f"/run/rackplane-trial-{os.getpid()}.nft"
        write_text(path, text, 0o600)
        try:
            code, out, err = self._run(["unshare", "--net", "sh", "-c", TRIAL, "sh", path, " ".join(TABLE)])
        finally:
            os.unlink(path)
        if code != 0:
            raise RulesError(f"nft refuses the rules: {one_line(err or out)}; correct {self._variable}")
        return out

    def live(self):
        """Return how the kernel lists the live table; "" when there is none."""
        code, out, _err = self._run(["nft", "-s", "list", "table", *TABLE])
        return out if code == 0 else ""

    def load(self):
        """Load the rules in one transaction."""
        code, out, err = self._run(["nft", "-f", RULES])
        if code != 0:
            raise RulesError(f"nft cannot load {RULES}: {one_line(err or out)}")


def require_way_back(ranges, connection):
    """Raise when the SSH client this run serves is outside the ranges; a local run has none."""
    if connection is None:
        return
    client = ipaddress.ip_address(connection[0].partition("%")[0])
    client = getattr(client, "ipv4_mapped", None) or client
    networks = [ipaddress.ip_network(text, strict=False) for text in ranges]
    if not any(client in network for network in networks if network.version == client.version):
        raise RulesError(f"edpm_sshd_allowed_ranges {ranges} leaves out {client}, from which this run connects: "
                         "add it, or the node could not be reached again")


def snippet_of(rules, variable):
    """Return the rules as nft's lines, None for no rules; raise on a rule that is wrong or does more than let in."""
    problems = rule_problems(rules, variable)
    problems += [f"{variable}[{index}].rule.action must be accept: a service only opens its own ports"
                 for index, entry in enumerate(rules) if not problems and entry["rule"].get("action", "accept") != "accept"]
    if problems:
        raise RulesError("; ".join(problems))
    return "".join(f"{line}\n" for line in ["# Written by osp.edpm.", *map(nft_rule, rules)]) if rules else None


def composed(rules, snippets):
    """Return the rules file's text with the services' texts, by path, where it includes them."""
    return rules.replace(INCLUDE, "\n".join(text for _path, text in sorted(snippets.items()) if text))


class Change:
    """The file this run is about, and the rules as they would be with it."""

    def __init__(self, params):
        service, self.text = params["service"], params["content"]
        self.path = RULES
        snippets = {path: read_text(path) for path in glob.glob(f"{SNIPPETS}/*.nft")}
        rules = self.text
        if service:
            self.path, self.text = f"{SNIPPETS}/{service}.nft", snippet_of(params["rules"], params["variable"])
            snippets[self.path] = self.text
            rules = read_text(RULES)
        self.before = read_text(self.path)
        self.rules = composed(rules, snippets) if rules is not None else None

    def write(self):
        """Make the file as wanted."""
        if self.text is not None:
            write_text(self.path, self.text, 0o600)
        elif self.before is not None:
            os.unlink(self.path)


def compare(change, firewall, module):
    """Return how the kernel lists the wanted rules and the live ones; two equals when only the file counts for now."""
    service = module.params["service"]
    if change.rules is None:
        return "", ""
    if not shutil.which("nft"):
        if not service and not module.check_mode:
            raise RulesError("nft is not on the node: run the service that installs it first (install-os)")
        return ("", "") if service else (change.rules, "")
    wanted, live = firewall.trial(change.rules), firewall.live()
    if service and not live:
        return "", ""  # To load the table at all is configure-os's, which asks first whether SSH survives it.
    return wanted, live


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "content": {"type": "str"},
            "ssh_ranges": {"type": "list", "elements": "str"},
            "service": {"type": "str"},
            "rules": {"type": "list", "elements": "dict", "default": []},
            "variable": {"type": "str", "default": "edpm_nftables_user_rules"},
        },
        required_one_of=[("content", "service")],
        mutually_exclusive=[("content", "service")],
        required_by={"content": "ssh_ranges"},
        supports_check_mode=True,
    )
    firewall = Firewall(module)
    try:
        if module.params["content"] is not None:
            require_way_back(module.params["ssh_ranges"], ssh_connection())
        change = Change(module.params)
        wanted, live = compare(change, firewall, module)
        if not module.check_mode:
            if change.before != change.text:
                change.write()
            if wanted != live:
                firewall.load()
    except (RulesError, OSError, ValueError) as error:
        module.fail_json(msg=one_line(str(error), 500))
    diffs = [text_diff(change.path, change.before, change.text)] if change.before != change.text else []
    if wanted != live:
        diffs.append(text_diff("live table " + " ".join(TABLE), live, wanted))
    module.exit_json(changed=bool(diffs), paths=[change.path] if change.before != change.text else [], diff=diffs)


if __name__ == "__main__":
    main()
