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

from ansible import constants
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import action_loader, become_loader, connection_loader, filter_loader, shell_loader
from ansible.plugins.strategy import StrategyBase

MESSAGE_LIMIT = 500
# So many bytes may tell of progress; after them only what decides a host's result is told.
EVENTS_LIMIT = 8 << 20
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
        self._begun = set()
        self._written = 0
        self._ends = Ends(lambda host: self._emit("end", host=host))
        path = os.environ.get("RACKPLANE_EVENTS")
        self.disabled = not path
        # Line buffered: each event is one write of one whole line.
        self._out = open(path, "a", encoding="utf-8", buffering=1) if path else None
        if path:
            follow(self._ends.look)

    def _emit(self, event, **fields):
        if self._out is not None:
            text = json.dumps({"event": event, "time": round(time.time(), 3), **fields}, ensure_ascii=False)
            self._written += len(text)
            self._out.write(text + "\n")

    def v2_playbook_on_start(self, playbook):
        """The run begins."""
        self._emit("start", pid=os.getpid())
        if self._out is not None:
            preload()
        self._ends.playbook(len(playbook.get_plays()))

    def v2_playbook_on_play_start(self, play):
        """A play begins."""
        self._play = play.get_name().strip()
        self._stops = play.max_fail_percentage is not None
        self._ends.play(play._uuid)

    def v2_playbook_on_stats(self, stats):
        """A playbook ends; the totals are those of all so far."""
        hosts = {}
        for host in sorted(stats.processed):
            totals = stats.summarize(host)
            hosts[host] = {name: totals[name] for name in
                           ("ok", "changed", "failures", "unreachable", "skipped", "rescued", "ignored")}
        self._ends.close()
        # The file stays open: another playbook of the same command has totals of its own to tell.
        self._emit("stats", hosts=hosts)

    def v2_runner_on_start(self, host, task):
        """A task begins on a host, for which a process is free."""
        if host.get_name() not in self._begun:
            self._begun.add(host.get_name())
            self._emit("begin", host=host.get_name())

    def v2_runner_on_ok(self, result):
        """A task ended well on a host."""
        told = notice(result._result, result._task.no_log)
        self._task(result, "changed" if result._result.get("changed") else "ok", **({"notice": told} if told else {}))

    def v2_runner_on_skipped(self, result):
        """A task was not needed on a host."""
        self._task(result, "skipped")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        """A task failed on a host."""
        period = (result._result.get("timedout") or {}).get("period")
        self._task(result, "failed", msg=message(result._result, result._task.no_log), ignored=bool(ignore_errors),
                   **({"timedout": period} if period else {}))
        if not ignore_errors and (self._stops or result._task.any_errors_fatal):
            # Ansible may end the play on every host, and its totals show the others as if they had got to the end.
            self._emit("stopped", host=result._host.get_name())

    def v2_runner_on_unreachable(self, result):
        """A host did not answer."""
        ignored = bool(result._task.ignore_unreachable)
        self._task(result, "unreachable", msg=message(result._result, result._task.no_log), ignored=ignored)
        if not ignored and result._task.any_errors_fatal:
            self._emit("stopped", host=result._host.get_name())

    def _task(self, result, outcome, **fields):
        role = result._task._role
        decides = outcome in ("failed", "unreachable") and not fields["ignored"]
        if decides or self._written < EVENTS_LIMIT:
            self._emit("task", host=result._host.get_name(), play=self._play, task=result._task.get_name().strip(),
                       role=role.get_name() if role else "", result=outcome, **fields)
        self._ends.moved(result._host.get_name())


class Play:
    """A play that has begun: the hosts it names, and those of them that have reached its end."""

    def __init__(self):
        self.members = set()
        self.ended = set()


class Ends:
    """Knows which hosts have reached the end of the run.

    Ansible's recap does not: a host that was taken out of a play half way because another one failed (any_errors_fatal,
    max_fail_percentage) looks there like one that has got to the end. So its own bookkeeping is asked: a host has reached a
    play's end when the play has no task left for it, none is under way on it, and it has neither failed nor become
    unreachable; and the end of the run, when that holds of every play that names it and no play was left out.
    """

    def __init__(self, tell):
        self._tell = tell  # called once with the name of each host that has
        self._told = set()
        self._expected = 0
        self._plays = {}
        self._iterator = None
        self._moved = set()

    def playbook(self, plays):
        """A playbook with that many plays begins."""
        self._expected = plays
        self._plays = {}

    def play(self, uuid):
        """A play begins, or its next batch (serial)."""
        self._plays.setdefault(uuid, Play())

    def moved(self, host):
        """A task has ended on the host: it is worth another look."""
        self._moved.add(host)

    def look(self, strategy, iterator, hosts):
        """Find the hosts without anything left to do. Called very often: only those that have moved are looked at."""
        play = self._plays[iterator._play._uuid]
        if iterator is not self._iterator:
            self._iterator = iterator
            play.members.update(host.name for host in strategy._inventory.get_hosts(iterator._play.hosts, ignore_restrictions=True))
            self._moved = {host.name for host in hosts}
        if not self._moved:
            return
        for host in hosts:
            if host.name not in self._moved or strategy._blocked_hosts.get(host.name):
                continue
            task = iterator.get_next_task_for_host(host, peek=True)[1]
            if task is not None and task.action in constants._ACTION_META:
                continue  # nothing tells when it has ended
            self._moved.discard(host.name)
            if task is None and not iterator.is_failed(host):
                play.ended.add(host.name)
                self._judge(host.name)

    def close(self):
        """The playbook is over: hosts that its last play does not name have reached its end, too, if it has come that far."""
        for play in list(self._plays.values()):
            for host in sorted(play.members):
                self._judge(host)

    def _judge(self, host):
        plays = self._plays.values()
        if host in self._told or len(plays) < self._expected:
            return
        if all(host in play.ended for play in plays if host in play.members):
            self._told.add(host)
            self._tell(host)


def preload():
    """Load what every task uses. Each task has a process of its own, which loads it anew unless this one has."""
    connection_loader.get("osp.edpm.fenced_ssh", class_only=True)
    shell_loader.get("sh", class_only=True)
    become_loader.get("sudo", class_only=True)
    for name in ("ansible.builtin.gather_facts", "ansible.builtin.normal"):
        action_loader.get(name, class_only=True)
    filter_loader.get("ansible.builtin.hash")  # of the connection's own arguments


def follow(look):
    """Have every strategy call look(strategy, iterator, hosts) when it asks which hosts there are to give tasks to."""
    hosts_left = StrategyBase.get_hosts_left

    def get_hosts_left(strategy, iterator):
        hosts = hosts_left(strategy, iterator)
        look(strategy, iterator, hosts)
        return hosts

    StrategyBase.get_hosts_left = get_hosts_left


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
