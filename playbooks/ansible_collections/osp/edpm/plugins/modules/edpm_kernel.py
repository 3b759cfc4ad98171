#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Sets kernel modules and settings, now and at every boot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_kernel
short_description: Set kernel modules and settings, now and at every boot
version_added: 0.1.0
author: Rackplane authors (@rackplane)
description:
  - Writes the modules and settings for the next boot and brings the running kernel in line.
  - What this machine cannot do is found by looking (no such setting, a read-only one, no right to load modules) and named in the result; it is never an error, as a container shares its host's kernel.
options:
  modules:
    description: Kernel modules to load.
    type: list
    elements: str
    default: []
  sysctl:
    description: Settings by their dotted name.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Predicts the files and the settings that would change.
    support: full
  diff_mode:
    description: Shows the files and each setting's value before and after.
    support: full
"""

EXAMPLES = r"""
- name: Prepare the kernel
  osp.edpm.edpm_kernel:
    modules: [br_netfilter]
    sysctl:
      net.ipv4.ip_forward: "1"
"""

RETURN = r"""
unmet:
  description: Modules and settings that this machine cannot take, each with the reason.
  type: list
  elements: str
  returned: always
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils.node import one_line, read_text, text_diff, write_text

MODULES_FILE = "/etc/modules-load.d/99-edpm.conf"
SYSCTL_FILE = "/etc/sysctl.d/99-edpm.conf"
CAP_SYS_MODULE = 16  # linux/capability.h


def setting_path(name):
    """Return the file of a setting: dots separate, and a slash in a name stands for a dot (sysctl.d(5))."""
    return "/proc/sys/" + name.translate(str.maketrans("./", "/."))


def normal(value):
    """Return the value as the kernel shows it: fields separated by one space."""
    return " ".join(str(value).split())


class Job:
    """One run."""

    def __init__(self, module):
        self._module = module
        self._check = module.check_mode
        self.diffs = []
        self.unmet = []

    def run(self):
        """Load modules first, as settings come with them, then files and settings."""
        modules = self._module.params["modules"]
        settings = {name: normal(value) for name, value in self._module.params["sysctl"].items()}
        self._file(MODULES_FILE, "".join(f"{name}\n" for name in modules))
        self._file(SYSCTL_FILE, "".join(f"{name} = {value}\n" for name, value in sorted(settings.items())))
        for name in modules:
            self._load(name)
        for name, value in sorted(settings.items()):
            self._set(name, value)

    def _file(self, path, text):
        before = read_text(path)
        if (before or "") == text:
            return
        self.diffs.append(text_diff(path, before, text))
        if not self._check:
            write_text(path, text)

    def _load(self, name):
        if os.path.isdir("/sys/module/" + name.replace("-", "_")):
            return
        if not _may_load():
            self.unmet.append(f"module {name}: no right to load modules here")
            return
        code, out, err = self._module.run_command(["modprobe", "--dry-run", "--first-time", name])
        if code != 0:
            if "not found" in err:
                self.unmet.append(f"module {name}: this kernel has no such module")
            return  # Otherwise it is built in: --first-time fails for what is already there (modprobe(8)).
        self.diffs.append(text_diff("modules", None, f"{name}\n"))
        if self._check:
            return
        code, out, err = self._module.run_command(["modprobe", name])
        if code != 0:
            raise OSError(f"modprobe {name}: {one_line(err or out)}")

    def _set(self, name, value):
        path = setting_path(name)
        if not os.path.exists(path):
            self.unmet.append(f"setting {name}: this kernel has no such setting")
            return
        if not os.access(path, os.W_OK):
            self.unmet.append(f"setting {name}: read-only here")
            return
        before = normal(read_text(path))
        if before == value:
            return
        self.diffs.append(text_diff(path, before + "\n", value + "\n"))
        if self._check:
            return
        try:
            with open(path, "w", encoding="ascii") as handle:
                handle.write(value)
        except OSError as error:
            raise OSError(f"the kernel refuses {name} = {value}: {error.strerror}; "
                          "correct edpm_kernel_sysctl_extra_settings") from error


def _may_load():
    for line in (read_text("/proc/self/status") or "").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_MODULE & 1)
    return False


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "modules": {"type": "list", "elements": "str", "default": []},
            "sysctl": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    job = Job(module)
    try:
        job.run()
    except OSError as error:
        module.fail_json(msg=one_line(str(error), 500))
    module.exit_json(changed=bool(job.diffs), unmet=job.unmet, diff=job.diffs)


if __name__ == "__main__":
    main()
