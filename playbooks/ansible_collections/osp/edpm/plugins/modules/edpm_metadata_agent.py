#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Waits until the metadata agent serves this node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_metadata_agent
short_description: Wait until the metadata agent serves this node
version_added: 0.2.0
author: Rackplane authors (@rackplane)
description:
  - The agent writes its identity to its chassis' row of the southbound once it works. This waits until it is there and the unit runs.
  - An agent that ends by itself is found at once, and its last error is told.
options:
  unit:
    description: The agent's unit.
    type: str
    required: true
  log:
    description: The agent's log.
    type: path
    required: true
  southbound:
    description: Remotes of the southbound, such as tcp:192.0.2.10:6642.
    type: str
    required: true
  tls:
    description: The files private_key, certificate and ca_cert for a southbound that is reached through TLS.
    type: dict
    default: {}
  timeout:
    description: Seconds to wait.
    type: int
    default: 90
attributes:
  check_mode:
    description: Does not wait.
    support: full
  diff_mode:
    description: Has none.
    support: none
"""

EXAMPLES = r"""
- name: Wait for the agent
  osp.edpm.edpm_metadata_agent:
    unit: neutron-ovn-metadata-agent
    log: /var/log/neutron/neutron-ovn-metadata-agent.log
    southbound: tcp:192.0.2.10:6642
"""

RETURN = r"""
agent_id:
  description: The agent's identity, as Neutron lists it; empty in check mode.
  type: str
  returned: success
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils import ovsdb
from ansible_collections.osp.edpm.plugins.module_utils.daemonlog import last_error
from ansible_collections.osp.edpm.plugins.module_utils.node import one_line

SOCKET = "/run/openvswitch/db.sock"
# An agent that was there before has its identity in the southbound while it fails to start again: it has to last so many seconds.
SETTLED = 10
# Seconds back from the beginning of the wait that an error in the log is still this start's.
RECENT = 30
# neutron, common/ovn/constants.py, OVN_AGENT_METADATA_ID_KEY
KEY = "neutron:ovn-metadata-id"


class AgentError(Exception):
    """One line that says why the agent does not serve."""


def chassis():
    """Return the name of the node's chassis."""
    client = ovsdb.local(SOCKET)
    try:
        (switch,), = client.select("Open_vSwitch", [("Open_vSwitch", [], ["external_ids"])])
    finally:
        client.close()
    return switch["external_ids"].get("system-id", "")


def registered(params, name):
    """Return the agent's identity in the southbound, or ""."""
    client = ovsdb.southbound(params["southbound"], params["tls"] or None, "ovn_sb_connection")
    try:
        rows, = client.select(ovsdb.SOUTHBOUND, [("Chassis_Private", [["name", "==", name]], ["external_ids"])])
    finally:
        client.close()
    return rows[0]["external_ids"].get(KEY, "") if rows else ""


class Unit:
    """The agent's unit."""

    def __init__(self, module):
        self._module = module
        self._restarts = None
        self.settled = False

    def problem(self):
        """Return why the unit does not run, or ""."""
        name = self._module.params["unit"]
        out = self._module.run_command(["systemctl", "show", "--property", "ActiveState,NRestarts,ActiveEnterTimestampMonotonic", name])[1]
        fields = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        restarts, self._restarts = self._restarts, fields.get("NRestarts", "")
        self.settled = time.monotonic() - int(fields.get("ActiveEnterTimestampMonotonic") or 0) / 1e6 >= SETTLED
        if fields.get("ActiveState") not in ("active", "activating"):
            return f"{name} is {fields.get('ActiveState')}"
        return f"{name} ends by itself again and again" if restarts not in (None, self._restarts) else ""


def wait(module):
    """Return the agent's identity once it serves."""
    params, unit, name, began = module.params, Unit(module), chassis(), time.time()
    deadline = time.monotonic() + params["timeout"]
    while True:
        problem, found, silence = unit.problem(), "", ""
        try:
            found = registered(params, name)
        except ovsdb.DatabaseError as error:  # It was reached before the agent was started, and may be again.
            silence = str(error)
        if found and not problem and unit.settled:
            return found
        if problem or time.monotonic() > deadline:
            problem = problem or silence or f"{params['unit']} has not registered with chassis {name} after {params['timeout']} s"
            raise AgentError(f"{problem}; it says: {last_error(params['log'], began - RECENT) or 'nothing'}; see {params['log']} on the node")
        time.sleep(1)


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "log": {"type": "path", "required": True},
            "southbound": {"type": "str", "required": True},
            "tls": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 90},
        },
        supports_check_mode=True,
    )
    found = ""
    try:
        if not module.check_mode:
            found = wait(module)
    except (AgentError, ovsdb.DatabaseError, OSError, ValueError) as error:
        module.fail_json(msg=one_line(str(error), 500))
    module.exit_json(changed=False, agent_id=found)


if __name__ == "__main__":
    main()
