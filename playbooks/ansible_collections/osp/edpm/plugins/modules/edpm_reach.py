#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Asks whether addresses answer, with small packets and with full ones, and whether the node knows its name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_reach
short_description: Ask whether addresses answer and whether the node knows its name
version_added: 0.2.0
author: Rackplane authors (@rackplane)
description:
  - Pings all addresses at the same time. One that answers is pinged again with a packet that fills its network's MTU and may not be split.
  - Changes nothing. All that is wrong comes in one line, each part with its remedy.
options:
  targets:
    description: What must answer.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: The address.
        type: str
        required: true
      role:
        description: What it is, for the message; such as gateway of ctlplane.
        type: str
        required: true
      mtu:
        description: The MTU of its network in bytes; 0 leaves the full packet out.
        type: int
        default: 0
  name:
    description: The node's own name; it must be known and be one of O(own). Empty leaves this out.
    type: str
    default: ""
  own:
    description: Addresses that the name may stand for.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds within which each address must have answered.
    type: int
    default: 15
attributes:
  check_mode:
    description: Does the same, as it only looks.
    support: full
  diff_mode:
    description: Nothing changes.
    support: none
"""

EXAMPLES = r"""
- name: Validate the network
  osp.edpm.edpm_reach:
    targets:
      - {address: 192.0.2.1, role: gateway of ctlplane, mtu: 1500}
    name: node0.example.com
    own: [192.0.2.10]
"""

RETURN = r"""
answered:
  description: The addresses that answered, sorted.
  type: list
  elements: str
  returned: success
"""

import concurrent.futures
import ipaddress
import socket
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils.node import one_line

# What comes in front of a ping's payload: an IP header without options and ICMP's own (RFC 791, 8200, 792, 4443).
HEADERS = {4: 28, 6: 48}


def command(address, size):
    """Return the ping command: one packet, one second; with a size, of that many bytes in all, which may not be split."""
    words = ["ping", "-n", "-c", "1", "-W", "1"]
    if size:
        words += ["-M", "do", "-s", str(size - HEADERS[ipaddress.ip_address(address).version])]
    return [*words, address]


def ping(address, size, deadline, run=subprocess.run):
    """Return "" once the address answers, or ping's reason when it has not by the deadline (of the monotonic clock)."""
    while True:
        done = run(command(address, size), capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return ""
        if time.monotonic() > deadline:
            lines = [line for line in (done.stdout + "\n" + done.stderr).splitlines() if "rror" in line or "nreachable" in line]
            return one_line(lines[0] if lines else "no answer", 120)
        time.sleep(0.2)


def examine(target, timeout):
    """Return what is wrong with the target; "" for nothing."""
    address, mtu = target["address"], target["mtu"]
    where = f"{address} ({target['role']})"
    problem = ping(address, 0, time.monotonic() + timeout)
    if problem:
        return (f"{where} does not answer within {timeout} s: {problem}: check cabling, VLAN and addresses, "
                "or take it out of edpm_nodes_validation_ping_test_ips or set edpm_nodes_validation_validate_gateway_icmp: false")
    if mtu and (problem := ping(address, mtu, time.monotonic() + min(timeout, 3))):
        return (f"{where} answers, but not to packets of {mtu} bytes: {problem}: "
                "set the network's MTU to what every switch on the way carries")
    return ""


def name_problem(name, own, resolve=socket.getaddrinfo):
    """Return what is wrong with the node's own name; "" for nothing."""
    try:
        found = sorted({entry[4][0] for entry in resolve(name, None)})
    except socket.gaierror as error:
        return f"{name} is not known on the node: {error.strerror}: run bootstrap, or mend canonical_hostname or DNS"
    if own and not set(found) & set(own):
        return f"{name} stands for {', '.join(found)} on the node, which is none of its own {', '.join(own)}: mend DNS or /etc/hosts"
    return ""


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "targets": {
                "type": "list", "elements": "dict", "default": [],
                "options": {
                    "address": {"type": "str", "required": True},
                    "role": {"type": "str", "required": True},
                    "mtu": {"type": "int", "default": 0},
                },
            },
            "name": {"type": "str", "default": ""},
            "own": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 15},
        },
        supports_check_mode=True,
    )
    targets = module.params["targets"]
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, min(len(targets), 32))) as pool:
        problems = list(pool.map(lambda target: examine(target, module.params["timeout"]), targets))
    if module.params["name"]:
        problems.append(name_problem(module.params["name"], module.params["own"]))
    problems = [problem for problem in problems if problem]
    if problems:
        module.fail_json(msg=one_line("; ".join(problems), 500))
    module.exit_json(changed=False, answered=sorted(target["address"] for target in targets))


if __name__ == "__main__":
    main()
