# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Tests of the fence's scripts on this machine; with real connections they are tested by the engine's runner."""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "plugins", "connection"))
import fenced_ssh  # noqa: E402


# The folder of these tests is the user's own: nobody needs to be root.
AS_ROOT = 'exec /bin/sh -c "$1" fence "$2" "$3" "$4" "$(id -g)"'


class Fence(unittest.TestCase):
    """What a node does with the commands of runs."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = os.path.join(folder.name, "fence")

    def run_script(self, text, given=None, **environment):
        return subprocess.run(text, shell=True, input=given, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=False)

    def command(self, token, command="true", drain=0, **options):
        text = fenced_ssh.script(fenced_ssh.COMMAND, self.folder, token, drain, AS_ROOT, fenced_ssh.RAISE, *fenced_ssh.words(command))
        return self.run_script(text, **options)

    def raise_to(self, token, wait=0):
        return self.run_script(fenced_ssh.script(AS_ROOT, fenced_ssh.RAISE, self.folder, token, wait))

    def token(self):
        with open(os.path.join(self.folder, "token"), encoding="utf-8") as file:
            return file.read()

    def hold(self):
        """Hold the lock as a command of a run does."""
        lock = open(os.path.join(self.folder, "lock"), encoding="utf-8")
        self.addCleanup(lock.close)
        fcntl.flock(lock, fcntl.LOCK_SH)

    def test_first_command_needs_no_second_connection(self):
        answer = self.command(5, "/bin/sh -c 'cat; exit 3'", given="input")
        self.assertEqual((answer.returncode, answer.stdout, answer.stderr, self.token()), (3, "input", "", "5\n"))
        self.assertEqual(oct(os.stat(os.path.join(self.folder, "lock")).st_mode & 0o777), "0o640")

    def test_earlier_run_is_refused(self):
        self.command(6)
        answer = self.command(5, "echo ran", drain=1, given="x" * 100000)
        self.assertEqual((answer.returncode, answer.stdout), (88, ""))
        self.assertEqual(fenced_ssh.refusal(answer.returncode, answer.stderr.encode()), (6, ""))
        self.assertEqual(self.token(), "6\n")

    def test_what_goes_on_keeps_a_later_run_waiting(self):
        self.command(5)
        self.hold()
        answer = self.command(6, "echo ran")
        self.assertEqual((answer.returncode, answer.stdout), (88, ""))
        self.assertEqual(fenced_ssh.refusal(answer.returncode, answer.stderr.encode()), (6, "draining"))
        self.assertEqual(self.command(5).returncode, 88, "the earlier run began something more")
        self.assertIn("busy", self.raise_to(6).stderr)

    def test_two_first_commands_of_a_run_do_not_wait_for_each_other(self):
        self.command(5)
        self.hold()
        self.assertEqual(self.raise_to(5).returncode, 0)
        self.assertEqual(self.token(), "5\n")

    def test_command_does_not_inherit_the_lock(self):
        answer = self.command(5, "/bin/sh -c 'ls -l /proc/self/fd'")
        self.assertNotIn("/lock", answer.stdout)


class Words(unittest.TestCase):
    """Which shell a command is run by."""

    def test_shells_of_ansible_are_not_started_by_another(self):
        for text in ("true", "echo 'a'\"b\" && sleep 0", "a\nb", ""):
            self.assertEqual(fenced_ssh.words("/bin/sh -c " + shlex.quote(text)), ["/bin/sh", "-c", text])

    def test_everything_else_is_for_the_login_shell(self):
        for command in ("true", "[[ a == a ]]", "/bin/sh -c 'true'; true", "/bin/sh -c 'true' && true", "/bin/sh -c $x", "/bin/sh -c ", "/bin/sh -c 'a"):
            words = fenced_ssh.words(command)
            self.assertEqual(words[-1], command)
            if command == "[[ a == a ]]":
                self.assertEqual(subprocess.run(words, env={**os.environ, "SHELL": "/bin/bash"}, check=False).returncode, 0)


if __name__ == "__main__":
    unittest.main()
