#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Gives the kernel its arguments at every boot, and asks for a reboot until it has them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_boot
short_description: Give the kernel its arguments at every boot
version_added: 0.2.0
author: Rackplane authors (@rackplane)
description:
  - Writes the arguments into the boot loader, by a file of its own and update-grub on Debian and Ubuntu and by grubby on the EL family.
  - As long as the running kernel has not been given them, a flag below C(/var/lib/openstack/reboot_required) asks for a reboot.
  - Arguments that are no longer wanted go from the boot loader on Debian and Ubuntu; with grubby only another value of the same name replaces one.
  - A container has no boot loader of its own; what it cannot take is named in the result.
options:
  arguments:
    description: The arguments, such as intel_iommu=on.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Predicts the changes of the boot loader and the flag.
    support: full
  diff_mode:
    description: Shows them.
    support: full
"""

EXAMPLES = r"""
- name: Give the kernel its arguments
  osp.edpm.edpm_boot:
    arguments: [default_hugepagesz=1G, hugepagesz=1G, hugepages=64]
"""

RETURN = r"""
unmet:
  description: Arguments that this machine cannot take, with the reason.
  type: list
  elements: str
  returned: always
"""

import re
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils.boot import FLAGS, cmdline, in_container, lacking
from ansible_collections.osp.edpm.plugins.module_utils.node import is_newer, one_line, replace_text, text_diff

FLAG = f"{FLAGS}/edpm_kernel"
DROP_IN = "/etc/default/grub.d/99-edpm.cfg"
# What update-grub writes.
LOADER = "/boot/grub/grub.cfg"


class BootError(Exception):
    """One line that names the tool, the cause and the remedy."""


def drop_in(arguments):
    """Return the file that adds the arguments to those of the image; None for no arguments."""
    if not arguments:
        return None
    # A shell reads it, at each update of a kernel as well.
    quoted = re.sub(r'([\\"$`])', r"\\\1", " ".join(arguments))
    return f'# Written by osp.edpm.\nGRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {quoted}"\n'


class Job:
    """One run."""

    def __init__(self, module):
        self._module = module
        self._arguments = module.params["arguments"]
        self.diffs = []
        self.unmet = []

    def run(self):
        """Bring boot loader and flag in line with what is wanted."""
        if in_container():
            self.unmet = [f"{argument}: a container has no boot loader" for argument in self._arguments]
        elif shutil.which("update-grub"):
            self._grub()
        elif shutil.which("grubby"):
            self._grubby()
        elif self._arguments:
            raise BootError("neither update-grub nor grubby is on the node: leave edpm_kernel_args and "
                            "edpm_kernel_hugepages empty, or use an image with GRUB")
        waiting = [] if self.unmet else lacking(self._arguments, cmdline())
        replace_text(self._module, self.diffs, FLAG, f"the kernel runs without {' '.join(waiting)}\n" if waiting else None)

    def _grub(self):
        """Have the boot loader take the file when that changed, or when the run that changed it ended before the loader had it."""
        if not replace_text(self._module, self.diffs, DROP_IN, drop_in(self._arguments)):
            if not is_newer(DROP_IN, LOADER):
                return
            self.diffs.append(text_diff(LOADER, "", f"{' '.join(self._arguments)}\n"))
        self._do("update-grub")

    def _grubby(self):
        """Add what one of the boot entries lacks. grubby replaces the value of an argument of the same name."""
        out = self._module.run_command(["grubby", "--info=ALL"])[1]
        entries = [line.partition("=")[2].strip('"').split() for line in out.splitlines() if line.startswith("args=")]
        new = [word for word in self._arguments if any(word not in entry for entry in entries)]
        if new:
            self.diffs.append(text_diff("boot entries", "", "".join(f"{word}\n" for word in new)))
            self._do("grubby", "--update-kernel=ALL", f"--args={' '.join(new)}")

    def _do(self, *words):
        if self._module.check_mode:
            return
        code, out, err = self._module.run_command(list(words))
        if code != 0:
            raise BootError(f"{words[0]} failed: {one_line(err or out)}; check edpm_kernel_args and the node's boot loader")


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"arguments": {"type": "list", "elements": "str", "default": []}},
        supports_check_mode=True,
    )
    job = Job(module)
    try:
        job.run()
    except (BootError, OSError) as error:
        module.fail_json(msg=one_line(str(error), 500))
    module.exit_json(changed=bool(job.diffs), unmet=job.unmet, diff=job.diffs)


if __name__ == "__main__":
    main()
