#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Makes the node a chassis of an OVN, and proves that it is one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_ovn_chassis
short_description: Make the node a chassis of an OVN, and prove that it is one
version_added: 0.2.0
author: Rackplane authors (@rackplane)
description:
  - Asks the southbound first, with the node's own certificate. Refuses when another chassis has this node's name, system-id or tunnel address.
  - Brings Open vSwitch's settings, bridges, manager and certificate to what is wanted, in one transaction. Nothing is restarted, ovn-controller follows by itself.
  - Waits until ovn-controller is connected and its row is in the southbound.
  - Never takes a device that carries an address into a bridge, so the SSH connection survives.
options:
  external_ids:
    description: Settings of the switch; an empty value means that the setting must not be there. Others stay as they are.
    type: dict
    required: true
  other_config:
    description: Further settings of the switch, in the same way.
    type: dict
    default: {}
  bridges:
    description: Bridges that must be there.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the bridge.
        type: str
        required: true
      datapath_type:
        description: Its datapath; empty leaves it as it is.
        type: str
        default: ""
      ports:
        description: Devices that must be its ports.
        type: list
        elements: str
        default: []
  managers:
    description: Addresses at which the switch's database must listen.
    type: list
    elements: str
    default: []
  tls:
    description: The files private_key, certificate and ca_cert for a southbound that is reached through TLS.
    type: dict
    default: {}
  system_id:
    description: Name of the chassis on a node that no OVN has had yet. A node that is joined keeps its own.
    type: str
    required: true
  timeout:
    description: Seconds to wait until ovn-controller is connected.
    type: int
    default: 60
attributes:
  check_mode:
    description: Predicts the change, and asks the southbound as well; does not wait.
    support: full
  diff_mode:
    description: Shows the settings before and after.
    support: full
"""

EXAMPLES = r"""
- name: Join OVN
  osp.edpm.edpm_ovn_chassis:
    external_ids:
      hostname: compute-0.example.com
      ovn-remote: tcp:192.0.2.10:6642
      ovn-encap-ip: 192.0.2.20
      ovn-encap-type: geneve
    system_id: 5d0a6c1e-7f42-5a63-8f7a-3d9c4b1c2a10
"""

RETURN = r"""
system_id:
  description: Name of the node's chassis.
  type: str
  returned: always
"""

import json
import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils import ovsdb
from ansible_collections.osp.edpm.plugins.module_utils.node import one_line, read_text, text_diff, write_text

SOCKET = "/run/openvswitch/db.sock"
SYSTEM_ID_FILE = "/etc/openvswitch/system-id.conf"
LOG = "/var/log/ovn/ovn-controller.log"
EMPTY = {"external_ids": {}, "other_config": {}, "bridges": {}, "managers": [], "ssl": {}, "system_id_file": ""}


class ChassisError(Exception):
    """One line that names what is in the way and the remedy."""


def observe():
    """Return the switch's state in the form of EMPTY."""
    client = ovsdb.local(SOCKET)
    try:
        switch, bridges, ports, managers, ssl = client.select("Open_vSwitch", [
            ("Open_vSwitch", [], ["external_ids", "other_config"]),
            ("Bridge", [], ["name", "datapath_type", "ports"]),
            ("Port", [], ["_uuid", "name"]),
            ("Manager", [], ["target"]),
            ("SSL", [], ["private_key", "certificate", "ca_cert"]),
        ])
    finally:
        client.close()
    names = {port["_uuid"]: port["name"] for port in ports}
    return {
        "external_ids": switch[0]["external_ids"],
        "other_config": switch[0]["other_config"],
        "bridges": {bridge["name"]: {"datapath_type": bridge["datapath_type"], "ports": _port_names(bridge["ports"], names)}
                    for bridge in bridges},
        "managers": sorted(manager["target"] for manager in managers),
        "ssl": ssl[0] if ssl else {},
        "system_id_file": (read_text(SYSTEM_ID_FILE) or "").strip(),
    }


def _port_names(ports, names):
    return sorted(names[port] for port in (ports if isinstance(ports, list) else [ports]))


def chassis_name(seen, wanted):
    """Return the name of the node's chassis: a joined node's own, else the wanted one."""
    current = seen["external_ids"].get("system-id", "")
    return current if current and seen["external_ids"].get("ovn-remote") else wanted


def settings(params, name):
    """Return the external_ids as texts, with the chassis' name."""
    return {**{key: _text(value) for key, value in params["external_ids"].items()}, "system-id": name}


def _text(value):
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def plan(seen, params, name):
    """Return (ovs-vsctl's commands, lines before, lines after); no command means that all is as wanted."""
    commands, before, after = [], [], []
    columns = {"external_ids": settings(params, name), "other_config": {key: _text(value) for key, value in params["other_config"].items()}}
    if seen["external_ids"].get("system-id") != name:
        # ovn-controller numbers the names it had, and names tunnels by the number (ovn 25.03, controller/ovn-controller.c).
        columns["other_config"] |= {key: "" for key in seen["other_config"] if key.startswith("ovn-chassis-idx-")}
    for column, wanted in columns.items():
        for key, value in sorted(wanted.items()):
            current = seen[column].get(key)
            if current == (value or None):
                continue
            setting = f"{column}:{json.dumps(key)}"
            commands.append(["set", "Open_vSwitch", ".", f"{setting}={json.dumps(value)}"] if value
                            else ["remove", "Open_vSwitch", ".", column, json.dumps(key)])
            before += [f"{column}:{key}={current}"] if current is not None else []
            after += [f"{column}:{key}={value}"] if value else []
    for bridge in params["bridges"]:
        more = plan_bridge(seen["bridges"].get(bridge["name"]), bridge)
        commands += more
        after += [" ".join(words) for words in more]
    for index, target in enumerate(one for one in params["managers"] if one not in seen["managers"]):
        commands.append([f"--id=@manager{index}", "create", "Manager", f"target={json.dumps(target)}"])
        commands.append(["add", "Open_vSwitch", ".", "manager_options", f"@manager{index}"])
        after.append(f"manager {target}")
    if params["tls"] and seen["ssl"] != params["tls"]:
        commands.append(["set-ssl", params["tls"]["private_key"], params["tls"]["certificate"], params["tls"]["ca_cert"]])
        before += [f"ssl {key} {path}" for key, path in sorted(seen["ssl"].items())]
        after += [f"ssl {key} {path}" for key, path in sorted(params["tls"].items())]
    return commands, before, after


def plan_bridge(seen, wanted):
    """Return the commands that one bridge needs; seen is None when it is not there."""
    commands = [] if seen else [["add-br", wanted["name"]]]
    kind = wanted["datapath_type"]
    if kind and (seen or {"datapath_type": ""})["datapath_type"] != kind:
        commands.append(["set", "Bridge", wanted["name"], f"datapath_type={json.dumps(kind)}"])
    return commands + [["add-port", wanted["name"], port] for port in wanted["ports"] if not seen or port not in seen["ports"]]


def refuse_clash(client, name, ids):
    """Raise when another chassis of the southbound has this node's name, system-id or tunnel address."""
    address, host = ids.get("ovn-encap-ip", ""), ids.get("hostname", "")
    columns = ["name", "hostname"]
    same_name, same_host, tunnels = client.select(ovsdb.SOUTHBOUND, [
        ("Chassis", [["name", "==", name]], columns),
        ("Chassis", [["hostname", "==", host]], columns),
        ("Encap", [["ip", "==", address]], ["chassis_name"]),
    ])
    for row in same_name:
        if row["hostname"] != host:
            raise ChassisError(f"system-id {name} is the chassis of {row['hostname']} in the southbound, and this node is {host}: when its disk "
                               "is a copy, run 'ovs-vsctl remove Open_vSwitch . external_ids ovn-remote' on it, and it gets an identity of its "
                               "own; when it is that host under a new name, give it the old one")
    for row in tunnels:
        if row["chassis_name"] != name:
            raise ChassisError(f"tunnel address {address} belongs to chassis {row['chassis_name']}{_host_of(row['chassis_name'], same_host)}: "
                               f"give this node another (edpm_ovn_encap_ip), or when that host is gone, delete its row "
                               f"(ovn-sbctl chassis-del {row['chassis_name']})")
    for row in same_host:
        if row["name"] != name:
            raise ChassisError(f"host name {host} belongs to chassis {row['name']} in the southbound, and this node's is {name}: give one of "
                               f"the two nodes another name, or when it is a row left over, delete it (ovn-sbctl chassis-del {row['name']})")


def _host_of(chassis, same_host):
    return " of this host's earlier installation" if any(row["name"] == chassis for row in same_host) else ""


class Devices:
    """The node's network devices."""

    def __init__(self, run):
        self._run = run

    def refuse_port(self, bridge, port, seen):
        """Raise when the device must not become the bridge's port; one that is its port already may stay."""
        blame = f"{port} cannot become a port of {bridge}"
        for name, other in seen["bridges"].items():
            if port in other["ports"]:
                if name == bridge:
                    return
                raise ChassisError(f"{blame}: it is one of {name}: correct edpm_ovn_bridge_ports")
        code, out, _err = self._run(["ip", "-json", "address", "show", "dev", port])
        if code != 0:
            raise ChassisError(f"{blame}: the node has no such device: correct edpm_ovn_bridge_ports")
        device = next(one for one in json.loads(out) if one)
        addresses = [entry["local"] for entry in device.get("addr_info", []) if entry.get("scope") == "global"]
        if addresses:
            raise ChassisError(f"{blame}: it carries {', '.join(addresses)}, and the node could no longer be reached there: name a device "
                               "without an address in edpm_ovn_bridge_ports (default: neutron_public_interface_name)")
        if device.get("master"):
            raise ChassisError(f"{blame}: it is part of {device['master']}: name that instead in edpm_ovn_bridge_ports")


class Job:
    """One run."""

    def __init__(self, module):
        self._module = module
        self._params = module.params
        self._look()

    def _look(self):
        self.seen = observe() if os.path.exists(SOCKET) or not self._module.check_mode else EMPTY
        self.name = chassis_name(self.seen, self._params["system_id"])
        self.ids = settings(self._params, self.name)
        self.commands, self.before, self.after = plan(self.seen, self._params, self.name)
        if self.seen["system_id_file"] != self.name:
            self.before.append(f"{SYSTEM_ID_FILE} {self.seen['system_id_file']}")
            self.after.append(f"{SYSTEM_ID_FILE} {self.name}")

    def changed(self):
        """Report whether anything differs."""
        return bool(self.before or self.after)

    def check(self):
        """Raise when the node must not become what is wanted."""
        devices = Devices(self._module.run_command)
        for bridge in self._params["bridges"]:
            for port in bridge["ports"]:
                devices.refuse_port(bridge["name"], port, self.seen)
        client = self._southbound()
        try:
            refuse_clash(client, self.name, self.ids)
        finally:
            client.close()

    def apply(self):
        """Make what is wanted true. The file is read when the switch starts, so both name one chassis."""
        renamed = self.seen["external_ids"].get("system-id", self.name) != self.name
        if renamed:  # Only a node that is not joined yet: its controller has nothing to do, and must not note the old name meanwhile.
            self._systemctl("stop")
            self._look()
        if self.seen["system_id_file"] != self.name:
            write_text(SYSTEM_ID_FILE, self.name + "\n", 0o644)
        if self.commands:
            self._set()
        if renamed:
            self._systemctl("start")

    def _systemctl(self, verb):
        code, out, err = self._module.run_command(["systemctl", verb, "ovn-controller"])
        if code != 0:
            raise ChassisError(f"systemctl {verb} ovn-controller failed: {one_line(err or out)}; see journalctl -u ovn-controller on the node")

    def _set(self):
        words = ["ovs-vsctl", "--timeout=60"]
        for command in self.commands:
            words += ["--", *command]
        code, out, err = self._module.run_command(words)
        if code != 0:
            raise ChassisError(f"ovs-vsctl cannot set what is wanted: {one_line(err or out)}; see journalctl -u ovs-vswitchd on the node")

    def wait(self):
        """Wait until ovn-controller is connected and has written its row."""
        deadline = time.monotonic() + self._params["timeout"]
        if self.commands:
            time.sleep(1)  # Else what it says may still be of the southbound it had before.
        while True:
            try:
                problem = self._problem()
            except ovsdb.DatabaseError as error:
                problem = str(error)
            if not problem:
                return
            if time.monotonic() > deadline:
                raise ChassisError(f"{problem} after {self._params['timeout']} s; it says: {one_line(last_words(LOG) or 'nothing')}")
            time.sleep(0.5)

    def _problem(self):
        code, out, err = self._module.run_command(["ovn-appctl", "-t", "ovn-controller", "connection-status"])
        if code != 0:
            return f"ovn-controller does not answer on the node ({one_line(err or out)})"
        if out.strip() != "connected":
            return f"ovn-controller is {out.strip()} to {self.ids['ovn-remote']}"
        client = self._southbound()
        try:
            rows, = client.select(ovsdb.SOUTHBOUND, [("Chassis", [["name", "==", self.name], ["hostname", "==", self.ids["hostname"]]], ["name"])])
        finally:
            client.close()
        return "" if rows else f"ovn-controller is connected, but chassis {self.name} is not in the southbound"

    def _southbound(self):
        tls = self._params["tls"] or None
        return ovsdb.southbound(self.ids["ovn-remote"], tls, "ovn-remote (ConfigMap ovncontroller-config, or Secret openstack-control-plane)")


def last_words(path):
    """Return the last warning or error of a log of Open vSwitch's kind."""
    lines = [line for line in (read_text(path) or "").splitlines()[-200:] if "|WARN|" in line or "|ERR|" in line]
    return lines[-1].split("|", 2)[-1] if lines else ""


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "external_ids": {"type": "dict", "required": True},
            "other_config": {"type": "dict", "default": {}},
            "bridges": {
                "type": "list", "elements": "dict", "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "datapath_type": {"type": "str", "default": ""},
                    "ports": {"type": "list", "elements": "str", "default": []},
                },
            },
            "managers": {"type": "list", "elements": "str", "default": []},
            "tls": {"type": "dict", "default": {}},
            "system_id": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    absent = ovsdb.missing(module.params["tls"])
    if absent and not module.check_mode:
        module.fail_json(msg=f"the southbound is reached through TLS, and {absent} is not on the node: run install-certs before ovn, with a "
                             "certificate for this node")
    try:
        job = Job(module)
        if not absent:
            job.check()
        if not module.check_mode:
            job.apply()
            job.wait()
    except (ChassisError, ovsdb.DatabaseError, OSError, ValueError) as error:
        module.fail_json(msg=one_line(str(error), 500))
    module.exit_json(changed=job.changed(), system_id=job.name,
                     diff=text_diff("Open vSwitch", "".join(f"{line}\n" for line in job.before), "".join(f"{line}\n" for line in job.after)))


if __name__ == "__main__":
    main()
