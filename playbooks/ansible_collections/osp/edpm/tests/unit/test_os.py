# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""What the services that fetch, validate, reboot and update decide."""

import os
import pathlib
import subprocess
import tempfile
import types
import unittest
from unittest import mock

from ansible_collections.osp.edpm.plugins.filter import edpm, services
from ansible_collections.osp.edpm.plugins.module_utils import boot, packages
from ansible_collections.osp.edpm.plugins.modules import edpm_boot, edpm_packages, edpm_reach, edpm_reboot, edpm_restart, edpm_tuned

DEBIAN = {"os_family": "Debian", "distribution": "Debian", "distribution_major_version": "13"}


class Answers:
    """A command runner that answers by the words that a command holds."""

    def __init__(self, *answers):
        self.answers = answers
        self.commands = []

    def __call__(self, command):
        self.commands.append(command)
        return next(answer for words, answer in self.answers if set(words.split()) <= set(command))


class Mirrors(unittest.TestCase):
    """A repository that fails is named, and a full disk is not taken for one."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name) / "edpm-rack.sources"
        path.write_text("Types: deb\nURIs: http://192.0.2.1/repo\nSuites: ./\n")
        before, packages.SOURCES = packages.SOURCES, (f"{folder.name}/*.sources",)
        self.addCleanup(setattr, packages, "SOURCES", before)

    def test_unreachable(self):
        """Each repository once, by the name of its file."""
        text = ("E: Failed to fetch http://192.0.2.1/repo/./Packages  Could not connect to 192.0.2.1:80 (refused)\n"
                "E: Failed to fetch http://192.0.2.1/repo/./Release  Could not connect\nE: Some index files failed\n")
        self.assertEqual("repository edpm-rack does not serve http://192.0.2.1/repo/./Packages: Could not connect to 192.0.2.1:80 (refused)",
                         packages.complaints(text))

    def test_full_disk(self):
        """Whatever else apt says then."""
        text = "E: Failed to fetch http://192.0.2.1/repo/./Packages  Error writing to file - write (28: No space left on device)"
        self.assertIn("the node's disk is full", packages.complaints(text))
        self.assertIn("enough free space in /var/cache/apt/archives/",
                      packages.complaints("E: You don't have enough free space in /var/cache/apt/archives/."))

    def test_errors_before_warnings(self):
        """A warning counts when there is nothing worse."""
        self.assertEqual("E: b", packages.complaints("W: a\nE: b\nc\n"))
        self.assertEqual("W: a", packages.complaints("W: a\nc\n"))


class Upgrades(unittest.TestCase):
    """What is old, what is held back, what is not there yet."""

    SIMULATED = ("Inst chrony [4.6-1] (4.6-2 rack [amd64])\nInst openvswitch-switch [3.5.0-1] (3.5.1-1 rack [amd64])\n"
                 "Inst libfoo2 (1.0 rack [amd64])\nConf chrony (4.6-2 rack [amd64])\n")

    def test_upgrades(self):
        """New dependencies are no upgrade, held packages stay."""
        apt = packages.Apt(Answers(("upgrade", (0, self.SIMULATED, ""))), 0)
        self.assertEqual(["chrony"], apt.upgrades(None, ["openvswitch*"]))
        self.assertEqual(["openvswitch-switch"], apt.upgrades(["openvswitch-switch", "rsyslog"], []))

    def test_held_by_a_dependency(self):
        """An upgrade that would drag a held package along, or remove one, is refused before it begins."""
        run = Answers(("--simulate", (0, self.SIMULATED + "Remv rsyslog [1]\n", "")))
        self.assertEqual("that would change or remove openvswitch-switch, rsyslog, which is held back",
                         packages.Apt(run, 0).upgrade(["chrony"], ["openvswitch*"]))
        self.assertEqual(1, len(run.commands))

    def test_dnf(self):
        """dnf's list, with the architecture taken off."""
        out = "\nchrony.x86_64    4.6-2.el9    baseos\nopenvswitch3.3.x86_64 3.3-1 nfv\nObsoleting Packages\n"
        dnf = packages.Dnf(Answers(("check-update", (100, out, ""))), 0)
        self.assertEqual(["chrony"], dnf.upgrades(None, ["openvswitch*"]))

    def test_absent(self):
        """Only archives that are not in apt's cache count."""
        out = "Reading...\n'http://192.0.2.1/chrony.deb' chrony_4.6-2_amd64.deb 1 SHA256:x\n"
        self.assertEqual(["chrony_4.6-2_amd64.deb"], packages.Apt(Answers(("--print-uris", (0, out, ""))), 0).absent(["chrony"]))
        self.assertIsNone(packages.Apt(Answers(("--print-uris", (100, "", "E: no"))), 0).absent(["chrony"]))

    def test_retries(self):
        """As often as asked, until it works."""
        module = types.SimpleNamespace(params={"retries": 2, "delay": 0})
        answers = ["no", "no", ""]
        self.assertEqual("", edpm_packages.persist(module, lambda: answers.pop(0)))
        answers = ["a", "b", "c", "d"]
        self.assertEqual("c", edpm_packages.persist(module, lambda: answers.pop(0)))

    def test_outdated(self):
        """A unit that runs since before its package was unpacked."""
        installed = {"chrony": 100.0}.get
        self.assertTrue(edpm_restart.outdated(99.0, "chrony", installed, []))
        self.assertFalse(edpm_restart.outdated(101.0, "chrony", installed, []))
        self.assertTrue(edpm_restart.outdated(101.0, "chrony", installed, ["chrony"]))
        self.assertFalse(edpm_restart.outdated(None, "chrony", installed, ["chrony"]))
        self.assertFalse(edpm_restart.outdated(1.0, "", installed, []))


class Services(unittest.TestCase):
    """What services consist of."""

    def test_packages(self):
        """Of every listed service; one that is not the collection's has none."""
        found = services.service_packages(["install-os", "bootstrap", "my-own"], DEBIAN)
        self.assertIn("chrony", found)
        self.assertIn("network-manager", found)
        self.assertEqual(sorted(set(found)), found)
        self.assertEqual([], services.service_packages(["my-own", "../../etc"], DEBIAN))

    def test_units(self):
        """By name."""
        self.assertEqual(["chrony", "rsyslog", "ssh"], services.service_units(["install-os"], DEBIAN))


class Reach(unittest.TestCase):
    """What validate-network asks, and what it says."""

    NETWORKS = [("ctlplane", "192.0.2.10", 24, 1500, "192.0.2.1"), ("tenant", "2001:db8::10", 64, 9000, ""), ("external", "", "", 0, "")]

    def test_targets(self):
        """Gateways and addresses, each once, with the MTU of the network they are in."""
        self.assertEqual([{"address": "192.0.2.1", "role": "gateway of ctlplane", "mtu": 1500},
                          {"address": "2001:db8::11", "role": "test address", "mtu": 9000},
                          {"address": "198.51.100.1", "role": "test address", "mtu": 0}],
                         edpm.reach_targets(self.NETWORKS, True, ["2001:db8::11", "198.51.100.1", "192.0.2.1"]))
        self.assertEqual(["192.0.2.254"], [one["address"] for one in edpm.reach_targets(self.NETWORKS, ["192.0.2.254"], [])])
        self.assertEqual([], edpm.reach_targets(self.NETWORKS, [], []))
        self.assertIn("no address", edpm.target_problems([{"address": "192.0.2.0/24", "role": "gateway"}])[0])

    def test_commands(self):
        """A full packet is the MTU less the headers of its version, and must not be split."""
        self.assertEqual(["-M", "do", "-s", "1472"], edpm_reach.command("192.0.2.1", 1500)[6:10])
        self.assertEqual("8952", edpm_reach.command("2001:db8::1", 9000)[9])

    def test_ping(self):
        """The reason is ping's own."""
        def run(*_words, **_options):
            return types.SimpleNamespace(returncode=1, stdout="From 192.0.2.10 icmp_seq=1 Destination Host Unreachable\n", stderr="")

        self.assertIn("Destination Host Unreachable", edpm_reach.ping("192.0.2.1", 0, 0.0, run))

    def test_name(self):
        """The node's name must be known and its own."""
        def resolve(_name, _port):
            return [(0, 0, 0, "", ("192.0.2.10", 0))]

        self.assertEqual("", edpm_reach.name_problem("n0", ["192.0.2.10"], resolve))
        self.assertIn("none of its own 192.0.2.11", edpm_reach.name_problem("n0", ["192.0.2.11"], resolve))


class Reboot(unittest.TestCase):
    """When a reboot is due, and when it is done."""

    def test_kernel(self):
        """A newer kernel counts, another flavour and an older one do not."""
        installed = ["/boot/vmlinuz-6.12.38+deb13-amd64", "/boot/vmlinuz-6.12.9+deb13-amd64", "/boot/vmlinuz-0-rescue-99ab"]
        self.assertIn("6.12.38+deb13-amd64 is installed", boot.kernel_reason("6.12.9+deb13-amd64", installed))
        self.assertEqual("", boot.kernel_reason("6.12.38+deb13-cloud-amd64", installed))
        self.assertEqual("", boot.kernel_reason("6.13.0-1-amd64", installed))
        self.assertEqual("", boot.kernel_reason("6.1.0", []))
        general, stream = "5.14.0-427.el9.x86_64", "5.14.0-427.8.1.el9_4.x86_64"
        self.assertIn(f"{stream} is installed", boot.kernel_reason(general, [f"/boot/vmlinuz-{general}", f"/boot/vmlinuz-{stream}"]))
        self.assertEqual("", boot.kernel_reason(stream, [f"/boot/vmlinuz-{general}", f"/boot/vmlinuz-{stream}"]))

    def test_flags(self):
        """A flag that is older than the start has been answered."""
        with tempfile.TemporaryDirectory() as folder:
            for name, age in (("old", 10), ("new", 1000)):
                path = pathlib.Path(folder) / name
                path.write_text(f"{name} reason\n")
                os.utime(path, (age, age))
            self.assertEqual({f"{folder}/new": "new reason"}, boot.flags(folder, since=100))
        self.assertGreater(boot.started(), 1e9)

    def test_decide(self):
        """A node without a reason is never rebooted, a compute only when forced."""
        for strategy, found, compute, want in [
                ("auto", [], False, False), ("force", [], True, False), ("auto", ["x"], False, True), ("auto", ["x"], True, False),
                ("force", ["x"], True, True), ("never", ["x"], False, False)]:
            with self.subTest(strategy=strategy, found=found, compute=compute):
                reboot, notice = edpm_reboot.decide(strategy, found, compute)
                self.assertEqual(want, reboot)
                self.assertEqual(bool(found) and not want, "a reboot is due (x)" in notice)


class Boot(unittest.TestCase):
    """Kernel arguments."""

    def test_arguments(self):
        """Sizes in order, the default first, a single one being the default."""
        pages = {"1048576": {"count": 64, "default": True}, "2048": {"count": 2}}
        self.assertEqual(["quiet", "default_hugepagesz=1048576k", "hugepagesz=2048k", "hugepages=2", "hugepagesz=1048576k", "hugepages=64"],
                         edpm.kernel_arguments("quiet", pages))
        self.assertEqual(["default_hugepagesz=2048k", "hugepagesz=2048k", "hugepages=2"], edpm.kernel_arguments("", {2048: {"count": 2}}))
        self.assertEqual([], edpm.kernel_arguments("", {}))

    def test_hugepage_problems(self):
        """Size, number and one default."""
        self.assertEqual([], edpm.hugepage_problems({"2048": {"count": 2}}))
        self.assertIn("edpm_kernel_hugepages[1G]: '1G' is no size", edpm.hugepage_problems({"1G": {"count": 2}})[0])
        self.assertIn("[2048].count", edpm.hugepage_problems({"2048": 5})[0])
        self.assertIn("more than one default", edpm.hugepage_problems({2048: {"count": 1, "default": True}, 4: {"count": 1, "default": True}})[0])

    def test_drop_in(self):
        """The image's own arguments stay."""
        self.assertIn('GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX a b=1"\n', edpm_boot.drop_in(["a", "b=1"]))
        self.assertIsNone(edpm_boot.drop_in([]))
        odd = 'dyndbg="file a.c +p" x=$(touch${IFS}y) `z` \\'
        shell = edpm_boot.drop_in(odd.split()) + 'printf %s "$GRUB_CMDLINE_LINUX"'
        self.assertEqual(f"quiet {odd}", subprocess.run(["sh", "-c", shell], env={"GRUB_CMDLINE_LINUX": "quiet"}, capture_output=True, text=True, check=True).stdout)
        self.assertEqual(["b"], boot.lacking(["a", "b"], ["a", "c"]))

    def test_loader(self):
        """Arguments and flag come, the flag goes once the kernel has them, and both go when none are wanted."""
        with tempfile.TemporaryDirectory() as folder:
            paths = {"DROP_IN": f"{folder}/99-edpm.cfg", "FLAG": f"{folder}/edpm_kernel", "in_container": lambda: False}
            run = Answers(("update-grub", (0, "", "")))

            def boot_with(wanted, running):
                job = edpm_boot.Job(types.SimpleNamespace(params={"arguments": wanted}, check_mode=False, run_command=run))
                which = {"which": lambda name: name if name == "update-grub" else None}
                with mock.patch.multiple(edpm_boot, **paths, cmdline=lambda: running), mock.patch.multiple(edpm_boot.shutil, **which):
                    job.run()
                return len(job.diffs), sorted(os.listdir(folder))

            self.assertEqual((2, ["99-edpm.cfg", "edpm_kernel"]), boot_with(["a=1"], ["quiet"]))
            self.assertEqual((0, ["99-edpm.cfg", "edpm_kernel"]), boot_with(["a=1"], ["quiet"]))
            self.assertEqual((1, ["99-edpm.cfg"]), boot_with(["a=1"], ["quiet", "a=1"]))
            self.assertEqual((1, []), boot_with([], ["quiet", "a=1"]))
            self.assertEqual([["update-grub"], ["update-grub"]], run.commands)

    def test_a_loader_that_was_not_written(self):
        """What a failed update-grub left undone is done by the next run, once."""
        with tempfile.TemporaryDirectory() as folder:
            loader = pathlib.Path(folder) / "grub.cfg"
            loader.write_text("")
            os.utime(loader, (1, 1))
            outcomes = [(1, "", "no such device"), (0, "", "")]

            def run(_words):
                code = outcomes.pop(0)
                if code[0] == 0:
                    os.utime(loader)
                return code

            def boot_with():
                job = edpm_boot.Job(types.SimpleNamespace(params={"arguments": ["a=1"]}, check_mode=False, run_command=run))
                with mock.patch.multiple(edpm_boot, DROP_IN=f"{folder}/99-edpm.cfg", LOADER=str(loader), FLAG=f"{folder}/flag",
                                         in_container=lambda: False, cmdline=list), mock.patch.object(edpm_boot.shutil, "which", "/sbin/{}".format):
                    job.run()
                return [one["before_header"] for one in job.diffs]

            with self.assertRaisesRegex(edpm_boot.BootError, "update-grub failed: no such device"):
                boot_with()
            self.assertEqual([str(loader), f"{folder}/flag"], boot_with())
            self.assertEqual([], boot_with())

    def test_grubby(self):
        """Every entry that lacks an argument counts; a missing boot loader is refused only when it is needed."""
        info = 'index=0\nargs="ro quiet a=1"\nindex=1\nargs="ro"\n'
        run = Answers(("--info=ALL", (0, info, "")), ("--update-kernel=ALL", (0, "", "")))

        def job(wanted, tool):
            one = edpm_boot.Job(types.SimpleNamespace(params={"arguments": wanted}, check_mode=True, run_command=run))
            which = {"which": lambda name: name if name == tool else None}
            with tempfile.TemporaryDirectory() as folder, mock.patch.multiple(
                    edpm_boot, FLAG=f"{folder}/flag", in_container=lambda: False, cmdline=lambda: wanted), mock.patch.multiple(edpm_boot.shutil, **which):
                one.run()
            return one.diffs

        self.assertEqual("a=1\n", job(["a=1", "ro"], "grubby")[0]["after"])
        self.assertEqual([], job(["ro"], "grubby"))
        self.assertEqual([], job([], "none"))
        with self.assertRaisesRegex(edpm_boot.BootError, "neither update-grub nor grubby"):
            job(["a=1"], "none")

    def test_tuned(self):
        """What tuned wants at the next boot, and which profiles there are."""
        self.assertEqual(["isolcpus=2-19", "nohz=on"], edpm_tuned.boot_arguments('TUNED_BOOT_INITRD_ADD=""\nTUNED_BOOT_CMDLINE="isolcpus=2-19 nohz=on"\n'))
        self.assertEqual([], edpm_tuned.boot_arguments(None))
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "balanced").mkdir()
            (pathlib.Path(folder) / "balanced/tuned.conf").write_text("")
            self.assertEqual(["balanced"], edpm_tuned.profiles([folder]))
            path, active = pathlib.Path(folder, "variables.conf"), pathlib.Path(folder, "active_profile")
            for age, file in enumerate((active, path), 1):
                file.write_text("isolated_cores=2\n")
                os.utime(file, (age, age))
            job = edpm_tuned.Job(types.SimpleNamespace(params={"isolated_cores": "2"}, check_mode=False))
            with mock.patch.multiple(edpm_tuned, ACTIVE=str(active), variables=lambda *_: (str(path), "isolated_cores=2\n")):
                self.assertTrue(job._variables("x"), "tuned has not read what an earlier run wrote")
                os.utime(active)
                self.assertFalse(job._variables("x"))
        self.assertEqual(("/etc/tuned/realtime-variables.conf", "# Written by osp.edpm.\nisolated_cores=2-4\n"), edpm_tuned.variables("realtime", "2-4"))


if __name__ == "__main__":
    unittest.main()
