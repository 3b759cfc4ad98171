package compute_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/rackplane/rackplane/playbooks/onhosts"
	"github.com/rackplane/rackplane/test/openstack"
)

// computeSuite proves the services that make a host a compute of a real cloud.
func computeSuite(c *control) onhosts.Suite {
	return onhosts.Suite{
		Name: "compute",
		Services: []onhosts.Service{
			{Name: "libvirt", Tasks: 8},
			{Name: "nova", Tasks: 9},
			{Name: "telemetry", Tasks: 8},
		},
		Vars:    map[string]any{"edpm_nova_allow_qemu": true},
		Prepare: c.prepareCompute,
		Effects: map[string]string{
			"libvirt answers nova":                 `sudo -u nova virsh --connect qemu:///system list`,
			"the migration user is known":          `sudo sasldblistusers2 -f /etc/libvirt/passwd.db | grep -q ^migration@openstack:`,
			"only root reads the password":         `test "$(sudo stat -c %a:%U /etc/libvirt/passwd.db /etc/libvirt/auth.conf | sort -u)" = 600:root`,
			"only nova reads its layers":           `test "$(sudo stat -c %a:%U:%G /etc/nova/nova.conf.d/01-nova.conf)" = 640:root:nova`,
			"nobody else reads the migration key":  `test "$(sudo stat -c %a:%U /var/lib/nova/.ssh/ssh-privatekey)" = 600:nova`,
			"no secret is in the journal":          `! sudo journalctl --output cat | grep -v COMMAND | grep -e LibvirtSecret -e 'PRIVATE KEY' -e rabbit://nova`,
			"nova-compute runs with the layers":    `systemctl is-active nova-compute && sudo grep -q 'virt_type = qemu' /etc/nova/nova.conf.d/02-nova-host-specific.conf`,
			"the user's layer is there":            `sudo grep -q reserved_host_memory_mb /etc/nova/nova.conf.d/25-nova-extra.conf`,
			"the node has an identity":             `sudo grep -Eq '^[0-9a-f-]{36}$' /var/lib/nova/compute_id`,
			"nova reaches the other host":          `sudo -u nova ssh 192.168.122.202 hostname | grep -qx server-1`,
			"consoles and migration are let in":    `sudo nft list table inet edpm | grep -q 61152-61215`,
			"the node's metrics are given out":     `curl --silent --fail http://192.168.122.201:9100/metrics | grep -q ^node_load1`,
			"the servers' metrics are given out":   `curl --silent --fail http://192.168.122.201:9177/metrics | grep -q '^libvirt_up 1'`,
			"servers are ended in order":           `systemctl is-active libvirt-guests && grep -qx ON_SHUTDOWN=shutdown /etc/default/libvirt-guests`,
			"no unit has failed once it is a node": `test -z "$(systemctl --failed --no-legend)"`,
		},
		Drift: map[string]string{
			"libvirt":   "systemctl disable -q --now libvirtd.socket; rm /etc/nftables/edpm.d/libvirt.nft; printf x | saslpasswd2 -p -f /etc/libvirt/passwd.db -a libvirt -u openstack migration",
			"nova":      "systemctl stop nova-compute; echo host = other >>/etc/nova/nova.conf.d/25-nova-extra.conf; touch /etc/nova/nova.conf.d/99-left.conf; usermod -s /usr/sbin/nologin nova",
			"telemetry": "systemctl disable -q --now prometheus-node-exporter; rm /etc/default/prometheus-libvirt-exporter",
		},
		BadInput: []onhosts.BadInput{
			onhosts.Bad("libvirt", `{"edpm_tls_certs_enabled": true}`, "/var/lib/openstack/certs/libvirt/default/ca.crt does not exist"),
			onhosts.Bad("nova", `{"edpm_service_data_dir": "bad/nocloud"}`, "neither the Secret nova-cell1-compute-config"),
			onhosts.Bad("nova", `{"edpm_service_data_dir": "bad/rabbit"}`, "RabbitMQ at 192.168.122.10:5672 refuses user nova: wrong name or password: correct transport_url in Secret nova-cell1-compute-config, key 01-nova.conf"),
			onhosts.Bad("nova", `{"edpm_service_data_dir": "bad/keystone"}`, "refuses user nova: wrong name, password, domain or project: correct [placement] in Secret nova-cell1-compute-config, key 01-nova.conf"),
			onhosts.Bad("nova", `{"edpm_service_data_dir": "bad/region"}`, "Keystone's catalog has no internal endpoint of placement in region nowhere"),
			onhosts.Bad("nova", `{"edpm_nova_allow_qemu": false}`, "set edpm_nova_allow_qemu: true to emulate"),
			onhosts.Bad("nova", `{"canonical_hostname": "other.example.com"}`, "a compute never changes its name: call it server-0.ctlplane.example.com again"),
			onhosts.Bad("telemetry", `{"edpm_telemetry_address": "here"}`, "edpm_telemetry_address"),
		},
	}
}

// control is a real control plane beside the hosts.
type control struct {
	life    *testing.T       // as long as which it runs
	running *openstack.Cloud // nil until it is first asked for
}

// cloud returns the control plane, and starts it when it does not run yet.
func (c *control) cloud(t *testing.T) *openstack.Cloud {
	t.Helper()
	if c.running != nil {
		return c.running
	}
	cloud, err := openstack.Start(c.life.Context(), openstack.Config{
		Dir: c.life.TempDir(), Bridge: "ctlplane", Address: netip.MustParsePrefix("192.168.122.10/24"),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.life.Cleanup(func() {
		if err := cloud.Stop(context.WithoutCancel(c.life.Context())); err != nil {
			c.life.Error(err)
		}
	})
	c.running = cloud
	return cloud
}

func (c *control) prepareCompute(t *testing.T, b *onhosts.Bench) {
	t.Helper()
	nova := map[string]string{"25-nova-extra.conf": "[DEFAULT]\nreserved_host_memory_mb = 256\n"}
	nova["ssh-privatekey"], nova["ssh-publickey"] = keyPair(t)
	for key, text := range c.cloud(t).ComputeConfig["nova-cell1-compute-config"] {
		nova[key] = string(text)
	}
	b.Data(t, "nova", nova)
	b.Data(t, "libvirt", map[string]string{"LibvirtPassword": "LibvirtSecret-1"})
	badData(t, b, nova)
}

// badData lays out what the services refuse, one folder each.
func badData(t *testing.T, b *onhosts.Bench, nova map[string]string) {
	t.Helper()
	layer := nova["01-nova.conf"]
	for name, change := range map[string]map[string]string{
		"nocloud":  {"01-nova.conf": "", "nova-blank.conf": ""},
		"rabbit":   {"01-nova.conf": strings.Replace(layer, "rabbit://nova:", "rabbit://nova:not", 1)},
		"keystone": {"01-nova.conf": strings.ReplaceAll(layer, "\npassword = ", "\npassword = not")},
		"region":   {"01-nova.conf": strings.ReplaceAll(layer, "region_name = regionOne", "region_name = nowhere")},
	} {
		keys := maps.Clone(nova)
		maps.Copy(keys, change)
		for key, text := range change {
			if text == "" {
				delete(keys, key)
			}
		}
		lay(t, b, filepath.Join("bad", name, "nova"), keys)
	}
}

// lay writes files into a folder of the bench.
func lay(t *testing.T, b *onhosts.Bench, folder string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(b.Path(folder), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		b.Write(t, filepath.Join(folder, name), []byte(text))
	}
}

func keyPair(t *testing.T) (private, public string) {
	t.Helper()
	publicKey, privateKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(privateKey, "")
	if err != nil {
		t.Fatal(err)
	}
	authorized, err := ssh.NewPublicKey(publicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), string(ssh.MarshalAuthorizedKey(authorized))
}
