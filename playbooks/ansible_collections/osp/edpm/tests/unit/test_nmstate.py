# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""What the network module decides, against a kernel that the test describes."""

import json
import unittest

from ansible_collections.osp.edpm.plugins.module_utils.nmkeyfile import profiles
from ansible_collections.osp.edpm.plugins.modules.edpm_nmstate import (
    Live, NetworkError, keyfile_identity, require_neighbour, require_way_back, subset)

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
