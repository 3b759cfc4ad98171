#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Asks, from the node, what the metadata agent will talk to."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_metadata_probe
short_description: Ask, from the node, what the metadata agent will talk to
version_added: 0.2.0
author: Rackplane authors (@rackplane)
description:
  - Reaches the OVN southbound with the agent's own certificate.
  - Asks Nova's metadata service about an instance that does not exist, signed with the shared secret. Nova answers 403 when the secret is another, which an agent would only show to its guests.
options:
  southbound:
    description: Remotes of the southbound, such as tcp:192.0.2.10:6642.
    type: str
    required: true
  tls:
    description: The files private_key, certificate and ca_cert for a southbound that is reached through TLS.
    type: dict
    default: {}
  url:
    description: Nova's metadata service, such as http://192.0.2.10:8775.
    type: str
    required: true
  secret:
    description: The secret shared with it.
    type: str
    required: true
  insecure:
    description: Take any certificate of the metadata service, as the agent was told to.
    type: bool
    default: false
  ca_cert:
    description: CA that the metadata service's certificate must be of; empty means the system's.
    type: str
    default: ""
  timeout:
    description: Seconds to wait for the metadata service.
    type: int
    default: 15
attributes:
  check_mode:
    description: Asks as well; changes nothing either way.
    support: full
  diff_mode:
    description: Has none.
    support: none
"""

EXAMPLES = r"""
- name: Ask what the agent will talk to
  osp.edpm.edpm_metadata_probe:
    southbound: tcp:192.0.2.10:6642
    url: http://192.0.2.10:8775
    secret: "{{ secret }}"
"""

RETURN = r"""
status:
  description: What the metadata service answered; 404 is right for an instance that does not exist.
  type: int
  returned: success
"""

import hashlib
import hmac
import http.client
import ssl
import urllib.error
import urllib.request

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils import ovsdb
from ansible_collections.osp.edpm.plugins.module_utils.node import one_line

NOBODY = "00000000-0000-0000-0000-000000000000"
SECRETS = "Secret nova-metadata-neutron-config (05-nova-metadata.conf) or openstack-control-plane (control-plane.yaml, metadata)"


class ProbeError(Exception):
    """One line that names the endpoint, the cause and the remedy."""


class Stay(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: the signature is for the named service only."""

    def redirect_request(self, *args, **kwargs):
        """Follow no redirect."""


def headers(secret):
    """Return what a metadata agent sends (neutron, agent/ovn/metadata/server.py)."""
    signature = hmac.new(secret.encode(), NOBODY.encode(), hashlib.sha256).hexdigest()
    return {"X-Forwarded-For": "127.0.0.1", "X-Instance-ID": NOBODY, "X-Tenant-ID": NOBODY.replace("-", ""),
            "X-Instance-ID-Signature": signature}


def ask(params):
    """Return the metadata service's answer; raise when it is not reached or knows another secret."""
    try:
        context = ssl.create_default_context(cafile=params["ca_cert"] or None)
    except OSError as error:
        raise ProbeError(f"the CA {params['ca_cert']} of Nova's metadata service cannot be read on the node ({ovsdb.reason(error)}): run "
                         f"install-certs first, or correct {SECRETS}") from error
    if params["insecure"]:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), Stay)
    request = urllib.request.Request(params["url"] + "/latest/meta-data/instance-id", headers=headers(params["secret"]))
    try:
        with opener.open(request, timeout=params["timeout"]) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError as error:
        cause = error.reason if isinstance(getattr(error, "reason", None), OSError) else error
        raise ProbeError(f"Nova's metadata service cannot be reached from the node at {params['url']}: {ovsdb.reason(cause)}; correct "
                         f"{SECRETS}, or see to the service") from error
    except http.client.HTTPException as error:
        raise ProbeError(f"what answers at {params['url']} does not speak HTTP: correct the address or port of Nova's metadata service "
                         f"in {SECRETS}") from error
    if status == 403:
        raise ProbeError(f"Nova's metadata service at {params['url']} refuses the shared secret (403): give both sides the same, here in {SECRETS}")
    return status


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "southbound": {"type": "str", "required": True},
            "tls": {"type": "dict", "default": {}},
            "url": {"type": "str", "required": True},
            "secret": {"type": "str", "required": True, "no_log": True},
            "insecure": {"type": "bool", "default": False},
            "ca_cert": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 15},
        },
        supports_check_mode=True,
    )
    absent = ovsdb.missing(module.params["tls"])
    if absent and not module.check_mode:
        module.fail_json(msg=f"the southbound is reached through TLS, and {absent} is not on the node: run install-certs before "
                             "neutron-metadata, with a certificate for this node")
    try:
        if not absent:
            ovsdb.southbound(module.params["southbound"], module.params["tls"] or None,
                             "ovn_sb_connection (Secret neutron-ovn-metadata-agent-neutron-config or openstack-control-plane)").close()
        status = ask(module.params)
    except (ProbeError, ovsdb.DatabaseError, OSError, ValueError) as error:
        module.fail_json(msg=one_line(str(error), 500))
    module.exit_json(changed=False, status=status)


if __name__ == "__main__":
    main()
