#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Makes packages present, asking the repositories only when one is missing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_packages
short_description: Make packages present, asking the repositories only when one is missing
version_added: 0.1.0
author: Rackplane authors (@rackplane)
description:
  - A node that has every package costs one query of its package database, and no repository is asked.
  - Otherwise the index is refreshed once and the missing packages are installed together, without recommended ones.
  - Uses apt-get on Debian and Ubuntu and dnf on the EL family. Needs no Python binding of either on the node.
options:
  name:
    description: The packages.
    type: list
    elements: str
    required: true
  lock_timeout:
    description: Seconds to wait for another holder of the package database's lock, such as a first-boot update.
    type: int
    default: 300
attributes:
  check_mode:
    description: Predicts the packages; the index is not refreshed.
    support: full
  diff_mode:
    description: Lists the missing packages.
    support: full
"""

EXAMPLES = r"""
- name: Install the packages of this service
  osp.edpm.edpm_packages:
    name: [chrony, nftables]
"""

RETURN = r"""
missing:
  description: The packages that were missing, sorted.
  type: list
  elements: str
  returned: always
"""

import shutil
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils.node import one_line, text_diff

ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "LC_ALL": "C.UTF-8"}


class Apt:
    """Debian and Ubuntu."""

    def __init__(self, run, lock_timeout):
        self._run = run
        self._timeout = lock_timeout

    def missing(self, names):
        """Return the names that are not fully installed, sorted."""
        out = self._run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *names])[1]
        present = {line.split()[0] for line in out.splitlines() if line.endswith(" installed")}
        return sorted(set(names) - present)

    def install(self, names):
        """Install names; returns "" or one line that says why not."""
        refresh = self._refresh()
        code, out, err = self._run([
            "apt-get", "install", "--yes", "--no-install-recommends",
            "-o", f"DPkg::Lock::Timeout={self._timeout}", "-o", "Dpkg::Options::=--force-confdef",
            "-o", "Dpkg::Options::=--force-confold", *names])
        if code == 0:
            return ""
        return "; ".join(filter(None, [_complaints(err + "\n" + out), refresh]))

    def _refresh(self):
        """Refresh the index; the lists' lock knows no waiting in apt-get itself (apt 2.6), so it is done here."""
        deadline = time.monotonic() + self._timeout
        while True:
            code, out, err = self._run(["apt-get", "update", "-o", "APT::Update::Error-Mode=any"])
            if code == 0:
                return ""
            if "Could not get lock" not in err or time.monotonic() > deadline:
                return "apt-get update: " + _complaints(err + "\n" + out)
            time.sleep(3)


class Dnf:
    """The EL family."""

    def __init__(self, run, lock_timeout):
        self._run = run
        self._timeout = lock_timeout

    def missing(self, names):
        """Return the names that no installed package provides, sorted."""
        return sorted(name for name in set(names) if self._run(["rpm", "-q", "--whatprovides", name])[0] != 0)

    def install(self, names):
        """Install names; returns "" or one line that says why not. dnf waits for its own lock."""
        code, out, err = self._run(["dnf", "--assumeyes", "--quiet", "--setopt=install_weak_deps=False",
                                    "install", *names])
        return "" if code == 0 else one_line(err or out)


def _complaints(text):
    """Return apt's own error and warning lines as one line; all of the text when it has none."""
    lines = [line for line in text.splitlines() if line.startswith(("E:", "W:"))]
    return one_line(" ".join(lines) or text)


def _backend(module):
    def run(command):
        return module.run_command(command, environ_update=ENVIRONMENT)

    for tool, kind in (("apt-get", Apt), ("dnf", Dnf)):
        if shutil.which(tool):
            return kind(run, module.params["lock_timeout"])
    module.fail_json(msg="neither apt-get nor dnf is on the node: use Debian 12 or 13, Ubuntu 24.04 or EL 9 or 10")


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "list", "elements": "str", "required": True},
            "lock_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    names = module.params["name"]
    backend = _backend(module)
    missing = backend.missing(names) if names else []
    if missing and not module.check_mode:
        problem = backend.install(missing)
        if problem:
            module.fail_json(msg=one_line(f"cannot install {', '.join(missing)}: {problem}; check edpm_bootstrap_repos", 500),
                             missing=missing)
    module.exit_json(changed=bool(missing), missing=missing,
                     diff=text_diff("packages", None, "".join(f"{name}\n" for name in missing)))


if __name__ == "__main__":
    main()
