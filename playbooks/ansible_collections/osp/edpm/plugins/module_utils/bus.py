# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Signs in at the message bus as a service would, and asks who listens.

Uses python-amqp, which every service that speaks to RabbitMQ brings along (oslo.messaging, kombu).
"""

from __future__ import annotations

import contextlib
import ssl
import urllib.parse

from ansible_collections.osp.edpm.plugins.module_utils.osloconf import truth
from ansible_collections.osp.edpm.plugins.module_utils.ovsdb import reason

TIMEOUT = 10
UNREADABLE = "names no HOST:PORT where one belongs: write , / ? # and @ in a password as %2C %2F %3F %23 and %40"


class BusError(Exception):
    """One line: what is wrong, and where."""


def servers(url):
    """Return (host, port, user, password) of each server, and the virtual host, of a transport_url; ValueError when it is none.

    The form is oslo.messaging's: rabbit://USER:PASSWORD@HOST:PORT,USER:PASSWORD@HOST:PORT/VHOST?ssl=1
    """
    scheme, _, rest = url.partition("://")
    if scheme not in ("rabbit", "kombu", "amqp") or not rest:
        raise ValueError("is no rabbit://USER:PASSWORD@HOST:5672/ address")
    address, _, query = rest.partition("?")
    places, _, path = address.partition("/")
    found, user, password = [], "guest", "guest"
    while places:
        place, _, places = places.partition(",")
        login, _, where = place.rpartition("@")
        if login:
            user, _, password = (urllib.parse.unquote(part) for part in login.partition(":"))
        elif "@" in places + path + query:
            raise ValueError(UNREADABLE)  # The place may be a piece of a password, which no message must show.
        found.append((*_server(where), user, password))
    if not found:
        raise ValueError("names no server")
    return found, urllib.parse.unquote(path) or "/"


def _server(where):
    parts = urllib.parse.urlsplit(f"//{where}")
    try:
        port = parts.port or 5672
    except ValueError:  # It quotes what stands in the port's place.
        raise ValueError(UNREADABLE) from None
    if not parts.hostname:
        raise ValueError("names no server")
    return parts.hostname, port


def tls_of(config, host):
    """Return the keywords of TLS to host as oslo.messaging 16 sets them; None when the bus is spoken to without."""
    query = urllib.parse.parse_qs(config.get("DEFAULT", "transport_url").partition("?")[2])
    option = {name: query.get(name, [config.get("oslo_messaging_rabbit", name)])[0] for name in
              ("ssl", "ssl_ca_file", "ssl_cert_file", "ssl_key_file", "ssl_enforce_hostname_verification")}
    if not truth(option["ssl"]):
        return None
    files = {"ca_certs": option["ssl_ca_file"], "certfile": option["ssl_cert_file"], "keyfile": option["ssl_key_file"]}
    # Without a CA file no certificate is looked at: the service would not look either.
    keywords = {"cert_reqs": ssl.CERT_REQUIRED if files["ca_certs"] else ssl.CERT_NONE, **{key: path for key, path in files.items() if path}}
    if files["ca_certs"] and truth(option["ssl_enforce_hostname_verification"]):
        keywords["server_hostname"] = host
    return keywords


def sign_in(config):
    """Return a connection to the first server of transport_url that takes it; BusError when none does."""
    try:
        places, vhost = servers(config.get("DEFAULT", "transport_url"))
    except ValueError as error:
        raise BusError(f"transport_url {error}") from error
    problems = []
    for place in places:
        try:
            return _connect(place, vhost, tls_of(config, place[0]))
        except BusError as error:
            problems.append(str(error))
    raise BusError("; ".join(dict.fromkeys(problems)))


def _connect(place, vhost, tls):
    import amqp  # only a node that runs such a service has it

    host, port, user, password = place
    name = f"RabbitMQ at {host}:{port}"
    connection = amqp.Connection(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", userid=user, password=password,
                                 login_method="PLAIN", virtual_host=vhost, ssl=tls or False, connect_timeout=TIMEOUT,
                                 read_timeout=TIMEOUT, write_timeout=TIMEOUT)
    try:
        connection.connect()
    except amqp.AccessRefused as error:
        raise BusError(f"{name} refuses user {user}: wrong name or password") from error
    except (amqp.NotAllowed, amqp.NotFound) as error:
        raise BusError(f"{name} does not give user {user} the virtual host {vhost}") from error
    except amqp.AMQPError as error:
        raise BusError(f"{name} breaks off: {type(error).__name__}") from error
    except OSError as error:
        raise BusError(f"{name} cannot be reached from the node: {reason(error)}") from error
    return connection


def listeners(config, queue):
    """Return how many listen on the queue, 0 when there is none of that name; BusError when the bus cannot be asked."""
    import amqp  # only a node that runs such a service has it

    try:
        with contextlib.closing(sign_in(config)) as connection:
            try:
                with connection.channel() as channel:
                    return channel.queue_declare(queue=queue, passive=True).consumer_count
            except amqp.NotFound:
                return 0
    except (amqp.AMQPError, OSError) as error:
        raise BusError(f"the bus breaks off: {type(error).__name__}") from error
