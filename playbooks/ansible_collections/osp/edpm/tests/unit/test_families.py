# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Every role's data is complete on every platform."""

import pathlib
import unittest

import yaml
from ansible_collections.osp.edpm.plugins.filter import edpm

ROLES = pathlib.Path(__file__).parents[2] / "roles"
PLATFORMS = [("Debian", "Debian", "12"), ("Debian", "Debian", "13"), ("Debian", "Ubuntu", "24"),
             ("RedHat", "CentOS", "9"), ("RedHat", "RedHat", "9"), ("RedHat", "Rocky", "10")]


def facts(platform):
    """Return what Ansible learns of the platform."""
    return dict(zip(("os_family", "distribution", "distribution_major_version"), platform))


def families():
    """Return each role's data by role."""
    for path in sorted(ROLES.glob("*/vars/main/families.yml")):
        role = path.parents[2].name
        yield role, yaml.safe_load(path.read_text())


class Families(unittest.TestCase):
    """One file, one variable, plain data, the same keys everywhere."""

    def test_convention(self):
        """The variable bears the role's name, and nothing in it is a template."""
        found = list(families())
        self.assertTrue(found)
        for role, data in found:
            with self.subTest(role):
                self.assertEqual([f"{role}_families"], list(data))
                self.assertNotIn("{{", (ROLES / role / "vars/main/families.yml").read_text())

    def test_complete(self):
        """No platform lacks what another has; packages and units are named."""
        for role, data in families():
            seen = {platform: edpm.family(data[f"{role}_families"], facts(platform)) for platform in PLATFORMS}
            keys = set().union(*seen.values())
            for platform, one in seen.items():
                with self.subTest(role=role, platform=platform):
                    self.assertEqual(keys, set(one))
                    self.assertTrue(all(isinstance(name, str) and name for name in one.get("packages", ["-"])))
                    self.assertTrue(all(unit["name"] for unit in one.get("units", [])))


if __name__ == "__main__":
    unittest.main()
