#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Finds out before nova-compute is (re)started whether it will work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_nova_check
short_description: Find out before nova-compute is started whether it will work
version_added: 0.2.0
author: Rackplane authors (@rackplane)
description:
  - Looks at the node (virtualization, disk, libvirt, who the node was before) and, from the node and with the service's own credentials, at the
    message bus, Keystone, Placement and Nova.
  - The layers are checked before they are laid down, so that a wrong password never takes a working node's place.
  - Everything that is wrong is told at once, each cause in one line with its remedy and without any secret.
  - When every layer is already on the node and the service runs, no endpoint is asked. Nothing is ever changed.
options:
  layers:
    description: The configuration in order, the last value winning.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where the layer is laid down.
        type: path
        required: true
      source:
        description: What to call the layer in a message.
        type: str
        required: true
      content:
        description: The layer's text.
        type: str
        required: true
  files:
    description: Files that the layers name (a CA) and that are laid down with them, path to text.
    type: dict
    default: {}
  host_layer:
    description: Path of the layer that names the node; it holds what the node was before.
    type: path
    required: true
  host:
    description: The compute service's host, which never changes.
    type: str
    required: true
  address:
    description: The node's my_ip.
    type: str
    required: true
  compute_id:
    description: The compute this node is to be; empty for whatever the node is or becomes.
    type: str
    default: ""
  allow_qemu:
    description: Whether servers may be emulated where the node cannot virtualize.
    type: bool
    default: false
  min_free_mb:
    description: Megabytes that must be free where servers are kept.
    type: int
    default: 1024
  max_skew:
    description: Seconds the node's clock may differ from Keystone's.
    type: int
    default: 30
  unit:
    description: Unit of the service.
    type: str
    required: true
attributes:
  check_mode:
    description: Looks at everything that needs no package which is not yet there.
    support: full
  diff_mode:
    description: Changes nothing, so there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Find out whether nova-compute will work
  osp.edpm.edpm_nova_check:
    layers:
      - path: /etc/nova/nova.conf.d/01-nova.conf
        source: Secret nova-cell1-compute-config, key 01-nova.conf
        content: "{{ text }}"
    host_layer: /etc/nova/nova.conf.d/02-nova-host-specific.conf
    host: compute-0.ctlplane.example.com
    address: 192.0.2.20
    unit: nova-compute
"""

RETURN = r"""
virt_type:
  description: What servers run with, kvm or qemu unless a layer says otherwise.
  type: str
  returned: always
asked:
  description: Whether the endpoints were asked.
  type: bool
  returned: always
"""

import fcntl
import os
import shutil
import urllib.parse
import uuid

from ansible_collections.osp.edpm.plugins.module_utils import bus, identity
from ansible_collections.osp.edpm.plugins.module_utils.node import one_line, read_text
from ansible_collections.osp.edpm.plugins.module_utils.osloconf import Config
from ansible_collections.osp.edpm.plugins.module_utils.quiet import QuietModule

# linux/kvm.h.
KVM_GET_API_VERSION = 0xAE00
KVM_CREATE_VM = 0xAE01
KVM_API_VERSION = 12
# The sections whose credentials nova-compute uses.
ACCOUNTS = ("placement", "service_user", "neutron", "glance", "cinder")
STATE = "/var/lib/nova"


class Check:
    """One look at the node; problems are what was found."""

    def __init__(self, module):
        self._module = module
        self._params = module.params
        self._config = Config(module.params["layers"])
        self._before = Config([{"content": read_text(module.params["host_layer"]) or "", "source": ""}])
        self.virt_type = ""
        self.asked = False
        self.problems = []

    def run(self):
        """Look at everything there is to look at."""
        self.virt_type = self._virt_type()
        known = self._who()
        self._disk()
        if self._is_new():
            self.asked = True
            self._try(self._bus)
            self._cloud(known, self._libvirt() or self._params["host"])

    def _say(self, problem):
        if problem not in self.problems:
            self.problems.append(problem)

    def _try(self, step, *args):
        """Run a step; its failure is a problem and the rest goes on."""
        try:
            return step(*args)
        except (bus.BusError, identity.CloudError) as error:
            self._say(str(error))
            return None

    def _virt_type(self):
        wanted = self._config.get("libvirt", "virt_type")
        problem = kvm_problem() if wanted in ("", "kvm") else ""
        if not problem:
            return wanted or "kvm"
        if wanted:
            self._say(f"{problem}, but {self._config.source('libvirt', 'virt_type')} says virt_type = kvm: switch virtualization on in the firmware, or take that out")
        elif not self._params["allow_qemu"]:
            self._say(f"{problem}: switch virtualization on in the firmware, or set edpm_nova_allow_qemu: true to emulate, which is many times slower")
        return "qemu"

    def _who(self):
        """Return the node's compute_id, "" when it has none yet."""
        path = f"{STATE}/compute_id"
        text = (read_text(path) or "").strip()
        wanted = self._params["compute_id"].lower()
        if text and not valid(text):
            self._say(f"{path} holds no UUID: put the compute's own back, or delete the compute service and the file")
        if text and wanted and text.lower() != wanted:
            self._say(f"edpm_nova_compute_id is {wanted}, but the node is compute {text} ({path}): correct it")
        before = self._before.get("DEFAULT", "host")
        if text and before and before != self._params["host"]:
            self._say(f"canonical_hostname is {self._params['host']}, but the node has been compute {before} since its first start, and a compute never "
                      f"changes its name: call it {before} again, or remove it from the set and add it anew")
        return text.lower() or wanted

    def _disk(self):
        place = self._config.get("DEFAULT", "instances_path")
        looked = set()
        for place in (place if place.startswith("/") else f"{STATE}/instances", "/var/log"):
            while not os.path.isdir(place):
                place = os.path.dirname(place)
            free = shutil.disk_usage(place).free >> 20
            if free < self._params["min_free_mb"] and os.stat(place).st_dev not in looked:
                self._say(f"the disk of {place} has {free} MB left, edpm_nova_min_free_disk_mb wants {self._params['min_free_mb']}: make room, or lower it")
            looked.add(os.stat(place).st_dev)

    def _is_new(self):
        """Report whether the service has to be given something it does not have."""
        if any(read_text(layer["path"]) != layer["content"] for layer in self._params["layers"]):
            return True
        if (self._before.get("DEFAULT", "host"), self._before.get("DEFAULT", "my_ip")) != (self._params["host"], self._params["address"]):
            return True
        return self._run("systemctl", "is-active", self._params["unit"]) != "active"

    def _run(self, *command):
        if not shutil.which(command[0]):
            return ""
        return self._module.run_command(list(command))[1].strip()

    def _bus(self):
        try:
            connection = bus.sign_in(self._config)
        except ImportError as error:
            if not self._module.check_mode:
                raise bus.BusError("python3-amqp is not on the node, which nova-compute needs: check edpm_nova_packages") from error
            return
        except bus.BusError as error:
            raise bus.BusError(f"{error}: correct transport_url in {self._config.source('DEFAULT', 'transport_url')}") from error
        connection.close()

    def _libvirt(self):
        """Return the node's name as libvirt and Placement know it, "" when libvirt is not there."""
        name = self._run("virsh", "--connect", "qemu:///system", "hostname")
        if not name and not self._module.check_mode:
            self._say("libvirt does not answer on the node: run the libvirt service before nova, and see journalctl -u libvirtd")
        return name

    def _cloud(self, known, name):
        """Sign in with each account once, and ask who the cloud thinks the node is."""
        seen = []
        for section in ACCOUNTS:
            account = identity.Account(self._config, section)
            if not account.known or account.options in seen:
                continue
            seen.append(account.options)
            session = self._try(self._sign_in, account)
            if session and section == "placement":
                self._try(self._names, session, known, name)

    def _sign_in(self, account):
        try:
            session = identity.Session(account, self._params["files"])
        except identity.CloudError as error:
            raise identity.CloudError(f"{error}: correct [{account.section}] in {account.source}") from error
        if abs(session.skew) > self._params["max_skew"]:
            side = "ahead of" if session.skew > 0 else "behind"
            self._say(f"the node's clock is {abs(session.skew)} s {side} Keystone's: set timesync_ntp_servers so that both agree")
        return session

    def _names(self, session, known, name):
        base = session.endpoint("placement", self._config, "placement")
        status, body = session.get(base, f"/resource_providers?name={urllib.parse.quote(name)}", "Placement")
        if status != 200:
            raise identity.CloudError(f"Placement at {base} answers {status}: correct the endpoint, or give the user its role (service or admin)")
        for provider in body.get("resource_providers", []):
            if provider["uuid"] != known:
                self._say(taken(name, f"Placement knows compute {provider['uuid']} by that name", known))
                return
        if known:
            status, body = session.get(base, f"/resource_providers/{known}", "Placement")
            if status == 200 and body.get("name") != name:
                self._say(f"the node's compute_id {known} is that of {body.get('name')}, and the node is called {name}: if it is a copy of that node, "
                          f"remove {STATE}/compute_id, else give it its name again")
            return
        self._services(session)

    def _services(self, session):
        """Ask Nova as well, which knows services that never came so far as to have a resource provider. It may forbid it."""
        try:
            base = session.endpoint("compute", self._config, "nova")
            status, body = session.get(base, f"/os-services?binary=nova-compute&host={self._params['host']}", "Nova")
        except identity.CloudError:
            return
        if status == 200 and body.get("services"):
            self._say(taken(self._params["host"], "Nova has a compute service of that host", ""))


def taken(name, what, known):
    """Return the line about a name that is another compute's."""
    mine = f"is compute {known}" if known else "is none yet"
    remedy = "give the node another name, or delete the old compute service (openstack compute service delete)"
    if not known:
        remedy += ", or set edpm_nova_compute_id when this is the same compute on a new disk"
    return f"the name {name} is taken: {what}, and this node {mine}: {remedy}"


def valid(text):
    """Report whether the text is a UUID."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def kvm_problem(path="/dev/kvm"):
    """Return why the node cannot virtualize, "" when it can: a machine is made and thrown away."""
    try:
        device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"the node has no usable {path} ({(error.strerror or '').lower()})"
    try:
        if fcntl.ioctl(device, KVM_GET_API_VERSION, 0) != KVM_API_VERSION:
            return f"the node's {path} speaks no KVM that QEMU knows"
        os.close(fcntl.ioctl(device, KVM_CREATE_VM, 0))
        return ""
    except OSError as error:
        return f"the node's {path} makes no machines ({(error.strerror or '').lower()})"
    finally:
        os.close(device)


def main():
    """Run the module."""
    module = QuietModule(
        argument_spec={
            "layers": {
                "type": "list", "elements": "dict", "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "source": {"type": "str", "required": True},
                    "content": {"type": "str", "required": True},
                },
            },
            "files": {"type": "dict", "default": {}},
            "host_layer": {"type": "path", "required": True},
            "host": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "compute_id": {"type": "str", "default": ""},
            "allow_qemu": {"type": "bool", "default": False},
            "min_free_mb": {"type": "int", "default": 1024},
            "max_skew": {"type": "int", "default": 30},
            "unit": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    check = Check(module)
    check.run()
    if check.problems:
        module.fail_json(msg=one_line("; ".join(check.problems), 500), problems=check.problems)
    module.exit_json(changed=False, virt_type=check.virt_type, asked=check.asked)


if __name__ == "__main__":
    main()
