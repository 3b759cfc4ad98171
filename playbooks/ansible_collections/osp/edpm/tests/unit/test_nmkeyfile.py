# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""nmstate documents against the keyfiles they must become. UPDATE=1 writes the golden files anew."""

import copy
import os
import pathlib
import unittest

import yaml
from ansible_collections.osp.edpm.plugins.module_utils.nmkeyfile import Refused, profiles

GOLDEN = pathlib.Path(__file__).parent / "golden"
STATIC = {"enabled": True, "address": [{"ip": "192.0.2.5", "prefix-length": 24}]}


def rendered(document):
    """Return all keyfiles as one text, in the order they are brought up."""
    parts = []
    for profile in profiles(document):
        parts.append(f"=== {profile.file_name()}{' (absent)' if profile.absent else ''}\n")
        if not profile.absent:
            parts.append(profile.text())
    return "".join(parts)


class GoldenKeyfiles(unittest.TestCase):
    """Each YAML document has its keyfiles beside it."""

    maxDiff = None

    def test_golden(self):
        """The documents become these keyfiles."""
        documents = sorted(GOLDEN.glob("*.yaml"))
        self.assertTrue(documents)
        for path in documents:
            with self.subTest(path.stem):
                text = rendered(yaml.safe_load(path.read_text()))
                golden = path.with_suffix(".keyfiles")
                if os.environ.get("UPDATE"):
                    golden.write_text(text)
                self.assertEqual(golden.read_text(), text)

    def test_order_does_not_show(self):
        """The order of the interfaces changes nothing."""
        for path in sorted(GOLDEN.glob("*.yaml")):
            document = yaml.safe_load(path.read_text())
            turned = copy.deepcopy(document)
            turned["interfaces"].reverse()
            with self.subTest(path.stem):
                self.assertEqual(rendered(document), rendered(turned))


class Refusals(unittest.TestCase):
    """What cannot be expressed is refused in one line that says where, and never left out."""

    def refused(self, text, document):
        """Check that the document is refused with text in the reason."""
        with self.assertRaises(Refused) as caught:
            profiles(document)
        reason = str(caught.exception)
        self.assertIn(text, reason)
        self.assertNotIn("\n", reason)
        self.assertRegex(reason, ":", "a reason needs a remedy after its colon")

    def interface(self, **fields):
        """Return a document with one interface."""
        return {"interfaces": [{"name": "eth0", **fields}]}

    def test_documents(self):
        """Whole documents."""
        self.refused("has no interfaces", {})
        self.refused("document.ovs-db", {"interfaces": [{"name": "eth0"}], "ovs-db": {}})
        self.refused("given twice", {"interfaces": [{"name": "eth0"}, {"name": "eth0"}]})
        self.refused("has no name", {"interfaces": [{"type": "ethernet"}]})

    def test_interfaces(self):
        """One interface."""
        self.refused("interfaces[eth0]: type ovs-bridge needs nmstatectl", self.interface(type="ovs-bridge"))
        self.refused("interfaces[eth0].sriov needs nmstatectl", self.interface(sriov={}))
        self.refused("interfaces[eth0].state", self.interface(state="sideways"))
        self.refused("mac-address 41135085296 is no MAC address: correct it, and put one of digits alone in quotes", self.interface(**{"mac-address": 41135085296}))
        self.refused("mac-address is missing", self.interface(identifier="mac-address"))
        self.refused("without addresses", self.interface(ipv4={"enabled": True}))
        self.refused("needs ip and prefix-length", self.interface(ipv4={"enabled": True, "address": [{"ip": "192.0.2.5"}]}))
        self.refused("is not of IPv4", self.interface(ipv4={"enabled": True, "address": [{"ip": "fd00::1", "prefix-length": 64}]}))
        self.refused("from 1 to 4094", self.interface(type="vlan", vlan={"base-iface": "eth1", "id": 4095}))
        self.refused("mode is missing", self.interface(type="bond"))
        self.refused("neither slashes nor blanks", {"interfaces": [{"name": "../x"}]})
        self.refused("at most 15 characters", {"interfaces": [{"name": "enp129s0f0np0.20"}]})

    def test_ports(self):
        """Ports of bonds and bridges."""
        bond = {"name": "bond0", "type": "bond", "link-aggregation": {"mode": "active-backup", "port": ["eth0"]}}
        other = {"name": "bond1", "type": "bond", "link-aggregation": {"mode": "active-backup", "port": ["eth0"]}}
        self.refused("port eth0 is not among", {"interfaces": [bond]})
        self.refused("port of bond0 and of bond1", {"interfaces": [bond, other, {"name": "eth0"}]})
        self.refused("a port of bond0 has no addresses", {"interfaces": [bond, {"name": "eth0", "ipv4": STATIC}]})

    def test_routes_and_dns(self):
        """Routes and servers must have an interface."""
        document = self.interface(ipv4=STATIC)
        route = {"destination": "10.0.0.0/8", "next-hop-address": "192.0.2.1", "next-hop-interface": "eth0"}
        self.refused("routes.config[0].next-hop-interface", {**document, "routes": {"config": [{**route, "next-hop-interface": "eth9"}]}})
        self.refused("routes.config[0].destination", {**document, "routes": {"config": [{**route, "destination": "far"}]}})
        self.refused("over which 2001:db8::53 could be asked", {**document, "dns-resolver": {"config": {"server": ["2001:db8::53"]}}})
        self.refused("search is given, but no interface has addresses", {**self.interface(), "dns-resolver": {"config": {"search": ["example.com"]}}})
        self.refused("is no address", {**document, "dns-resolver": {"config": {"server": ["dns.example.com"]}}})
        self.refused("no interface has IPv6", {**document, "dns-resolver": {"config": {"server": ["fd00::53"]}}})
        self.refused("is not enabled", {**self.interface(), "routes": {"config": [route]}})


class Names(unittest.TestCase):
    """Who is asked for names, by family."""

    def settings(self, servers, search=("example.com",)):
        """Return the dns lines of both families of an interface that has both."""
        ipv6 = {"enabled": True, "address": [{"ip": "fd00::5", "prefix-length": 64}]}
        document = {"interfaces": [{"name": "eth0", "ipv4": STATIC, "ipv6": ipv6}],
                    "dns-resolver": {"config": {"server": list(servers), "search": list(search)}}}
        text = profiles(document)[0].text()
        return [[line for line in part.splitlines() if line.startswith("dns")] for part in text.partition("[ipv4]")[2].split("[ipv6]")]

    def test_families(self):
        """The family of the first server is asked first; domains alone need no server."""
        four, six = ["dns=192.0.2.53;", "dns-search=example.com;", "dns-priority=40"], ["dns=fd00::53;", "dns-search=example.com;", "dns-priority=50"]
        self.assertEqual([four, six], self.settings(["192.0.2.53", "fd00::53"]))
        self.assertEqual([[*four[:2], "dns-priority=50"], [*six[:2], "dns-priority=40"]], self.settings(["fd00::53", "192.0.2.53"]))
        self.assertEqual([[], ["dns=fd00::53;", "dns-search=example.com;", "dns-priority=40"]], self.settings(["fd00::53"]))
        self.assertEqual([["dns-search=example.com;"], []], self.settings([]))

    def test_one_family_only(self):
        """A node of IPv6 alone has its domains there."""
        document = {"interfaces": [{"name": "eth0", "ipv4": {"enabled": False}, "ipv6": {"enabled": True, "address": [{"ip": "fd00::5", "prefix-length": 64}]}}],
                    "dns-resolver": {"config": {"server": [], "search": ["example.com"]}}}
        self.assertIn("dns-search=example.com;", profiles(document)[0].text().partition("[ipv6]")[2])

    def test_learnt(self):
        """DHCPv6 alone, and with what routers announce."""
        def method(**fields):
            return profiles({"interfaces": [{"name": "eth0", "ipv6": {"enabled": True, **fields}}]})[0].text().partition("[ipv6]")[2]

        self.assertIn("method=dhcp\n", method(dhcp=True, autoconf=False))
        self.assertIn("method=auto\n", method(dhcp=True, autoconf=True))

    def test_bond_options(self):
        """Words that are numbers to NetworkManager, lists and switches."""
        bond = {"name": "bond0", "type": "bond", "link-aggregation": {"mode": "active-backup", "port": [], "options": {
            "all_slaves_active": "delivered", "ns_ip6_target": ["fd00::1", "fd00::2"], "use_carrier": True, "arp_interval": 100}}}
        text = profiles({"interfaces": [bond]})[0].text()
        for line in ("all_slaves_active=1", "ns_ip6_target=fd00::1,fd00::2", "use_carrier=1", "arp_interval=100"):
            self.assertIn(line + "\n", text)

    def test_set_mac(self):
        """A MAC finds the card, unless the document says that the name does."""
        found = {"name": "eth0", "mac-address": "52:54:00:00:00:01"}
        self.assertIn("\nmac-address=52:54:00:00:00:01", profiles({"interfaces": [found]})[0].text())
        self.assertIn("\ncloned-mac-address=52:54:00:00:00:01", profiles({"interfaces": [{**found, "identifier": "name"}]})[0].text())


if __name__ == "__main__":
    unittest.main()
