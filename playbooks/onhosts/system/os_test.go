package system_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/rackplane/rackplane/playbooks/onhosts"
)

// newerPackages gives a host a repository with a newer rsyslog, whose package does not restart it, and a newer package
// of those that are held back.
const newerPackages = `set -e
mkdir -p /srv/demo && cd $(mktemp -d) && apt-get download -q rsyslog
dpkg-deb -R rsyslog_*.deb p && rm -f p/DEBIAN/preinst p/DEBIAN/postinst p/DEBIAN/prerm p/DEBIAN/postrm
sed -i "s/^Version: .*/&+demo/" p/DEBIAN/control && dpkg-deb -b p /srv/demo/rsyslog.deb
mkdir -p q/DEBIAN
for version in 1 2; do
	printf "Package: ovn-demo\nVersion: $version\nArchitecture: all\nMaintainer: nobody\nDescription: demo\n" >q/DEBIAN/control
	[ $version = 2 ] || { dpkg-deb -b q one.deb && dpkg -i one.deb; }
done
dpkg-deb -b q /srv/demo/ovn-demo.deb
for name in rsyslog ovn-demo; do
	dpkg-deb -f /srv/demo/$name.deb
	printf "Filename: ./$name.deb\nSize: $(stat -c %s /srv/demo/$name.deb)\nSHA256: $(sha256sum </srv/demo/$name.deb | cut -c1-64)\n\n"
done >/srv/demo/Packages
printf "Types: deb\nURIs: file:/srv/demo\nSuites: ./\nTrusted: yes\n" >/etc/apt/sources.list.d/demo.sources
apt-get -q update
`

// osSuite proves the services that update a node, and what a node says when its mirror or its disk lets it down.
func osSuite() onhosts.Suite {
	return onhosts.Suite{
		Name: "os",
		Services: []onhosts.Service{
			{Name: "update_services", Tasks: 4},
			{Name: "update", Tasks: 4, Looks: true}, // Nothing is left to do after the one before.
		},
		Prepare: func(t *testing.T, b *onhosts.Bench) {
			t.Helper()
			for _, h := range b.Rack.Hosts {
				if out, err := b.SSHTo(t, h, "sudo sh -c '"+newerPackages+"'"); err != nil {
					t.Fatalf("%s: make newer packages: %v\n%s", h.Name, err, out)
				}
			}
		},
		Drift: map[string]string{
			"update_services": "touch /var/lib/dpkg/info/rsyslog.list",
			"update":          "apt-get install -q -y --allow-downgrades rsyslog=$(apt-cache madison rsyslog | grep -v demo | head -1 | cut -d\\| -f2 | tr -d \" \")",
		},
		Effects: map[string]string{
			"the newer package is there":   `dpkg-query -W rsyslog | grep -q demo`,
			"the held one is as it was":    `dpkg-query -W ovn-demo | grep -qw 1`,
			"rsyslog runs what is on disk": `test $(sudo stat -c %Y /var/lib/dpkg/info/rsyslog.list) -le $(date -d "$(systemctl show -P ActiveEnterTimestamp rsyslog)" +%s)`,
		},
		BadInput: []onhosts.BadInput{
			onhosts.Bad("update", `{"edpm_update_retries": "often"}`, "edpm_update_retries"),
		},
		More: func(t *testing.T, b *onhosts.Bench) {
			t.Helper()
			t.Run("mirror", func(t *testing.T) { namesMirror(t, b) })
			t.Run("full disk", func(t *testing.T) { namesFullDisk(t, b) })
			t.Run("reboot", func(t *testing.T) { leavesComputesUp(t, b) })
			t.Run("tuned", func(t *testing.T) { tunes(t, b) })
			t.Run("firewall", func(t *testing.T) { opensPorts(t, b) })
		},
	}
}

// namesMirror: a mirror that does not answer is named with its repository, in one line, and soon.
func namesMirror(t *testing.T, b *onhosts.Bench) {
	t.Helper()
	b.Refuses(t, onhosts.Bad("download_cache", `{"edpm_bootstrap_repos": [{"name": "dead", "url": "http://192.168.122.1:9/repo", "suites": ["./"], "trusted": true}],
		"edpm_download_cache_retries": 0, "edpm_download_cache_running_services": ["libvirt"]}`, "repository edpm-dead does not serve http://192.168.122.1:9/repo"))
	b.Refuses(t, onhosts.Bad("update", `{"edpm_update_retries": 0}`, "repository edpm-dead does not serve http://192.168.122.1:9/repo"))
	b.Run(t, "bootstrap")
}

// namesFullDisk: what cannot be written is said, with the remedy, by files and by packages; room alone mends it.
func namesFullDisk(t *testing.T, b *onhosts.Bench) {
	t.Helper()
	b.Must(t, "dpkg --purge rsyslog; apt-get clean; rm -rf /var/lib/apt/lists/*; echo >>/etc/systemd/journald.conf.d/10-edpm.conf; "+
		"dd if=/dev/zero of=/var/full bs=1M; dd if=/dev/zero of=/var/full2 bs=1k; true")
	b.Refuses(t, onhosts.Bad("install_os", `{}`, "the node's disk is full"))
	b.Refuses(t, onhosts.Bad("configure_os", `{}`, "the node's disk is full, so /etc/"))
	b.Must(t, "rm -f /var/full /var/full2")
	b.Run(t, "install_os configure_os")
	b.Unchanged(t, "install_os configure_os")
}

// leavesComputesUp: a node that has been a compute is not rebooted unasked, but says that it should be.
func leavesComputesUp(t *testing.T, b *onhosts.Bench) {
	t.Helper()
	b.Must(t, "mkdir -p /var/lib/nova /var/lib/openstack/reboot_required; touch /var/lib/nova/compute_id; echo a test wants it >/var/lib/openstack/reboot_required/test")
	b.Unchanged(t, "reboot_os")
	events, err := b.Play(t, "reboot_os", "--limit", "server-0")
	told := func(e onhosts.Event) bool { return strings.Contains(e.Notice, "a reboot is due (a test wants it)") }
	if err != nil || !slices.ContainsFunc(events, told) {
		t.Errorf("a compute whose reboot is due does not say so: %v\n%s", err, b.Output(t))
	}
	forced := b.Run(t, "reboot_os", "--check", "--extra-vars", `{"edpm_reboot_strategy": "force"}`).Hosts
	if forced["server-0"].Changed == 0 || forced["server-1"].Changed != 0 {
		t.Errorf("a forced run would change %d on the host that is due and %d on the other, want some and none",
			forced["server-0"].Changed, forced["server-1"].Changed)
	}
	b.Must(t, "rm -r /var/lib/nova/compute_id /var/lib/openstack/reboot_required")
}

// tunes: a profile is installed for, made active and kept.
func tunes(t *testing.T, b *onhosts.Bench) {
	t.Helper()
	profile := `{"edpm_tuned_profile": "virtual-host"}`
	b.Run(t, "bootstrap", "--extra-vars", profile)
	b.Unchanged(t, "bootstrap", "--extra-vars", profile)
	if out, err := b.SSH(t, "sudo tuned-adm active"); err != nil || !strings.Contains(out, "virtual-host") {
		t.Errorf("tuned-adm active says %q (%v), want virtual-host", out, err)
	}
	b.Refuses(t, onhosts.Bad("bootstrap", `{"edpm_tuned_profile": "no-such"}`, "edpm_tuned_profile 'no-such' is not on the node"))
}

// opensPorts: a service opens its ports in the firewall, and configure-os leaves them open.
func opensPorts(t *testing.T, b *onhosts.Bench) {
	t.Helper()
	role := `[{"hosts": "all", "become": true, "gather_facts": false, "tasks": [{"name": "Open", "osp.edpm.edpm_nftables": {"service": "demo",
		"rules": [{"rule_name": "118 tunnels", "rule": {"proto": "udp", "dport": [4789, 6081]}}]}}]}]`
	b.Write(t, "open.yml", []byte(role))
	for i, want := range []int{1, 0} {
		for host, totals := range b.Run(t, "open.yml").Hosts {
			if totals.Changed != want {
				t.Errorf("%s: run %d changed %d, want %d", host, i+1, totals.Changed, want)
			}
		}
	}
	b.Unchanged(t, "configure_os")
	if out, err := b.SSH(t, "sudo nft list table inet edpm"); err != nil || !strings.Contains(out, "udp dport { 4789, 6081 } accept") {
		t.Errorf("the port is not open: %v\n%s", err, out)
	}
}
