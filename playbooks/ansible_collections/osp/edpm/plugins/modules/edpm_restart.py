#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Restarts units that run what a package no longer holds."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_restart
short_description: Restart units that run what a package no longer holds
version_added: 0.2.0
author: Rackplane authors (@rackplane)
description:
  - Restarts each running unit that was started before the package that brings it was unpacked.
  - A unit that does not run, or that its package restarted itself, is left alone.
options:
  units:
    description: Names of the units; .service may be left out.
    type: list
    elements: str
    required: true
  upgraded:
    description: Packages that this run upgrades; a check run counts their units as outdated.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Predicts the restarts.
    support: full
  diff_mode:
    description: Lists the restarts.
    support: full
"""

EXAMPLES = r"""
- name: Run what was upgraded
  osp.edpm.edpm_restart:
    units: [chrony, rsyslog]
"""

RETURN = r"""
restarted:
  description: The units that were restarted, sorted.
  type: list
  elements: str
  returned: always
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils.node import one_line, text_diff
from ansible_collections.osp.edpm.plugins.module_utils.packages import tool_of


def outdated(began, package, installed_at, upgraded):
    """Report whether a unit that runs since began (None: does not) is older than its package, or will be."""
    return began is not None and package != "" and (installed_at(package) > began or package in upgraded)


def clock(monotonic_microseconds, now=None):
    """Return systemd's monotonic stamp as seconds since 1970; None for a unit that never ran."""
    if not int(monotonic_microseconds or 0):
        return None
    passed = time.clock_gettime(time.CLOCK_MONOTONIC) - int(monotonic_microseconds) / 1e6
    return (time.time() if now is None else now) - passed


def look(module, name):
    """Return since when the unit runs, in seconds since 1970 (None when it does not), and the path of its file."""
    out = module.run_command(["systemctl", "show", "--property", "ActiveState,ActiveEnterTimestampMonotonic,FragmentPath", name])[1]
    fields = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    runs = fields.get("ActiveState") == "active"
    return clock(fields.get("ActiveEnterTimestampMonotonic")) if runs else None, fields.get("FragmentPath", "")


def find(module):
    """Return the names of the outdated units, sorted."""
    tool = tool_of(module)
    upgraded = module.params["upgraded"] if module.check_mode else []
    found = []
    for name in sorted(set(module.params["units"])):
        began, path = look(module, name)
        if path and outdated(began, tool.owner(path), tool.installed_at, upgraded):
            found.append(name)
    return found


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "str", "required": True},
            "upgraded": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    old = find(module)
    for name in [] if module.check_mode else old:
        code, out, err = module.run_command(["systemctl", "restart", name])
        if code != 0:
            module.fail_json(msg=f"systemctl restart {name} failed after its packages were upgraded: {one_line(err or out)}; "
                                 f"see journalctl -u {name} on the node")
    module.exit_json(changed=bool(old), restarted=old, diff=text_diff("units", None, "".join(f"restart {name}\n" for name in old)))


if __name__ == "__main__":
    main()
