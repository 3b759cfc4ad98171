# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""What a daemon's own log says about a start that failed, in one line."""

from __future__ import annotations

import re
import time

from ansible_collections.osp.edpm.plugins.module_utils.node import one_line

# oslo.log's line: time, process, level, logger, [context], message. A traceback's lines repeat the head.
HEAD = re.compile(r"^(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.\d+ \d+ (?P<level>[A-Z]+) \S+ (\[[^\]]*\] )?(?P<message>.*)$")
# A line of these says why; the others only that.
LEVELS = ("CRITICAL", "ERROR", "WARNING")
# The last of a traceback's lines is the exception.
EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Invalid\w*|NotFound|Conflict|Timeout|Refused|Failed|Failure|Configuration)\b.*: .")
TAIL = 256 * 1024
# What nova-compute says when it gives up (nova 31.0, nova/compute/manager.py and nova/conductor/api.py), and what to do.
REMEDIES = (
    ("No local node identity found", "the cloud knows a compute of this name and the node has lost /var/lib/nova/compute_id: "
     "delete that compute service, or set edpm_nova_compute_id"),
    ("Possible rename detected", "the node was a compute under another name: give it that name again, or delete the old compute service"),
    ("I appear to be a new service", "the node runs servers this cloud does not know: point it at the cloud it belongs to"),
    ("Timed out waiting for nova-conductor", "the cell's nova-conductor does not answer: look at the control plane"),
    ("older than the minimum", "this nova-compute is too old for the control plane: use a newer image or package repository"),
    ("Failed to connect to libvirt", "run the libvirt service first"),
)


def last_error(path, since):
    """Return the last error said since (in seconds since 1970) with its remedy as one line; "" when there is none."""
    try:
        with open(path, "rb") as handle:
            handle.seek(max(handle.seek(0, 2) - TAIL, 0))
            text = handle.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return explain(text, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since)))


def explain(text, since=""):
    """Return the most telling line of what a log says since that time with its remedy; "" when nothing went wrong in it."""
    found = {}
    for line in text.splitlines():
        match = HEAD.match(line)
        if not match or match["time"] < since or match["level"] not in LEVELS or not match["message"].strip():
            continue
        known = next((remedy for words, remedy in REMEDIES if words in match["message"]), "")
        rank = (bool(known), bool(EXCEPTION.match(match["message"])), -LEVELS.index(match["level"]))
        if not found or rank >= found["rank"]:
            found = {"rank": rank, "message": match["message"], "remedy": known}
    if not found:
        return ""
    message = one_line(found["message"], 240)
    return f"{message}; {found['remedy']}" if found["remedy"] else message
