package rack_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"golang.org/x/crypto/ssh"
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/test/rack"
)

// identities are what no two hosts may share: commands that print them, after their owner's first start where it needs one.
var identities = map[string]string{
	"machine-id":      "cat /etc/machine-id",
	"iSCSI name":      "sudo /usr/lib/open-iscsi/startup-checks.sh && sudo grep ^InitiatorName= /etc/iscsi/initiatorname.iscsi",
	"OVS system-id":   "sudo systemctl start openvswitch-switch && sudo ovs-vsctl get Open_vSwitch . external_ids:system-id",
	"OVS database ID": "sudo ovs-vsctl get Open_vSwitch . _uuid",
	"NVMe name":       "sudo nvme show-hostnqn",
}

// quiet are the services of the cloud, none of which may run before its role says so.
const quiet = "nova-compute neutron-ovn-metadata-agent libvirtd libvirtd.socket virtlogd.socket ovn-controller openvswitch-switch " +
	"haproxy iscsid.socket multipathd prometheus-node-exporter prometheus-libvirt-exporter"

// TestComputeProfile boots three hosts from the complete image, of which Ironic deploys one.
func TestComputeProfile(t *testing.T) {
	ctx := t.Context()
	k := newKeys(t)
	r := startRack(t, rack.Config{
		Hosts:   rack.DefaultHosts(3),
		Profile: "compute",
		PreProvisioned: &rack.PreProvisioned{
			Hosts:         []string{"server-0", "server-1"},
			AuthorizedKey: string(ssh.MarshalAuthorizedKey(k.user.PublicKey())),
		},
	})
	for _, h := range r.Hosts[:2] {
		isQuiet(ctx, t, h.Address.String(), k.forHost(h))
	}
	hasPackages(ctx, t, r.Hosts[0], k.forHost(r.Hosts[0]))
	for name, command := range identities {
		var seen [2]string
		for i, h := range r.Hosts[:2] {
			out, err := remote(ctx, h.Address.String(), command, k.forHost(h))
			if err != nil || out == "" {
				t.Errorf("%s of %s: %q, %v", name, h.Name, out, err)
			}
			seen[i] = out
		}
		if seen[0] == seen[1] {
			t.Errorf("both hosts have the %s %q", name, seen[0])
		}
	}
	deployed, address := newJourney(t, r, r.Hosts[2]), "192.168.122.101"
	if err := deployed.register(ctx); err != nil {
		t.Fatal(err)
	}
	if err := deployed.setImage(ctx, r.Image.Checksum); err != nil {
		t.Fatal(err)
	}
	err := deployed.provision(ctx, nodes.ProvisionStateOpts{
		Target: nodes.TargetActive, ConfigDrive: configDrive(r.Hosts[2], k, "r7-n00", address),
	}, nodes.Active)
	if err != nil {
		t.Fatal(err)
	}
	isQuiet(ctx, t, address, k)
	deployed.lap("SSH")
}

// hasPackages checks that the roles of the collection find everything installed: no repository is reachable.
func hasPackages(ctx context.Context, t *testing.T, h *rack.Host, login keys) {
	t.Helper()
	files, err := filepath.Glob("../../playbooks/ansible_collections/osp/edpm/roles/*/vars/main/families.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("the roles' families: %v, %v", files, err)
	}
	var wanted []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var roles map[string]map[string]struct{ Packages []string }
		if err := yaml.Unmarshal(text, &roles); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, families := range roles {
			wanted = append(wanted, families["Debian"].Packages...)
			wanted = append(wanted, families["Debian13"].Packages...)
		}
	}
	// A name that it does not know makes dpkg-query complain.
	query := "dpkg-query -W -f '${db:Status-Status}\\n' " + strings.Join(wanted, " ") + " 2>&1 | sort -u"
	if out, err := remote(ctx, h.Address.String(), query, login); err != nil || out != "installed" {
		t.Errorf("the image lacks packages of the roles: %s, %v", out, err)
	}
}

// isQuiet checks that a host has booted without a failed unit and runs nothing of the cloud.
func isQuiet(ctx context.Context, t *testing.T, address string, login keys) {
	t.Helper()
	out, err := remote(ctx, address, "sudo cloud-init status --wait >/dev/null; systemctl --failed --plain --no-legend", login)
	if err != nil || out != "" {
		t.Errorf("%s: failed units %q, %v", address, out, err)
	}
	out, err = remote(ctx, address, "systemctl is-active "+quiet+" || true", login)
	if err != nil || strings.Count(out+"\n", "inactive\n") != len(strings.Fields(quiet)) {
		t.Errorf("%s: of %s run\n%s\n%v", address, quiet, out, err)
	}
}
