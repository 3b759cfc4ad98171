#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Decides whether a node is to be rebooted."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_reboot
short_description: Decide whether a node is to be rebooted
version_added: 0.2.0
author: Rackplane authors (@rackplane)
description:
  - Finds out whether a reboot is due (a newer kernel is installed, packages ask for it, a flag below C(/var/lib/openstack/reboot_required) does) and whether the strategy allows it.
  - Reboots nothing itself and changes nothing.
options:
  strategy:
    description:
      - V(auto) allows the reboot of a node on which no nova-compute has run yet, V(force) that of any node, V(never) none.
    type: str
    choices: [auto, force, never]
    default: auto
attributes:
  check_mode:
    description: Decides the same.
    support: full
  diff_mode:
    description: Nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Find out whether a reboot is due
  osp.edpm.edpm_reboot:
    strategy: auto
  register: edpm_reboot_found
"""

RETURN = r"""
reasons:
  description: Why a reboot is due, one line each; none when it is not.
  type: list
  elements: str
  returned: always
reboot:
  description: Whether the node is to be rebooted now.
  type: bool
  returned: always
flags:
  description: The flags among the reasons, by path.
  type: list
  elements: str
  returned: always
notice:
  description: That a reboot is due and not done, and what to do; empty otherwise.
  type: str
  returned: always
"""

import glob

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils.boot import FLAGS, flags, reasons

# Any of these says that a nova-compute has run: Nova's own files, or those of edpm-ansible's containers.
COMPUTE = ("/var/lib/nova/compute_id", "/var/lib/nova/instances/*", "/var/lib/openstack/nova", "/run/libvirt/qemu/*.pid")


def decide(strategy, found, compute):
    """Return whether to reboot, and what to tell when a reboot is due and not done."""
    if not found or strategy == "force" or (strategy == "auto" and not compute):
        return bool(found), ""
    why = "edpm_reboot_strategy is never" if strategy == "never" else "the node is a compute, which is not rebooted unasked"
    return False, (f"a reboot is due ({'; '.join(found)}), but {why}: move its servers away, "
                   "and run this service with edpm_reboot_strategy: force")


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"strategy": {"type": "str", "choices": ["auto", "force", "never"], "default": "auto"}},
        supports_check_mode=True,
    )
    found = reasons()
    compute = any(glob.glob(pattern) for pattern in COMPUTE)
    reboot, notice = decide(module.params["strategy"], found, compute)
    if notice:
        module.warn(notice)
    module.exit_json(changed=False, reasons=found, reboot=reboot, flags=sorted(flags()), notice=notice)


if __name__ == "__main__":
    main()
