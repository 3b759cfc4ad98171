# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Checks of what the compute's roles are given, and how nova-compute's layers come out of it.

A filter named ..._problems returns a list of problems, each one line that names the object, the key and the remedy; empty means good.
"""

from __future__ import annotations

import ipaddress
import re
import uuid

import yaml

from ansible_collections.osp.edpm.plugins.module_utils import yamltext
from ansible_collections.osp.edpm.plugins.module_utils.osloconf import Config, options

HOST = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")
LAYER = re.compile(r"^(?P<number>\d\d)-[\w.-]*\.conf$")
PUBLIC_KEY = re.compile(r"^(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/]+=*( .*)?$")
PROVIDER = re.compile(r"^provider[\w.-]*\.ya?ml$")
RHOSO = "Secret nova-cell1-compute-config"
OTHER = "Secret openstack-control-plane"
EXTRA = "ConfigMap nova-extra-config"
KEYS = "Secret nova-migration-ssh-key"
# Layers that are the cloud's; 02-nova-override.conf is what RHOSO makes of customServiceConfig.
MAIN = "01-nova.conf"
CLOUDS = (MAIN, "02-nova-override.conf")
CLOUD_KEY = "control-plane.yaml"
# What nova-compute cannot do without, by section.
NEEDED = (("DEFAULT", "transport_url"), ("placement", "auth_url"))
WANTED = (("region",), ("keystone", "auth_url"), ("nova", "transport_url"), ("nova", "password"))


def libvirt_problems(data, password, uses_tls):
    """Check the Secret libvirt-secret."""
    if "LibvirtPassword" in data and not str(data["LibvirtPassword"]).strip():
        return ["Secret libvirt-secret, key LibvirtPassword is empty: set the migration user's password"]
    if data and "LibvirtPassword" not in data:
        return ["Secret libvirt-secret lacks the key LibvirtPassword: add the migration user's password"]
    if uses_tls and not password:
        return ["libvirt with TLS asks who connects: create the Secret libvirt-secret with the key LibvirtPassword"]
    return []


def nova_problems(data, host, address, compute_id=""):
    """Check what the service nova is given."""
    problems = _cloud_problems(data) + list(_key_problems(data)) + list(_name_problems(data))
    if not HOST.match(str(host)):
        problems.append(f"canonical_hostname {host!r} is no host name: correct it")
    if not _is_address(address):
        problems.append(f"edpm_nova_my_ip {address!r} is no address: set ctlplane_ip, or edpm_nova_my_ip")
    if compute_id and not _is_uuid(compute_id):
        problems.append(f"edpm_nova_compute_id {compute_id!r} is no UUID: correct it")
    return problems


def cloud(data):
    """Return the description of a cloud that is not RHOSO as a mapping; empty when there is none."""
    described = yamltext.load(data.get(CLOUD_KEY, "")) or {}
    return described if isinstance(described, dict) else {}


def layers(data, rendered, folder):
    """Return nova-compute's layers in order, each {path, source, content}; rendered is the main one where RHOSO gave none."""
    found = {MAIN: (rendered, f"{OTHER}, key {CLOUD_KEY}")}
    for name, text in data.items():
        if LAYER.match(name):
            found[name] = text, f"{RHOSO if name in CLOUDS else EXTRA}, key {name}"
    return [{"path": f"{folder}/{name}", "source": source, "content": text} for name, (text, source) in sorted(found.items())]


def layer_files(found):
    """Return the layers as edpm_files takes them: they hold passwords."""
    return [{"path": layer["path"], "content": layer["content"], "mode": "0640", "group": "nova", "secret": True} for layer in found]


def provider_files(data, folder):
    """Return the resource provider files as edpm_files takes them."""
    return [{"path": f"{folder}/{name}", "content": data[name], "mode": "0640", "group": "nova"} for name in _providers(data)]


def _providers(data):
    return sorted(name for name in data if PROVIDER.match(name))


def telemetry_problems(data, address):
    """Check what the service telemetry is given."""
    problems = []
    if data and "ceilometer.conf" not in data:
        problems.append("Secret ceilometer-compute-config-data lacks the key ceilometer.conf: add it, or delete the Secret to run no agent")
    if address and not _is_address(address):
        problems.append(f"edpm_telemetry_address {address!r} is no address: correct it, or leave it empty for all")
    return problems


def telemetry_files(data, host_layer):
    """Return the files of Ceilometer's agent as edpm_files takes them; they hold passwords."""
    texts = {name: text for name, text in data.items() if name.endswith((".conf", ".yaml"))}
    files = {f"/etc/ceilometer/{name}" if name in ("ceilometer.conf", "polling.yaml") else f"/etc/ceilometer/ceilometer.conf.d/{name}": text
             for name, text in texts.items()}
    files["/etc/ceilometer/ceilometer.conf.d/02-host.conf"] = host_layer
    return [{"path": path, "content": text, "mode": "0640", "group": "ceilometer", "secret": True} for path, text in sorted(files.items())]


def bracketed(address):
    """Return the address as it stands before a port."""
    return f"[{address}]" if ":" in str(address) else str(address)


def oslo(value):
    """Return a value as it is written into a configuration file, where a dollar sign begins a reference."""
    return str(value).replace("$", "$$")


def _cloud_problems(data):
    if MAIN in data:
        config = Config([{"content": data[MAIN], "source": MAIN}])
        return [f"{RHOSO}, key {MAIN} lacks {key} in [{section}]: give what nova-compute needs"
                for section, key in NEEDED if not config.get(section, key)]
    if CLOUD_KEY not in data:
        return [f"neither the {RHOSO} (key {MAIN}) nor the {OTHER} (key {CLOUD_KEY}) is there: create the one that is your cloud's"]
    try:
        described = yamltext.load(data[CLOUD_KEY])
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        return [f"{OTHER}, key {CLOUD_KEY} is no YAML (line {line}): correct it"]
    return [f"{OTHER}, key {CLOUD_KEY} lacks {'.'.join(path)}: add it" for path in WANTED if not _at(described, path)]


def _at(value, path):
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _key_problems(data):
    for name, good in (("ssh-privatekey", lambda text: "PRIVATE KEY-----" in text), ("ssh-publickey", PUBLIC_KEY.match)):
        if name not in data:
            yield f"{KEYS} lacks the key {name}: servers move between nodes with it, make a pair with ssh-keygen"
        elif not good(data[name].strip()):
            yield f"{KEYS}, key {name} is no {'private' if name == 'ssh-privatekey' else 'public'} key: make a pair with ssh-keygen"


def _name_problems(data):
    for name in sorted(data):
        match = LAYER.match(name)
        if match and name not in CLOUDS and int(match["number"]) < 3:
            yield f"{EXTRA}, key {name}: layers 00 to 02 are not the user's, number yours from 03 to 99"
        elif name.endswith(".conf") and not match and name != "nova-blank.conf":
            yield f"{EXTRA}, key {name} is no layer: name it NN-NAME.conf, NN from 03 to 99"
        elif match and not any(options(data[name])) and data[name].strip() and name not in CLOUDS:
            yield f"{EXTRA}, key {name} sets nothing: write it as [section] and option = value"
    for name in _providers(data):
        if not _is_mapping(data[name]):
            yield f"{EXTRA}, key {name} is no YAML mapping: see Nova's provider configuration files"


def _is_mapping(text):
    try:
        return isinstance(yaml.safe_load(text), dict)
    except yaml.YAMLError:
        return False


def _is_address(text):
    try:
        ipaddress.ip_address(str(text))
    except ValueError:
        return False
    return True


def _is_uuid(text):
    try:
        uuid.UUID(str(text))
    except ValueError:
        return False
    return True


class FilterModule:
    """The filters."""

    def filters(self):
        """Return them by name."""
        return {
            "libvirt_problems": libvirt_problems,
            "nova_problems": nova_problems,
            "nova_cloud": cloud,
            "nova_layers": layers,
            "nova_layer_files": layer_files,
            "nova_provider_files": provider_files,
            "telemetry_problems": telemetry_problems,
            "telemetry_files": telemetry_files,
            "bracketed": bracketed,
            "oslo": oslo,
        }
