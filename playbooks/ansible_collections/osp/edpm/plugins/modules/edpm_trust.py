#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Makes the system trust a bundle of CA certificates."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_trust
short_description: Make the system trust a bundle of CA certificates
version_added: 0.2.0
author: Rackplane authors (@rackplane)
description:
  - Keeps the bundle as one source of the system's trust store, and has the store made anew when it lacks one of the certificates.
  - What counts is the store itself, so a run that died between the two is made good by the next.
options:
  content:
    description: The certificates in PEM form; empty when the system must no longer trust them.
    type: str
    required: true
  source:
    description: File from which the store is made.
    type: path
    required: true
  store:
    description: The store in PEM form, as programs read it.
    type: path
    required: true
  command:
    description: Makes the store anew (no shell).
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    description: Predicts the change.
    support: full
  diff_mode:
    description: Shows the source.
    support: full
"""

EXAMPLES = r"""
- name: Trust the cloud's CA
  osp.edpm.edpm_trust:
    content: "{{ lookup('ansible.builtin.file', 'ca.pem') }}"
    source: /usr/local/share/ca-certificates/edpm.crt
    store: /etc/ssl/certs/ca-certificates.crt
    command: [update-ca-certificates]
"""

RETURN = r"""
missing:
  description: How many certificates the store lacked.
  type: int
  returned: always
"""

import os
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils.node import one_line, read_text, text_diff, write_text

CERTIFICATE = re.compile(r"-----BEGIN (?:TRUSTED )?CERTIFICATE-----(.*?)-----END", re.DOTALL)


def certificates(text):
    """Return the certificates of a PEM text as their base64 without line breaks."""
    return {"".join(body.split()) for body in CERTIFICATE.findall(text or "")}


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "content": {"type": "str", "required": True},
            "source": {"type": "path", "required": True},
            "store": {"type": "path", "required": True},
            "command": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    source, store, wanted = module.params["source"], module.params["store"], module.params["content"] or None
    before = read_text(source)
    missing = certificates(wanted) - certificates(read_text(store))
    stale = before != wanted
    try:
        if (stale or missing) and not module.check_mode:
            if wanted:
                write_text(source, wanted)
            elif before is not None:
                os.unlink(source)
            code, out, err = module.run_command(module.params["command"])
            left = certificates(wanted) - certificates(read_text(store))
            if code != 0 or left:
                module.fail_json(msg=one_line(f"{' '.join(module.params['command'])} does not bring {len(left)} certificates into {store}: "
                                              f"{err or out or 'it says nothing'}; check that ca-certificates is whole on the node", 500))
    except OSError as error:
        module.fail_json(msg=one_line(str(error), 500))
    module.exit_json(changed=bool(stale or missing), missing=len(missing), diff=text_diff(source, before, wanted))


if __name__ == "__main__":
    main()
