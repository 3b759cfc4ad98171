#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Keeps one nftables table in the kernel equal to a rules file."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_nftables
short_description: Keep one nftables table equal to a rules file, without cutting SSH
version_added: 0.1.0
author: Rackplane authors (@rackplane)
description:
  - Loads the rules into an empty network namespace first, which proves them and gives the form the kernel lists them in.
  - Compares that with the live table and loads the rules in one transaction when they differ, so a rule removed by hand comes back and other tables are never touched.
  - Refuses rules under which the run's own SSH client could not connect again.
options:
  content:
    description: The rules file's text; it must define no table but O(table).
    type: str
    required: true
  path:
    description: Where the text is kept for the next boot.
    type: path
    required: true
  table:
    description: Family and name of the table.
    type: str
    default: inet edpm
  ssh_ranges:
    description: The networks from which the rules accept SSH.
    type: list
    elements: str
    required: true
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
    path: /etc/nftables/edpm.nft
    content: "{{ lookup('ansible.builtin.template', 'edpm.nft.j2') }}"
    ssh_ranges: [192.0.2.0/24]
"""

RETURN = r"""
paths:
  description: The rules file when it changed.
  type: list
  elements: str
  returned: always
"""

import ipaddress
import os
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils.node import (
    one_line, read_text, ssh_connection, text_diff, write_text)

# In the namespace nothing else exists, so what nft lists afterwards is the wanted table and nothing more.
TRIAL = 'nft -f "$1" && nft -s list table $2'


class RulesError(Exception):
    """One line that names the variable, the cause and the remedy."""


class Firewall:
    """The kernel's side."""

    def __init__(self, module):
        self._run = module.run_command
        self._table = module.params["table"]

    def trial(self, text):
        """Return how the kernel lists the rules; raise when it refuses them."""
        path = f"/run/rackplane-trial-{os.getpid()}.nft"
        write_text(path, text, 0o600)
        try:
            code, out, err = self._run(["unshare", "--net", "sh", "-c", TRIAL, "sh", path, self._table])
        finally:
            os.unlink(path)
        if code != 0:
            raise RulesError(f"nft refuses the rules: {one_line(err or out)}; correct edpm_nftables_user_rules")
        return out

    def live(self):
        """Return how the kernel lists the live table; "" when there is none."""
        code, out, _err = self._run(["nft", "-s", "list", "table", *self._table.split()])
        return out if code == 0 else ""

    def load(self, path):
        """Load the rules in one transaction."""
        code, out, err = self._run(["nft", "-f", path])
        if code != 0:
            raise RulesError(f"nft cannot load {path}: {one_line(err or out)}")


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


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "content": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "table": {"type": "str", "default": "inet edpm"},
            "ssh_ranges": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    path, text = module.params["path"], module.params["content"]
    firewall = Firewall(module)
    try:
        require_way_back(module.params["ssh_ranges"], ssh_connection())
        if module.check_mode and not shutil.which("nft"):
            wanted, live = text, ""
        else:
            wanted, live = firewall.trial(text), firewall.live()
        before = read_text(path)
        if not module.check_mode:
            if before != text:
                write_text(path, text, 0o600)
            if wanted != live:
                firewall.load(path)
    except (RulesError, OSError, ValueError) as error:
        module.fail_json(msg=one_line(str(error), 500))
    diffs = [text_diff(path, before, text)] if before != text else []
    if wanted != live:
        diffs.append(text_diff("live table " + module.params["table"], live, wanted))
    module.exit_json(changed=bool(diffs), paths=[path] if before != text else [], diff=diffs)


if __name__ == "__main__":
    main()
