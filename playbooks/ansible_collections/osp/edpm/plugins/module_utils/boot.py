# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""What a node was started with, and what waits for its next start.

A flag is a file below FLAGS whose text says why a reboot is due (edpm-ansible's folder, so that either collection's
reboot service honours it). One older than the system's start has been answered by it.
"""

from __future__ import annotations

import glob
import os
import re

from ansible_collections.osp.edpm.plugins.module_utils.node import one_line, read_text

FLAGS = "/var/lib/openstack/reboot_required"
KERNELS = "/boot/vmlinuz-*"


def started():
    """Return when this system's first process was started, in seconds since 1970: of a container its own, not its host's."""
    boot = int(re.search(r"^btime (\d+)$", read_text("/proc/stat") or "", re.MULTILINE).group(1))
    # Field 22, in ticks since the machine's start; the command's name before it may hold spaces and brackets (proc(5)).
    ticks = int(read_text("/proc/1/stat").rpartition(")")[2].split()[19])
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def lacking(wanted, words):
    """Return the words of wanted that are not among words, in order."""
    return [word for word in wanted if word not in words]


def cmdline():
    """Return the arguments the running kernel was given."""
    return (read_text("/proc/cmdline") or "").split()


def in_container():
    """Report whether this system shares its kernel with a host: no boot loader then has a say."""
    return os.path.exists("/run/systemd/container")


def kernel_version(path):
    """Return the numbers of a kernel's name, by which kernels are ordered; flavours of one version are equal.

    EL's distribution tag is none of them: 427.8.1.el9_4 comes after 427.el9.
    """
    release = os.path.basename(path).removeprefix("vmlinuz-").partition(".el")[0]
    return [int(number) for number in re.findall(r"\d+", release)]


def kernel_reason(running, installed):
    """Return why the running kernel asks for a reboot; "" when no installed one is newer."""
    newest = max((path for path in installed if "rescue" not in path), key=kernel_version, default=None)
    if newest is None or kernel_version(newest) <= kernel_version(running):
        return ""
    return f"kernel {newest.partition('vmlinuz-')[2]} is installed and {running} runs"


def flags(folder=FLAGS, since=None):
    """Return the reasons of the flags that were set after the system was started, by path."""
    since = started() if since is None else since
    found = {}
    for path in sorted(glob.glob(f"{folder}/*")):
        if os.stat(path).st_mtime > since:
            name = os.path.basename(path)
            found[path] = one_line(read_text(path) or "", 120) or f"{name} asks for it"
    return found


def reasons():
    """Return why a reboot is due, one line each."""
    found = list(flags().values())
    if not in_container():
        found.append(kernel_reason(os.uname().release, glob.glob(KERNELS)))
    if os.path.exists("/run/reboot-required"):  # Debian and Ubuntu; gone with the reboot, as all of /run.
        names = sorted(set((read_text("/run/reboot-required.pkgs") or "").split()))
        found.append(f"packages ask for it: {', '.join(names)}" if names else "packages ask for it")
    return [reason for reason in found if reason]
