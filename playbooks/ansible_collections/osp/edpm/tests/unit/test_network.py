# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""What the ovn and neutron-metadata roles decide."""

import http.client
import json
import socket
import threading
import unittest
from unittest import mock

from ansible_collections.osp.edpm.plugins.filter import compute, network
from ansible_collections.osp.edpm.plugins.module_utils import ovsdb
from ansible_collections.osp.edpm.plugins.modules import edpm_metadata_agent, edpm_metadata_probe, edpm_ovn_chassis

IDS = {"hostname": "n0.example.com", "ovn-remote": "tcp:192.0.2.1:6642", "ovn-encap-ip": "192.0.2.20", "ovn-encap-type": "geneve"}


class Inputs(unittest.TestCase):
    """Checks of the ovn role's inputs."""

    def problems(self, ids=None, mappings="datacentre:br-ex", ports=None, datapath=""):
        """Return the problems of good inputs with some replaced."""
        return network.ovn_problems({**IDS, **(ids or {})}, mappings, ports or {}, datapath)

    def test_good(self):
        """Nothing is wrong with these."""
        self.assertEqual([], self.problems())
        self.assertEqual([], self.problems({"ovn-remote": "ssl:[2001:db8::1]:6642, ssl:sb.example.com:6642", "ovn-encap-type": "geneve,vxlan"}))
        self.assertEqual([], self.problems(mappings=["a:br-a", "b:br-a"], ports={"br-a": ["eth1"]}, datapath="netdev"))

    def test_bad(self):
        """Each names the input and the remedy."""
        cases = [
            ({"ids": {"ovn-remote": ""}}, "^neither ConfigMap ovncontroller-config"),
            ({"ids": {"": "words"}}, "^ConfigMap ovncontroller-config: ovsdb-config is no YAML"),
            ({"ids": {"ovn-remote": "192.0.2.1:6642"}}, "^ovn-remote '192.0.2.1:6642' is no remote"),
            ({"ids": {"ovn-encap-ip": ""}}, "^edpm_ovn_encap_ip '' is no address"),
            ({"ids": {"ovn-encap-type": "gre"}}, "^edpm_ovn_encap_type 'gre'"),
            ({"mappings": "br-ex"}, "^edpm_ovn_bridge_mappings: 'br-ex' is no mapping"),
            ({"mappings": "a:br-a,a:br-b"}, "^edpm_ovn_bridge_mappings names a network twice"),
            ({"ports": {"br-x": ["eth1"]}}, "^edpm_ovn_bridge_ports: br-x is no bridge"),
            ({"datapath": "dpdk"}, "^edpm_ovn_datapath_type 'dpdk'"),
        ]
        for arguments, words in cases:
            with self.subTest(words):
                found = self.problems(**arguments)
                self.assertEqual(1, len(found), found)
                self.assertRegex(found[0], words)

    def test_yaml(self):
        """A ConfigMap's lines become settings; other text is told from none."""
        self.assertEqual({"ovn-remote": "tcp:192.0.2.1:6642", "ovn-encap-tos": "0"}, network.yaml_mapping("ovn-remote: tcp:192.0.2.1:6642\novn-encap-tos: 0\n"))
        self.assertEqual({}, network.yaml_mapping(""))
        for secret in ("01234567", "12:30:45", "1_000", "0x1F2E", "0b101", "1.10", "yes", "2026-11-28"):
            self.assertEqual({"metadata": {"shared_secret": secret}}, network.yaml_mapping(f"metadata: {{shared_secret: {secret}}}"))
            self.assertEqual({"password": secret, "gone": None}, compute.cloud({"control-plane.yaml": f"password: {secret}\ngone: ~\n"}))
        self.assertEqual({"": "words"}, network.yaml_mapping("words"))

    def test_macs(self):
        """One for each network, a host's and bridge's own, locally administered unicast, and never another."""
        self.assertEqual("a:16:5d:e3:82:51:fe,b:22:ff:1a:0a:74:de", network.chassis_macs("a:br-a,b:br-b", "n0"))
        for host in map(str, range(200)):
            first = int(network.chassis_macs(["a:br-a"], host).split(":")[1], 16)
            self.assertEqual(2, first & 3)

    def test_identity(self):
        """A host's chassis name is its own, for ever."""
        self.assertEqual("ea4fab45-f3e1-5b50-b75a-0b0ad18a97f9", network.chassis_id("n0.example.com"))
        self.assertNotEqual(network.chassis_id("n0"), network.chassis_id("n1"))


class Chassis(unittest.TestCase):
    """What Open vSwitch needs."""

    PARAMS = {"external_ids": {**IDS, "ovn-monitor-all": True, "ovn-encap-tos": ""}, "other_config": {"vlan-limit": 0},
              "bridges": [{"name": "br-ex", "datapath_type": "netdev", "ports": ["eth1"]}], "managers": ["ptcp:6640:127.0.0.1"],
              "tls": {}, "system_id": "wanted"}

    def fresh(self, **fields):
        """Return a switch nobody has touched."""
        return {**edpm_ovn_chassis.EMPTY, **fields}

    def configured(self):
        """Return a switch that is as PARAMS say, with settings of others."""
        return self.fresh(
            external_ids={**IDS, "ovn-monitor-all": "true", "system-id": "wanted", "theirs": "x"}, other_config={"vlan-limit": "0", "theirs": "y"},
            bridges={"br-ex": {"datapath_type": "netdev", "ports": ["br-ex", "eth1"]}}, managers=["ptcp:6640:127.0.0.1", "ssl:192.0.2.9:6640"])

    def test_as_wanted(self):
        """Nothing is done, and what others set is left alone."""
        self.assertEqual(([], [], []), edpm_ovn_chassis.plan(self.configured(), self.PARAMS, "wanted"))

    def test_fresh(self):
        """All of it in one transaction; texts are quoted, so no comma in them ends them."""
        commands, before, after = edpm_ovn_chassis.plan(self.fresh(), self.PARAMS, "wanted")
        self.assertIn(["set", "Open_vSwitch", ".", 'external_ids:"ovn-remote"="tcp:192.0.2.1:6642"'], commands)
        self.assertIn(["set", "Open_vSwitch", ".", 'external_ids:"system-id"="wanted"'], commands)
        self.assertEqual([["add-br", "br-ex"], ["set", "Bridge", "br-ex", 'datapath_type="netdev"'], ["add-port", "br-ex", "eth1"],
                          ["--id=@manager0", "create", "Manager", 'target="ptcp:6640:127.0.0.1"'],
                          ["add", "Open_vSwitch", ".", "manager_options", "@manager0"]], commands[-5:])
        self.assertEqual([], before)
        self.assertIn("external_ids:ovn-remote=tcp:192.0.2.1:6642", after)

    def test_drift(self):
        """What differs is set, what must not be there goes, nothing else is named."""
        seen = self.configured()
        seen["external_ids"] |= {"ovn-encap-ip": "192.0.2.99", "ovn-encap-tos": "inherit"}
        commands, before, after = edpm_ovn_chassis.plan(seen, self.PARAMS, "wanted")
        self.assertEqual([["set", "Open_vSwitch", ".", 'external_ids:"ovn-encap-ip"="192.0.2.20"'],
                          ["remove", "Open_vSwitch", ".", "external_ids", '"ovn-encap-tos"']], commands)
        self.assertEqual(["external_ids:ovn-encap-ip=192.0.2.99", "external_ids:ovn-encap-tos=inherit"], before)
        self.assertEqual(["external_ids:ovn-encap-ip=192.0.2.20"], after)

    def test_renamed(self):
        """What ovn-controller noted of a name the node loses goes with it, and not before."""
        seen = self.fresh(external_ids={"system-id": "random"}, other_config={"ovn-chassis-idx-random": "", "theirs": "x"})
        self.assertIn(["remove", "Open_vSwitch", ".", "other_config", '"ovn-chassis-idx-random"'], edpm_ovn_chassis.plan(seen, self.PARAMS, "wanted")[0])
        seen = self.configured()
        seen["other_config"]["ovn-chassis-idx-wanted"] = ""
        self.assertEqual([], edpm_ovn_chassis.plan(seen, self.PARAMS, "wanted")[0])

    def test_tls(self):
        """The certificate is set once."""
        params = {**self.PARAMS, "tls": network.tls_files("/c")}
        commands = edpm_ovn_chassis.plan(self.configured(), params, "wanted")[0]
        self.assertEqual([["set-ssl", "/c/tls.key", "/c/tls.crt", "/c/ca.crt"]], commands)
        seen = {**self.configured(), "ssl": network.tls_files("/c")}
        self.assertEqual([], edpm_ovn_chassis.plan(seen, params, "wanted")[0])

    def test_name(self):
        """A node that is joined keeps its name, even the one it was cloned with; any other gets the wanted one."""
        self.assertEqual("wanted", edpm_ovn_chassis.chassis_name(self.fresh(external_ids={"system-id": "random"}), "wanted"))
        joined = {"system-id": "old", "ovn-remote": "tcp:192.0.2.1:6642"}
        self.assertEqual("old", edpm_ovn_chassis.chassis_name(self.fresh(external_ids=joined), "wanted"))
        self.assertEqual("wanted", edpm_ovn_chassis.chassis_name(self.fresh(), "wanted"))

    def clash(self, chassis, tunnels):
        """Ask a southbound with those rows whether "me" may join."""
        class Southbound:
            """Answers as a server would."""

            @staticmethod
            def select(_database, queries):
                """Return the rows that match."""
                tables = {"Chassis": chassis, "Encap": tunnels}
                return [[row for row in tables[table] if all(row[column] == value for column, _op, value in where)] for table, where, _columns in queries]

        edpm_ovn_chassis.refuse_clash(Southbound(), "me", IDS)

    def test_clash(self):
        """One name, one host, one address: each is told with what to do."""
        mine = {"name": "me", "hostname": "n0.example.com"}
        self.clash([], [])
        self.clash([mine], [{"ip": "192.0.2.20", "chassis_name": "me"}])
        cases = [
            ([{"name": "me", "hostname": "n9"}], [], "^system-id me is the chassis of n9 .* remove Open_vSwitch"),
            ([{"name": "other", "hostname": "n9"}], [{"ip": "192.0.2.20", "chassis_name": "other"}], "^tunnel address 192.0.2.20 belongs to chassis other: give"),
            ([{"name": "old", "hostname": "n0.example.com"}], [{"ip": "192.0.2.20", "chassis_name": "old"}],
             "belongs to chassis old of this host's earlier installation: .*chassis-del old"),
            ([{"name": "old", "hostname": "n0.example.com"}], [], "^host name n0.example.com belongs to chassis old"),
        ]
        for chassis, tunnels, words in cases:
            with self.subTest(words), self.assertRaisesRegex(edpm_ovn_chassis.ChassisError, words):
                self.clash(chassis, tunnels)

    def test_ports(self):
        """A device with an address, another bridge's or none is refused; a port that is there stays."""
        devices = {
            "eth0": {"addr_info": [{"local": "192.0.2.20", "scope": "global"}]},
            "eth1": {"addr_info": [{"local": "fe80::1", "scope": "link"}]},
            "eth2": {"addr_info": [], "master": "bond0"},
        }

        def run(words):
            return (0, json.dumps([{}, devices[words[-1]]]), "") if words[-1] in devices else (1, "", "does not exist")

        seen = {"bridges": {"br-ex": {"ports": ["eth5"]}, "br-other": {"ports": ["eth6"]}}}
        check = edpm_ovn_chassis.Devices(run).refuse_port
        check("br-ex", "eth1", seen)
        check("br-ex", "eth5", seen)
        for port, words in (("eth0", "carries 192.0.2.20"), ("eth2", "part of bond0"), ("eth6", "one of br-other"), ("eth9", "no such device")):
            with self.subTest(port), self.assertRaisesRegex(edpm_ovn_chassis.ChassisError, words):
                check("br-ex", port, seen)


class Database(unittest.TestCase):
    """Talking to an OVSDB server."""

    def serve(self, *answers):
        """Return the remote of a server that sends the answers one after the other, whatever it is asked."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def talk():
            connection, _peer = listener.accept()
            with connection:
                for answer in answers:
                    if not connection.recv(65536):
                        return
                    for part in answer:
                        connection.sendall(part)

        thread = threading.Thread(target=talk)
        thread.start()
        self.addCleanup(thread.join)
        return f"tcp:127.0.0.1:{listener.getsockname()[1]}"

    def test_select(self):
        """Rows come in plain Python, past an echo and in pieces."""
        text = json.dumps({"id": 1, "error": None, "result": [{"rows": [{"a": ["map", [["k", "v"]]], "b": ["set", [["uuid", "u1"]]], "c": ["uuid", "u2"]}]}]}).encode()
        hello = b'{"id":1,"error":null,"result":[{"rows":[]}]}'
        remote = self.serve([hello], [b'{"method":"echo","id":"echo","params":[]}', text[:20], text[20:]])
        client = ovsdb.southbound(remote, None, "x")
        self.assertEqual([[{"a": {"k": "v"}, "b": ["u1"], "c": "u2"}]], client.select("D", [("T", [], [])]))
        client.close()

    def test_problems(self):
        """Why a server cannot be asked is one line with the input to correct."""
        closed = socket.create_server(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        closed.close()
        cases = [
            (f"tcp:127.0.0.1:{port}", f"tcp:127.0.0.1:{port}: connection refused; correct WHERE"),
            (self.serve([b"HTTP/1.0 400 Bad Request\r\n\r\n"]), "is no OVSDB server"),
            (self.serve([b'{"id":1,"error":"unknown database","result":null}']), "serves no OVN_Southbound: unknown database"),
            (self.serve([b""]), "closed by the server"),
            ("http://x", "http://x is no remote"),
        ]
        for remote, words in cases:
            with self.subTest(words), self.assertRaisesRegex(ovsdb.DatabaseError, words) as caught:
                ovsdb.southbound(remote, None, "WHERE")
            self.assertIn("WHERE", str(caught.exception))
            self.assertNotIn("\n", str(caught.exception))

    def test_next(self):
        """One of several that does not answer is no problem."""
        remote = self.serve([b'{"id":1,"error":null,"result":[{"rows":[]}]}'])
        ovsdb.southbound(f"tcp:127.0.0.1:1,{remote}", None, "x").close()


class Metadata(unittest.TestCase):
    """The metadata agent's inputs and state."""

    LAYERS = {"05-nova-metadata.conf": "[DEFAULT]\nnova_metadata_host = 192.0.2.1\nmetadata_proxy_shared_secret = s3\n",
              "10-neutron-metadata.conf": "[ovn]\novn_sb_connection=tcp:192.0.2.1:6642\n"}

    def test_options(self):
        """Later layers win."""
        options = network.oslo_options({**self.LAYERS, "20-metadata.conf": "[DEFAULT]\nnova_metadata_host = 2001:db8::1\n"})
        self.assertEqual([], network.metadata_problems(options))
        self.assertEqual("http://[2001:db8::1]:8775", network.metadata_url(options))

    def test_problems(self):
        """What is lacking is named with the Secrets that hold it, and no secret is told."""
        cases = [
            ({"05-nova-metadata.conf": ""}, "^nova_metadata_host and metadata_proxy_shared_secret of the metadata agent not given: create Secret neutron-ovn"),
            ({"10-neutron-metadata.conf": "[ovn]\novn_sb_connection = 192.0.2.1\n"}, "^ovn_sb_connection '192.0.2.1' is no remote"),
            ({"20-metadata.conf": "[DEFAULT]\nnova_metadata_protocol = ftp\n"}, "^nova_metadata_protocol"),
            ({"20-metadata.conf": "[DEFAULT]\nnova_metadata_port = x\n"}, "^nova_metadata_port"),
        ]
        for layers, words in cases:
            with self.subTest(words):
                found = network.metadata_problems(network.oslo_options({**self.LAYERS, **layers}))
                self.assertEqual(1, len(found), found)
                self.assertRegex(found[0], words)
                self.assertNotIn("s3", found[0])

    def test_probe(self):
        """A port where something else answers, and a CA that is not there, are told by name."""
        params = {"url": "http://127.0.0.1:1", "secret": "s3", "insecure": False, "ca_cert": "", "timeout": 1}
        opener = mock.Mock(**{"open.side_effect": http.client.BadStatusLine("SSH-2.0")})
        with mock.patch.object(edpm_metadata_probe.urllib.request, "build_opener", return_value=opener):
            with self.assertRaisesRegex(edpm_metadata_probe.ProbeError, "127.0.0.1:1 does not speak HTTP: correct"):
                edpm_metadata_probe.ask(params)
        with self.assertRaisesRegex(edpm_metadata_probe.ProbeError, "/not/there.*: run install-certs first"):
            edpm_metadata_probe.ask({**params, "ca_cert": "/not/there"})

    def test_a_southbound_that_breaks_off(self):
        """The wait for the agent outlives a southbound that is away for a moment, and names one that stays away."""
        def wait(timeout, *answers):
            shown = "ActiveState=active\nNRestarts=0\nActiveEnterTimestampMonotonic=0\n"
            module = mock.Mock(params={"unit": "agent", "log": "/not/there", "timeout": timeout}, **{"run_command.return_value": (0, shown, "")})
            with mock.patch.multiple(edpm_metadata_agent, chassis=lambda: "c", registered=mock.Mock(side_effect=answers), SETTLED=0), \
                    mock.patch.object(edpm_metadata_agent.time, "sleep"):
                return edpm_metadata_agent.wait(module)

        away = ovsdb.DatabaseError("tcp:192.0.2.1:6642 breaks off")
        self.assertEqual("id", wait(60, away, "", "id"))
        with self.assertRaisesRegex(edpm_metadata_agent.AgentError, "^tcp:192.0.2.1:6642 breaks off; it says"):
            wait(-1, away)

    def test_signature(self):
        """The signature is what Nova computes (nova, api/metadata/handler.py)."""
        self.assertEqual("2c8233f4742d8521cc97d6a2e58cc9ea98300bd8a33aa45e5a9da0504df978bc", edpm_metadata_probe.headers("s3")["X-Instance-ID-Signature"])


if __name__ == "__main__":
    unittest.main()
