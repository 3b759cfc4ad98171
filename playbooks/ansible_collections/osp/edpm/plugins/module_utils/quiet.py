# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""A module whose parameters may be secrets."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule


class QuietModule(AnsibleModule):
    """An AnsibleModule that does not write its parameters into the node's journal.

    The task's no_log would do that as well, and take the message of a failure away from the user with it; the constructor's is
    overridden by the task's.
    """

    def _log_invocation(self):
        """Say nothing."""

    def _return_formatted(self, kwargs):
        """Return the result without the parameters, which Ansible shows from -vvv on."""
        kwargs.setdefault("invocation", {})
        super()._return_formatted(kwargs)
