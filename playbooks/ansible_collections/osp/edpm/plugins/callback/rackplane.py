# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Tells the engine what a run does, as JSON lines in the file named by RACKPLANE_EVENTS."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rackplane
type: notification
short_description: Write a run's events as JSON lines
version_added: 0.1.0
author: Rackplane authors (@rackplane)
description:
  - Appends one JSON object per line to the file named by the environment variable RACKPLANE_EVENTS, and does nothing without it.
  - The format is described in playbooks/README.md of the Rackplane repository.
requirements:
  - Enable it with ANSIBLE_CALLBACKS_ENABLED=osp.edpm.rackplane.
"""

import json
import os
import time

from ansible.plugins.callback import CallbackBase

MESSAGE_LIMIT = 500
CENSORED = "the output is hidden because no_log is set on the task"


class CallbackModule(CallbackBase):
    """The callback."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "osp.edpm.rackplane"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, display=None, options=None):
        super().__init__(display=display, options=options)
        self._play = ""
        self._stops = False
        path = os.environ.get("RACKPLANE_EVENTS")
        self.disabled = not path
        # Line buffered: each event is one write of one whole line.
        self._out = open(path, "a", encoding="utf-8", buffering=1) if path else None

    def _emit(self, event, **fields):
        if self._out is not None:
            line = json.dumps({"event": event, "time": round(time.time(), 3), **fields}, ensure_ascii=False)
            self._out.write(line + "\n")

    def v2_playbook_on_start(self, playbook):
        """The run begins."""
        self._emit("start", pid=os.getpid())

    def v2_playbook_on_play_start(self, play):
        """A play begins."""
        self._play = play.get_name().strip()
        self._stops = play.max_fail_percentage == 0

    def v2_playbook_on_stats(self, stats):
        """A playbook ends; the totals are those of all so far."""
        hosts = {}
        for host in sorted(stats.processed):
            totals = stats.summarize(host)
            hosts[host] = {name: totals[name] for name in
                           ("ok", "changed", "failures", "unreachable", "skipped", "rescued", "ignored")}
        # The file stays open: another playbook of the same command has totals of its own to tell.
        self._emit("stats", hosts=hosts)

    def v2_runner_on_ok(self, result):
        """A task ended well on a host."""
        told = notice(result._result, result._task.no_log)
        self._task(result, "changed" if result._result.get("changed") else "ok", **({"notice": told} if told else {}))

    def v2_runner_on_skipped(self, result):
        """A task was not needed on a host."""
        self._task(result, "skipped")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        """A task failed on a host."""
        self._task(result, "failed", msg=message(result._result, result._task.no_log), ignored=bool(ignore_errors))
        if not ignore_errors and (self._stops or result._task.any_errors_fatal):
            # Ansible ends the play on every host, and its totals show the others as if they had got to the end.
            self._emit("stopped", host=result._host.get_name())

    def v2_runner_on_unreachable(self, result):
        """A host did not answer."""
        self._task(result, "unreachable", msg=message(result._result, result._task.no_log), ignored=False)

    def _task(self, result, outcome, **fields):
        role = result._task._role
        self._emit("task", host=result._host.get_name(), play=self._play, task=result._task.get_name().strip(),
                   role=role.get_name() if role else "", result=outcome, **fields)


def message(result, no_log):
    """Return why a task failed as one line of at most MESSAGE_LIMIT characters; never what no_log hides."""
    if hidden(result, no_log):
        return CENSORED
    for item in result.get("results") or []:
        if isinstance(item, dict) and (item.get("failed") or item.get("unreachable")):
            return message(item, no_log)
    parts = [str(result.get("msg") or "failed without a message")]
    if "rc" in result and str(result.get("stderr") or "").strip():
        parts.append(str(result["stderr"]).strip().splitlines()[-1])
    return line(": ".join(parts))


def notice(result, no_log):
    """Return what a module told, in a loop each thing once, as one line of at most MESSAGE_LIMIT characters; never what no_log hides."""
    if hidden(result, no_log):
        return ""
    items = result.get("results")
    parts = [result] + [item for item in (items if isinstance(items, list) else []) if isinstance(item, dict) and not hidden(item, no_log)]
    # Modules of other collections may call anything a notice; only text is for a person.
    told = [part["notice"].strip() for part in parts if isinstance(part.get("notice"), str)]
    return line("; ".join(text for text in dict.fromkeys(told) if text))


def hidden(result, no_log):
    """Report whether no_log hides the result."""
    return bool(no_log or result.get("_ansible_no_log") or "censored" in result)


def line(text):
    """Return text as one line of at most MESSAGE_LIMIT characters."""
    text = " ".join(text.split())
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 3] + "..."
