# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""What the other modules decide."""

import os
import pathlib
import subprocess
import tempfile
import unittest
from unittest import mock

from ansible_collections.osp.edpm.plugins.callback import rackplane
from ansible_collections.osp.edpm.plugins.lookup import service_data
from ansible_collections.osp.edpm.plugins.module_utils import daemonlog, node, packages
from ansible_collections.osp.edpm.plugins.modules import edpm_files, edpm_kernel, edpm_nftables, edpm_units

SPEC = {"content": None, "source": None, "link": None, "block": None, "mode": "0640", "owner": "root", "group": "root", "secret": False, "variable": ""}


class Files(unittest.TestCase):
    """Bundles of files in a folder of their own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def entry(self, name, **fields):
        """Return an entry; its owner is whoever runs the test."""
        entry = edpm_files.Entry({**SPEC, "path": str(self.root / name), **fields})
        if entry.after and entry.after[0] == "file":
            entry.after = entry.after[:3] + (os.getuid(), os.getgid())
        return entry

    def test_content_and_back(self):
        """A file is written with its mode, is then as wanted, and goes again."""
        entry = self.entry("a/b.conf", content="x\n")
        self.assertTrue(entry.changed())
        entry.apply()
        self.assertEqual(0o640, (self.root / "a/b.conf").stat().st_mode & 0o777)
        self.assertFalse(self.entry("a/b.conf", content="x\n").changed())
        entry.restore()
        self.assertFalse((self.root / "a/b.conf").exists())

    def test_line_ends(self):
        """A text with the line ends of another system is as wanted once it is there."""
        self.entry("ca.pem", content="a\r\nb\r\n").apply()
        self.assertEqual(b"a\r\nb\r\n", (self.root / "ca.pem").read_bytes())
        self.assertFalse(self.entry("ca.pem", content="a\r\nb\r\n").changed())

    def test_all_or_none(self):
        """A file that cannot be put back leaves neither the others new nor the cause untold."""
        for name in "abc":
            (self.root / name).write_text(f"old {name}")
        entries = [self.entry(name, content="new", mode="0644") for name in "abc"]
        entries[0].restore = mock.Mock(side_effect=OSError("read-only file system"))
        entries[1].apply()
        entries[2].restore = mock.Mock(side_effect=AssertionError("it is as it was"))
        entries[2].apply = mock.Mock(side_effect=OSError("the node's disk is full"))
        with self.assertRaisesRegex(edpm_files.BundleError, "disk is full; and the old ones cannot be put back .*/a: read-only"):
            edpm_files._install(mock.Mock(params={"verify": []}), entries)
        self.assertEqual(["new", "old b", "old c"], [(self.root / name).read_text() for name in "abc"])

    def test_refused(self):
        """Files that the verify command refuses are gone again."""
        module = mock.Mock(params={"verify": [["/bin/false"]]}, **{"run_command.return_value": (1, "", "line 3: no")})
        with self.assertRaisesRegex(edpm_files.BundleError, "/bin/false refuses the new files: line 3: no; the old ones are back"):
            edpm_files._install(module, [self.entry("a.conf", content="x")])
        self.assertFalse((self.root / "a.conf").exists())

    def test_link(self):
        """A link takes a file's place at once; its target must exist."""
        (self.root / "target").write_text("t")
        (self.root / "link").write_text("was a file")
        entry = self.entry("link", link=str(self.root / "target"))
        entry.apply()
        self.assertEqual("t", (self.root / "link").read_text())
        entry.restore()
        self.assertEqual("was a file", (self.root / "link").read_text())
        with self.assertRaisesRegex(edpm_files.BundleError, "^edpm_timezone: .*gone does not exist"):
            self.entry("link", link=str(self.root / "gone"), variable="edpm_timezone")

    def test_source(self):
        """A file of the node is taken as it is; one that is not there is named, unless the run only predicts."""
        (self.root / "tls.crt").write_text("certificate")
        entry = self.entry("cert.pem", source=str(self.root / "tls.crt"))
        entry.apply()
        self.assertEqual("certificate", (self.root / "cert.pem").read_text())
        spec = {**SPEC, "path": str(self.root / "key.pem"), "source": str(self.root / "tls.key")}
        with self.assertRaisesRegex(edpm_files.BundleError, "tls.key does not exist on the node"):
            edpm_files.Entry(spec)
        self.assertTrue(edpm_files.Entry(spec, predicting=True).changed())

    def test_owner(self):
        """A user that an earlier task of the run makes is no reason to fail a prediction."""
        spec = {**SPEC, "path": str(self.root / "f"), "content": "", "owner": "no-such-user"}
        with self.assertRaisesRegex(edpm_files.BundleError, "no-such-user"):
            edpm_files.Entry(spec)
        self.assertTrue(edpm_files.Entry(spec, predicting=True).changed())

    def test_secret(self):
        """A secret's text is in no diff."""
        diff = self.entry("s", content="hunter2", secret=True).diff()
        self.assertNotIn("hunter2", str(diff))

    def test_block(self):
        """Other lines stay, the block is replaced where it is, and twice is once."""
        block = f"{edpm_files.BEGIN}\none\n{edpm_files.END}\n"
        self.assertEqual("mine\n" + block, edpm_files.with_block("mine\n", "one"))
        self.assertEqual("mine\n" + block + "after\n", edpm_files.with_block("mine\n" + block.replace("one", "old\nolder") + "after\n", "one"))
        self.assertEqual(block, edpm_files.with_block(block, "one"))

    def test_leftovers(self):
        """Only what matches and is not wanted goes."""
        for name in ("edpm-a.sources", "edpm-b.sources", "other.sources"):
            (self.root / name).write_text("")
        files = [{"path": str(self.root / "edpm-a.sources")}]
        gone = edpm_files.leftovers(files, [str(self.root / "edpm-*.sources")])
        self.assertEqual([str(self.root / "edpm-b.sources")], [spec["path"] for spec in gone])


class Units(unittest.TestCase):
    """What a unit needs."""

    UNIT = {"name": "chrony.service", "config": ["/etc/chrony.conf"], "on_change": "restart", "digest": "d1", "demand": False, "wanted": True}
    GOOD = {"UnitFileState": "enabled", "ActiveState": "active", "SubState": "running"}

    def test_plan(self):
        """Enabled, started, given its files; never more than that."""
        cases = [
            ("as wanted", self.GOOD, "d1", [], []),
            ("file changed in this run", self.GOOD, "d1", ["/etc/chrony.conf"], ["restart"]),
            ("file changed by a run that died", self.GOOD, "d0", [], ["restart"]),
            ("never given anything", self.GOOD, None, [], ["restart"]),
            ("another file changed", self.GOOD, "d1", ["/etc/other"], []),
            ("stopped", {**self.GOOD, "ActiveState": "inactive"}, "d0", ["/etc/chrony.conf"], ["start"]),
            ("disabled", {**self.GOOD, "UnitFileState": "disabled"}, "d1", [], ["enable"]),
            ("new", {"UnitFileState": "", "ActiveState": "inactive", "SubState": "dead"}, None, [], ["enable", "start"]),
            ("starting", {**self.GOOD, "ActiveState": "activating", "SubState": "start"}, "d1", [], []),
            ("dies again and again", {**self.GOOD, "ActiveState": "activating", "SubState": "auto-restart"}, "d1", [], ["start"]),
        ]
        for name, seen, given, changed, want in cases:
            with self.subTest(name):
                self.assertEqual(want, edpm_units.plan(self.UNIT, seen, given, changed))

    def test_demand(self):
        """A unit of a socket is given its files while it runs, and left alone else."""
        unit = {**self.UNIT, "demand": True}
        stopped = {"UnitFileState": "disabled", "ActiveState": "inactive", "SubState": "dead"}
        self.assertEqual([], edpm_units.plan(unit, stopped, None, ["/etc/chrony.conf"]))
        self.assertEqual(["restart"], edpm_units.plan(unit, {**self.GOOD, "UnitFileState": "disabled"}, "d0", []))
        self.assertEqual([], edpm_units.plan(unit, self.GOOD, "d1", []))

    def test_unwanted(self):
        """A unit that is not to run is stopped, once."""
        unit = {**self.UNIT, "wanted": False}
        self.assertEqual(["disable", "stop"], edpm_units.plan(unit, self.GOOD, "d1", []))
        stopped = {"UnitFileState": "disabled", "ActiveState": "inactive", "SubState": "dead"}
        self.assertEqual([], edpm_units.plan(unit, stopped, None, ["/etc/chrony.conf"]))

    def test_no_config(self):
        """A unit without files is never restarted."""
        unit = {**self.UNIT, "config": []}
        self.assertEqual([], edpm_units.plan(unit, self.GOOD, None, ["/etc/chrony.conf"]))

    def test_refused(self):
        """A condition counts once systemd tried it."""
        self.assertTrue(edpm_units.refused({"ConditionResult": "no", "ConditionTimestampMonotonic": "12"}))
        self.assertFalse(edpm_units.refused({"ConditionResult": "no", "ConditionTimestampMonotonic": "0"}))
        self.assertFalse(edpm_units.refused({"ConditionResult": "yes", "ConditionTimestampMonotonic": "12"}))


class Packages(unittest.TestCase):
    """apt-get as the module drives it."""

    def apt(self, answers):
        """Return a backend whose commands are answered by their second word."""
        self.commands = []

        def run(command):
            self.commands.append(command)
            return answers[command[1]]

        return packages.Apt(run, 0)

    def test_missing(self):
        """Removed packages with files left, and unknown ones, are missing."""
        out = "chrony installed\nrsyslog config-files\n"
        apt = self.apt({"-W": (1, out, "dpkg-query: no packages found matching nosuch")})
        self.assertEqual(["nosuch", "rsyslog"], apt.missing(["rsyslog", "chrony", "nosuch"]))

    def test_a_broken_repository_that_does_not_matter(self):
        """The install decides, not the refresh."""
        apt = self.apt({"update": (100, "", "E: Failed to fetch http://dead/"), "install": (0, "", "")})
        self.assertEqual("", apt.install(["chrony"]))

    def test_a_broken_repository_that_matters(self):
        """Both causes are told, in one line."""
        apt = self.apt({"update": (100, "", "noise\nE: Failed to fetch http://dead/x  refused"), "install": (100, "", "E: Unable to locate package chrony\n")})
        self.assertEqual("E: Unable to locate package chrony; repository of an unknown file does not serve http://dead/x: refused", apt.install(["chrony"]))


class Kernel(unittest.TestCase):
    """Names of settings."""

    def test_paths(self):
        """Dots separate, a slash stands for a dot in a name."""
        self.assertEqual("/proc/sys/net/ipv4/ip_forward", edpm_kernel.setting_path("net.ipv4.ip_forward"))
        self.assertEqual("/proc/sys/net/ipv4/conf/eth0.20/arp_accept", edpm_kernel.setting_path("net.ipv4.conf.eth0/20.arp_accept"))
        self.assertEqual("4 4 1 7", edpm_kernel.normal("4\t4\t1\t7\n"))


class Firewall(unittest.TestCase):
    """The SSH client must stay inside."""

    def test_way_back(self):
        """A client inside, a mapped one, a local run; and one outside."""
        edpm_nftables.require_way_back(["192.0.2.0/24"], ("192.0.2.9", "192.0.2.5", 22))
        edpm_nftables.require_way_back(["192.0.2.0/24"], ("::ffff:192.0.2.9", "192.0.2.5", 22))
        edpm_nftables.require_way_back(["fe80::/10"], ("fe80::1%eth0", "fe80::2%eth0", 22))
        edpm_nftables.require_way_back(["192.0.2.0/24"], None)
        with self.assertRaisesRegex(edpm_nftables.RulesError, "leaves out 198.51.100.7"):
            edpm_nftables.require_way_back(["192.0.2.0/24"], ("198.51.100.7", "192.0.2.5", 22))

    def test_service(self):
        """A service opens ports, does nothing else, and comes where the rules file includes it."""
        rules = [{"rule_name": "118 tunnels", "rule": {"proto": "udp", "dport": [4789, 6081]}}]
        text = edpm_nftables.snippet_of(rules, "edpm_ovn_rules")
        self.assertEqual('# Written by osp.edpm.\nudp dport { 4789, 6081 } accept comment "118 tunnels"\n', text)
        self.assertIsNone(edpm_nftables.snippet_of([], "edpm_ovn_rules"))
        base = f"chain input {{\n{edpm_nftables.INCLUDE}\n}}\n"
        self.assertEqual("chain input {\na\nb\n}\n", edpm_nftables.composed(base, {"/d/2.nft": "b", "/d/1.nft": "a", "/d/3.nft": None}))
        with self.assertRaisesRegex(edpm_nftables.RulesError, r"^edpm_ovn_rules\[0\].rule.action must be accept"):
            edpm_nftables.snippet_of([{"rule_name": "1", "rule": {"proto": "tcp", "action": "drop"}}], "edpm_ovn_rules")
        with self.assertRaisesRegex(edpm_nftables.RulesError, r"^edpm_ovn_rules\[0\].rule.dport"):
            edpm_nftables.snippet_of([{"rule_name": "1", "rule": {"dport": "x"}}], "edpm_ovn_rules")

    def test_the_rules_file_includes_what_services_add(self):
        """Role and module agree on the line."""
        template = pathlib.Path(__file__).parents[2] / "roles/edpm_configure_os/templates/edpm.nft.j2"
        self.assertIn(edpm_nftables.INCLUDE, template.read_text())


class Node(unittest.TestCase):
    """Finding the SSH session."""

    def test_from_a_parent(self):
        """A process whose own environment was cleared, as by sudo, still finds it."""
        code = "from ansible_collections.osp.edpm.plugins.module_utils.node import ssh_connection; print(ssh_connection())"
        python = os.environ.get("PYTHONPATH", "")
        script = f"env -u SSH_CONNECTION PYTHONPATH={python} {os.sys.executable} -c '{code}'; true"
        out = subprocess.run(["sh", "-c", script], env={**os.environ, "SSH_CONNECTION": "192.0.2.9 50000 192.0.2.5 22"},
                             check=True, capture_output=True, text=True).stdout
        self.assertEqual("('192.0.2.9', '192.0.2.5', 22)", out.strip())

    def test_one_line(self):
        """Text becomes one line, cut."""
        self.assertEqual("a b", node.one_line(" a\n\tb "))
        self.assertEqual("aa...", node.one_line("a" * 9, 5))


class Messages(unittest.TestCase):
    """What the callback says of a failure, and of what is none."""

    def test_messages(self):
        """One line, cut, of the item that failed; never what no_log hides."""
        self.assertEqual("a b", rackplane.message({"msg": "a\n b"}, False))
        self.assertEqual("boom: last", rackplane.message({"msg": "boom", "rc": 1, "stderr": "first\nlast\n"}, False))
        loop = {"msg": "One or more items failed", "results": [{"failed": False}, {"failed": True, "msg": "this one"}]}
        self.assertEqual("this one", rackplane.message(loop, False))
        self.assertEqual(rackplane.CENSORED, rackplane.message({"msg": "secret"}, True))
        self.assertEqual(rackplane.CENSORED, rackplane.message({"msg": "secret", "_ansible_no_log": True}, False))
        self.assertEqual(rackplane.MESSAGE_LIMIT, len(rackplane.message({"msg": "x" * 9999}, False)))
        self.assertTrue(rackplane.message({}, False))

    def test_notices(self):
        """What a module or the items of a loop told, each once, one line, cut; never what no_log hides."""
        self.assertEqual("a b", rackplane.notice({"notice": "a\n b"}, False))
        loop = {"results": [{"notice": "x"}, {"notice": ""}, {"notice": "x"}, "text", {"notice": "y"}, {"notice": "secret", "_ansible_no_log": True}]}
        self.assertEqual("x; y", rackplane.notice(loop, False))
        for result, no_log in [({"notice": "secret"}, True), ({"notice": "secret", "_ansible_no_log": True}, False),
                               ({"notice": "secret", "censored": "yes"}, False), (loop, True),
                               ({"_ansible_no_log": True, "results": [{"notice": "secret"}]}, False),
                               ({"notice": {"not": "text"}}, False), ({"results": 5}, False), ({}, False)]:
            with self.subTest(result=result, no_log=no_log):
                self.assertEqual("", rackplane.notice(result, no_log))
        self.assertEqual(rackplane.MESSAGE_LIMIT, len(rackplane.notice({"notice": "x" * 9999}, False)))


class DaemonLog(unittest.TestCase):
    """What a log says about a failed start."""

    LOG = """\
2026-11-22 06:17:01.123 512 INFO nova.service [-] Starting compute node (version 31.0.0)
2026-11-22 06:17:02.123 512 WARNING nova.virt [None req-1 - - - - - -] slow disk
2026-11-22 06:17:02.130 512 ERROR oslo_service.service [None req-1 - - - - - -] Error starting thread.: nova.exception.InvalidConfiguration: No local node identity found, but this is not our first startup on this host.
2026-11-22 06:17:02.130 512 ERROR oslo_service.service Traceback (most recent call last):
2026-11-22 06:17:02.130 512 ERROR oslo_service.service     raise exception.InvalidConfiguration(
2026-11-22 06:17:02.130 512 INFO nova.service [-] Stopping
"""

    def test_known(self):
        """A known cause comes with its remedy, and wins over a traceback's lines."""
        line = daemonlog.explain(self.LOG)
        self.assertRegex(line, "No local node identity found.*; .*set edpm_nova_compute_id$")
        self.assertNotIn("\n", line)

    def test_unknown(self):
        """Of an unknown error the exception is told."""
        text = "2026-11-22 06:17:02.130 512 ERROR a.b Traceback (most recent call last):\n" \
               "2026-11-22 06:17:02.130 512 ERROR a.b oslo_config.cfg.ConfigFileValueError: bad value\n" \
               "2026-11-22 06:17:02.130 512 ERROR a.b \n"
        self.assertEqual("oslo_config.cfg.ConfigFileValueError: bad value", daemonlog.explain(text))
        self.assertEqual("", daemonlog.explain("nothing\n"))

    def test_since(self):
        """Only what was said since then counts."""
        self.assertEqual("", daemonlog.explain(self.LOG, "2026-11-22 06:17:03"))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "d.log")
            self.assertEqual("", daemonlog.last_error(path, 0))
            pathlib.Path(path).write_text(self.LOG)
            self.assertIn("identity", daemonlog.last_error(path, 0))
            self.assertEqual("", daemonlog.last_error(path, 4102444800))


class ServiceData(unittest.TestCase):
    """The controller's side of a service's inputs."""

    def test_read(self):
        """Files by name; folders and what Kubernetes hides are no keys."""
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "01-nova.conf").write_text("a")
            pathlib.Path(folder, "..data").mkdir()
            self.assertEqual({"01-nova.conf": "a"}, service_data.read(folder))
        self.assertEqual({}, service_data.read(folder))


if __name__ == "__main__":
    unittest.main()
