#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Lays down the files of one service as one bundle."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_files
short_description: Lay down the files of one service as one bundle
version_added: 0.1.0
author: Rackplane authors (@rackplane)
description:
  - Writes all files and links of a service in one task, each whole or not at all.
  - Runs the verify commands when something changed; when one fails, every file is put back as it was.
options:
  files:
    description: The files; every path absolute and named once.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      content:
        description: The file's text. None of content, source, link and block means that the file must not exist.
        type: str
      source:
        description: File on the node whose text is taken, such as a certificate that another service laid down.
        type: path
      link:
        description: Target of a symbolic link; it must exist on the node.
        type: path
      block:
        description: Lines kept between two marker lines of a file whose other lines stay as they are.
        type: str
      mode:
        description: Permissions in octal.
        type: str
        default: "0644"
      owner:
        description: Owner of the file.
        type: str
        default: root
      group:
        description: Group of the file.
        type: str
        default: root
      secret:
        description: Keep the text out of the diff.
        type: bool
        default: false
      variable:
        description: The variable to name when this file cannot be laid down.
        type: str
        default: ""
  prune:
    description: Patterns of files that are this service's own; those that match and are not among the files are removed.
    type: list
    elements: path
    default: []
  verify:
    description: Commands (no shell) that must succeed once the files are in place.
    type: list
    elements: list
    default: []
attributes:
  check_mode:
    description: Predicts the changed files; does not run the verify commands.
    support: full
  diff_mode:
    description: Shows each changed file.
    support: full
"""

EXAMPLES = r"""
- name: Lay down the service's files
  osp.edpm.edpm_files:
    files:
      - path: /etc/chrony/chrony.conf
        content: "{{ lookup('ansible.builtin.template', 'chrony.conf.j2') }}"
    verify:
      - [/usr/sbin/chronyd, -p, -f, /etc/chrony/chrony.conf]
"""

RETURN = r"""
paths:
  description: The paths that changed, or would change in check mode, in the order given.
  type: list
  elements: str
  returned: always
"""

import glob
import grp
import os
import pwd
import stat

from ansible_collections.osp.edpm.plugins.module_utils.node import one_line, read_text, text_diff, write_text
from ansible_collections.osp.edpm.plugins.module_utils.quiet import QuietModule


BEGIN = "# BEGIN osp.edpm"
END = "# END osp.edpm"
# The number of a user or group that the run being predicted would make.
UNKNOWN = -1


class BundleError(Exception):
    """One line that names the file, the cause and the remedy."""


class Entry:
    """One file of the bundle: what is wanted, what is there, and how to go between the two."""

    def __init__(self, spec, predicting=False):
        self.spec = spec
        self.path = spec["path"]
        self.before = self._observe()
        self.after = self._want(predicting)

    def _observe(self):
        """Return (kind, text or target, mode, uid, gid); None when nothing is there."""
        try:
            info = os.lstat(self.path)
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(info.st_mode):
            return "link", os.readlink(self.path), None, info.st_uid, info.st_gid
        if not stat.S_ISREG(info.st_mode):
            raise BundleError(f"{self.path} is neither a file nor a link: move it away")
        return "file", read_text(self.path), stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid

    def _want(self, predicting):
        spec = self.spec
        if spec["link"] is not None:
            if not os.path.exists(spec["link"]):
                raise BundleError(f"{self._blame()}{spec['link']} does not exist on the node: correct it, or install what provides it")
            return "link", spec["link"], None, 0, 0
        if spec["content"] is None and spec["source"] is None and spec["block"] is None:
            return None
        try:
            owner = pwd.getpwnam(spec["owner"]).pw_uid
            group = grp.getgrnam(spec["group"]).gr_gid
        except KeyError as error:
            if not predicting:
                raise BundleError(f"{self._blame()}{self.path}: {error.args[0]}") from error
            owner = group = UNKNOWN
        return "file", self._text(predicting), int(spec["mode"], 8), owner, group

    def _text(self, predicting):
        spec = self.spec
        if spec["block"] is not None:
            return with_block(self.before[1] if self.before and self.before[0] == "file" else "", spec["block"])
        if spec["source"] is None:
            return spec["content"]
        text = read_text(spec["source"])
        if text is None and not predicting:
            raise BundleError(f"{self._blame()}{spec['source']} does not exist on the node: run the service that lays it down first")
        return text or ""

    def _blame(self):
        return f"{self.spec['variable']}: " if self.spec["variable"] else ""

    def changed(self):
        """Report whether what is there differs from what is wanted."""
        return self.before != self.after

    def diff(self):
        """Return what Ansible prints."""
        if self.spec["secret"]:
            return text_diff(self.path, "(secret)", "(secret, changed)")
        return text_diff(self.path, _shown(self.before), _shown(self.after))

    def apply(self):
        """Make what is wanted true."""
        _put(self.path, self.after)

    def is_as_before(self):
        """Report whether what was there still is, or is again."""
        return self._observe() == self.before

    def restore(self):
        """Make what was there true again."""
        _put(self.path, self.before)


def with_block(text, block):
    """Return text with the block between the markers replaced, or put at its end."""
    lines = text.splitlines()
    if BEGIN in lines and END in lines[lines.index(BEGIN):]:
        start = lines.index(BEGIN)
        stop = lines.index(END, start) + 1
    else:
        start = stop = len(lines)
    lines[start:stop] = [BEGIN, *block.splitlines(), END]
    return "".join(f"{line}\n" for line in lines)


def _shown(state):
    if state is None:
        return ""
    kind, value, mode, uid, gid = state
    head = f"# {kind} mode={mode:04o} uid={uid} gid={gid}\n" if kind == "file" else f"# {kind} "
    return head + value + ("" if value.endswith("\n") else "\n")


def _put(path, state):
    if state is None:
        if os.path.lexists(path):
            os.unlink(path)
        return
    kind, value, mode, uid, gid = state
    if kind == "file":
        write_text(path, value, mode, uid, gid)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = path + ".rackplane-link"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    os.symlink(value, temporary)
    os.rename(temporary, path)


def leftovers(files, patterns):
    """Return entries that remove what matches a pattern and is not among the files, sorted."""
    known = {spec["path"] for spec in files}
    found = {path for pattern in patterns for path in glob.glob(pattern)} - known
    gone = {"content": None, "source": None, "link": None, "block": None, "secret": False, "variable": ""}
    return [dict(gone, path=path) for path in sorted(found)]


def _install(module, entries):
    """Apply the entries and verify; on any failure put every one back."""
    try:
        for entry in entries:
            entry.apply()
        for command in module.params["verify"]:
            words = [str(word) for word in command]
            if not os.path.exists(words[0]):
                raise BundleError(f"{words[0]} is not on the node: run the service that installs it first (install-os)")
            code, out, err = module.run_command(words)
            if code != 0:
                raise BundleError(f"{' '.join(words)} refuses the new files: {one_line(err or out)}")
    except (BundleError, OSError) as error:
        stuck = _put_back(entries)
        if stuck:
            raise BundleError(f"{error}; and the old ones cannot be put back ({stuck}): run the service again once that is solved") from error
        raise BundleError(f"{error}; the old ones are back") from error


def _put_back(entries):
    """Restore every entry that is not as it was; return why one could not be, "" when all could."""
    problems = []
    for entry in entries:
        try:
            if not entry.is_as_before():
                entry.restore()
        except (BundleError, OSError) as error:
            problems.append(f"{entry.path}: {error}")
    return "; ".join(problems)


def main():
    """Run the module."""
    module = QuietModule(
        argument_spec={
            "files": {
                "type": "list", "elements": "dict", "required": True,
                "mutually_exclusive": [("content", "source", "link", "block")],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str"},
                    "source": {"type": "path"},
                    "link": {"type": "path"},
                    "block": {"type": "str"},
                    "mode": {"type": "str", "default": "0644"},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                    "secret": {"type": "bool", "default": False, "no_log": False},
                    "variable": {"type": "str", "default": ""},
                },
            },
            "prune": {"type": "list", "elements": "path", "default": []},
            "verify": {"type": "list", "elements": "list", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        wanted = module.params["files"] + leftovers(module.params["files"], module.params["prune"])
        entries = [entry for entry in (Entry(spec, module.check_mode) for spec in wanted) if entry.changed()]
        if entries and not module.check_mode:
            _install(module, entries)
    except (BundleError, OSError, ValueError) as error:
        module.fail_json(msg=one_line(str(error), 500))
    module.exit_json(changed=bool(entries), paths=[e.path for e in entries], diff=[e.diff() for e in entries])


if __name__ == "__main__":
    main()
