#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Makes packages present, fetched or up to date, asking the repositories only when that is needed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_packages
short_description: Make packages present, fetched or up to date
version_added: 0.1.0
author: Rackplane authors (@rackplane)
description:
  - A node that has every package costs one query of its package database, and no repository is asked.
  - Otherwise the index is refreshed once and the missing packages are installed together, without recommended ones.
  - Uses apt-get on Debian and Ubuntu and dnf on the EL family. Needs no Python binding of either on the node.
options:
  name:
    description: The packages. Without any, O(state=latest) means all that are installed; the other states then do nothing.
    type: list
    elements: str
    default: []
  state:
    description:
      - V(present) installs what is missing.
      - V(downloaded) fetches what installing the missing ones would need, so that an install later asks no repository for it.
      - V(latest) upgrades those of the packages that are installed, and removes none. The index is always refreshed.
    type: str
    choices: [present, downloaded, latest]
    default: present
  held:
    description: Shell patterns of packages that O(state=latest) leaves as they are.
    type: list
    elements: str
    default: []
  retries:
    description: How often to try again when a repository fails.
    type: int
    default: 0
  delay:
    description: Seconds between tries.
    type: int
    default: 10
  lock_timeout:
    description: Seconds to wait for another holder of the package database's lock, such as a first-boot update.
    type: int
    default: 300
attributes:
  check_mode:
    description: Predicts the packages; the index is not refreshed.
    support: full
  diff_mode:
    description: Lists the packages.
    support: full
"""

EXAMPLES = r"""
- name: Install the packages of this service
  osp.edpm.edpm_packages:
    name: [chrony, nftables]

- name: Update the node but for Open vSwitch
  osp.edpm.edpm_packages:
    state: latest
    held: [openvswitch*]
"""

RETURN = r"""
missing:
  description: The packages that were missing, or had a newer version, sorted.
  type: list
  elements: str
  returned: always
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils.node import one_line, text_diff
from ansible_collections.osp.edpm.plugins.module_utils.packages import tool_of


def persist(module, verb, *words):
    """Do the verb until it succeeds or the retries are used up; return its last answer."""
    for left in reversed(range(module.params["retries"] + 1)):
        problem = verb(*words)
        if not problem or not left:
            return problem
        time.sleep(module.params["delay"])
    return ""


def some(names):
    """Return the names as a person would say them: the first few, and how many more."""
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def present(module, tool):
    """Install what is missing; return those names and what went wrong."""
    missing = tool.missing(module.params["name"]) if module.params["name"] else []
    if not missing or module.check_mode:
        return missing, ""
    problem = persist(module, tool.install, missing)
    return missing, f"cannot install {some(missing)}: {problem}" if problem else ""


def downloaded(module, tool):
    """Fetch what is missing and not yet in the tool's cache; return those names and what went wrong."""
    missing = tool.missing(module.params["name"]) if module.params["name"] else []
    if not missing or tool.absent(missing) == []:
        return [], ""
    if module.check_mode:
        return missing, ""
    problem = persist(module, tool.download, missing)
    return missing, f"cannot download {some(missing)}: {problem}" if problem else ""


def latest(module, tool):
    """Upgrade what is old; return those names and what went wrong."""
    names, held = module.params["name"] or None, module.params["held"]
    problem = "" if module.check_mode else persist(module, tool.refresh)
    if problem:
        return [], f"cannot look for newer packages: {problem}"
    old = tool.upgrades(names, held)
    if not old or module.check_mode:
        return old, ""
    problem = persist(module, tool.upgrade, old, held)
    return old, f"cannot upgrade {some(old)}: {problem}" if problem else ""


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "choices": ["present", "downloaded", "latest"], "default": "present"},
            "held": {"type": "list", "elements": "str", "default": []},
            "retries": {"type": "int", "default": 0},
            "delay": {"type": "int", "default": 10},
            "lock_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    state = {"present": present, "downloaded": downloaded, "latest": latest}[module.params["state"]]
    names, problem = state(module, tool_of(module, module.params["lock_timeout"]))
    if problem:
        remedy = "" if "disk is full" in problem else "; check edpm_bootstrap_repos"
        module.fail_json(msg=one_line(problem, 470) + remedy, missing=names)
    module.exit_json(changed=bool(names), missing=names,
                     diff=text_diff("packages", None, "".join(f"{name}\n" for name in names)))


if __name__ == "__main__":
    main()
