# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""What the install_certs role decides."""

import datetime
import ipaddress
import unittest
from unittest import mock

from ansible_collections.osp.edpm.plugins.filter import certificates
from ansible_collections.osp.edpm.plugins.modules import edpm_trust
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime.datetime.now(datetime.timezone.utc)
NAMES = ["n0.example.com", "n0"]


class Authority:
    """A CA and what it issues."""

    def __init__(self, name="ca", until=3650):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(name, self.key, [], -1, until, name, self.key, True)

    def issue(self, names, since=-1, until=365):
        """Return (certificate, key) in PEM form; since and until are days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._sign("leaf", key, names, since, until, "ca", self.key, False)
        return pem(made), key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()

    @staticmethod
    def _sign(name, key, names, since, until, issuer, issuer_key, authority):
        builder = x509.CertificateBuilder().subject_name(_named(name)).issuer_name(_named(issuer)).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOW + datetime.timedelta(days=min(since, until - 1)))
        builder = builder.not_valid_after(NOW + datetime.timedelta(days=until))
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(issuer_key, hashes.SHA256())


def _named(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def pem(certificate):
    """Return the certificate in PEM form."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def dns(*names):
    """Return the names as a certificate has them."""
    return [x509.DNSName(name) for name in names]


class Certificates(unittest.TestCase):
    """A node's certificates."""

    @classmethod
    def setUpClass(cls):
        cls.authority = Authority()

    def data(self, alternatives=None, node="n0.example.com", **days):
        """Return what the Secrets hold for the node."""
        crt, key = self.authority.issue(alternatives if alternatives is not None else dns("n0.example.com"), **days)
        return {f"ovn.default.{node}-tls.crt": crt, f"ovn.default.{node}-tls.key": key, f"ovn.default.{node}-ca.crt": pem(self.authority.certificate)}

    def problems(self, data):
        """Return what is wrong with the data."""
        return certificates.certificate_problems(data, NAMES, ["192.0.2.20"], 7)

    def test_files(self):
        """RHOSO's layout; keys are for root alone; other nodes' certificates stay where they are."""
        data = {**self.data(), **self.data(node="n1.example.com"), "tls-ca-bundle.pem": "B", "libvirt.tls-ca-bundle.pem": "L"}
        files = {one["path"]: one for one in certificates.certificate_files(data, NAMES)}
        self.assertEqual(
            ["/var/lib/openstack/cacerts/libvirt/tls-ca-bundle.pem", "/var/lib/openstack/cacerts/ovn/tls-ca-bundle.pem",
             *(f"/var/lib/openstack/certs/ovn/default/{name}" for name in ("ca.crt", "tls.crt", "tls.key"))], list(files))
        self.assertEqual("B", files["/var/lib/openstack/cacerts/ovn/tls-ca-bundle.pem"]["content"])
        key = files["/var/lib/openstack/certs/ovn/default/tls.key"]
        self.assertEqual((data["ovn.default.n0.example.com-tls.key"], "0600", True), (key["content"], key["mode"], key["secret"]))
        self.assertEqual([], certificates.certificate_files({}, NAMES))

    def test_good(self):
        """By name, by a pattern, by address, by the subject alone; filed under the node's name."""
        for alternatives in (None, dns("*.example.com"), dns("n0"), [x509.IPAddress(ipaddress.ip_address("192.0.2.20"))]):
            with self.subTest(alternatives):
                self.assertEqual([], self.problems(self.data(alternatives)))
        self.assertEqual([], self.problems(self.data(node="n0")))
        self.assertEqual([], self.problems({}))
        self.assertEqual([], self.problems(self.data(dns("other"), node="n1.example.com")), "another node's is not this one's to refuse")

    def test_bad(self):
        """Each names the Secret's key and the remedy."""
        other = self.data()
        cases = [
            (self.data(since=-20, until=-2), "-tls.crt in the Secrets of DataPlaneService install-certs expired on .*: renew it"),
            (self.data(since=2), "is not valid before"),
            (self.data(dns("n9.example.com")), r"is for n9.example.com, leaf, not for this node \(n0.example.com\)"),
            (self.data(dns("*.com")), "not for this node"),
            ({**self.data(), "ovn.default.n0.example.com-tls.key": other["ovn.default.n0.example.com-tls.key"]}, "-tls.key in the .* is not the key of ovn.default"),
            ({**self.data(), "ovn.default.n0.example.com-tls.key": "x"}, "is no private key in PEM"),
            ({**self.data(), "ovn.default.n0.example.com-tls.crt": "x"}, "is no certificate in PEM"),
            ({**self.data(), "ovn.default.n0.example.com-ca.crt": pem(Authority("else").certificate)}, "was not issued by ovn.default.n0.example.com-ca.crt"),
            ({name: text for name, text in self.data().items() if not name.endswith("tls.key")}, "has no tls.key beside it"),
            ({"n0-tls.crt": "x"}, "^n0-tls.crt in the Secrets .* names no service: call it SERVICE.KEY.NODE-tls.crt"),
            ({"tls-ca-bundle.pem": "x"}, "^tls-ca-bundle.pem .* is no bundle"),
        ]
        for data, words in cases:
            with self.subTest(words):
                found = self.problems(data)
                self.assertEqual(1, len(found), found)
                self.assertRegex(found[0], words)
                self.assertNotIn("\n", found[0])

    def test_expired_authority(self):
        """A CA that is no longer valid makes every certificate of it useless."""
        self.authority, before = Authority(until=-1), self.authority
        try:
            self.assertRegex(self.problems(self.data())[0], "-ca.crt .* expired on")
        finally:
            self.authority = before

    def test_warns(self):
        """A certificate that ends soon is taken, and told of."""
        with mock.patch.object(certificates, "Display") as display:
            self.assertEqual([], self.problems(self.data(until=3)))
            self.assertRegex(display().warning.call_args[0][0], "expires on .*, in 2 days: renew it")

    def test_addresses(self):
        """Those of the node's networks are its own; any other variable is not."""
        variables = {"ctlplane_ip": "192.0.2.20", "tenant_ip": "192.0.2.20", "x_ip": "no", "ctlplane_gateway": "192.0.2.1", "n_ip": 5}
        self.assertEqual(["192.0.2.20"], certificates.addresses(variables))


class Trust(unittest.TestCase):
    """The system's trust store."""

    def test_certificates(self):
        """Line breaks and comments do not make another certificate."""
        one = "-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----\n"
        self.assertEqual({"AAAABBBB"}, edpm_trust.certificates("# CA\n" + one.replace("\nB", "\r\nB")))
        self.assertEqual(set(), edpm_trust.certificates(one) - edpm_trust.certificates("other\n" + one))
        self.assertEqual(set(), edpm_trust.certificates(None))


if __name__ == "__main__":
    unittest.main()
