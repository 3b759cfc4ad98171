# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""What makes a node a compute: its inputs, its layers, and what is asked before nova-compute starts."""

import datetime
import email.utils
import http.client
import http.server
import ipaddress
import json
import os
import pathlib
import ssl
import tempfile
import threading
import time
import types
import unittest
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.osp.edpm.plugins.filter import compute
from ansible_collections.osp.edpm.plugins.module_utils import bus, identity
from ansible_collections.osp.edpm.plugins.module_utils.osloconf import Config
from ansible_collections.osp.edpm.plugins.modules import edpm_nova_check, edpm_nova_serving

KEYS = {"ssh-privatekey": "-----BEGIN OPENSSH PRIVATE KEY-----\nx", "ssh-publickey": "ssh-ed25519 AAAA nova"}
MAIN = "[DEFAULT]\ntransport_url = rabbit://nova:pw@r1:5672/\n[placement]\nauth_url = http://k:5000/v3\n"
DESCRIBED = "region: r\nkeystone: {auth_url: 'http://k:5000/v3'}\nnova: {transport_url: 'rabbit://a:b@c/', password: p}\n"


class OsloConf(unittest.TestCase):
    """Configuration as oslo.config reads it."""

    def test_layers(self):
        """The last layer wins and is named; references, quotes, long values and comments are as in oslo.config."""
        config = Config([
            {"source": "one", "content": "# c\nstate = /var\n[a]\nx = 1\ny: 'q'\nlist = a\n  b\npassword = p$$w = d\n"},
            {"source": "two", "content": "[a]\nx = $state/$b.z\n[b]\nz = 2\n"},
        ])
        self.assertEqual("/var/2", config.get("a", "x"))
        self.assertEqual(("q", "a\nb", "p$w = d"), tuple(config.get("a", key) for key in ("y", "list", "password")))
        self.assertEqual(("two", "one", ""), tuple(config.source("a", key) for key in ("x", "y", "none")))
        self.assertEqual("fallback", config.get("a", "none", "fallback"))

    def test_round_trip(self):
        """What a template writes through the filter oslo is read back."""
        for value in ("plain", "p$a$$s", "$my_ip", "a=b:c#d"):
            self.assertEqual(value, Config([{"source": "", "content": f"[s]\nk = {compute.oslo(value)}\n"}]).get("s", "k"))


class Bus(unittest.TestCase):
    """The message bus."""

    def test_servers(self):
        """Addresses of one or many servers, with what is written once for all."""
        self.assertEqual(([("r1", 5672, "u", "p@w"), ("::1", 5673, "u", "p@w")], "cell/1"),
                         bus.servers("rabbit://u:p%40w@r1,[::1]:5673/cell%2F1?ssl=1"))
        self.assertEqual("/", bus.servers("rabbit://u:p@r1:5672/")[1])
        for wrong in ("http://r1/", "rabbit://", "rabbit://u:p@/", "rabbit://u:p@r1:port/"):
            with self.assertRaises(ValueError):
                bus.servers(wrong)

    def test_unquoted_password(self):
        """A password with a character that means something in an address is never told, not even a piece of it."""
        for password in ("hunter2/x", "hunter2,x", "7,x", "hunter2?x", "7/x", "7?x"):
            with self.subTest(password=password):
                with self.assertRaisesRegex(ValueError, "in a password as %2C") as caught:
                    bus.servers(f"rabbit://u:{password}@r1:5672/")
                self.assertNotIn("hunter2", str(caught.exception))

    def test_tls(self):
        """TLS is what the URL or the section asks for."""
        def of(url, section=""):
            return bus.tls_of(Config([{"source": "", "content": f"transport_url = {url}\n[oslo_messaging_rabbit]\n{section}"}]), "h")
        self.assertIsNone(of("rabbit://r/"))
        self.assertEqual({"cert_reqs": ssl.CERT_NONE}, of("rabbit://r/?ssl=1"))
        self.assertEqual({"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": "/ca"}, of("rabbit://r/", "ssl = true\nssl_ca_file = /ca\n"))

    def test_unreachable(self):
        """Every server that was tried is named, no password is."""
        with mock.patch.object(bus, "_connect", side_effect=lambda place, *_: (_ for _ in ()).throw(bus.BusError(place[0]))):
            with self.assertRaisesRegex(bus.BusError, "^r1; r2$"):
                bus.sign_in(Config([{"source": "", "content": "transport_url = rabbit://u:secret@r1,u:secret@r2/\n"}]))


    def test_listeners(self):
        """A queue that is not there has none; a bus that breaks off while it is asked is a service that does not serve yet."""
        class AMQPError(Exception):
            """Of amqp."""

        class NotFound(AMQPError):
            """Of amqp."""

        amqp = types.SimpleNamespace(AMQPError=AMQPError, NotFound=NotFound)
        for answer, serves in (([types.SimpleNamespace(consumer_count=1)], True), (NotFound(), False), (AMQPError(), False), (ConnectionResetError(), False)):
            connection = mock.MagicMock()
            connection.channel.return_value.__enter__.return_value.queue_declare.side_effect = answer
            connection.channel.return_value.__exit__.return_value = False
            with mock.patch.dict("sys.modules", amqp=amqp), mock.patch.object(bus, "sign_in", return_value=connection), self.subTest(answer):
                self.assertEqual(serves, edpm_nova_serving.serves(None, "n0"))
                connection.close.assert_called_once_with()


class Keystone:
    """An HTTP server that answers as Keystone and Placement do, as long as the password is right."""

    def __init__(self, test, date=None, context=None):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """One request."""

            def _answer(self, status, body, headers=()):
                self.send_response_only(status)
                self.send_header("Date", date or email.utils.formatdate(usegmt=True))
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def do_POST(self):
                """Give out a token."""
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["auth"]
                if asked["identity"].get("password", {}).get("user", {}).get("password") != "right":
                    self._answer(401, {})
                    return
                endpoints = [{"interface": "internal", "region": "r", "url": outer.url}]
                catalog = [{"type": "placement", "endpoints": endpoints}, {"type": "compute", "endpoints": endpoints}]
                self._answer(201, {"token": {"catalog": catalog}}, [("X-Subject-Token", "t")])

            def do_GET(self):
                """Answer what the test laid down."""
                status, body = outer.answers.get(self.path, (404, {}))
                self._answer(status if self.headers["X-Auth-Token"] == "t" else 401, body)

            def log_message(self, *_args):
                """Say nothing."""

        self.answers = {}
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        test.addCleanup(server.server_close)
        test.addCleanup(server.shutdown)

    def layer(self, **options):
        """Return a layer that points here."""
        options = {"auth_type": "password", "auth_url": self.url + "/v3", "username": "nova", "password": "right", "project_name": "service",
                   "region_name": "r", "valid_interfaces": "internal", **options}
        return "[placement]\n" + "".join(f"{key} = {value}\n" for key, value in options.items())


def certificate(folder, days):
    """Write a self-signed certificate for 127.0.0.1 that ends in days, and return its path; its key is in the same file."""
    now = datetime.datetime.now(datetime.timezone.utc)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "keystone")])
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=9)).not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(key, hashes.SHA256()))
    path = os.path.join(folder, "keystone.pem")
    with open(path, "wb") as handle:
        handle.write(made.public_bytes(serialization.Encoding.PEM))
        handle.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return path


class Identity(unittest.TestCase):
    """Keystone and what is behind it."""

    def session(self, layer, files=None):
        """Sign in with the layer's section placement."""
        self.config = Config([{"source": "the layer", "content": layer}])
        return identity.Session(identity.Account(self.config, "placement"), files or {})

    def test_sign_in(self):
        """A good account gets a token and the catalog's endpoints."""
        keystone = Keystone(self)
        session = self.session(keystone.layer())
        self.assertEqual(0, session.skew)
        self.assertEqual(keystone.url, session.endpoint("placement", self.config, "placement"))
        with self.assertRaisesRegex(identity.CloudError, "no internal endpoint of image in region r"):
            session.endpoint("image", self.config, "placement")

    def test_refused(self):
        """A wrong password names the account and never itself."""
        with self.assertRaisesRegex(identity.CloudError, "refuses user nova: wrong name, password") as caught:
            self.session(Keystone(self).layer(password="hunter2"))
        self.assertNotIn("hunter2", str(caught.exception))

    def test_unreachable(self):
        """An address nobody serves is told as such; one that is no Keystone as well."""
        with self.assertRaisesRegex(identity.CloudError, "cannot be reached from the node: connection refused"):
            self.session(Keystone(self).layer(auth_url="http://127.0.0.1:1/v3"))

    def test_no_http(self):
        """A port where something else answers is told as such."""
        opener = mock.Mock(**{"open.side_effect": http.client.BadStatusLine("SSH-2.0")})
        with mock.patch.object(identity.Session, "_opener", return_value=opener):
            with self.assertRaisesRegex(identity.CloudError, "Keystone at http://127.0.0.1.* does not speak HTTP: correct"):
                self.session(Keystone(self).layer())

    def test_clock(self):
        """A clock that is ahead is told apart from one that is behind."""
        for seconds in (-100, 100):
            date = email.utils.formatdate(time.time() + seconds, usegmt=True)
            self.assertAlmostEqual(-seconds, self.session(Keystone(self, date).layer()).skew, delta=2)
        self.assertEqual(0, identity.skew("nonsense", 0, 0))

    def test_tls(self):
        """A certificate must be trusted and of today."""
        with tempfile.TemporaryDirectory() as folder:
            for days, message in ((1, "give the node its CA"), (-1, "expired.*renew it")):
                path = certificate(folder, days)
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(path)
                keystone = Keystone(self, context=context)
                layer = keystone.layer(**({"cafile": path} if days < 0 else {}))
                with self.assertRaisesRegex(identity.CloudError, message):
                    self.session(layer)
                if days > 0:
                    self.session(keystone.layer(cafile="/not/yet/there"), {"/not/yet/there": pathlib.Path(path).read_text()})
            with self.assertRaisesRegex(identity.CloudError, "cafile /not/there cannot be read"):
                self.session(keystone.layer(cafile="/not/there"))

    def test_application_credential(self):
        """An application credential is asked with what the section says."""
        account = identity.Account(Config([{"source": "", "content": "[s]\nauth_type = v3applicationcredential\nauth_url = http://k/v3\n"
                                            "application_credential_id = i\napplication_credential_secret = s\n"}]), "s")
        self.assertTrue(account.known)
        self.assertEqual({"id": "i", "secret": "s"}, account.request()["auth"]["identity"]["application_credential"])


class Check(unittest.TestCase):
    """What is found before nova-compute starts."""

    ID = "11111111-1111-1111-1111-111111111111"
    OTHER = "22222222-2222-2222-2222-222222222222"

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        self.said = {"virsh": "node-0", "systemctl": "inactive"}
        patches = (mock.patch.object(edpm_nova_check, "STATE", self.root), mock.patch.object(edpm_nova_check, "kvm_problem", lambda: ""),
                   mock.patch.object(edpm_nova_check.shutil, "which", lambda name: name),
                   mock.patch.object(edpm_nova_check.bus, "sign_in", lambda config: mock.Mock()))
        for patch in patches:
            patch.start()
            self.addCleanup(patch.stop)

    def check(self, layer, **params):
        """Return a check that was run."""
        params = {"layers": [{"path": f"{self.root}/01", "source": "the Secret", "content": layer}], "files": {}, "host": "node-0", "address": "192.0.2.1",
                  "host_layer": f"{self.root}/02", "compute_id": "", "allow_qemu": False, "min_free_mb": 0, "max_skew": 30, "unit": "nova-compute", **params}
        run = lambda command: (0, self.said[command[0]] + "\n", "")
        check = edpm_nova_check.Check(types.SimpleNamespace(params=params, check_mode=False, run_command=run))
        check.run()
        return check

    def known(self, text):
        """Make the node a compute."""
        pathlib.Path(self.root, "compute_id").write_text(text)

    def placement(self, *providers):
        """Return a layer of a cloud whose Placement knows these (uuid, name)."""
        keystone = Keystone(self)
        keystone.answers["/resource_providers?name=node-0"] = 200, {"resource_providers": [{"uuid": uid} for uid, name in providers if name == "node-0"]}
        for uid, name in providers:
            keystone.answers[f"/resource_providers/{uid}"] = 200, {"name": name}
        self.keystone = keystone
        return keystone.layer()

    def test_good(self):
        """A new node of a good cloud, and the same node once it runs."""
        layer = self.placement()
        check = self.check(layer)
        self.assertEqual(([], "kvm", True), (check.problems, check.virt_type, check.asked))
        pathlib.Path(self.root, "01").write_text(layer)
        pathlib.Path(self.root, "02").write_text("host = node-0\nmy_ip = 192.0.2.1\n")
        self.said["systemctl"] = "active"
        self.assertFalse(self.check(layer).asked)
        self.assertTrue(self.check(layer, address="192.0.2.2").asked)

    def test_names(self):
        """A name is its owner's."""
        cases = [
            ("new node, taken name", "", "", [(self.ID, "node-0")], f"name node-0 is taken: Placement knows compute {self.ID}.*set edpm_nova_compute_id"),
            ("new disk of that compute", "", self.ID, [(self.ID, "node-0")], ""),
            ("itself", self.ID, "", [(self.ID, "node-0")], ""),
            ("another's name", self.ID, "", [(self.OTHER, "node-0")], f"this node is compute {self.ID}"),
            ("a copy of another node", self.ID, "", [(self.ID, "node-9")], "is that of node-9"),
        ]
        for name, here, wanted, providers, message in cases:
            with self.subTest(name):
                self.known(here)
                problems = self.check(self.placement(*providers), compute_id=wanted).problems
                self.assertRegex("; ".join(problems), f"^.*{message}.*$" if message else "^$")

    def test_nova_knows_it(self):
        """A service without a resource provider is a compute as well; who may not ask is not told."""
        layer = self.placement()
        path = "/os-services?binary=nova-compute&host=node-0"
        self.keystone.answers[path] = 200, {"services": [{"id": 1}]}
        self.assertRegex(self.check(layer).problems[0], "Nova has a compute service of that host")
        self.keystone.answers[path] = 403, {}
        self.assertEqual([], self.check(layer).problems)

    def test_host(self):
        """A compute keeps its name."""
        pathlib.Path(self.root, "02").write_text("[DEFAULT]\nhost = old\n")
        self.assertEqual([], self.check(self.placement()).problems)
        self.known(self.ID)
        self.assertRegex(self.check(self.placement()).problems[0], "canonical_hostname is node-0, but the node has been compute old")

    def test_virtualization(self):
        """Emulation is only for those who say so."""
        layer = self.placement()
        with mock.patch.object(edpm_nova_check, "kvm_problem", lambda: "the node has no usable /dev/kvm (gone)"):
            self.assertRegex(self.check(layer).problems[0], "or set edpm_nova_allow_qemu: true")
            check = self.check(layer, allow_qemu=True)
            self.assertEqual(([], "qemu"), (check.problems, check.virt_type))
            self.assertRegex(self.check(layer + "[libvirt]\nvirt_type = kvm\n", allow_qemu=True).problems[0], "the Secret says virt_type = kvm")
            self.assertEqual("lxc", self.check(layer + "[libvirt]\nvirt_type = lxc\n").virt_type)

    def test_all_at_once(self):
        """Everything that is wrong is told, each once."""
        self.said["virsh"] = ""
        with mock.patch.object(edpm_nova_check.bus, "sign_in", side_effect=bus.BusError("RabbitMQ at r1:5672 refuses user nova")):
            found = self.check(self.placement().replace("right", "wrong"), min_free_mb=1 << 40).problems
        self.assertRegex(found[0], "make room")
        problems = [problem for problem in found if "make room" not in problem]
        for number, words in enumerate(("RabbitMQ at r1:5672 refuses user nova: correct transport_url in", "libvirt does not answer",
                                        r"refuses user nova.*correct \[placement\] in the Secret")):
            self.assertRegex(problems[number], words)
        self.assertEqual(3, len(problems))

    def test_clock(self):
        """A clock that is wrong is told with the way it is."""
        keystone = Keystone(self, email.utils.formatdate(time.time() - 3600, usegmt=True))
        keystone.answers["/resource_providers?name=node-0"] = 200, {"resource_providers": []}
        self.assertRegex(self.check(keystone.layer()).problems[0], "clock is 3[56]..? s ahead of Keystone's: set timesync_ntp_servers")


class Inputs(unittest.TestCase):
    """What the services are given."""

    def test_nova(self):
        """Good inputs of both kinds, and what is wrong with others."""
        cases = [
            ({**KEYS, "01-nova.conf": MAIN, "nova-blank.conf": "", "25-mine.conf": "[a]\nb = c\n", "provider1.yaml": "meta: {}"}, ""),
            ({**KEYS, "control-plane.yaml": DESCRIBED}, ""),
            (KEYS, "neither the Secret nova-cell1-compute-config .* nor the Secret openstack-control-plane"),
            ({**KEYS, "01-nova.conf": "[placement]\nauth_url = u\n"}, r"key 01-nova.conf lacks transport_url in \[DEFAULT\]"),
            ({**KEYS, "control-plane.yaml": "region: r\nnova: {password: p, transport_url: t}"}, "lacks keystone.auth_url: add it$"),
            ({**KEYS, "control-plane.yaml": "a: [secret"}, r"is no YAML \(line 1\): correct it$"),
            ({"01-nova.conf": MAIN, "ssh-publickey": KEYS["ssh-publickey"]}, "Secret nova-migration-ssh-key lacks the key ssh-privatekey"),
            ({**KEYS, "01-nova.conf": MAIN, "ssh-publickey": "x"}, "key ssh-publickey is no public key"),
            ({**KEYS, "01-nova.conf": MAIN, "02-mine.conf": "[a]\nb = c\n"}, "number yours from 03 to 99"),
            ({**KEYS, "01-nova.conf": MAIN, "mine.conf": ""}, "key mine.conf is no layer"),
            ({**KEYS, "01-nova.conf": MAIN, "30-mine.conf": "just words"}, "key 30-mine.conf sets nothing"),
            ({**KEYS, "01-nova.conf": MAIN, "provider1.yaml": "words"}, "key provider1.yaml is no YAML mapping"),
        ]
        for data, message in cases:
            with self.subTest(message):
                problems = compute.nova_problems(data, "n.example.com", "192.0.2.1")
                self.assertRegex("; ".join(problems), f"^.*{message}" if message else "^$")
                self.assertLessEqual(len(problems), 1)

    def test_node(self):
        """The node's own values."""
        problems = compute.nova_problems({**KEYS, "01-nova.conf": MAIN}, "not a name", "nowhere", "7")
        self.assertEqual(["canonical_hostname", "edpm_nova_my_ip", "edpm_nova_compute_id"], [problem.split()[0] for problem in problems])

    def test_libvirt(self):
        """TLS asks for a password."""
        self.assertEqual([], compute.libvirt_problems({}, "", False))
        self.assertRegex(compute.libvirt_problems({}, "", True)[0], "create the Secret libvirt-secret")
        self.assertRegex(compute.libvirt_problems({"Password": "x"}, "", False)[0], "lacks the key LibvirtPassword")
        self.assertRegex(compute.libvirt_problems({"LibvirtPassword": "\n"}, "", False)[0], "is empty")

    def test_layers(self):
        """Layers are in order and know where they come from."""
        found = compute.layers({**KEYS, "25-b.conf": "b", "03-a.conf": "a", "nova-blank.conf": "", "control-plane.yaml": ""}, "rendered", "/d")
        self.assertEqual([("/d/01-nova.conf", "rendered"), ("/d/03-a.conf", "a"), ("/d/25-b.conf", "b")],
                         [(layer["path"], layer["content"]) for layer in found])
        self.assertEqual("Secret openstack-control-plane, key control-plane.yaml", found[0]["source"])
        self.assertEqual("ConfigMap nova-extra-config, key 03-a.conf", found[1]["source"])

    def test_telemetry(self):
        """The agent's files have their places."""
        self.assertRegex(compute.telemetry_problems({"polling.yaml": ""}, "here")[0], "lacks the key ceilometer.conf")
        paths = [one["path"] for one in compute.telemetry_files({"ceilometer.conf": "", "polling.yaml": "", "custom.conf": ""}, "")]
        self.assertEqual(["/etc/ceilometer/ceilometer.conf", "/etc/ceilometer/ceilometer.conf.d/02-host.conf",
                          "/etc/ceilometer/ceilometer.conf.d/custom.conf", "/etc/ceilometer/polling.yaml"], paths)
        self.assertEqual(("[::1]", "192.0.2.1"), (compute.bracketed("::1"), compute.bracketed("192.0.2.1")))


if __name__ == "__main__":
    unittest.main()
