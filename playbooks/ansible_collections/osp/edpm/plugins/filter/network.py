# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""What the ovn and neutron-metadata roles make of their inputs: checks, and values derived from names.

The checks return a list of problems, each one line that names the input and the remedy; empty means good.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import uuid

import yaml
from ansible_collections.osp.edpm.plugins.module_utils import ovsdb, yamltext
from ansible_collections.osp.edpm.plugins.module_utils.osloconf import Config, options

MAPPING = re.compile(r"^([A-Za-z0-9_.-]+):([A-Za-z0-9_.-]+)$")
# Namespace of the identities derived here; it is fixed, or every chassis would get another name.
IDENTITIES = uuid.UUID("7e0f8a7c-58b0-5d7e-9a43-0f0f4f6d2b11")
NO_OVN = ("neither ConfigMap ovncontroller-config (key ovsdb-config) nor Secret openstack-control-plane (key control-plane.yaml, ovn.southbound) "
          "says where the OVN southbound is: create one of them")
NO_AGENT = ("Secret neutron-ovn-metadata-agent-neutron-config (10-neutron-metadata.conf) with Secret nova-metadata-neutron-config "
            "(05-nova-metadata.conf), or Secret openstack-control-plane (control-plane.yaml)")


def yaml_mapping(text):
    """Return a text's YAML mapping of texts; {} for none. What is no mapping comes back as {"": text}, so that a check can name it."""
    try:
        found = yamltext.load(text or "") or {}
    except yaml.YAMLError:
        found = None
    return found if isinstance(found, dict) else {"": str(text)}


def mappings(value):
    """Return edpm_ovn_bridge_mappings, a list or a text with commas, as a list."""
    parts = value if isinstance(value, list) else str(value).split(",")
    return [str(part).strip() for part in parts if str(part).strip()]


def chassis_id(host):
    """Return the chassis name of a host that is new to OVN: the same whenever it is deployed anew."""
    return str(uuid.uuid5(IDENTITIES, str(host)))


def chassis_macs(value, host):
    """Return ovn-chassis-mac-mappings: per physical network a MAC of the host and the bridge's own, the same in every run."""
    macs = []
    for mapping in mappings(value):
        physical, _colon, bridge = mapping.partition(":")
        digest = bytearray(hashlib.sha256(f"{host}/{bridge}".encode()).digest()[:6])
        digest[0] = digest[0] & 0xFC | 0x02
        macs.append(f"{physical}:{digest.hex(':')}")
    return ",".join(macs)


def bridges(value, ports, datapath_type):
    """Return the bridges of the mappings as osp.edpm.edpm_ovn_chassis takes them."""
    names = dict.fromkeys(mapping.partition(":")[2] for mapping in mappings(value))
    return [{"name": name, "datapath_type": datapath_type, "ports": list(ports.get(name, []))} for name in names]


def ovn_problems(ids, value, ports, datapath_type):
    """Check what the ovn role is about to set."""
    problems = [NO_OVN] if not ids.get("ovn-remote") else []
    if "" in ids:
        problems.append("ConfigMap ovncontroller-config: ovsdb-config is no YAML mapping: write lines such as ovn-remote: tcp:192.0.2.10:6642")
    problems += [f"ovn-remote {remote!r} is no remote: write it as tcp:ADDRESS:6642 or ssl:ADDRESS:6642" for remote in ovsdb.wrong(ids.get("ovn-remote") or "")]
    if not _address(ids.get("ovn-encap-ip")):
        problems.append(f"edpm_ovn_encap_ip {ids.get('ovn-encap-ip')!r} is no address: give the node one on its tenant network, or set the variable")
    kinds = mappings(ids.get("ovn-encap-type") or "")
    if not kinds or set(kinds) - {"geneve", "vxlan", "stt"}:
        problems.append(f"edpm_ovn_encap_type {ids.get('ovn-encap-type')!r} is not known: use geneve, vxlan or both")
    names = [mapping.partition(":") for mapping in mappings(value)]
    problems += [f"edpm_ovn_bridge_mappings: {mapping!r} is no mapping: write it as NETWORK:BRIDGE" for mapping in mappings(value) if not MAPPING.match(mapping)]
    if len({name for name, _colon, _bridge in names}) < len(names):
        problems.append("edpm_ovn_bridge_mappings names a network twice: keep one mapping of each")
    problems += [f"edpm_ovn_bridge_ports: {name} is no bridge of edpm_ovn_bridge_mappings: correct one of them"
                 for name in sorted(set(ports) - {bridge for _name, _colon, bridge in names})]
    if datapath_type not in ("", "system", "netdev"):
        problems.append(f"edpm_ovn_datapath_type {datapath_type!r} is not known: use system (the kernel's) or netdev (in user space)")
    return problems


def tls_files(folder):
    """Return the files of a folder that install_certs or a copy of it filled, as osp.edpm.edpm_ovn_chassis takes them."""
    return {"private_key": f"{folder}/tls.key", "certificate": f"{folder}/tls.crt", "ca_cert": f"{folder}/ca.crt"}


def layer_files(layers, folder, group):
    """Return configuration layers, {name: text}, as files of the folder that only root and the group may read."""
    return [{"path": f"{folder}/{name}", "content": layers[name], "mode": "0640", "group": group, "secret": name != "01-edpm.conf"}
            for name in sorted(layers)]


def oslo_options(layers):
    """Return {section: {option: value}} of configuration layers, {name: text}; a later name wins."""
    names = sorted(layers)
    config = Config([{"source": name, "content": layers[name]} for name in names])
    found = {}
    for name in names:
        for section, key, _value in options(layers[name]):
            found.setdefault(section, {})[key] = config.get(section, key)
    return found


def metadata_problems(given):
    """Check the metadata agent's options, as oslo_options returns them."""
    default, ovn = given.get("DEFAULT", {}), given.get("ovn", {})
    wanted = {"nova_metadata_host": default, "metadata_proxy_shared_secret": default, "ovn_sb_connection": ovn}
    lacking = [name for name, section in wanted.items() if not section.get(name)]
    if lacking:
        return [f"{' and '.join(lacking)} of the metadata agent not given: create {NO_AGENT}"]
    problems = [f"ovn_sb_connection {remote!r} is no remote: write it as tcp:ADDRESS:6642 or ssl:ADDRESS:6642"
                for remote in ovsdb.wrong(ovn["ovn_sb_connection"])]
    if default.get("nova_metadata_protocol", "http") not in ("http", "https"):
        problems.append("nova_metadata_protocol is neither http nor https: correct it")
    if not re.match(r"^\d{1,5}$", default.get("nova_metadata_port", "8775")):
        problems.append("nova_metadata_port is no port: correct it")
    return problems


def metadata_url(given):
    """Return the metadata service's address of the agent's options."""
    default = given.get("DEFAULT", {})
    host = default.get("nova_metadata_host", "")
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{default.get('nova_metadata_protocol', 'http')}://{host}:{default.get('nova_metadata_port', '8775')}"


def _address(text):
    try:
        return ipaddress.ip_address(str(text))
    except ValueError:
        return None


class FilterModule:
    """The filters."""

    def filters(self):
        """Return them by name."""
        return {
            "yaml_mapping": yaml_mapping,
            "ovn_bridges": bridges,
            "ovn_chassis_id": chassis_id,
            "ovn_chassis_macs": chassis_macs,
            "ovn_mappings": mappings,
            "ovn_problems": ovn_problems,
            "layer_files": layer_files,
            "oslo_options": oslo_options,
            "metadata_problems": metadata_problems,
            "metadata_url": metadata_url,
            "tls_files": tls_files,
        }
