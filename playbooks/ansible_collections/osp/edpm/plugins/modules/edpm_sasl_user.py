#!/usr/bin/python
# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Makes a SASL database know one user by one password."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edpm_sasl_user
short_description: Make a SASL database know one user by one password
version_added: 0.2.0
author: Rackplane authors (@rackplane)
description:
  - Asks libsasl2 itself whether the password is the user's, so nothing is read out of the database and its format does not matter.
  - Sets it with saslpasswd2 when it is not, over standard input.
options:
  user:
    description: Name of the user.
    type: str
    required: true
  realm:
    description: Realm of the user.
    type: str
    required: true
  password:
    description: The password.
    type: str
    required: true
  application:
    description: Name of the application, as in /etc/sasl2/APPLICATION.conf.
    type: str
    required: true
  path:
    description: The database; it belongs to root alone.
    type: path
    required: true
attributes:
  check_mode:
    description: Predicts the change; without libsasl2 on the node the user counts as missing.
    support: full
  diff_mode:
    description: Says that the password differs, never what it is.
    support: full
"""

EXAMPLES = r"""
- name: Make the migration user known to libvirt
  osp.edpm.edpm_sasl_user:
    user: migration
    realm: openstack
    password: "{{ password }}"
    application: libvirt
    path: /etc/libvirt/passwd.db
"""

RETURN = r"""#"""

import ctypes
import os
import stat

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.osp.edpm.plugins.module_utils.node import one_line, text_diff

# sasl.h of cyrus-sasl 2.1.28.
SASL_OK = 0
SASL_CB_LIST_END = 0
SASL_CB_GETOPT = 1
GETOPT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p,
                          ctypes.POINTER(ctypes.c_char_p), ctypes.POINTER(ctypes.c_uint))


class Callback(ctypes.Structure):
    """sasl_callback_t."""

    _fields_ = [("id", ctypes.c_ulong), ("proc", GETOPT), ("context", ctypes.c_void_p)]


class SaslError(Exception):
    """One line that names the cause and the remedy."""


def options_of(path):
    """Return libsasl2's options for looking into the database at path, as a callback that must outlive their use."""
    values = {b"pwcheck_method": b"auxprop", b"auxprop_plugin": b"sasldb", b"sasldb_path": os.fsencode(path)}

    def getopt(_context, _plugin, option, result, length):
        value = values.get(option)
        if value is None:
            return -1
        result[0] = value
        if length:
            length[0] = len(value)
        return SASL_OK

    return GETOPT(getopt)


def knows(library, params):
    """Report whether the database knows the user by the password."""
    getopt = options_of(params["path"])
    callbacks = (Callback * 2)(Callback(SASL_CB_GETOPT, getopt, None), Callback(SASL_CB_LIST_END, GETOPT(), None))
    name, realm, user, password = (params[key].encode() for key in ("application", "realm", "user", "password"))
    if library.sasl_server_init(callbacks, name) != SASL_OK:
        raise SaslError("libsasl2 does not start on the node: reinstall it")
    connection = ctypes.c_void_p()
    try:
        code = library.sasl_server_new(name, b"localhost", realm, None, None, callbacks, 0, ctypes.byref(connection))
        if code != SASL_OK:
            raise SaslError(f"libsasl2 refuses a session (code {code}): reinstall it and its modules")
        return library.sasl_checkpass(connection, user, len(user), password, len(password)) == SASL_OK
    finally:
        library.sasl_dispose(ctypes.byref(connection))
        library.sasl_done()


def is_private(path):
    """Report whether the file is root's alone."""
    info = os.stat(path)
    return info.st_uid == 0 and stat.S_IMODE(info.st_mode) & 0o077 == 0


def is_wanted(params):
    """Report whether the database is as wanted."""
    if not os.path.exists(params["path"]):
        return False
    try:
        library = ctypes.CDLL("libsasl2.so.2")
        library.sasl_dispose.restype = None
        library.sasl_done.restype = None
    except OSError:
        return False
    return is_private(params["path"]) and knows(library, params)


def write(module):
    """Set the password. A reader of the database waits for its lock, so it is changed in place."""
    params = module.params
    command = ["saslpasswd2", "-p", "-c", "-f", params["path"], "-a", params["application"], "-u", params["realm"], params["user"]]
    code, out, err = module.run_command(command, data=params["password"], binary_data=True, umask=0o077)
    if code != 0:
        raise SaslError(f"saslpasswd2 cannot write {params['path']}: {one_line(err or out)}; run the libvirt service again once that is solved")
    os.chown(params["path"], 0, 0)
    os.chmod(params["path"], 0o600)
    if not is_wanted(params):
        raise SaslError(f"{params['path']} does not take the password of {params['user']}@{params['realm']}: "
                        "is libsasl2-modules-db installed?")


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "user": {"type": "str", "required": True},
            "realm": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "application": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        changed = not is_wanted(params)
        if changed and not module.check_mode:
            write(module)
    except (SaslError, OSError) as error:
        module.fail_json(msg=one_line(str(error), 500))
    module.exit_json(changed=changed, diff=text_diff(
        params["path"], "", f"{params['user']}@{params['realm']} (password differs)\n" if changed else ""))


if __name__ == "__main__":
    main()
