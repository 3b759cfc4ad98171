# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Signs in at Keystone as a service would, with the options of its configuration (keystoneauth1 5.10), and asks other APIs.

Only the standard library, so that a node can be looked at before anything is installed on it.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request

from ansible_collections.osp.edpm.plugins.module_utils.osloconf import truth
from ansible_collections.osp.edpm.plugins.module_utils.ovsdb import reason

TIMEOUT = 20
# The plugins of keystoneauth1 that are known here; who signs in by other means is not looked at.
PASSWORD = ("password", "v3password")
CREDENTIAL = ("v3applicationcredential",)


class CloudError(Exception):
    """One line: what is wrong, and where."""


class Account:
    """One section's way to sign in."""

    def __init__(self, config, section):
        """Read the section; it must hold auth_type and auth_url, its own or those of the section that auth_section names."""
        self.section = config.get(section, "auth_section") or section
        self.options = {key: config.get(self.section, key) for key in (
            "auth_type", "auth_url", "username", "password", "user_domain_name", "user_domain_id", "project_name", "project_domain_name",
            "project_domain_id", "application_credential_id", "application_credential_name", "application_credential_secret",
            "cafile", "insecure")}
        self.options["username"] = self.options["username"] or config.get(self.section, "user")
        self.source = config.source(self.section, "password") or config.source(self.section, "auth_url")

    @property
    def known(self):
        """Report whether this is a way to sign in that is known here."""
        return bool(self.options["auth_url"]) and self.options["auth_type"] in (*PASSWORD, *CREDENTIAL)

    @property
    def name(self):
        """Return who signs in."""
        return self.options["username"] or self.options["application_credential_name"] or "of the application credential"

    @property
    def url(self):
        """Return where tokens are given out."""
        url = self.options["auth_url"].rstrip("/")
        return f"{url if url.endswith('/v3') else url + '/v3'}/auth/tokens"

    def request(self):
        """Return what is posted there (Identity API v3)."""
        options = self.options
        if options["auth_type"] in CREDENTIAL:
            credential = {"secret": options["application_credential_secret"]}
            if options["application_credential_id"]:
                credential["id"] = options["application_credential_id"]
            else:
                credential |= {"name": options["application_credential_name"], "user": {"name": options["username"], "domain": _domain(options, "user")}}
            return {"auth": {"identity": {"methods": ["application_credential"], "application_credential": credential}}}
        user = {"name": options["username"], "password": options["password"], "domain": _domain(options, "user")}
        return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}},
                         "scope": {"project": {"name": options["project_name"], "domain": _domain(options, "project")}}}}


def _domain(options, whose):
    if options[f"{whose}_domain_id"]:
        return {"id": options[f"{whose}_domain_id"]}
    return {"name": options[f"{whose}_domain_name"] or "Default"}


class Session:
    """One account signed in."""

    def __init__(self, account, files, clock=time.time):
        """Sign in; CloudError when that fails. files has the texts of files that are not on the node yet, by path."""
        self._account = account
        self._files = files
        self._token = ""
        began = clock()
        status, headers, body = self._open("POST", account.url, account.request(), "Keystone")
        if status == 401:
            raise CloudError(f"Keystone at {account.url} refuses user {account.name}: wrong name, password, domain or project")
        if status != 201:
            raise CloudError(f"Keystone at {account.url} answers {status} to user {account.name}: auth_url must be Keystone's, such as "
                             "https://keystone.example.com:5000/v3")
        self._token = headers.get("X-Subject-Token", "")
        self._catalog = body.get("token", {}).get("catalog", [])
        self.skew = skew(headers.get("Date", ""), began, clock())

    def endpoint(self, kind, config, section):
        """Return the address of the API of that type as the section wants it chosen; CloudError when the catalog has none."""
        if override := config.get(section, "endpoint_override"):
            return override.rstrip("/")
        region = config.get(section, "region_name")
        interfaces = [name.strip() for name in (config.get(section, "valid_interfaces") or "internal,public").split(",")]
        for interface in interfaces:
            for service in self._catalog:
                for endpoint in service.get("endpoints", []) if service.get("type") == kind else []:
                    if endpoint.get("interface") == interface and region in ("", endpoint.get("region"), endpoint.get("region_id")):
                        return endpoint["url"].rstrip("/")
        raise CloudError(f"Keystone's catalog has no {' or '.join(interfaces)} endpoint of {kind}"
                         f"{' in region ' + region if region else ''}: create it, or correct region_name and valid_interfaces in [{section}]")

    def get(self, base, path, what):
        """Return (status, body) of what the API called what answers."""
        status, _headers, body = self._open("GET", base + path, None, what)
        return status, body

    def _open(self, method, url, body, what):
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "osp.edpm"}
        if self._token:
            headers["X-Auth-Token"] = self._token
        data = json.dumps(body).encode() if body is not None else None
        where = f"{what} at {url.partition('?')[0]}"
        try:
            request = urllib.request.Request(url, data=data, headers=headers, method=method)
            with self._opener().open(request, timeout=TIMEOUT) as answer:
                return answer.status, answer.headers, _json(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, error.headers, {}
        except (OSError, ValueError) as error:
            cause = error.reason if isinstance(getattr(error, "reason", None), OSError) else error
            raise CloudError(f"{where} cannot be reached from the node: {words(cause)}") from error
        except http.client.HTTPException as error:
            raise CloudError(f"{where} does not speak HTTP: correct the address or port") from error

    def _opener(self):
        options = self._account.options
        try:
            coming = self._files.get(options["cafile"])
            context = ssl.create_default_context(cafile=None if coming else options["cafile"] or None, cadata=coming)
        except (OSError, ValueError) as error:
            why = reason(error) if isinstance(error, OSError) else "no certificate"
            raise CloudError(f"cafile {options['cafile']} cannot be read on the node ({why}): run install-certs first, or correct it") from error
        if truth(options["insecure"]):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))


def words(cause):
    """Return why a connection failed; what is an error of clock or trust says so."""
    text = reason(cause) if isinstance(cause, OSError) else str(cause)
    if "expired" in text or "not yet valid" in text:
        return f"{text}: renew it, or set the node's clock"
    if "certificate" in text and isinstance(cause, ssl.SSLCertVerificationError):
        return f"{text}: give the node its CA (install-certs, or cafile)"
    return text


def skew(date, began, ended):
    """Return by how many seconds the node's clock is ahead of the HTTP date; 0 when there is none. It has whole seconds only."""
    parsed = email.utils.parsedate_tz(date)
    if parsed is None:
        return 0
    theirs = email.utils.mktime_tz(parsed)
    if began > theirs + 1:
        return round(began - theirs - 1)
    return min(0, round(ended - theirs))


def _json(text):
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
