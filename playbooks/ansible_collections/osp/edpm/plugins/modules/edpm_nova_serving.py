#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Waits until nova-compute listens for work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_nova_serving
short_description: Wait until nova-compute listens for work
version_added: 0.2.0
author: Rackplane authors (@rackplane)
description:
  - systemd calls nova-compute started as soon as its conductor answered; what fails after that (libvirt, its own identity) fails unseen.
  - nova-compute is taken to serve once it listens on its own queue at the message bus, the last thing it does when it starts.
  - When it does not, the last error of its log is told with its remedy.
options:
  layers:
    description: The configuration in order, the last value winning, as M(osp.edpm.edpm_nova_check) takes it.
    type: list
    elements: dict
    required: true
  host:
    description: The compute service's host.
    type: str
    required: true
  unit:
    description: Unit of the service.
    type: str
    required: true
  log:
    description: The service's own log.
    type: path
    required: true
  timeout:
    description: Seconds to wait.
    type: int
    default: 120
attributes:
  check_mode:
    description: Does not wait.
    support: full
  diff_mode:
    description: Changes nothing, so there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Wait until nova-compute serves
  osp.edpm.edpm_nova_serving:
    layers: "{{ layers }}"
    host: compute-0.ctlplane.example.com
    unit: nova-compute
    log: /var/log/nova/nova-compute.log
"""

RETURN = r"""#"""

import time

from ansible_collections.osp.edpm.plugins.module_utils import bus, daemonlog
from ansible_collections.osp.edpm.plugins.module_utils.node import one_line
from ansible_collections.osp.edpm.plugins.module_utils.osloconf import Config
from ansible_collections.osp.edpm.plugins.module_utils.quiet import QuietModule

PAUSE = 0.5


def serves(config, host):
    """Report whether somebody listens on the compute's queue; no bus is no."""
    try:
        return bus.listeners(config, f"compute.{host}") > 0
    except bus.BusError:
        return False


def look(module):
    """Return whether systemd has given the service up or is about to try once more, and when it was last started."""
    out = module.run_command(["systemctl", "show", "--timestamp=unix", "--property", "SubState,ExecMainStartTimestamp", module.params["unit"]])[1]
    seen = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    began = seen.get("ExecMainStartTimestamp", "").lstrip("@")
    return seen.get("SubState") in ("failed", "dead", "auto-restart"), int(began) if began.isdigit() else 0


def main():
    """Run the module."""
    module = QuietModule(
        argument_spec={
            "layers": {"type": "list", "elements": "dict", "required": True},
            "host": {"type": "str", "required": True},
            "unit": {"type": "str", "required": True},
            "log": {"type": "path", "required": True},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    params = module.params
    if module.check_mode:
        module.exit_json(changed=False)
    config = Config(params["layers"])
    deadline = time.monotonic() + params["timeout"]
    while not serves(config, params["host"]):
        dead, began = look(module)
        if dead or time.monotonic() > deadline:
            state = "has ended" if dead else f"does not listen on its queue compute.{params['host']} after {params['timeout']} s"
            said = daemonlog.last_error(params["log"], began) or "its log names no error"
            module.fail_json(msg=one_line(f"{params['unit']} {state}: {said}; see {params['log']} on the node", 500))
        time.sleep(PAUSE)
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
