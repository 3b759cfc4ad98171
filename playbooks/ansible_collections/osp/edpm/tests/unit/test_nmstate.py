# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""What the network module decides, against a kernel that the test describes."""

import json
import unittest

from ansible_collections.osp.edpm.plugins.module_utils.nmkeyfile import Refused, profiles
from ansible_collections.osp.edpm.plugins.modules.edpm_nmstate import (
    Live, NetworkError, keyfile_identity, require_neighbour, require_way_back, rivals, through_nmstatectl)
from ansible_collections.osp.edpm.plugins.module_utils.nmdocument import as_wanted, check, identified, leftovers, resolved, subset

LINKS = [
    {"ifname": "lo", "flags": ["UP"], "mtu": 65536, "address": "00:00:00:00:00:00", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]},
    {"ifname": "enp1s0", "flags": ["UP"], "mtu": 1500, "address": "52:54:00:00:00:99", "permaddr": "52:54:00:00:00:01",
     "addr_info": [{"local": "192.0.2.5", "prefixlen": 24}, {"local": "fd00::5", "prefixlen": 64}]},
    {"ifname": "eth1", "flags": [], "mtu": 1500, "address": "52:54:00:00:00:02", "addr_info": []},
]
ROUTES = {"-4": [{"dst": "default", "gateway": "192.0.2.1", "dev": "enp1s0"}], "-6": []}


def kernel(command):
    """Answer like ip(8)."""
    if "address" in command:
        return 0, json.dumps(LINKS), ""
    return 0, json.dumps(ROUTES[command[2]]), ""


def document(address="192.0.2.5", **fields):
    """Return a document with one card known by MAC."""
    ipv4 = {"enabled": True, "address": [{"ip": address, "prefix-length": 24}]}
    return {
        "interfaces": [{"name": "eno1", "mac-address": "52:54:00:00:00:01", "ipv4": ipv4, **fields}],
        "routes": {"config": [{"destination": "0.0.0.0/0", "next-hop-address": "192.0.2.1", "next-hop-interface": "eno1"}]},
    }


class WhatTheKernelShows(unittest.TestCase):
    """Differences between a profile and its device."""

    def setUp(self):
        self.live = Live(kernel)

    def test_device_by_permanent_mac(self):
        """A card is found by its permanent MAC, whatever its name and present MAC."""
        self.assertEqual("enp1s0", self.live.device(profiles(document())[0]))
        self.assertEqual("eth1", self.live.device(profiles({"interfaces": [{"name": "eth1"}]})[0]))
        self.assertIsNone(self.live.device(profiles({"interfaces": [{"name": "eth7"}]})[0]))

    def test_as_wanted(self):
        """Nothing differs; what the document does not speak of does not count."""
        self.assertEqual([], self.live.differences(profiles(document())[0], "enp1s0"))

    def test_each_difference(self):
        """Address, route, MTU and link are compared."""
        wanted = document(address="192.0.2.7", mtu=9000)
        wanted["routes"]["config"][0]["next-hop-address"] = "192.0.2.9"
        self.assertEqual(
            ["address 192.0.2.7/24 is missing", "mtu is 1500, wanted 9000", "route 0.0.0.0/0 is missing"],
            self.live.differences(profiles(wanted)[0], "enp1s0"))
        self.assertEqual(["not up"], self.live.differences(profiles({"interfaces": [{"name": "eth1"}]})[0], "eth1"))
        self.assertEqual(["no such device"], self.live.differences(profiles({"interfaces": [{"name": "eth7"}]})[0], "eth7"))


class Rivals(unittest.TestCase):
    """VLANs that stand in the way of a wanted one."""

    def test_same_base_and_tag(self):
        """One of the same base and tag under another name goes; another tag, another base and the same name do not."""
        wanted = profiles({"interfaces": [document()["interfaces"][0], {"name": "vlan20", "type": "vlan", "vlan": {"base-iface": "eno1", "id": 20}}]})
        def vlan(name, link, tag):
            return {"ifname": name, "link": link, "linkinfo": {"info_data": {"id": tag}}}

        seen = [vlan("enp1s0.20", "enp1s0", 20), vlan("enp1s0.21", "enp1s0", 21), vlan("eth1.20", "eth1", 20), vlan("vlan20", "enp1s0", 20)]
        self.assertEqual(["enp1s0.20"], rivals(wanted, Live(kernel), seen))


class NmstateNode:
    """A node that nmstatectl shows."""

    check_mode = False

    def __init__(self, state, shown):
        self.params = {"state": state, "hash": "", "rollback_after": 90}
        self.shown, self.applied = shown, []

    def run_command(self, words, data=None):
        """Answer like nmstatectl."""
        if "show" in words:
            return 0, json.dumps(self.shown), ""
        self.applied.append(json.loads(data))
        return 0, "", ""


def static(*addresses):
    """Return an ipv4 section."""
    return {"enabled": True, "dhcp": False, "address": [{"ip": address, "prefix-length": 24} for address in addresses]}


class ThroughNmstatectl(unittest.TestCase):
    """What nmstatectl is given, against what it shows."""

    CARD = {"name": "eno1", "type": "ethernet", "state": "up", "identifier": "mac-address", "mac-address": "52:54:00:00:00:01", "ipv4": static("192.0.2.5")}
    DEFAULT = {"destination": "0.0.0.0/0", "next-hop-address": "192.0.2.1", "next-hop-interface": "eno1"}

    def wanted(self, *more):
        """Return a document."""
        return {"interfaces": [self.CARD, *more], "routes": {"config": [self.DEFAULT]}, "dns-resolver": {"config": {"server": ["192.0.2.53"], "search": []}}}

    def shown(self, *more, routes=(), card=None, servers=("192.0.2.53",)):
        """Return what the node shows, where the card bears another name."""
        first = {"name": "enp1s0", "type": "ethernet", "state": "up", "mac-address": "52:54:00:00:00:99", "permanent-mac-address": "52:54:00:00:00:01",
                 "ipv4": static("192.0.2.5"), **(card or {})}
        return {"interfaces": [{"name": "lo", "type": "loopback", "state": "up"}, first, *more],
                "routes": {"config": [{**self.DEFAULT, "next-hop-interface": "enp1s0", "metric": 100, "table-id": 254}, *routes]},
                "dns-resolver": {"config": {"server": list(servers), "search": []}}}

    def applied(self, wanted, shown):
        """Run it; return what was applied, None for nothing."""
        node = NmstateNode(wanted, shown)
        through_nmstatectl(node, [])
        return node.applied[0] if node.applied else None

    def test_second_run(self):
        """A card under another name, whose present MAC is its bond's, is as wanted."""
        self.assertIsNone(self.applied(self.wanted(), self.shown()))

    def test_mac_is_never_set(self):
        """A bare mac-address finds the card, whoever wrote the document."""
        bare = {key: value for key, value in self.CARD.items() if key != "identifier"}
        document = {"interfaces": [bare, {"name": "bond0", "type": "bond", "mac-address": "52:54:00:00:00:07"}, {**bare, "name": "x", "identifier": "name"}]}
        self.assertEqual(["mac-address", None, "name"], [one.get("identifier") for one in identified(document)["interfaces"]])
        self.assertEqual("mac-address", self.applied({"interfaces": [bare]}, {"interfaces": []})["interfaces"][0]["identifier"])

    def test_what_is_given_up_goes(self):
        """VLANs on the document's cards, controllers of them and what is on these go; so do routes, addresses and servers."""
        vlan = {"name": "enp1s0.20", "type": "vlan", "state": "up", "vlan": {"base-iface": "enp1s0", "id": 20}}
        gone = self.applied(self.wanted(), self.shown(vlan))["interfaces"][1:]
        self.assertEqual([{"name": "enp1s0.20", "type": "vlan", "state": "absent"}], gone)
        bond = {"name": "bond0", "type": "bond", "state": "up", "link-aggregation": {"port": ["enp1s0"]}}
        upon = {"name": "bond0.30", "type": "vlan", "state": "up", "vlan": {"base-iface": "bond0", "id": 30}}
        other = {"name": "eth9.30", "type": "vlan", "state": "up", "vlan": {"base-iface": "eth9", "id": 30}}
        gone = self.applied(self.wanted(), self.shown(upon, other, bond))["interfaces"][1:]
        self.assertEqual(["bond0", "bond0.30"], [one["name"] for one in gone])
        route = {"destination": "10.9.0.0/16", "next-hop-address": "192.0.2.9", "next-hop-interface": "enp1s0", "metric": 100, "table-id": 254}
        self.assertEqual([{**route, "state": "absent"}], self.applied(self.wanted(), self.shown(routes=[route]))["routes"]["config"][1:])
        self.assertIsNotNone(self.applied(self.wanted(), self.shown(card={"ipv4": static("192.0.2.5", "192.0.2.6")})))
        self.assertIsNotNone(self.applied(self.wanted(), self.shown(servers=["192.0.2.53", "192.0.2.54"])))
        self.assertIsNotNone(self.applied(self.wanted(), self.shown(servers=["192.0.2.54", "192.0.2.53"])))

    def test_what_was_made_before_goes(self):
        """A dummy of an earlier document goes, one of somebody else's does not."""
        shown = self.shown({"name": "dummy0", "type": "dummy", "state": "up"}, {"name": "dummy1", "type": "dummy", "state": "up"})
        self.assertEqual([{"name": "dummy0", "type": "dummy", "state": "absent"}], leftovers(resolved(self.wanted(), shown), shown, {("dummy", "dummy0")})[0])

    def test_learnt_addresses_stay(self):
        """What DHCP or the kernel gave is nothing left over."""
        learnt = static("192.0.2.5")
        learnt["address"] += [{"ip": "169.254.3.4", "prefix-length": 16}, {"ip": "192.0.2.77", "prefix-length": 24, "valid-life-time": "3600sec"}]
        self.assertTrue(as_wanted(resolved(self.wanted(), self.shown()), self.shown(card={"ipv4": learnt})))

    def test_bridge_with_patch_ports(self):
        """OVN's patch ports are nothing left over, and the word that keeps them is not shown."""
        bridge = {"name": "br-ex", "type": "ovs-bridge", "state": "up", "bridge": {"allow-extra-patch-ports": True, "port": [{"name": "br-ex"}, {"name": "eno1"}]}}
        own = {"name": "br-ex", "type": "ovs-interface", "state": "up"}
        seen = {**bridge, "bridge": {"port": [{"name": "br-ex"}, {"name": "enp1s0"}, {"name": "patch-provnet-1"}]}}
        self.assertIsNone(self.applied(self.wanted(bridge, own), self.shown(seen, own)))

    def test_bond_without_a_port(self):
        """A bond with a port more than wanted is not as wanted."""
        bond = {"name": "bond0", "type": "bond", "state": "up", "link-aggregation": {"mode": "active-backup", "port": ["eth0"]}}
        seen = {**bond, "link-aggregation": {"mode": "active-backup", "port": ["eth0", "eth1"]}}
        self.assertFalse(as_wanted({"interfaces": [bond]}, {"interfaces": [seen]}))
        self.assertTrue(as_wanted({"interfaces": [bond]}, {"interfaces": [bond]}))

    def test_checked_first(self):
        """What nmstatectl lets through and the kernel does not take never gets there."""
        for text, interface in {
            "vlan.id 5000": {"name": "v", "type": "vlan", "vlan": {"base-iface": "eno1", "id": 5000}},
            "at most 15": {"name": "enp129s0f0np0.20", "type": "ethernet"},
            "is no MAC": {"name": "e", "type": "ethernet", "mac-address": "not-a-mac"},
            "type 'ethernt'": {"name": "e", "type": "ethernt"},
            "given twice": self.CARD,
        }.items():
            with self.assertRaisesRegex(Refused, text):
                check({"interfaces": [self.CARD, interface]})
        check({"interfaces": [{"name": "br-ex", "type": "ovs-bridge"}, {"name": "br-ex", "type": "ovs-interface"}]})


class WayBack(unittest.TestCase):
    """The address of the run's own connection never goes."""

    CONNECTION = ("192.0.2.200", "192.0.2.5", 22)

    def check(self, wanted, connection=CONNECTION):
        """Run the check."""
        require_way_back(profiles(wanted), Live(kernel), connection)

    def test_kept(self):
        """Kept where it is, moved to another interface, learnt by DHCP, on a device nobody touches, or a local run."""
        self.check(document())
        self.check({"interfaces": [
            {"name": "br0", "type": "linux-bridge", "bridge": {"port": [{"name": "eno1"}]}, "ipv4": document()["interfaces"][0]["ipv4"]},
            {"name": "eno1", "mac-address": "52:54:00:00:00:01"}]})
        self.check({"interfaces": [{"name": "enp1s0", "ipv4": {"enabled": True, "dhcp": True}}]})
        self.check({"interfaces": [{"name": "eth1"}]})
        self.check(document(address="192.0.2.7"), None)

    def test_lost(self):
        """Refused, with the address and the device."""
        with self.assertRaisesRegex(NetworkError, "takes 192.0.2.5 off enp1s0"):
            self.check(document(address="192.0.2.7"))
        with self.assertRaisesRegex(NetworkError, "takes fd00::5 off enp1s0"):
            self.check(document(), ("fd00::200", "fd00::5", 22))

    def test_no_route(self):
        """A network without a route to the client is refused; a local run has no client."""
        with self.assertRaisesRegex(NetworkError, "no route back to 192.0.2.200"):
            require_neighbour(lambda command: (2, "", "RTNETLINK answers: Network is unreachable"), self.CONNECTION)
        require_neighbour(lambda command: (2, "", ""), None)


class Texts(unittest.TestCase):
    """Small pure helpers."""

    def test_keyfile_identity(self):
        """The uuid, name and MAC are read; rubbish has none."""
        text = "[connection]\nid=cloud-init eth0\nuuid=u-1\n[ethernet]\nmac-address=52:54:00:aa:bb:cc\n"
        self.assertEqual(("u-1", "", "52:54:00:AA:BB:CC"), keyfile_identity(text))
        self.assertEqual(("", "", ""), keyfile_identity("not a keyfile"))

    def test_subset(self):
        """nmstate's answer may say more than was asked, in any order."""
        seen = {"interfaces": [{"name": "lo"}, {"name": "eth0", "mtu": 1500, "mac-address": "AA:BB"}], "routes": {}}
        self.assertTrue(subset({"interfaces": [{"name": "eth0", "mac-address": "aa:bb"}]}, seen))
        self.assertFalse(subset({"interfaces": [{"name": "eth0", "mtu": 9000}]}, seen))
        self.assertFalse(subset({"interfaces": [{"name": "eth9"}]}, seen))

    def test_absent(self):
        """What must not be there is as wanted once it is gone; a card cannot go, but has no profile then."""
        def seen(*states):
            return {"interfaces": [{"name": f"eth{number}", "type": "ethernet", "state": state} for number, state in enumerate(states)],
                    "routes": {"config": [{"destination": "192.0.2.0/24", "next-hop-interface": "eth0"}]}}

        wanted = {"interfaces": [{"name": "eth1", "state": "absent"}]}
        self.assertTrue(subset(wanted, seen("up")))
        self.assertTrue(subset(wanted, seen("up", "ignore")))
        self.assertTrue(subset(wanted, seen("up", "down")))
        self.assertFalse(subset(wanted, seen("up", "up")))
        self.assertFalse(subset({"interfaces": [{"name": "dummy0", "state": "absent"}]}, {"interfaces": [{"name": "dummy0", "type": "dummy", "state": "ignore"}]}))
        self.assertFalse(subset({"routes": {"config": [{"state": "absent", "next-hop-interface": "eth0"}]}}, seen("up")))
        self.assertTrue(subset({"routes": {"config": [{"state": "absent", "next-hop-interface": "eth1"}]}}, seen("up")))


if __name__ == "__main__":
    unittest.main()
