# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Reads what a service's Secrets and ConfigMaps hold."""

from __future__ import annotations

DOCUMENTATION = r"""
name: service_data
short_description: What a service's Secrets and ConfigMaps hold
version_added: 0.2.0
author: Rackplane authors (@rackplane)
description:
  - Returns one mapping of key to text with all files that were laid out on the controller for the run's service.
  - The files are those of edpm_service_data_dir/edpm_service_type. An empty mapping means there are none.
options:
  _terms:
    description: Type of the service when edpm_service_type is not set.
    required: true
  edpm_service_data_dir:
    description: Folder of all services' data.
    type: path
    default: /var/lib/openstack/configs
    vars:
      - name: edpm_service_data_dir
  edpm_service_type:
    description: Type of the run's service.
    type: str
    vars:
      - name: edpm_service_type
"""

EXAMPLES = r"""
- name: Name the keys
  ansible.builtin.debug:
    msg: "{{ lookup('osp.edpm.service_data', 'nova') | list }}"
"""

RETURN = r"""
_raw:
  description: One mapping of key to text.
  type: list
  elements: dict
"""

import os
import pathlib

from ansible.plugins.lookup import LookupBase


def read(folder):
    """Return the texts of the folder's files by name; a key is a plain file, so folders and hidden files are none."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return {}
    paths = [pathlib.Path(folder, name) for name in names if not name.startswith(".")]
    return {path.name: path.read_text(encoding="utf-8", errors="surrogateescape") for path in paths if path.is_file()}


class LookupModule(LookupBase):
    """The lookup."""

    def run(self, terms, variables=None, **kwargs):
        """Return the mapping."""
        self.set_options(var_options=variables, direct=kwargs)
        service = self.get_option("edpm_service_type") or terms[0]
        return [read(os.path.join(self.get_option("edpm_service_data_dir"), service))]
