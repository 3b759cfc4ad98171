package onhosts_test

import (
	"slices"
	"strings"
	"testing"
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
func osSuite() suite {
	return suite{
		name: "os",
		services: []service{
			{name: "update_services", tasks: 4},
			{name: "update", tasks: 4, looks: true}, // Nothing is left to do after the one before.
		},
		prepare: func(t *testing.T, b *bench) {
			t.Helper()
			for _, h := range b.rack.Hosts {
				if out, err := b.sshTo(t, h, "sudo sh -c '"+newerPackages+"'"); err != nil {
					t.Fatalf("%s: make newer packages: %v\n%s", h.Name, err, out)
				}
			}
		},
		drift: map[string]string{
			"update_services": "touch /var/lib/dpkg/info/rsyslog.list",
			"update":          "apt-get install -q -y --allow-downgrades rsyslog=$(apt-cache madison rsyslog | grep -v demo | head -1 | cut -d\\| -f2 | tr -d \" \")",
		},
		effects: map[string]string{
			"the newer package is there":   `dpkg-query -W rsyslog | grep -q demo`,
			"the held one is as it was":    `dpkg-query -W ovn-demo | grep -qw 1`,
			"rsyslog runs what is on disk": `test $(sudo stat -c %Y /var/lib/dpkg/info/rsyslog.list) -le $(date -d "$(systemctl show -P ActiveEnterTimestamp rsyslog)" +%s)`,
		},
		badInput: []badInput{
			{"update", `{"edpm_update_retries": "often"}`, "edpm_update_retries"},
		},
		more: func(t *testing.T, b *bench) {
			t.Helper()
			t.Run("mirror", b.namesMirror)
			t.Run("full disk", b.namesFullDisk)
			t.Run("reboot", b.leavesComputesUp)
			t.Run("tuned", b.tunes)
			t.Run("firewall", b.opensPorts)
		},
	}
}

// namesMirror: a mirror that does not answer is named with its repository, in one line, and soon.
func (b *bench) namesMirror(t *testing.T) {
	b.refuses(t, badInput{"download_cache", `{"edpm_bootstrap_repos": [{"name": "dead", "url": "http://192.168.122.1:9/repo", "suites": ["./"], "trusted": true}],
		"edpm_download_cache_retries": 0, "edpm_download_cache_running_services": ["libvirt"]}`, "repository edpm-dead does not serve http://192.168.122.1:9/repo"})
	b.refuses(t, badInput{"update", `{"edpm_update_retries": 0}`, "repository edpm-dead does not serve http://192.168.122.1:9/repo"})
	b.run(t, "bootstrap")
}

// namesFullDisk: what cannot be written is said, with the remedy, by files and by packages; room alone mends it.
func (b *bench) namesFullDisk(t *testing.T) {
	b.must(t, "dpkg --purge rsyslog; apt-get clean; rm -rf /var/lib/apt/lists/*; echo >>/etc/systemd/journald.conf.d/10-edpm.conf; "+
		"dd if=/dev/zero of=/var/full bs=1M; dd if=/dev/zero of=/var/full2 bs=1k; true")
	b.refuses(t, badInput{"install_os", `{}`, "the node's disk is full"})
	b.refuses(t, badInput{"configure_os", `{}`, "the node's disk is full, so /etc/"})
	b.must(t, "rm -f /var/full /var/full2")
	b.run(t, "install_os configure_os")
	b.unchanged(t, "install_os configure_os")
}

// leavesComputesUp: a node that has been a compute is not rebooted unasked, but says that it should be.
func (b *bench) leavesComputesUp(t *testing.T) {
	b.must(t, "mkdir -p /var/lib/nova /var/lib/openstack/reboot_required; touch /var/lib/nova/compute_id; echo a test wants it >/var/lib/openstack/reboot_required/test")
	b.unchanged(t, "reboot_os")
	events, err := b.play(t, "reboot_os", "--limit", "server-0")
	told := func(e event) bool { return strings.Contains(e.Notice, "a reboot is due (a test wants it)") }
	if err != nil || !slices.ContainsFunc(events, told) {
		t.Errorf("a compute whose reboot is due does not say so: %v\n%s", err, b.output(t))
	}
	forced := b.run(t, "reboot_os", "--check", "--extra-vars", `{"edpm_reboot_strategy": "force"}`).Hosts
	if forced["server-0"].Changed == 0 || forced["server-1"].Changed != 0 {
		t.Errorf("a forced run would change %d on the host that is due and %d on the other, want some and none",
			forced["server-0"].Changed, forced["server-1"].Changed)
	}
	b.must(t, "rm -r /var/lib/nova/compute_id /var/lib/openstack/reboot_required")
}

// tunes: a profile is installed for, made active and kept.
func (b *bench) tunes(t *testing.T) {
	profile := `{"edpm_tuned_profile": "virtual-host"}`
	b.run(t, "bootstrap", "--extra-vars", profile)
	b.unchanged(t, "bootstrap", "--extra-vars", profile)
	if out, err := b.ssh(t, "sudo tuned-adm active"); err != nil || !strings.Contains(out, "virtual-host") {
		t.Errorf("tuned-adm active says %q (%v), want virtual-host", out, err)
	}
	b.refuses(t, badInput{"bootstrap", `{"edpm_tuned_profile": "no-such"}`, "edpm_tuned_profile 'no-such' is not on the node"})
}

// opensPorts: a service opens its ports in the firewall, and configure-os leaves them open.
func (b *bench) opensPorts(t *testing.T) {
	role := `[{"hosts": "all", "become": true, "gather_facts": false, "tasks": [{"name": "Open", "osp.edpm.edpm_nftables": {"service": "demo",
		"rules": [{"rule_name": "118 tunnels", "rule": {"proto": "udp", "dport": [4789, 6081]}}]}}]}]`
	b.write(t, "open.yml", []byte(role))
	for i, want := range []int{1, 0} {
		for host, totals := range b.run(t, "open.yml").Hosts {
			if totals.Changed != want {
				t.Errorf("%s: run %d changed %d, want %d", host, i+1, totals.Changed, want)
			}
		}
	}
	b.unchanged(t, "configure_os")
	if out, err := b.ssh(t, "sudo nft list table inet edpm"); err != nil || !strings.Contains(out, "udp dport { 4789, 6081 } accept") {
		t.Errorf("the port is not open: %v\n%s", err, out)
	}
}

// must runs a command as root on the first host.
func (b *bench) must(t *testing.T, command string) {
	t.Helper()
	if out, err := b.ssh(t, "sudo sh -c '"+command+"'"); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}
