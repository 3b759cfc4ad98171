# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""What the install_certs role makes of its inputs, all on the controller: nothing that a node could not use reaches it.

A key of the data is SERVICE.KEY.NODE-tls.crt, -tls.key or -ca.crt, NODE the node's canonical or short name; SERVICE.tls-ca-bundle.pem
is a service's CA bundle, and tls-ca-bundle.pem the system's and that of every service without one.
"""

from __future__ import annotations

import datetime
import fnmatch
import ipaddress
import re

from ansible.utils.display import Display

KEY = re.compile(r"^(?P<service>[a-z0-9-]+)\.(?P<key>[A-Za-z0-9_-]+)\.(?P<node>.+)-(?P<file>tls\.crt|tls\.key|ca\.crt)$")
BUNDLE = "tls-ca-bundle.pem"
SERVICE_BUNDLE = re.compile(r"^(?P<service>[a-z0-9-]+)\.tls-ca-bundle\.pem$")
PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)
SOURCE = "in the Secrets of DataPlaneService install-certs"


def certificate_files(data, names):
    """Return the files of the node named names, as osp.edpm.edpm_files takes them."""
    files = [{"path": f"/var/lib/openstack/certs/{service}/{key}/{name}", "content": text, "secret": name == "tls.key",
              "mode": "0600" if name == "tls.key" else "0644", "variable": data_key}
             for (service, key), found in _sets(data, names).items() for name, (data_key, text) in found.items()]
    services = {service for service, _key in _sets(data, names)}
    bundles = dict.fromkeys(services, data[BUNDLE]) if BUNDLE in data else {}
    for data_key, text in data.items():
        match = SERVICE_BUNDLE.match(data_key)
        if match:
            bundles[match["service"]] = text
    files += [{"path": f"/var/lib/openstack/cacerts/{service}/{BUNDLE}", "content": text} for service, text in sorted(bundles.items())]
    return sorted(files, key=lambda one: one["path"])


def certificate_problems(data, names, addresses, warn_days):
    """Check what is for the node named names; addresses are its own, warn_days before its end a certificate is warned of.

    Returns a list of problems, each one line that names the Secret's key and the remedy; empty means good.
    """
    from cryptography import x509

    now = datetime.datetime.now(datetime.timezone.utc)
    problems = [f"{name} {SOURCE} names no service: call it SERVICE.KEY.NODE-tls.crt, -tls.key or -ca.crt, SERVICE.{BUNDLE} or {BUNDLE}"
                for name in sorted(data) if not KEY.match(name) and not SERVICE_BUNDLE.match(name) and name != BUNDLE]
    for name in sorted(data):
        if name == BUNDLE or SERVICE_BUNDLE.match(name):
            problems += _bundle_problems(x509, name, data[name])
    for found in _sets(data, names).values():
        problems += _set_problems(x509, found, {str(name).lower() for name in names}, {str(one) for one in addresses}, now, warn_days)
    return problems


def _sets(data, names):
    """Return {(service, key): {file: (data's key, text)}} of one node; the canonical name, which comes first, wins."""
    found = {}
    for name in reversed([str(one) for one in names]):
        for data_key in sorted(data):
            match = KEY.match(data_key)
            if match and match["node"] == name:
                found.setdefault((match["service"], match["key"]), {})[match["file"]] = (data_key, data[data_key])
    return dict(sorted(found.items()))


def _set_problems(x509, found, names, addresses, now, warn_days):
    lacking = {"tls.crt", "tls.key"} - set(found)
    if lacking:
        one = next(iter(found.values()))[0]
        return [f"{one} {SOURCE} has no {' and '.join(sorted(lacking))} beside it: add it under the same name"] if set(found) != {"ca.crt"} else []
    name, text = found["tls.crt"]
    try:
        chain = _load(x509, text)
    except ValueError as error:
        return [f"{name} {SOURCE} is no certificate in PEM form ({error}): replace it"]
    problems = _time_problems(chain[0], name, now, warn_days) + _name_problems(x509, chain[0], name, names, addresses)
    problems += _key_problems(chain[0], name, *found["tls.key"])
    if "ca.crt" in found:
        problems += _issuer_problems(x509, chain, name, now, *found["ca.crt"])
    return problems


def _load(x509, text):
    blocks = [block for block in PEM.findall(text) if "CERTIFICATE" in block.splitlines()[0]]
    if not blocks:
        raise ValueError("no BEGIN CERTIFICATE")
    return [x509.load_pem_x509_certificate(block.encode()) for block in blocks]


def _span(certificate):
    """Return from when to when it is valid; cryptography before 42 has no time zone in these."""
    utc = datetime.timezone.utc
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return certificate.not_valid_before.replace(tzinfo=utc), certificate.not_valid_after.replace(tzinfo=utc)


def _time_problems(certificate, name, now, warn_days):
    begin, end = _span(certificate)
    if now >= end:
        return [f"{name} {SOURCE} expired on {end:%Y-%m-%d %H:%M} UTC: renew it"]
    if now < begin:
        return [f"{name} {SOURCE} is not valid before {begin:%Y-%m-%d %H:%M} UTC: wait, or correct the clock of who issued it"]
    if end - now < datetime.timedelta(days=int(warn_days)):
        Display().warning(f"{name} {SOURCE} expires on {end:%Y-%m-%d %H:%M} UTC, in {(end - now).days} days: renew it")
    return []


def _name_problems(x509, certificate, name, names, addresses):
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        given = [*alternatives.get_values_for_type(x509.DNSName), *map(str, alternatives.get_values_for_type(x509.IPAddress))]
    except x509.ExtensionNotFound:
        given = []
    given += [str(one.value) for one in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    if any(_is_named(one.lower(), names, addresses) for one in given):
        return []
    return [f"{name} {SOURCE} is for {', '.join(given[:3]) or 'no name'}, not for this node ({sorted(names)[-1]}): issue one for it"]


def _is_named(given, names, addresses):
    if given in addresses:
        return True
    short = {name.split(".")[0] for name in names}
    return any(fnmatch.fnmatchcase(name, given) and name.count(".") == given.count(".") for name in names | short)


def _key_problems(certificate, name, key_name, key_text):
    from cryptography.hazmat.primitives import serialization

    def public(key):
        return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    try:
        key = serialization.load_pem_private_key(key_text.encode(), password=None)
    except (ValueError, TypeError):
        return [f"{key_name} {SOURCE} is no private key in PEM form without a password: replace it"]
    if public(key.public_key()) == public(certificate.public_key()):
        return []
    return [f"{key_name} {SOURCE} is not the key of {name}: put the pair that belongs together"]


def _issuer_problems(x509, chain, name, now, ca_name, ca_text):
    try:
        authorities = _load(x509, ca_text)
    except ValueError as error:
        return [f"{ca_name} {SOURCE} is no certificate in PEM form ({error}): replace it"]
    signers = [one for one in authorities if any(_issued(link, one) for link in chain)]
    if not signers:
        return [f"{name} {SOURCE} was not issued by {ca_name}: put the CA's certificate there that signed it, and intermediate ones behind it"]
    if all(now >= _span(one)[1] for one in signers):
        return [f"{ca_name} {SOURCE} expired on {_span(signers[0])[1]:%Y-%m-%d %H:%M} UTC: renew the CA and what it issued"]
    return []


def _issued(certificate, authority):
    if certificate == authority:
        return True
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # pylint: disable=broad-except  # cryptography names several reasons; each means no.
        return False
    return True


def _bundle_problems(x509, name, text):
    try:
        _load(x509, text)
    except ValueError as error:
        return [f"{name} {SOURCE} is no bundle of certificates in PEM form ({error}): replace it"]
    return []


def addresses(variables):
    """Return the addresses among a node's variables: those named NETWORK_ip."""
    found = []
    for name in variables:
        if str(name).endswith("_ip") and isinstance(variables[name], str):
            try:
                found.append(str(ipaddress.ip_address(variables[name])))
            except ValueError:
                continue
    return sorted(set(found))


class FilterModule:
    """The filters."""

    def filters(self):
        """Return them by name."""
        return {
            "certificate_files": certificate_files,
            "certificate_problems": certificate_problems,
            "node_addresses": addresses,
        }
