# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Asks an OVSDB server (RFC 7047), the node's own or OVN's southbound, and says why one cannot be asked.

Only reads: what is written goes through ovs-vsctl, which waits until the switch has it.
"""

from __future__ import annotations

import json
import os
import re
import socket
import ssl

REMOTE = re.compile(r"^(?P<scheme>tcp|ssl):(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(?P<port>\d{1,5})$")
SOUTHBOUND = "OVN_Southbound"
LIMIT = 64 * 1024 * 1024


class DatabaseError(Exception):
    """One line that names the server, the cause and, where there is one, the remedy."""


def split(remotes):
    """Return the remotes of a list such as ssl:192.0.2.1:6642,ssl:192.0.2.2:6642."""
    return [part.strip() for part in str(remotes).split(",") if part.strip()]


def wrong(remotes):
    """Return the remotes that no client could use."""
    return [remote for remote in split(remotes) if not REMOTE.match(remote)]


class Client:
    """One connection."""

    def __init__(self, stream, remote):
        self._stream = stream
        self._remote = remote
        self._buffer = ""
        self._decoder = json.JSONDecoder()

    def close(self):
        """End the connection."""
        self._stream.close()

    def select(self, database, queries):
        """Return the rows of each (table, where, columns), all read in one transaction, values in plain Python."""
        operations = [{"op": "select", "table": table, "where": where, "columns": columns} for table, where, columns in queries]
        results = self._call("transact", [database, *operations])
        for result in results:
            if "error" in result:
                raise DatabaseError(f"{self._remote} refuses to be read: {result['error']} {result.get('details', '')}".strip())
        return [[{name: plain(value) for name, value in row.items()} for row in result["rows"]] for result in results]

    def _call(self, method, params):
        try:
            self._stream.sendall(json.dumps({"method": method, "params": params, "id": 1}).encode())
            answer = self._answer()
        except OSError as error:
            raise DatabaseError(f"{self._remote} breaks off: {reason(error)}") from error
        except (ValueError, KeyError) as error:
            raise DatabaseError(f"{self._remote} is no OVSDB server: correct the address or port") from error
        if answer.get("error"):
            raise DatabaseError(f"{self._remote} serves no {params[0]}: {answer['error']}: correct the address or port")
        return answer["result"]

    def _answer(self):
        """Return the answer; what the server asks on its own account (echo) does not matter in so short a talk."""
        while True:
            message = self._message()
            if message.get("id") == 1 and "result" in message:
                return message

    def _message(self):
        while True:
            text = self._buffer.lstrip()
            if text and not text.startswith("{"):
                raise ValueError("no JSON")
            try:
                message, end = self._decoder.raw_decode(text)
                self._buffer = text[end:]
                return message
            except json.JSONDecodeError:
                pass
            data = self._stream.recv(1 << 16)
            if not data or len(text) > LIMIT:
                raise ConnectionResetError("closed by the server")
            self._buffer = text + data.decode("utf-8", "replace")


def plain(value):
    """Return an OVSDB value (RFC 7047, 5.1) as a dictionary, a list or an atom."""
    if not isinstance(value, list):
        return value
    kind, content = value
    if kind == "map":
        return {plain(key): plain(one) for key, one in content}
    if kind == "set":
        return [plain(one) for one in content]
    return content


def local(path, timeout=10):
    """Connect to the node's own server."""
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(timeout)
    try:
        stream.connect(path)
    except OSError as error:
        stream.close()
        raise DatabaseError(f"Open vSwitch does not answer at {path}: {reason(error)}: see journalctl -u ovsdb-server on the node") from error
    return Client(stream, path)


def southbound(remotes, tls, where, timeout=5):
    """Connect to the first of the remotes that answers; tls has private_key, certificate and ca_cert for ssl, or is None.

    where names the input to correct when none does.
    """
    problems = []
    for remote in split(remotes):
        try:
            return _connect(remote, tls, timeout)
        except DatabaseError as error:
            problems.append(str(error))
    raise DatabaseError(f"the OVN southbound cannot be reached from the node: {'; '.join(problems)}; correct {where}, or see to the southbound")


def _connect(remote, tls, timeout):
    match = REMOTE.match(remote)
    if not match:
        raise DatabaseError(f"{remote} is no remote, write it as tcp:ADDRESS:6642 or ssl:ADDRESS:6642")
    try:
        stream = socket.create_connection((match["host"].strip("[]"), int(match["port"])), timeout)
    except OSError as error:
        raise DatabaseError(f"{remote}: {reason(error)}") from error
    try:
        client = Client(_secured(stream, tls) if match["scheme"] == "ssl" else stream, remote)
        client.select(SOUTHBOUND, [("SB_Global", [], ["nb_cfg"])])
        return client
    except OSError as error:
        stream.close()
        raise DatabaseError(f"{remote}: TLS: {reason(error)} (with {tls['ca_cert']} and {tls['certificate']})") from error
    except DatabaseError:
        stream.close()
        raise


def _secured(stream, tls):
    # As Open vSwitch does it (lib/stream-ssl.c): the chain must be the CA's, the name is not looked at.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(tls["ca_cert"])
    context.load_cert_chain(tls["certificate"], tls["private_key"])
    return context.wrap_socket(stream)


def missing(tls):
    """Return the first of the files that is not on the node, or None."""
    return next((path for path in (tls or {}).values() if not os.path.isfile(path)), None)


def reason(error):
    """Return why a connection failed, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    if isinstance(error, TimeoutError):
        return "no answer (timeout)"
    if isinstance(error, socket.gaierror):
        return "the name is unknown"
    return (error.strerror or str(error) or type(error).__name__).lower()
