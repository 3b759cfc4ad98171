package compute_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rackplane/rackplane/playbooks/onhosts"
)

// networkSuite proves the services that make a host a chassis of a real OVN and serve metadata on it.
func networkSuite(c *control) onhosts.Suite {
	n := &network{control: c}
	return onhosts.Suite{
		Name: "network",
		Services: []onhosts.Service{
			{Name: "install_certs", Tasks: 5},
			{Name: "ovn", Tasks: 8},
			{Name: "neutron_metadata", Tasks: 8},
		},
		// The rack's kernel has no openvswitch module.
		Vars:    map[string]any{"edpm_ovn_datapath_type": "netdev"},
		Prepare: n.prepare,
		Effects: map[string]string{
			"a key is for root alone":           `test "$(sudo stat -c %a:%U /var/lib/openstack/certs/ovn/default/tls.key)" = 600:root`,
			"the certificate is its own":        `openssl x509 -noout -ext subjectAltName -in /var/lib/openstack/certs/ovn/default/tls.crt | grep -q server-0.ctlplane.example.com`,
			"the system trusts the CA":          `openssl verify /var/lib/openstack/certs/ovn/default/tls.crt`,
			"the controller is connected":       `test "$(sudo ovn-appctl -t ovn-controller connection-status)" = connected`,
			"the switch knows its host":         `sudo ovs-vsctl get Open_vSwitch . external_ids:hostname | grep -qx '"server-0.ctlplane.example.com"\|server-0.ctlplane.example.com'`,
			"both names of the chassis are one": `test "$(sudo ovs-vsctl get Open_vSwitch . external_ids:system-id | tr -d \")" = "$(cat /etc/openvswitch/system-id.conf)"`,
			"br-int is in user space":           `test "$(sudo ovs-vsctl get Bridge br-int datapath_type)" = netdev`,
			"br-ex is there":                    `sudo ovs-vsctl br-exists br-ex`,
			"agents find the switch":            `sudo ovs-vsctl --db=tcp:127.0.0.1:6640 br-exists br-int`,
			"nobody else does":                  `! sudo ovs-vsctl --timeout=3 --db=tcp:192.168.122.201:6640 show`,
			"tunnels are let in":                `sudo nft list table inet edpm | grep -q '4789, 6081'`,
			"only neutron reads its layers":     `test "$(sudo stat -c %a:%U:%G /etc/neutron/neutron-ovn-metadata-agent.conf.d/05-nova-metadata.conf)" = 640:root:neutron`,
			"the agent takes the layers last":   `tr '\0' ' ' </proc/$(systemctl show --value --property MainPID neutron-ovn-metadata-agent)/cmdline | grep -q -- --config-dir=/etc/neutron/neutron-ovn-metadata-agent.conf.d`,
			"no unit of the network has failed": `test -z "$(systemctl --failed --no-legend)"`,
		},
		Drift: map[string]string{
			"install_certs":    "rm /var/lib/openstack/certs/ovn/default/tls.key /etc/ssl/certs/ca-certificates.crt",
			"ovn":              "ovs-vsctl set Open_vSwitch . external_ids:ovn-monitor-all=false -- del-br br-ex -- del-manager; rm /etc/nftables/edpm.d/ovn.nft; systemctl stop ovn-controller",
			"neutron_metadata": "systemctl disable -q --now neutron-ovn-metadata-agent; echo debug=true >>/etc/neutron/neutron-ovn-metadata-agent.conf.d/01-edpm.conf; touch /etc/neutron/neutron-ovn-metadata-agent.conf.d/99-left.conf",
		},
		BadInput: []onhosts.BadInput{
			onhosts.Bad("install_certs", `{"edpm_service_data_dir": "bad/expired"}`, "ovn.default.server-0.ctlplane.example.com-tls.crt in the Secrets of DataPlaneService install-certs expired on"),
			onhosts.Bad("install_certs", `{"edpm_service_data_dir": "bad/early"}`, "is not valid before"),
			onhosts.Bad("install_certs", `{"edpm_service_data_dir": "bad/name"}`, "is for server-9.ctlplane.example.com, not for this node"),
			onhosts.Bad("install_certs", `{"edpm_service_data_dir": "bad/pair"}`, "is not the key of"),
			onhosts.Bad("ovn", `{"edpm_service_data_dir": "bad/none"}`, "neither ConfigMap ovncontroller-config (key ovsdb-config) nor Secret openstack-control-plane"),
			onhosts.Bad("ovn", `{"edpm_service_data_dir": "bad/port"}`, "tcp:192.168.122.10:6699: connection refused"),
			onhosts.Bad("ovn", `{"edpm_service_data_dir": "bad/server"}`, "tcp:192.168.122.10:5672 is no OVSDB server"),
			onhosts.Bad("ovn", `{"edpm_service_data_dir": "bad/secure"}`, "TLS"),
			onhosts.Bad("ovn", `{"edpm_ovn_encap_ip": "192.168.122.202"}`, "tunnel address 192.168.122.202 belongs to chassis"),
			onhosts.Bad("ovn", `{"canonical_hostname": "server-1.ctlplane.example.com"}`, "is the chassis of server-0.ctlplane.example.com in the southbound, and this node is server-1.ctlplane.example.com"),
			onhosts.Bad("ovn", `{"neutron_public_interface_name": "eth0"}`, "eth0 cannot become a port of br-ex: it carries 192.168.122.201"),
			onhosts.Bad("ovn", `{"edpm_ovn_bridge_ports": {"br-ex": ["eth7"]}}`, "the node has no such device"),
			onhosts.Bad("ovn", `{"edpm_ovn_bridge_mappings": ["br-ex"]}`, "edpm_ovn_bridge_mappings: 'br-ex' is no mapping"),
			onhosts.Bad("neutron_metadata", `{"edpm_service_data_dir": "bad/none"}`, "create Secret neutron-ovn-metadata-agent-neutron-config"),
			onhosts.Bad("neutron_metadata", `{"edpm_service_data_dir": "bad/secret"}`, "Nova's metadata service at http://192.168.122.10:8775 refuses the shared secret (403)"),
			onhosts.Bad("neutron_metadata", `{"edpm_service_data_dir": "bad/port"}`, "Nova's metadata service cannot be reached from the node at http://192.168.122.10:8799: connection refused"),
			onhosts.Bad("neutron_metadata", `{"edpm_service_data_dir": "bad/southbound"}`, "tcp:192.168.122.10:6699: connection refused"),
		},
		More: n.more,
	}
}

// network is what the suite keeps from its beginning to its end.
type network struct {
	*control
	ca *authority
}

// names of the hosts, as the control plane knows them.
func names(b *onhosts.Bench) []string {
	found := make([]string, len(b.Rack.Hosts))
	for i, h := range b.Rack.Hosts {
		found[i] = h.Name + ".ctlplane.example.com"
	}
	return found
}

func (n *network) prepare(t *testing.T, b *onhosts.Bench) {
	t.Helper()
	config := n.cloud(t).ComputeConfig
	ovn := map[string]string{"ovsdb-config": string(config["ovncontroller-config"]["ovsdb-config"])}
	agent := map[string]string{}
	for _, secret := range []string{"neutron-ovn-metadata-agent-neutron-config", "nova-metadata-neutron-config"} {
		for key, text := range config[secret] {
			agent[key] = string(text)
		}
	}
	n.ca = newAuthority(t)
	certificates := map[string]string{"tls-ca-bundle.pem": n.ca.text}
	for _, name := range names(b) {
		maps.Copy(certificates, n.ca.issue(t, "ovn", name, name, days{-1, 30}))
		maps.Copy(certificates, n.ca.issue(t, "neutron-metadata", name, name, days{-1, 30}))
	}
	b.Data(t, "ovn", ovn)
	b.Data(t, "neutron-metadata", agent)
	b.Data(t, "install-certs", certificates)
	n.bad(t, b, agent)
}

// bad lays out what the services refuse, one folder each.
func (n *network) bad(t *testing.T, b *onhosts.Bench, agent map[string]string) {
	t.Helper()
	own, issue := names(b)[0], n.ca.issue
	mixed := issue(t, "ovn", own, own, days{-1, 30})
	key := "ovn.default." + own + "-tls.key"
	mixed[key] = issue(t, "ovn", own, own, days{-1, 30})[key]
	with := func(key, from, to string) map[string]string {
		changed := maps.Clone(agent)
		changed[key] = strings.Replace(changed[key], from, to, 1)
		return changed
	}
	for name, services := range map[string]map[string]map[string]string{
		"none":    {"ovn": {}, "neutron-metadata": {}},
		"expired": {"install-certs": issue(t, "ovn", own, own, days{-30, -1})},
		"early":   {"install-certs": issue(t, "ovn", own, own, days{1, 30})},
		"name":    {"install-certs": issue(t, "ovn", own, "server-9.ctlplane.example.com", days{-1, 30})},
		"pair":    {"install-certs": mixed},
		"port": {
			"ovn":              {"ovsdb-config": "ovn-remote: tcp:192.168.122.10:6699\n"},
			"neutron-metadata": with("05-nova-metadata.conf", "8775", "8799"),
		},
		"server":     {"ovn": {"ovsdb-config": "ovn-remote: tcp:192.168.122.10:5672\n"}},
		"secure":     {"ovn": {"ovsdb-config": "ovn-remote: ssl:192.168.122.10:6642\n"}},
		"secret":     {"neutron-metadata": with("05-nova-metadata.conf", "metadata_proxy_shared_secret = ", "metadata_proxy_shared_secret = not")},
		"southbound": {"neutron-metadata": with("10-neutron-metadata.conf", "6642", "6699")},
	} {
		for service, keys := range services {
			folder := filepath.Join("bad", name, service)
			if err := os.MkdirAll(b.Path(folder), 0o700); err != nil {
				t.Fatal(err)
			}
			for key, text := range keys {
				b.Write(t, filepath.Join(folder, key), []byte(text))
			}
		}
	}
}

// more proves what takes more than variables.
func (n *network) more(t *testing.T, b *onhosts.Bench) {
	t.Helper()
	must := func(command string) string {
		out, err := b.SSH(t, command)
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		return strings.TrimSpace(out)
	}
	t.Run("settings of others stay and nothing restarts", func(t *testing.T) {
		must("sudo ovs-vsctl set Open_vSwitch . external_ids:theirs=stays external_ids:ovn-encap-type=vxlan")
		pid := must("pidof ovn-controller")
		b.Run(t, "ovn")
		if got := must("sudo ovs-vsctl get Open_vSwitch . external_ids:theirs external_ids:ovn-encap-type; pidof ovn-controller"); got != "stays\ngeneve\n"+pid {
			t.Errorf("after a change of one setting: %q, want the other's, ours and the same process %s", got, pid)
		}
	})
	t.Run("a host deployed anew takes its chassis over", func(t *testing.T) {
		id := must("cat /etc/openvswitch/system-id.conf")
		must("sudo systemctl kill --signal=KILL ovn-controller; sudo systemctl stop openvswitch-switch ovn-host ovn-controller; " +
			"sudo rm /var/lib/openvswitch/conf.db /etc/openvswitch/system-id.conf")
		b.Run(t, "ovn", "--limit", "server-0")
		if got := must("cat /etc/openvswitch/system-id.conf"); got != id {
			t.Errorf("the chassis is %s, and was %s", got, id)
		}
		b.Unchanged(t, "ovn")
	})
	t.Run("another's chassis is not taken", func(t *testing.T) {
		out, err := n.cloud(t).Output(t.Context(), "ovn-sbctl", "chassis-add", "left-over", "geneve", "192.0.2.77")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		b.Refuses(t, onhosts.Bad("ovn", `{"edpm_ovn_encap_ip": "192.0.2.77"}`, "delete its row (ovn-sbctl chassis-del left-over)"))
	})
	t.Run("a cloud without RHOSO's Secrets", func(t *testing.T) {
		text := n.cloud(t).ComputeConfig["openstack-control-plane"]["control-plane.yaml"]
		for _, service := range []string{"ovn", "neutron-metadata"} {
			if err := os.MkdirAll(b.Path(filepath.Join("elsewhere", service)), 0o700); err != nil {
				t.Fatal(err)
			}
			b.Write(t, filepath.Join("elsewhere", service, "control-plane.yaml"), text)
		}
		const elsewhere = `{"edpm_service_data_dir": "elsewhere"}`
		b.Run(t, "ovn neutron_metadata", "--extra-vars", elsewhere)
		b.Unchanged(t, "ovn neutron_metadata", "--extra-vars", elsewhere)
		b.Run(t, "neutron_metadata")
	})
	t.Run("TLS", func(t *testing.T) { n.secures(t, b) })
}

// secures makes the southbound listen with a certificate, and the hosts talk to it with theirs.
func (n *network) secures(t *testing.T, b *onhosts.Bench) {
	t.Helper()
	pair := n.ca.issue(t, "sb", "sb", "sb.example.com", days{-1, 30})
	cloud := func(argv ...string) {
		t.Helper()
		if out, err := n.cloud(t).Output(t.Context(), argv...); err != nil {
			t.Fatalf("%v: %v\n%s", argv, err, out)
		}
	}
	for name, text := range map[string]string{"key": pair["sb.default.sb-tls.key"], "crt": pair["sb.default.sb-tls.crt"], "ca": n.ca.text} {
		cloud("sh", "-c", "printf %s '"+text+"' >/etc/ovn/sb."+name)
	}
	cloud("ovn-sbctl", "set-ssl", "/etc/ovn/sb.key", "/etc/ovn/sb.crt", "/etc/ovn/sb.ca")
	cloud("ovn-sbctl", "--", "--id=@c", "create", "Connection", `target="pssl:6643"`, "--", "add", "SB_Global", ".", "connections", "@c")
	const remote = "ssl:192.168.122.10:6643"
	b.Data(t, "ovn", map[string]string{"ovsdb-config": "ovn-remote: " + remote + "\n"})
	b.Data(t, "neutron-metadata", map[string]string{"10-neutron-metadata.conf": "[ovn]\novn_sb_connection = " + remote + "\n"})
	b.Run(t, "ovn neutron_metadata")
	b.Unchanged(t, "install_certs ovn neutron_metadata")

	own, stranger := names(b)[0], newAuthority(t)
	if err := os.MkdirAll(b.Path("bad/stranger/install-certs"), 0o700); err != nil {
		t.Fatal(err)
	}
	for key, text := range stranger.issue(t, "ovn", own, own, days{-1, 30}) {
		b.Write(t, filepath.Join("bad/stranger/install-certs", key), []byte(text))
	}
	b.Run(t, "install_certs", "--limit", "server-0", "--extra-vars", `{"edpm_service_data_dir": "bad/stranger"}`)
	b.Refuses(t, onhosts.Bad("ovn", `{}`, remote+": TLS: the server's certificate is refused: "))
	b.Run(t, "install_certs")
	b.Unchanged(t, "install_certs ovn neutron_metadata")
}

// days are from when to when a certificate is valid, counted from today.
type days struct{ since, until int }

// authority is a CA.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	text        string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{certificate: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Rackplane test CA " + rand.Text()},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	a.text = a.sign(t, a.certificate, &a.key.PublicKey)
	return a
}

// issue returns the keys of a Secret: a certificate of the service for a host, and what belongs to it.
func (a *authority) issue(t *testing.T, service, host, name string, valid days) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name},
		NotBefore: time.Now().AddDate(0, 0, valid.since), NotAfter: time.Now().AddDate(0, 0, valid.until),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, &key.PublicKey)
	prefix := service + ".default." + host + "-"
	return map[string]string{
		prefix + "tls.crt": certificate, prefix + "ca.crt": a.text,
		prefix + "tls.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	}
}

func (a *authority) sign(t *testing.T, template *x509.Certificate, public *ecdsa.PublicKey) string {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, public, a.key)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
