# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Checks of inputs: good ones pass, each bad one is named with its variable and remedy."""

import unittest

from ansible_collections.osp.edpm.plugins.filter import edpm

REPO = {"name": "main", "url": "https://mirror.example.com/debian", "suites": ["bookworm"], "components": ["main"]}
HOST = {"names": ["n1", "192.0.2.1", "[192.0.2.1]:2222"], "key": "ssh-ed25519 AAAAC3Nz comment"}


class Problems(unittest.TestCase):
    """The checks."""

    def bad(self, text, problems):
        """Check for one problem that holds text and a remedy."""
        self.assertEqual(1, len(problems), problems)
        self.assertIn(text, problems[0])
        self.assertRegex(problems[0], ": .")

    def test_repos(self):
        """Repositories."""
        self.assertEqual([], edpm.repo_problems([REPO, {**REPO, "name": "flat", "suites": ["./"]}], "Debian"))
        self.assertEqual([], edpm.repo_problems([{"name": "el", "url": "https://m.example.com/"}], "RedHat"))
        self.bad("edpm_bootstrap_repos[1].name", edpm.repo_problems([REPO, REPO], "Debian"))
        self.bad("edpm_bootstrap_repos[0].name", edpm.repo_problems([{**REPO, "name": "../x"}], "Debian"))
        self.bad("edpm_bootstrap_repos[0].url", edpm.repo_problems([{**REPO, "url": "mirror"}], "Debian"))
        self.bad("edpm_bootstrap_repos[0].suites", edpm.repo_problems([{**REPO, "suites": []}], "Debian"))
        self.bad("trusted and signed_by", edpm.repo_problems([{**REPO, "trusted": True, "signed_by": "/k"}], "Debian"))

    def test_settings(self):
        """Kernel settings, also in edpm-ansible's form."""
        self.assertEqual([], edpm.sysctl_problems({"net.ipv4.conf.eth0/20.arp_accept": 1}))
        self.bad("'ip forward'", edpm.sysctl_problems({"ip forward": 1}))
        self.assertEqual({"a.b": 1, "c.d": 2}, edpm.flat_settings({"a.b": {"value": 1}, "c.d": 2}))

    def test_time(self):
        """Servers and zone."""
        self.assertEqual([], edpm.ntp_problems([{"hostname": "ntp.example.com"}, {"hostname": "fd00::1"}]))
        self.bad("timesync_ntp_servers[0].hostname", edpm.ntp_problems([{"host": "x"}]))
        self.bad("timesync_ntp_servers[0] is no mapping", edpm.ntp_problems(["x"]))
        self.assertEqual([], edpm.timezone_problems("America/Argentina/Buenos_Aires"))
        self.bad("edpm_timezone", edpm.timezone_problems("../../etc/passwd"))

    def test_firewall(self):
        """Ranges and rules."""
        rule = {"proto": "tcp", "dport": ["5900-6923", 80], "source": "192.0.2.0/24"}
        self.assertEqual([], edpm.rule_problems([{"rule_name": "110 vnc", "rule": rule}, {"rule_name": "1", "rule": {"proto": "vrrp"}}]))
        self.bad("edpm_sshd_allowed_ranges is empty", edpm.range_problems([]))
        self.bad("'x'", edpm.range_problems(["192.0.2.0/24", "x"]))
        for field, value in (("proto", "ip"), ("dport", "99999"), ("sport", "http"), ("source", "x"), ("action", "jump"), ("state", [])):
            with self.subTest(field):
                self.bad(f"edpm_nftables_user_rules[0].rule.{field}",
                         [one for one in edpm.rule_problems([{"rule_name": "1", "rule": {**rule, field: value}}]) if field in one.split(":")[0]][:1])
        self.bad("needs rule_name", edpm.rule_problems([{"rule": rule}]))
        self.bad("needs proto", edpm.rule_problems([{"rule_name": "1", "rule": {"proto": "icmp", "dport": 1}}]))

    def test_rules(self):
        """Rules in nft's words."""
        self.assertEqual('ip saddr 192.0.2.0/24 tcp dport { 5900-6923, 80 } accept comment "110 vnc"',
                         edpm.nft_rule({"rule_name": '110 "vnc"', "rule": {"proto": "tcp", "dport": ["5900:6923", 80], "source": "192.0.2.0/24"}}))
        self.assertEqual('iifname "eth0" ip6 daddr fd00::/8 meta l4proto 112 drop comment "1"',
                         edpm.nft_rule({"rule_name": 1, "rule": {"proto": "vrrp", "destination": "fd00::/8", "iniface": "eth0", "action": "drop"}}))
        self.assertEqual('ip6 saddr fd00::/8 tcp dport 22 accept comment "ssh"', edpm.nft_ssh("fd00::/8", 22))

    def test_known_hosts(self):
        """Host keys; the lines do not depend on the order of the input."""
        self.assertEqual([], edpm.known_host_problems([HOST]))
        self.bad("edpm_known_hosts[0].names", edpm.known_host_problems([{**HOST, "names": ["a b"]}]))
        self.bad("edpm_known_hosts[0].key", edpm.known_host_problems([{**HOST, "key": "AAAA"}]))
        other = {"names": ["n0"], "key": "ssh-ed25519 BBBB"}
        turned = {**HOST, "names": HOST["names"][::-1]}
        self.assertEqual(edpm.known_host_lines([HOST, other]), edpm.known_host_lines([other, turned]))
        self.assertEqual("192.0.2.1,[192.0.2.1]:2222,n1 ssh-ed25519 AAAAC3Nz", edpm.known_host_lines([HOST])[0])

    def test_hosts(self):
        """The node's own line of /etc/hosts."""
        self.assertEqual([], edpm.hosts_problems("192.0.2.1", ["n1.example.com", "n1"]))
        self.bad("ctlplane_ip", edpm.hosts_problems("192.0.2.0/24", []))
        self.bad("canonical_hostname", edpm.hosts_problems("192.0.2.1", ["a b"]))

    def test_family(self):
        """What a release or distribution does otherwise comes over what its family does."""
        families = {"Debian": {"a": 1, "b": 1, "c": 1}, "Debian13": {"b": 13}, "Ubuntu": {"c": "u"}, "RedHat": {"a": "r"}}

        def facts(os_family, distribution, major):
            return {"os_family": os_family, "distribution": distribution, "distribution_major_version": major}

        self.assertEqual({"a": 1, "b": 13, "c": 1}, edpm.family(families, facts("Debian", "Debian", "13")))
        self.assertEqual({"a": 1, "b": 1, "c": "u"}, edpm.family(families, facts("Debian", "Ubuntu", "24")))
        self.assertEqual({"a": "r"}, edpm.family(families, facts("RedHat", "Rocky", "9")))
        self.assertEqual(families["Debian"], edpm.family(families, {}))
        self.assertEqual({}, edpm.family(families, facts("Suse", "SLES", "15")))


if __name__ == "__main__":
    unittest.main()
