#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Makes systemd units enabled and running with the configuration that is on disk."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_units
short_description: Make systemd units enabled and running with the configuration that is on disk
version_added: 0.1.0
author: Rackplane authors (@rackplane)
description:
  - Enables and starts units in one task, and restarts or reloads one exactly when its configuration changed since it was last given it.
  - What a unit was last given is recorded on the node, so a run that died between writing a file and restarting the unit is made good by the next.
  - A socket whose service already runs cannot be started (systemd refuses it), so that service is stopped for it and started again.
  - A unit whose conditions this machine does not meet (no right to set the clock in a container) is left alone and named in the result.
options:
  units:
    description: The units.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the unit; .service may be left out.
        type: str
        required: true
      config:
        description: The files the unit reads at start.
        type: list
        elements: path
        default: []
      on_change:
        description: How the unit takes a changed file.
        type: str
        choices: [restart, reload]
        default: restart
      demand:
        description: The unit is started by its socket. It is neither enabled nor started, and takes a changed file only while it runs.
        type: bool
        default: false
      wanted:
        description: Whether the unit is to run; one that is not is neither enabled nor running.
        type: bool
        default: true
      log:
        description: The daemon's own log, whose last error explains a start that failed. The journal is asked without it.
        type: path
  changed_paths:
    description: Files that this run changed (paths of M(osp.edpm.edpm_files)).
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Predicts each unit's actions; a unit whose package is not yet there counts as one to be started.
    support: full
  diff_mode:
    description: Lists the actions.
    support: full
"""

EXAMPLES = r"""
- name: Run the time service
  osp.edpm.edpm_units:
    units:
      - name: chrony
        config: [/etc/chrony/chrony.conf]
    changed_paths: "{{ edpm_configure_os_bundle.paths }}"
"""

RETURN = r"""
actions:
  description: What was done, as "verb unit".
  type: list
  elements: str
  returned: always
unmet:
  description: Units that this machine cannot run, as one of their conditions is not met.
  type: list
  elements: str
  returned: always
"""

import hashlib
import json
import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils.daemonlog import last_error
from ansible_collections.osp.edpm.plugins.module_utils.node import STATE_DIR, one_line, read_text, text_diff, write_text

RECORD = os.path.join(STATE_DIR, "units.json")
ENABLED = ("enabled", "enabled-runtime", "static", "alias", "indirect", "generated")


class UnitError(Exception):
    """One line that names the unit, the cause and the remedy."""


def plan(unit, seen, given, changed_paths):
    """Return the verbs that unit needs, in order.

    seen is what systemctl shows, given the digest recorded at its last (re)start or None, unit["digest"] today's.
    """
    runs = seen["ActiveState"] in ("active", "reloading", "activating") and seen["SubState"] != "auto-restart"
    if not unit["wanted"]:
        return [verb for verb, needed in (("disable", seen["UnitFileState"] == "enabled"), ("stop", runs)) if needed]
    verbs = []
    stale = bool(unit["config"]) and (given != unit["digest"] or bool(set(unit["config"]) & set(changed_paths)))
    if unit["demand"]:
        return [unit["on_change"]] if runs and stale else []
    if seen["UnitFileState"] not in ENABLED:
        verbs.append("enable")
    if not runs:
        verbs.append("start")
    elif stale:
        verbs.append(unit["on_change"])
    return verbs


def refused(seen):
    """Report whether systemd tried to start the unit and found one of its conditions unmet."""
    return seen["ConditionResult"] == "no" and seen["ConditionTimestampMonotonic"] not in ("", "0")


def digest(paths):
    """Return one hash of the files' texts."""
    text = json.dumps([read_text(path) for path in paths])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def full_name(name):
    """Return the unit's name with its type."""
    return name if "." in name else name + ".service"


class Systemd:
    """The node's systemd."""

    FIELDS = ("Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "NeedDaemonReload",
              "ConditionResult", "ConditionTimestampMonotonic", "Triggers")

    def __init__(self, module):
        self._module = module

    def show(self, name):
        """Return the unit's fields."""
        out = self._module.run_command(["systemctl", "show", "--property", ",".join(self.FIELDS), name])[1]
        fields = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        return {key: fields.get(key, "") for key in self.FIELDS}

    def do(self, *words, log=None):
        """Run systemctl; a failure becomes one line with the unit's last words from its log, or from the journal."""
        began = time.time()
        code, out, err = self._module.run_command(["systemctl", *words])
        if code == 0:
            return
        name = words[-1]
        journal = self._module.run_command(["journalctl", "-q", "-n", "3", "-o", "cat", "-u", name])[1]
        said = last_error(log, began) if log else ""
        raise UnitError(f"systemctl {' '.join(words)} failed: {said or one_line(journal or err or out)}; "
                        f"see {log if said else 'journalctl -u ' + name} on the node")

    def start_socket(self, name, service):
        """Start a socket whose service runs. A client may start the service through another socket in between."""
        for _attempt in range(5):
            self._module.run_command(["systemctl", "stop", service])
            if self._module.run_command(["systemctl", "start", name])[0] == 0:
                break
        else:
            self.do("start", name)
        self.do("start", service)


class Job:
    """One run over the units."""

    def __init__(self, module):
        self._module = module
        self._systemd = Systemd(module)
        self._record = json.loads(read_text(RECORD) or "{}")
        self.actions = []
        self.unmet = []

    def run(self):
        """Bring every unit to its state."""
        units = [dict(unit, name=full_name(unit["name"]), digest=digest(unit["config"]))
                 for unit in self._module.params["units"]]
        seen = {unit["name"]: self._systemd.show(unit["name"]) for unit in units}
        if any(one["NeedDaemonReload"] == "yes" for one in seen.values()) or self._unit_files_changed():
            self._do("daemon-reload")
            seen = {unit["name"]: self._systemd.show(unit["name"]) for unit in units}
        for unit in units:
            self._bring(unit, seen[unit["name"]])

    def _unit_files_changed(self):
        return any(path.startswith("/etc/systemd/system/") for path in self._module.params["changed_paths"])

    def _bring(self, unit, seen):
        name = unit["name"]
        if seen["LoadState"] != "loaded" and unit["wanted"] and not self._module.check_mode:
            raise UnitError(f"unit {name} is {seen['LoadState'] or 'unknown'} on the node: "
                            "run the service that installs it first, and check that no one masked it")
        for verb in plan(unit, seen, self._record.get(name), self._module.params["changed_paths"]):
            self._act(verb, unit, seen)
        if not self._module.check_mode and unit["config"] and self._record.get(name) != unit["digest"]:
            self._record[name] = unit["digest"]
            write_text(RECORD, json.dumps(self._record, sort_keys=True) + "\n")

    def _act(self, verb, unit, seen):
        name = unit["name"]
        if verb != "start":
            self._do(verb, name, log=unit["log"])
            if verb == "stop" and self._served(name, seen):
                self._do("restart", seen["Triggers"])  # it holds the socket itself
            return
        if not self._module.check_mode:
            self._start(unit, seen)
            seen = self._systemd.show(name)
        if refused(seen):
            self.unmet.append(name)
        else:
            self.actions.append(f"start {name}")

    def _start(self, unit, seen):
        if self._served(unit["name"], seen):
            self._systemd.start_socket(unit["name"], seen["Triggers"])
        else:
            self._systemd.do("start", unit["name"], log=unit["log"])

    def _served(self, name, seen):
        """Report whether the unit is a socket whose service runs."""
        return name.endswith(".socket") and seen["Triggers"] != "" and self._systemd.show(seen["Triggers"])["ActiveState"] == "active"

    def _do(self, verb, *names, log=None):
        if not self._module.check_mode:
            self._systemd.do(verb, *names, log=log)
        self.actions.append(" ".join([verb, *names]))


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "units": {
                "type": "list", "elements": "dict", "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "config": {"type": "list", "elements": "path", "default": []},
                    "on_change": {"type": "str", "choices": ["restart", "reload"], "default": "restart"},
                    "demand": {"type": "bool", "default": False},
                    "wanted": {"type": "bool", "default": True},
                    "log": {"type": "path"},
                },
            },
            "changed_paths": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    job = Job(module)
    try:
        job.run()
    except (UnitError, OSError, ValueError) as error:
        module.fail_json(msg=one_line(str(error), 500), actions=job.actions)
    module.exit_json(changed=bool(job.actions), actions=job.actions, unmet=job.unmet,
                     diff=text_diff("units", None, "".join(f"{action}\n" for action in job.actions)))


if __name__ == "__main__":
    main()
