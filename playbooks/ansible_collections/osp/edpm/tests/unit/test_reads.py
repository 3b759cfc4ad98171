# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Each role declares what it reads: the engine runs a service again when a variable changes that its roles declare, and no other."""

import pathlib
import re
import unittest

import jinja2
import yaml

COLLECTION = pathlib.Path(__file__).parents[2]

# What every run is given beside the inventory, and the lists of services, which make nothing run again.
RUN = {"edpm_override_hosts", "edpm_service_type", "edpm_services_override", "edpm_service_data_dir", "edpm_services", "edpm_service_types"}
# What Ansible itself defines.
MAGIC = {"ansible_facts", "ansible_check_mode", "inventory_hostname", "omit", "item"}
FUNCTIONS = {"lookup", "query", "q", "range", "dict", "namespace", "loop"}
# Keys whose values are expressions without braces.
EXPRESSIONS = {"when", "until", "that", "changed_when", "failed_when"}
# What reads variables whose names are not written there.
DYNAMIC = {"hostvars", "vars"}

JINJA = jinja2.Environment(autoescape=True)


class Loader(yaml.SafeLoader):
    """YAML with Ansible's tags."""


Loader.add_multi_constructor("!", lambda loader, _tag, node: loader.construct_scalar(node))


class Usage:
    """What some files read and define."""

    def __init__(self):
        self.reads, self.defines, self.suffixes, self.templates, self.dynamic = set(), set(), set(), set(), False

    def template(self, text):
        """Take in a template."""
        tree = JINJA.parse(text)
        names = list(tree.find_all(jinja2.nodes.Name))
        bound = {n.name for n in names if n.ctx != "load"} | {m.name for m in tree.find_all(jinja2.nodes.Macro)}
        self.reads |= {n.name for n in names if n.ctx == "load"} - bound - FUNCTIONS
        constants = {c.value for c in tree.find_all(jinja2.nodes.Const) if isinstance(c.value, str)}
        self.templates |= {c for c in constants if c.endswith(".j2")}
        if "ansible.builtin.vars" in constants or "vars" in constants or self.reads & DYNAMIC:
            self.dynamic = True
            self.suffixes |= {c for c in constants if c.startswith("_")}

    def value(self, value, expression=False):
        """Take in a value of a YAML document."""
        if isinstance(value, str):
            self.template("{{ " + value + " }}" if expression and "{{" not in value else value)
        elif isinstance(value, list):
            for part in value:
                self.value(part, expression)
        elif isinstance(value, dict):
            self.mapping(value)

    def mapping(self, mapping):
        """Take in a mapping: a task, its arguments, or data."""
        for key, value in mapping.items():
            if isinstance(key, str) and "{{" in key:
                self.template(key)
            if key in ("register", "loop_var"):
                self.defines.add(value)
            elif key in ("vars", "ansible.builtin.set_fact") and isinstance(value, dict):
                self.defines.update(value)
            self.value(value, key in EXPRESSIONS)


def usage(folder):
    """What a role reads and defines."""
    found = Usage()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        part = file.relative_to(folder).parts[0]
        if part == "templates":
            found.template(file.read_text(encoding="utf-8"))
        elif part in ("tasks", "handlers", "defaults", "vars"):
            document = load(file)
            found.value(document)
            if part in ("defaults", "vars"):
                found.defines.update(document)
    return found


def load(path):
    """A YAML document; an empty one when there is no such file."""
    return (yaml.load(path.read_text(encoding="utf-8"), Loader) if path.exists() else None) or {}  # a safe loader


def used(document):
    """The names by which a document uses roles and playbooks."""
    names = []
    for part in document if isinstance(document, list) else [document]:
        for key, value in part.items() if isinstance(part, dict) else ():
            word = key.rpartition(".")[2]
            if word in ("import_role", "include_role"):
                names.append(value["name"] if isinstance(value, dict) else value)
            elif word in ("import_playbook", "include_vars", "vars_files"):
                names.append(f"{word}: name it to what the engine reads, too")
            elif word in ("roles", "dependencies"):
                names += [role if isinstance(role, str) else role.get("role", role.get("name", "")) for role in value]
            elif isinstance(value, list | dict):
                names += used(value)
    return names


def reached(folder, tasks):
    """All that some of a role's tasks read, by way of its defaults, variables and templates, too."""
    values = {}
    for file in [*folder.glob("defaults/**/*.yml"), *folder.glob("vars/**/*.yml")]:
        values.update(load(file))
    found = Usage()
    found.value(load(folder / "tasks" / f"{tasks}.yml"))
    done = set()
    while todo := (found.reads | found.templates) - done:
        name = todo.pop()
        done.add(name)
        if name in values:
            found.value(values[name])
        elif name.endswith(".j2"):
            found.template((folder / "templates" / name).read_text(encoding="utf-8"))
    return found.reads - (found.defines - set(values))


def declared(folder):
    """The variables and the suffixes that a role declares, and the variables of some of its tasks."""
    specs, reads = load(folder / "meta/argument_specs.yml")["argument_specs"], load(folder / "meta/reads.yml")
    names = {name for entry in specs.values() for name in entry.get("options", {})}
    return names, set(reads.get("suffixes", [])), reads.get("tasks", {})


class Reads(unittest.TestCase):
    """Declarations."""

    def test_roles(self):
        """What a role reads is declared, or defined by itself out of what is. A default that users may override is declared, too."""
        roles = sorted((COLLECTION / "roles").iterdir())
        self.assertTrue(roles)
        for role in roles:
            with self.subTest(role.name):
                found, (names, suffixes, tasks) = usage(role), declared(role)
                self.assertEqual(set(), found.reads - found.defines - names - RUN - MAGIC - DYNAMIC, "declare these in meta/argument_specs.yml")
                self.assertEqual(found.dynamic, bool(suffixes), "meta/reads.yml goes with hostvars and vars")
                self.assertLessEqual(found.suffixes, suffixes, "declare these in meta/reads.yml")
                self.assertEqual(set(), set(load(role / "defaults/main.yml")) - names, "defaults that nobody can look up")
                for entry, listed in tasks.items():
                    self.assertEqual(sorted(reached(role, entry) & names), listed, f"declare these as tasks.{entry} in meta/reads.yml")

    def test_what_a_role_defines_is_its_own(self):
        """What a role defines bears its name, so that it hides no variable of the inventory which another task reads."""
        for role in sorted((COLLECTION / "roles").iterdir()):
            with self.subTest(role.name):
                defines = usage(role).defines - declared(role)[0]
                self.assertEqual(set(), {name for name in defines if not name.startswith((role.name, "_" + role.name))})

    def test_roles_are_named(self):
        """Roles and playbooks that are used are spelled out in full: the engine finds by their names what a playbook reads."""
        spelled = re.compile(r"^osp\.edpm\.edpm_\w+$")
        for file in sorted([*(COLLECTION / "playbooks").glob("*.yml"), *(COLLECTION / "roles").glob("*/tasks/**/*.yml"), *(COLLECTION / "roles").glob("*/meta/main.yml")]):
            with self.subTest(str(file.relative_to(COLLECTION))):
                for name in used(load(file)):
                    self.assertRegex(name, spelled)

    def test_playbooks(self):
        """A playbook reads nothing by itself."""
        for playbook in sorted((COLLECTION / "playbooks").glob("*.yml")):
            with self.subTest(playbook.name):
                found = Usage()
                found.value(load(playbook))
                self.assertEqual(set(), found.reads - RUN)

    def test_plugins(self):
        """No plugin asks for variables that it is not handed."""
        for plugin in sorted((COLLECTION / "plugins").rglob("*.py")):
            text = plugin.read_text(encoding="utf-8")
            for word in ("task_vars", "get_vars(", "hostvars"):
                self.assertNotIn(word, text, plugin.name)

    def test_what_is_read_is_found(self):
        """The checks see what they are for."""
        found = Usage()
        found.value({"when": "a_b | default(c)", "set": "{{ query('ansible.builtin.vars', *(d | map('regex_replace', '$', '_ip'))) }}", "register": "e"})
        self.assertEqual({"a_b", "c", "d"}, found.reads)
        self.assertEqual({"e"}, found.defines)
        self.assertTrue(found.dynamic)
        self.assertEqual({"_ip"}, found.suffixes)
        self.assertEqual(["b", "{{ c }}", "a"], used([{"block": [{"ansible.builtin.import_role": {"name": "b"}}, {"include_role": {"name": "{{ c }}"}}], "roles": ["a"]}]))


if __name__ == "__main__":
    unittest.main()
