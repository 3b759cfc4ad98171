# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""What the modules share: files written whole or not at all, and who is connected.

Nothing here decides; every function either reads the node or does the one thing its name says.
"""

from __future__ import annotations

import errno
import os
import tempfile

STATE_DIR = "/var/lib/rackplane"


def read_text(path):
    """Return the file's text as it is, line ends too, or None when there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def write_text(path, text, mode=0o644, uid=0, gid=0):
    """Write the file so that a reader sees the old text or the new one, never a part."""
    try:
        _write(path, text, mode, uid, gid)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(f"the node's disk is full, so {path} cannot be written: make room, or use an image with a larger root") from error
        raise


def _write(path, text, mode, uid, gid):
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".rackplane-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.chown(temporary, uid, gid)
        os.chmod(temporary, mode)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def replace_text(module, diffs, path, text):
    """Make the file hold the text, None for no file; in check mode only predict. Report whether it differs, with its diff in diffs."""
    before = read_text(path)
    if before == text:
        return False
    diffs.append(text_diff(path, before, text))
    if module.check_mode:
        return True
    if text is None:
        os.unlink(path)
    else:
        write_text(path, text)
    return True


def is_newer(path, than):
    """Report whether the file was written after the other; one that is not there was not."""
    try:
        return os.stat(path).st_mtime_ns > os.stat(than).st_mtime_ns
    except FileNotFoundError:
        return False


def text_diff(path, before, after):
    """Return the diff entry that Ansible prints for a file; None means the file is absent."""
    return {
        "before_header": path,
        "after_header": path,
        "before": before if before is not None else "",
        "after": after if after is not None else "",
    }


def one_line(text, limit=300):
    """Return text as one line of at most limit characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def ssh_connection():
    """Return (client address, node address, node port) of the SSH session this process serves, or None.

    sudo clears SSH_CONNECTION, so the parents are asked too; sshd sets it (sshd(8), ENVIRONMENT).
    """
    pid = os.getpid()
    while pid > 1:
        found = _ssh_connection_of(pid)
        if found:
            return found
        pid = _parent(pid)
    return None


def _ssh_connection_of(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as handle:
            entries = handle.read().split(b"\0")
    except OSError:
        return None
    for entry in entries:
        if entry.startswith(b"SSH_CONNECTION="):
            fields = entry.decode().partition("=")[2].split()
            if len(fields) == 4:
                return fields[0], fields[2], int(fields[3])
    return None


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
            # The command's name may hold spaces and brackets: what follows its last bracket is regular (proc(5)).
            return int(handle.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
