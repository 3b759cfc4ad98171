#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Makes a node's network what an nmstate document says."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_nmstate
short_description: Make a node's network what an nmstate document says, without cutting the connection it is made over
version_added: 0.1.0
author: Rackplane authors (@rackplane)
description:
  - Uses nmstatectl where the node has it. Elsewhere the document becomes NetworkManager keyfiles, and only what differs is applied.
  - NetworkManager takes the old state back by itself unless the new one is confirmed, so a lost connection comes back.
  - A document that would take away the address this run is connected to is refused before anything is touched.
  - Records O(hash) on the node once the network is as wanted.
options:
  state:
    description: The nmstate document (interfaces, routes, dns-resolver).
    type: dict
    required: true
  hash:
    description: The document's hash, for the record; empty keeps no record.
    type: str
    default: ""
  rollback_after:
    description: Seconds after which NetworkManager takes the old state back when the new one is not confirmed.
    type: int
    default: 90
attributes:
  check_mode:
    description: Predicts the files and the interfaces that would be brought up.
    support: full
  diff_mode:
    description: Shows the files and what differs on the live interfaces.
    support: full
"""

EXAMPLES = r"""
- name: Configure the network
  osp.edpm.edpm_nmstate:
    state: "{{ edpm_network_config_nmstate }}"
    hash: "{{ edpm_network_config_hash }}"
"""

RETURN = r"""
backend:
  description: What configured the network, nmstatectl or NetworkManager.
  type: str
  returned: always
applied:
  description: The interfaces that were brought to the wanted state.
  type: list
  elements: str
  returned: always
"""

import configparser
import glob
import ipaddress
import json
import os
import shutil
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils import nmdocument
from ansible_collections.osp.edpm.plugins.module_utils.nmkeyfile import PREFIX, Refused, profiles
from ansible_collections.osp.edpm.plugins.module_utils.node import (
    STATE_DIR, one_line, read_text, replace_text, ssh_connection, text_diff, write_text)

PROFILE_DIR = "/etc/NetworkManager/system-connections"
HASH_FILE = os.path.join(STATE_DIR, "network-hash")
MADE_FILE = os.path.join(STATE_DIR, "network-interfaces")  # What nmstatectl made, so that it goes when it is no longer wanted.
CLOUD_FILE = "/etc/cloud/cloud.cfg.d/99-edpm-network.cfg"
CLOUD_TEXT = "# Written by osp.edpm: the network belongs to the data plane service configure-network.\nnetwork: {config: disabled}\n"
SETTLE = 15  # Seconds in which a live interface must show what its profile says.


class NetworkError(Exception):
    """One line that names the interface, the cause and the remedy."""


class Live:
    """What the kernel shows now, through ip(8)."""

    def __init__(self, run):
        self.links = json.loads(run(["ip", "-json", "address", "show"])[1] or "[]")
        self.routes = []
        for family in ("-4", "-6"):
            self.routes += json.loads(run(["ip", "-json", family, "route", "show", "table", "all"])[1] or "[]")

    def device(self, profile):
        """Return the name of the profile's device, or None when there is none."""
        for link in self.links:
            mine = link.get("permaddr") or link.get("address") or ""
            if (profile.by_mac and mine.upper() == profile.mac) or (not profile.by_mac and link["ifname"] == profile.name):
                return link["ifname"]
        return None

    def holder(self, address):
        """Return the device that holds the address, or None."""
        wanted = ipaddress.ip_address(address.partition("%")[0])
        for link in self.links:
            for entry in link.get("addr_info", []):
                if ipaddress.ip_address(entry["local"]) == wanted:
                    return link["ifname"]
        return None

    def differences(self, profile, device):
        """Return in words what the live device lacks of the profile; sorted, empty when it is as wanted."""
        link = next((one for one in self.links if one["ifname"] == device), None)
        if link is None:
            return ["no such device"]
        if profile.down:
            return []
        lacks = [] if "UP" in link.get("flags", []) else ["not up"]
        if profile.mtu and link.get("mtu") != int(profile.mtu):
            lacks.append(f"mtu is {link.get('mtu')}, wanted {profile.mtu}")
        have = {f"{entry['local']}/{entry['prefixlen']}" for entry in link.get("addr_info", [])}
        lacks += [f"address {text} is missing" for text in profile.addresses if text not in have]
        lacks += [f"route {route['destination']} is missing" for route in profile.routes if not self._has(route, device)]
        return sorted(lacks)

    def _has(self, route, device):
        wanted = ipaddress.ip_network(str(route["destination"]), strict=False)
        for one in self.routes:
            if one.get("dev") != device or _network(one.get("dst"), wanted.version) != wanted:
                continue
            if (one.get("gateway") or "") == str(route.get("next-hop-address") or ""):
                return True
        return False


def rivals(wanted, live, vlans):
    """Return the names of VLAN devices that have the base and the tag of a wanted one under another name: Linux allows one of each."""
    base = {profile.name: live.device(profile) or profile.name for profile in wanted}
    mine = {(base.get(profile.vlan[0], profile.vlan[0]), profile.vlan[1]): profile.name for profile in wanted if profile.vlan and not profile.absent}
    found = []
    for one in vlans:
        key = (one.get("link"), ((one.get("linkinfo") or {}).get("info_data") or {}).get("id"))
        if key in mine and one["ifname"] != mine[key]:
            found.append(one["ifname"])
    return sorted(found)


def _network(text, version):
    if text == "default":
        text = "0.0.0.0/0" if version == 4 else "::/0"
    try:
        return ipaddress.ip_network(str(text), strict=False)
    except ValueError:
        return None


def require_way_back(wanted, live, connection):
    """Raise when the node's end of the SSH connection would be lost; a local run has none."""
    if connection is None:
        return
    address = connection[1]
    holder = live.holder(address)
    touched = {live.device(profile) for profile in wanted} - {None}
    if holder not in touched:
        return
    kept = {text.partition("/")[0] for profile in wanted for text in profile.addresses}
    dynamic = any({("method", "auto"), ("method", "dhcp")} & set(pairs) for profile in wanted if live.device(profile) == holder
                  for _title, pairs in profile.sections)
    if address.partition("%")[0] not in kept and not dynamic:
        raise NetworkError(f"edpm_network_config_nmstate takes {address} off {holder}, the address this run is connected to: "
                           "give that address to one of the interfaces")


class NetworkManager:
    """The node's NetworkManager, through nmcli(1) and, for checkpoints, its D-Bus API (1.4 and later)."""

    SERVICE = ["org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager", "org.freedesktop.NetworkManager"]

    def __init__(self, run):
        self._run = run

    def running(self):
        """Report whether it answers."""
        return shutil.which("nmcli") is not None and self._run(["nmcli", "-t", "-f", "RUNNING", "general"])[1].strip() == "running"

    def active(self):
        """Return the active profile's UUID by device."""
        out = self._run(["nmcli", "-t", "-f", "UUID,DEVICE,STATE", "connection", "show", "--active"])[1]
        rows = [line.split(":") for line in out.splitlines()]
        return {row[1]: row[0] for row in rows if len(row) >= 3 and row[2] == "activated"}

    def reload(self):
        """Read the keyfiles again; nothing live changes."""
        self._must(["nmcli", "connection", "reload"])

    def unmanaged(self, device):
        """Report whether NetworkManager leaves the device to someone else."""
        out = self._run(["nmcli", "-g", "GENERAL.STATE", "device", "show", device])[1]
        return out.startswith("10 ")

    def manage(self, device):
        """Take the device over."""
        self._must(["nmcli", "device", "set", device, "managed", "yes"])

    def reapply(self, device):
        """Bring the device in line with its active profile without taking it down; report whether that was possible."""
        return self._run(["nmcli", "--wait", "30", "device", "reapply", device])[0] == 0

    def up(self, profile):
        """Activate the profile."""
        code, out, err = self._run(["nmcli", "--wait", "60", "connection", "up", "uuid", profile.uuid])
        if code != 0:
            raise NetworkError(f"interface {profile.name} cannot be brought up: {one_line(err or out)}; the old network is back, "
                               "and journalctl -u NetworkManager on the node says more")

    def down(self, uuid):
        """Deactivate the profile; one that is not active is fine."""
        self._run(["nmcli", "--wait", "30", "connection", "down", "uuid", uuid])

    def delete(self, uuid):
        """Remove a profile and its file."""
        self._run(["nmcli", "connection", "delete", "uuid", uuid])

    def checkpoint(self, seconds):
        """Remember all devices; NetworkManager goes back by itself after seconds unless the handle is dropped.

        Flags: delete new profiles (2), disconnect new devices (4).
        """
        out = self._must(["busctl", "--system", "call", *self.SERVICE, "CheckpointCreate", "aouu", "0", str(seconds), "6"])
        return out.split('"')[1]

    def confirm(self, handle):
        """Keep the new state."""
        self._must(["busctl", "--system", "call", *self.SERVICE, "CheckpointDestroy", "o", handle])

    def roll_back(self, handle):
        """Go back now; a handle that already expired has gone back by itself."""
        self._run(["busctl", "--system", "call", *self.SERVICE, "CheckpointRollback", "o", handle])

    def _must(self, command):
        code, out, err = self._run(command)
        if code != 0:
            raise NetworkError(f"{' '.join(command[:4])}: {one_line(err or out)}; see journalctl -u NetworkManager on the node")
        return out


class Networkd:
    """systemd-networkd, which many images come up with: it must let go of a device, or the two would undo each other's routes."""

    FOLDER = "/etc/systemd/network"

    def __init__(self, run):
        self._run = run
        self._active = run(["systemctl", "is-active", "systemd-networkd"])[1].strip() == "active"

    def held(self, devices):
        """Return {path: text} of the files still missing for networkd to leave the devices alone."""
        if not self._active:
            return {}
        wanted = {}
        for device, profile in devices.items():
            match = f"MACAddress={profile.mac}" if profile.by_mac else f"Name={device}"
            wanted[os.path.join(self.FOLDER, f"00-{PREFIX}{device}.network")] = (
                f"# Written by osp.edpm: NetworkManager has this device.\n[Match]\n{match}\n\n[Link]\nUnmanaged=yes\n")
        return {path: text for path, text in wanted.items() if read_text(path) != text}

    def release(self, files, devices):
        """Make networkd let go; it takes its routes along, so the caller brings its own up again."""
        for path, text in files.items():
            write_text(path, text)
        self._run(["networkctl", "reload"])
        deadline = time.monotonic() + SETTLE
        while time.monotonic() < deadline:
            rows = [line.split() for line in self._run(["networkctl", "--no-legend", "--no-pager", "list"])[1].splitlines()]
            state = {row[1]: row[-1] for row in rows if len(row) >= 5}
            if all(state.get(device, "unmanaged") == "unmanaged" for device in devices):
                return
            time.sleep(0.2)

    def take_back(self, files, devices):
        """Give the devices back to networkd.

        It takes an address that is there for its own without giving it the route of its network, which NetworkManager
        sets itself (noprefixroute); so addresses go first, and come again with their routes.
        """
        for path in files:
            if os.path.exists(path):
                os.unlink(path)
        self._run(["networkctl", "reload"])
        for device in devices:
            self._run(["ip", "address", "flush", "dev", device])
            self._run(["networkctl", "reconfigure", device])


class Keyfiles:
    """The document as keyfiles against those on disk."""

    def __init__(self, wanted):
        self.files = {os.path.join(PROFILE_DIR, profile.file_name()): None if profile.absent else profile.text()
                      for profile in wanted}
        for path in glob.glob(os.path.join(PROFILE_DIR, PREFIX + "*.nmconnection")):
            self.files.setdefault(path, None)  # Ours, and no longer wanted.
        self.before = {path: read_text(path) for path in self.files}

    def changed(self):
        """Return the paths that differ, sorted."""
        return sorted(path for path, text in self.files.items() if self.before[path] != text)

    def diffs(self):
        """Return what Ansible prints."""
        return [text_diff(path, self.before[path], self.files[path]) for path in self.changed()]

    def write(self):
        """Lay the wanted files down."""
        self._put(self.files)

    def restore(self):
        """Lay the old files down again."""
        self._put(self.before)

    def _put(self, texts):
        for path in self.changed():
            if texts[path] is not None:
                write_text(path, texts[path], 0o600)
            elif os.path.exists(path):
                os.unlink(path)


def keyfile_identity(text):
    """Return (uuid, interface name, MAC) of a keyfile; empty where it says nothing."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return "", "", ""
    mac = parser.get("ethernet", "mac-address", fallback="") or parser.get("802-3-ethernet", "mac-address", fallback="")
    return (parser.get("connection", "uuid", fallback=""), parser.get("connection", "interface-name", fallback=""), mac.upper())


class Job:
    """One run through NetworkManager."""

    def __init__(self, module):
        self._module = module
        self._nm = NetworkManager(module.run_command)
        self._networkd = Networkd(module.run_command)
        self.wanted = profiles(module.params["state"])
        self._files = Keyfiles(self.wanted)
        self.diffs = self._files.diffs()
        self.applied = []
        self._rivals = []

    def run(self):
        """Compare, apply what differs under a checkpoint, confirm."""
        live = Live(self._module.run_command)
        require_way_back(self.wanted, live, ssh_connection())
        if not self._nm.running():
            if not self._module.check_mode:
                raise NetworkError("NetworkManager does not run on the node: run the bootstrap service first, which installs it")
            return
        self._rivals = rivals(self.wanted, live, json.loads(self._module.run_command(["ip", "-details", "-json", "link", "show", "type", "vlan"])[1] or "[]"))
        stale = self._stale(live)
        held = self._networkd.held(self._devices(live))
        self.diffs += [text_diff(path, read_text(path), text) for path, text in sorted(held.items())]
        if stale or held or self._files.changed():
            self.applied = [profile.name for profile in stale]
            if not self._module.check_mode:
                self._guarded(stale, held)
        self._retire()

    def _devices(self, live):
        """Return the profiles that are to hold a device, by device; a card the node does not have has none."""
        pairs = [(live.device(profile) or (profile.name if profile.kind != "ethernet" else None), profile)
                 for profile in self.wanted if not profile.absent]
        return {device: profile for device, profile in pairs if device}

    def _stale(self, live):
        """Return the profiles to act on, in order: file changed, not active, or the live device differs."""
        changed = set(self._files.changed())
        active = self._nm.active()
        stale = []
        for profile in self.wanted:
            device = live.device(profile) or profile.name
            is_active = active.get(device) == profile.uuid
            if profile.absent or profile.down:
                if is_active:
                    stale.append(profile)
                continue
            lacks = live.differences(profile, device)
            if not is_active:
                lacks.insert(0, "not under its profile")
            if lacks:
                self.diffs.append(text_diff(f"interface {device}", "".join(f"{text}\n" for text in lacks), ""))
            if lacks or os.path.join(PROFILE_DIR, profile.file_name()) in changed:
                stale.append(profile)
        return stale

    def _guarded(self, stale, held):
        known = set(glob.glob(os.path.join(PROFILE_DIR, "*")))
        handle = self._nm.checkpoint(self._module.params["rollback_after"])
        try:
            self._files.write()
            self._nm.reload()
            active = self._nm.active()
            for device in self._rivals:
                if device in active:
                    self._nm.down(active[device])
            for profile in stale:
                self._bring(profile)
            if held:
                self._release(held)
            self._settle()
            require_neighbour(self._module.run_command, ssh_connection())
        except BaseException:
            # In this order: a profile that NetworkManager knows again when it goes back is not written a second time.
            self._files.restore()
            self._nm.reload()
            self._nm.roll_back(handle)
            if held:
                self._give_back(held, known)
            raise
        self._nm.confirm(handle)

    def _release(self, held):
        devices = self._devices(Live(self._module.run_command))
        self._networkd.release(held, devices)
        live = Live(self._module.run_command)
        for device, profile in devices.items():
            if live.differences(profile, device):
                self._bring(profile)

    def _give_back(self, held, known):
        """Let networkd have its devices again, without the profiles that NetworkManager made of them when it went back."""
        for path in set(glob.glob(os.path.join(PROFILE_DIR, "*"))) - known:
            os.unlink(path)
        self._nm.reload()
        self._networkd.take_back(held, self._devices(Live(self._module.run_command)))

    def _bring(self, profile):
        if profile.absent or profile.down:
            self._nm.down(profile.uuid)
            return
        device = Live(self._module.run_command).device(profile)
        if device is None and profile.kind == "ethernet":
            raise NetworkError(f"interfaces[{profile.name}]: the node has no {'card with MAC ' + profile.mac if profile.by_mac else 'device of that name'}: "
                               "correct edpm_network_config_nmstate")
        if device and self._nm.unmanaged(device):
            self._nm.manage(device)
        if device and self._nm.active().get(device) == profile.uuid and self._nm.reapply(device):
            live = Live(self._module.run_command)
            if not live.differences(profile, device):
                return
        self._nm.up(profile)

    def _settle(self):
        """Wait until every live interface shows what its profile says."""
        deadline = time.monotonic() + SETTLE
        while True:
            live = Live(self._module.run_command)
            lacks = {profile.name: live.differences(profile, live.device(profile) or profile.name)
                     for profile in self.wanted if not profile.absent}
            lacks = {name: texts for name, texts in lacks.items() if texts}
            if not lacks:
                return
            if time.monotonic() > deadline:
                name, texts = sorted(lacks.items())[0]
                raise NetworkError(f"interface {name} did not come up as wanted ({'; '.join(texts)}); the old network is back")
            time.sleep(0.5)

    def _retire(self):
        """Remove cloud-init's profiles of the devices that now run under ours, and keep it from writing them again."""
        live = Live(self._module.run_command)
        active = self._nm.active()
        mine = {device for device, profile in self._devices(live).items()
                if active.get(device) == profile.uuid or self._module.check_mode}.union(self._rivals)
        macs = {(link.get("permaddr") or link.get("address") or "").upper(): link["ifname"] for link in live.links}
        for path in sorted(glob.glob(os.path.join(PROFILE_DIR, "cloud-init-*.nmconnection"))):
            text = read_text(path) or ""
            uuid, name, mac = keyfile_identity(text)
            if name in mine or macs.get(mac) in mine:
                self.diffs.append(text_diff(path, text, None))
                if not self._module.check_mode:
                    self._nm.delete(uuid)
        if os.path.isdir(os.path.dirname(CLOUD_FILE)):
            replace_text(self._module, self.diffs, CLOUD_FILE, CLOUD_TEXT)


def require_neighbour(run, connection):
    """Raise when the kernel has no way back to the SSH client; a local run has none."""
    if connection is None:
        return
    code, out, err = run(["ip", "route", "get", connection[0].partition("%")[0]])
    if code != 0:
        raise NetworkError(f"no route back to {connection[0]}, from which this run connects ({one_line(err or out)}); "
                           "the old network is back: add a route or an address for it")


def through_nmstatectl(module, diffs):
    """Apply the document with nmstatectl, which verifies it and goes back by itself on failure (nmstatectl(8))."""
    wanted = nmdocument.identified(module.params["state"])
    nmdocument.check(wanted)
    code, out, err = module.run_command(["nmstatectl", "show", "-q", "--json"])
    if code != 0:
        raise NetworkError(f"nmstatectl show: {one_line(err or out)}")
    shown = json.loads(out)
    there = nmdocument.resolved(wanted, shown)
    gone, routes = nmdocument.leftovers(there, shown, made_before())
    if not gone and not routes and nmdocument.as_wanted(there, shown):
        return []
    wanted["interfaces"] = (wanted.get("interfaces") or []) + gone
    if routes:
        wanted["routes"] = {**(wanted.get("routes") or {}), "config": ((wanted.get("routes") or {}).get("config") or []) + routes}
    text = json.dumps(wanted, indent=1, sort_keys=True) + "\n"
    diffs.append(text_diff("nmstate", None, text))
    if not module.check_mode:
        code, out, err = module.run_command(["nmstatectl", "apply", "-q", "--timeout", str(module.params["rollback_after"]), "-"], data=text)
        if code != 0:
            raise NetworkError(f"nmstatectl apply: {one_line(err or out)}; the old network is back")
    return sorted(interface["name"] for interface in wanted["interfaces"])


def made_before():
    """Return the (type, name) pairs of the interfaces that an earlier document had made."""
    return {tuple(line.split(" ", 1)) for line in (read_text(MADE_FILE) or "").splitlines() if " " in line}


def configure(module, diffs):
    """Bring the network to the wanted state; return (backend, interfaces acted on)."""
    if shutil.which("nmstatectl"):
        applied = through_nmstatectl(module, diffs)
        replace_text(module, diffs, MADE_FILE, "".join(f"{kind} {name}\n" for kind, name in nmdocument.made(module.params["state"])))
        return "nmstatectl", applied
    job = Job(module)
    job.run()
    diffs += job.diffs
    return "NetworkManager", job.applied


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "dict", "required": True},
            "hash": {"type": "str", "default": ""},
            "rollback_after": {"type": "int", "default": 90},
        },
        supports_check_mode=True,
    )
    diffs = []
    try:
        backend, applied = configure(module, diffs)
        if module.params["hash"]:
            replace_text(module, diffs, HASH_FILE, module.params["hash"] + "\n")
    except (Refused, NetworkError, OSError, ValueError) as error:
        module.fail_json(msg=one_line(str(error), 500))
    module.exit_json(changed=bool(diffs), backend=backend, applied=applied, diff=diffs)


if __name__ == "__main__":
    main()
