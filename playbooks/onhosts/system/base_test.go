package system_test

import (
	"github.com/rackplane/rackplane/playbooks/onhosts"
	"github.com/rackplane/rackplane/test/rack"
)

// baseSuite proves the services that make a host a node of its rack.
func baseSuite() onhosts.Suite {
	return onhosts.Suite{
		Name: "base",
		Services: []onhosts.Service{
			{Name: "download_cache", Tasks: 6},
			{Name: "bootstrap", Tasks: 11},
			{Name: "configure_network", Tasks: 2},
			{Name: "validate_network", Tasks: 3, Looks: true},
			{Name: "install_os", Tasks: 4},
			{Name: "configure_os", Tasks: 6},
			{Name: "ssh_known_hosts", Tasks: 3},
			{Name: "run_os", Tasks: 3, Looks: true},
			{Name: "reboot_os", Tasks: 4, Looks: true},
		},
		Vars: baseVars(),
		Drift: map[string]string{
			"bootstrap":         "sysctl -qw net.ipv4.ip_forward=0; sed -i /osp.edpm/,/osp.edpm/d /etc/hosts; systemctl stop NetworkManager",
			"configure_network": "ip address del 172.17.0.21/24 dev eth1; ip link set eth1 mtu 1400",
			"install_os":        "DEBIAN_FRONTEND=noninteractive dpkg --purge chrony; systemctl disable -q --now rsyslog",
			"configure_os":      "nft delete table inet edpm; echo PermitRootLogin yes >/etc/ssh/sshd_config.d/10-edpm.conf; ln -sf /usr/share/zoneinfo/Japan /etc/localtime",
			"ssh_known_hosts":   "rm /etc/ssh/ssh_known_hosts",
			"download_cache":    "DEBIAN_FRONTEND=noninteractive dpkg --purge chrony; apt-get clean",
			"run_os":            "nft delete table inet edpm; systemctl disable -q ssh",
			"reboot_os":         "mkdir -p /var/lib/openstack/reboot_required; echo a test wants it >/var/lib/openstack/reboot_required/test",
		},
		Effects: map[string]string{
			"net.ipv4.ip_forward is on":           `test "$(cat /proc/sys/net/ipv4/ip_forward)" = 1`,
			"the host knows its own name":         `getent hosts server-0.ctlplane.example.com`,
			"eth1 has its address":                `ip -4 address show dev eth1 | grep -q 172.17.0.21/24`,
			"cloud-init's profile is gone":        `! ls /etc/NetworkManager/system-connections/cloud-init-*`,
			"the network's hash is there for all": `test "$(cat /var/lib/rackplane/network-hash)" = hash-0`,
			"chrony has its server":               `grep -q '^server 192.168.122.1 iburst' /etc/chrony/chrony.conf`,
			"the firewall is loaded":              `sudo nft list table inet edpm | grep -q 'policy drop'`,
			"passwords are refused":               `sudo sshd -T | grep -qx 'passwordauthentication no'`,
			"the time zone is set":                `test "$(date +%Z)" = CET -o "$(date +%Z)" = CEST`,
			"the other host's key is known":       `ssh-keygen -F 192.168.122.202 -f /etc/ssh/ssh_known_hosts`,
			"no unit has failed":                  `test -z "$(systemctl --failed --no-legend)"`,
		},
		BadInput: []onhosts.BadInput{
			onhosts.Bad("bootstrap", `{"edpm_bootstrap_repos": [{"name": "x", "url": "mirror", "suites": ["./"]}]}`, "edpm_bootstrap_repos[0].url"),
			onhosts.Bad("bootstrap", `{"edpm_bootstrap_packages": ["no-such-package"]}`, "cannot install no-such-package"),
			onhosts.Bad("configure_network", `{"edpm_network_config_nmstate": {"interfaces": [{"name": "br-ex", "type": "ovs-bridge"}]}}`, "interfaces[br-ex]: type ovs-bridge"),
			onhosts.Bad("configure_network", `{"edpm_network_config_nmstate": {"interfaces": [{"name": "eth0", "ipv4": {"enabled": true, "address": [{"ip": "192.168.122.99", "prefix-length": 24}]}}]}}`, "takes 192.168.122.201 off eth0"),
			onhosts.Bad("configure_network", `{"edpm_network_config_nmstate": {"interfaces": [{"name": "eth7", "ipv4": {"enabled": true, "dhcp": true}}]}}`, "interfaces[eth7]"),
			onhosts.Bad("validate_network", `{"edpm_nodes_validation_ping_test_ips": ["192.168.122.77"], "edpm_nodes_validation_timeout": 1}`, "192.168.122.77 (test address) does not answer"),
			onhosts.Bad("validate_network", `{"ctlplane_mtu": 9000}`, "192.168.122.1 (gateway of ctlplane) answers, but not to packets of 9000 bytes"),
			onhosts.Bad("validate_network", `{"canonical_hostname": "elsewhere.example.com"}`, "elsewhere.example.com is not known on the node"),
			onhosts.Bad("validate_network", `{"edpm_nodes_validation_ping_test_ips": ["gateway"]}`, "'gateway' is no address"),
			onhosts.Bad("reboot_os", `{"edpm_reboot_strategy": "sometimes"}`, "edpm_reboot_strategy"),
			onhosts.Bad("bootstrap", `{"edpm_kernel_hugepages": {"1G": {"count": 2}}}`, "edpm_kernel_hugepages[1G]"),
			onhosts.Bad("configure_os", `{"edpm_sshd_allowed_ranges": ["10.0.0.0/8"]}`, "edpm_sshd_allowed_ranges"),
			onhosts.Bad("configure_os", `{"edpm_timezone": "Mars/Phobos"}`, "edpm_timezone"),
			onhosts.Bad("configure_os", `{"edpm_configure_os_sshd_options": {"NoSuchOption": "yes"}}`, "the old ones are back"),
			onhosts.Bad("ssh_known_hosts", `{"edpm_known_hosts": [{"names": ["n1"], "key": "nonsense"}]}`, "edpm_known_hosts[0].key"),
		},
	}
}

// baseVars are what a user gives for the services of this suite.
func baseVars() map[string]any {
	return map[string]any{
		"edpm_service_types":       []string{"download-cache", "bootstrap", "configure-network", "install-os", "configure-os", "run-os"},
		"timesync_ntp_servers":     []any{map[string]any{"hostname": rack.Gateway}},
		"edpm_timezone":            "Europe/Berlin",
		"edpm_sshd_allowed_ranges": []string{"192.168.122.0/24"},
		"edpm_nftables_user_rules": []any{map[string]any{"rule_name": "110 console", "rule": map[string]any{"proto": "tcp", "dport": "5900-6923"}}},
	}
}
