# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""What the collection's services consist of: read on the controller from their playbooks and their roles' family data."""

from __future__ import annotations

import pathlib

import yaml
from ansible_collections.osp.edpm.plugins.filter.edpm import family

ROOT = pathlib.Path(__file__).parents[2]


def roles_of(service):
    """Return the roles of a service's playbook, in order; none for a service that is not of this collection."""
    path = ROOT / "playbooks" / f"{service.replace('-', '_')}.yml"
    if not path.is_file():
        return []
    plays = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [role["role"].rpartition(".")[2] for play in plays for role in play.get("roles", [])]


def data_of(service, facts):
    """Return what the service's roles have for the node's family, one mapping a role."""
    paths = [ROOT / "roles" / role / "vars/main/families.yml" for role in roles_of(service)]
    data = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]
    return [family(families, facts) for one in data for families in one.values()]


def service_packages(services, facts):
    """Return the packages of the services, sorted, each once."""
    return sorted({name for service in services for data in data_of(service, facts) for name in data.get("packages", [])})


def service_units(services, facts):
    """Return the names of the services' units, sorted, each once."""
    return sorted({unit["name"] for service in services for data in data_of(service, facts) for unit in data.get("units", [])})


class FilterModule:
    """The filters."""

    def filters(self):
        """Return them by name."""
        return {"service_packages": service_packages, "service_units": service_units}
