#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Keeps a tuned profile active."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_tuned
short_description: Keep a tuned profile active
version_added: 0.2.0
author: Rackplane authors (@rackplane)
description:
  - Writes the profile's isolated cores, makes tuned active with the profile, and asks for a reboot while the running kernel lacks arguments that the profile adds.
options:
  profile:
    description: Name of the profile; it must be on the node.
    type: str
    required: true
  isolated_cores:
    description: Cores that the profile keeps free of other work, such as 2-19,22; empty leaves the profile's own.
    type: str
    default: ""
attributes:
  check_mode:
    description: Predicts the changes.
    support: full
  diff_mode:
    description: Shows the files and the profile.
    support: full
"""

EXAMPLES = r"""
- name: Tune the node
  osp.edpm.edpm_tuned:
    profile: cpu-partitioning
    isolated_cores: 2-19
"""

RETURN = r"""
active:
  description: The profile that was active before.
  type: str
  returned: always
"""

import glob
import os
import re
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils.boot import FLAGS, cmdline, in_container, lacking
from ansible_collections.osp.edpm.plugins.module_utils.node import is_newer, one_line, read_text, replace_text, text_diff

FLAG = f"{FLAGS}/edpm_tuned"
ACTIVE = "/etc/tuned/active_profile"
BOOT = "/etc/tuned/bootcmdline"
PROFILES = ("/etc/tuned", "/etc/tuned/profiles", "/usr/lib/tuned", "/usr/lib/tuned/profiles")


class TunedError(Exception):
    """One line that names the variable, the cause and the remedy."""


def profiles(folders=PROFILES):
    """Return the names of the profiles on the node, sorted."""
    return sorted({os.path.basename(os.path.dirname(path)) for folder in folders for path in glob.glob(f"{folder}/*/tuned.conf")})


def variables(profile, cores):
    """Return the file of the profile's variables and its text; (None, None) when cores are left to the profile."""
    if not cores:
        return None, None
    return f"/etc/tuned/{profile}-variables.conf", f"# Written by osp.edpm.\nisolated_cores={cores}\n"


def boot_arguments(text):
    """Return the kernel arguments that tuned wrote for the next boot."""
    found = re.search(r'^TUNED_BOOT_CMDLINE="?([^"\n]*)', text or "", re.MULTILINE)
    return found.group(1).split() if found else []


class Job:
    """One run."""

    def __init__(self, module):
        self._module = module
        self._check = module.check_mode
        self.diffs = []
        self.active = (read_text(ACTIVE) or "").strip()

    def run(self):
        """Activate the profile where it is not active with its variables, then set the flag."""
        profile = self._module.params["profile"]
        if not shutil.which("tuned-adm") and self._check:
            self.diffs.append(text_diff(ACTIVE, None, f"{profile}\n"))
            return
        if profile not in profiles():
            raise TunedError(f"edpm_tuned_profile {profile!r} is not on the node: install the package that brings it, "
                             f"or use one of {', '.join(profiles())}")
        if self._variables(profile) or self.active != profile or not self._runs():
            self.diffs.append(text_diff(ACTIVE, f"{self.active}\n", f"{profile}\n"))
            self._do("systemctl", "enable", "--now", "--quiet", "tuned")
            self._do("tuned-adm", "profile", profile)
        waiting = [] if in_container() else lacking(boot_arguments(read_text(BOOT)), cmdline())
        replace_text(self._module, self.diffs, FLAG, f"the kernel runs without tuned's {' '.join(waiting)}\n" if waiting else None)

    def _variables(self, profile):
        """Write the profile's variables. Report whether tuned has to read them, which writes ACTIVE anew whenever it takes a profile."""
        path, text = variables(profile, self._module.params["isolated_cores"])
        return path is not None and (replace_text(self._module, self.diffs, path, text) or is_newer(path, ACTIVE))

    def _runs(self):
        return self._module.run_command(["systemctl", "is-active", "--quiet", "tuned"])[0] == 0

    def _do(self, *words):
        if self._check:
            return
        code, out, err = self._module.run_command(list(words))
        if code != 0:
            raise TunedError(f"{' '.join(words)} failed: {one_line(err or out)}; see journalctl -u tuned on the node")


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "profile": {"type": "str", "required": True},
            "isolated_cores": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    job = Job(module)
    try:
        job.run()
    except (TunedError, OSError) as error:
        module.fail_json(msg=one_line(str(error), 500))
    module.exit_json(changed=bool(job.diffs), active=job.active, diff=job.diffs)


if __name__ == "__main__":
    main()
