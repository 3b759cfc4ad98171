package onhosts_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rackplane/rackplane/playbooks"
	"github.com/rackplane/rackplane/test/rack"
)

// environmentVariable carries the path of the virtual environment into the rack's namespaces, where nothing can be installed.
const environmentVariable = "RACKPLANE_TEST_ANSIBLE"

func TestMain(m *testing.M) {
	ctx := context.Background()
	if !rack.Isolated() {
		if err := prepare(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	rack.Isolate(ctx)
	os.Exit(m.Run())
}

func prepare(ctx context.Context) error {
	if err := rack.Prepare(ctx, rack.Config{}); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "../../hack/ansible/venv.sh").Output()
	if err != nil {
		return fmt.Errorf("hack/ansible/venv.sh: %w", err)
	}
	return os.Setenv(environmentVariable, strings.TrimSpace(string(out)))
}

// services in the order a node set runs them, with the most tasks each may take on a node: an executed task costs
// about 80 ms of the engine's CPU.
var services = []struct {
	name  string
	tasks int
}{
	{"bootstrap", 9}, {"configure_network", 2}, {"install_os", 4}, {"configure_os", 6}, {"ssh_known_hosts", 3},
}

// drift is done to a host behind the engine's back, and undone by the service it is of.
var drift = map[string]string{
	"bootstrap":         "sysctl -qw net.ipv4.ip_forward=0; sed -i /osp.edpm/,/osp.edpm/d /etc/hosts; systemctl stop NetworkManager",
	"configure_network": "ip address del 172.17.0.21/24 dev eth1; ip link set eth1 mtu 1400",
	"install_os":        "DEBIAN_FRONTEND=noninteractive dpkg --purge chrony; systemctl disable -q --now rsyslog",
	"configure_os":      "nft delete table inet edpm; echo PermitRootLogin yes >/etc/ssh/sshd_config.d/10-edpm.conf; ln -sf /usr/share/zoneinfo/Japan /etc/localtime",
	"ssh_known_hosts":   "rm /etc/ssh/ssh_known_hosts",
}

// effects are what a person would look at on a host that has been configured.
var effects = map[string]string{
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
}

// badInput is refused: variables by service, and the words that must be in the message.
var badInput = []struct{ service, vars, message string }{
	{"bootstrap", `{"edpm_bootstrap_repos": [{"name": "x", "url": "mirror", "suites": ["./"]}]}`, "edpm_bootstrap_repos[0].url"},
	{"bootstrap", `{"edpm_bootstrap_packages": ["no-such-package"]}`, "cannot install no-such-package"},
	{"configure_network", `{"edpm_network_config_nmstate": {"interfaces": [{"name": "br-ex", "type": "ovs-bridge"}]}}`, "interfaces[br-ex]: type ovs-bridge"},
	{"configure_network", `{"edpm_network_config_nmstate": {"interfaces": [{"name": "eth0", "ipv4": {"enabled": true, "address": [{"ip": "192.168.122.99", "prefix-length": 24}]}}]}}`, "takes 192.168.122.201 off eth0"},
	{"configure_network", `{"edpm_network_config_nmstate": {"interfaces": [{"name": "eth7", "ipv4": {"enabled": true, "dhcp": true}}]}}`, "interfaces[eth7]"},
	{"configure_os", `{"edpm_sshd_allowed_ranges": ["10.0.0.0/8"]}`, "edpm_sshd_allowed_ranges"},
	{"configure_os", `{"edpm_timezone": "Mars/Phobos"}`, "edpm_timezone"},
	{"configure_os", `{"edpm_configure_os_sshd_options": {"NoSuchOption": "yes"}}`, "the old ones are back"},
	{"ssh_known_hosts", `{"edpm_known_hosts": [{"names": ["n1"], "key": "nonsense"}]}`, "edpm_known_hosts[0].key"},
}

func TestServices(t *testing.T) {
	b := newBench(t)
	for _, s := range services {
		if !t.Run(s.name, func(t *testing.T) {
			predicted := b.run(t, s.name, "--check", "--diff")
			done := b.run(t, s.name)
			for host, totals := range done.Hosts {
				// Predicting more is right: a package may start its unit itself, which leaves the unit's task nothing to do.
				if totals.Changed == 0 || totals.Changed > predicted.Hosts[host].Changed {
					t.Errorf("%s: the check run predicted %d changes, the run made %d; want some, and no more than predicted",
						host, predicted.Hosts[host].Changed, totals.Changed)
				}
				if tasks := totals.OK + totals.Skipped; tasks > s.tasks {
					t.Errorf("%s: %d tasks, want at most %d", host, tasks, s.tasks)
				}
			}
			b.unchanged(t, s.name, "--diff")
			b.unchanged(t, s.name, "--check", "--diff")
		}) {
			t.FailNow() // The later services build on this one.
		}
	}
	for name, command := range effects {
		if out, err := b.ssh(t, command); err != nil {
			t.Errorf("after all services, not so: %s: %v\n%s", name, err, out)
		}
	}
	t.Run("drift", func(t *testing.T) { b.repairsDrift(t) })
	t.Run("bad input", func(t *testing.T) { b.refusesBadInput(t) })
}

func (b *bench) repairsDrift(t *testing.T) {
	t.Helper()
	for _, s := range services {
		if out, err := b.ssh(t, "sudo sh -c '"+drift[s.name]+"'"); err != nil {
			t.Fatalf("%s: make drift: %v\n%s", s.name, err, out)
		}
		totals := b.run(t, s.name).Hosts
		if totals["server-0"].Changed == 0 || totals["server-1"].Changed != 0 {
			t.Errorf("%s: changed %d on the host with drift and %d on the other, want some and none",
				s.name, totals["server-0"].Changed, totals["server-1"].Changed)
		}
	}
	for _, s := range services {
		b.unchanged(t, s.name)
	}
}

func (b *bench) refusesBadInput(t *testing.T) {
	t.Helper()
	for _, bad := range badInput {
		events, err := b.play(t, bad.service, "--limit", "server-0", "--extra-vars", bad.vars)
		if err == nil {
			t.Errorf("%s accepted %s", bad.service, bad.vars)
		}
		message := ""
		for _, e := range events {
			if e.Result == "failed" {
				message = e.Message
			}
		}
		if !strings.Contains(message, bad.message) || strings.Contains(message, "\n") {
			t.Errorf("%s with %s says %q, want one line with %q", bad.service, bad.vars, message, bad.message)
		}
	}
	for _, s := range services {
		b.unchanged(t, s.name, "--check", "--limit", "server-0")
	}
}

// event is one line of what the callback osp.edpm.rackplane writes.
type event struct {
	Event   string
	Result  string
	Message string `json:"msg"`
	Hosts   map[string]totals
}

type totals struct{ OK, Changed, Failures, Unreachable, Skipped int }

// bench is a rack of two running hosts and a folder to run playbooks from.
type bench struct {
	rack *rack.Rack
	dir  string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir()}
	public := b.key(t)
	r, err := rack.Start(t.Context(), rack.Config{
		Dir:            t.TempDir(),
		Hosts:          rack.DefaultHosts(2),
		PreProvisioned: &rack.PreProvisioned{AuthorizedKey: public},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	b.rack = r
	if err := playbooks.Extract(b.path("playbooks")); err != nil {
		t.Fatal(err)
	}
	b.inventory(t)
	for _, h := range r.Hosts {
		waitForPort(t, net.JoinHostPort(h.Address.String(), "22"))
	}
	return b
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(b.path(name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// key makes the key that logs in, and returns its public half.
func (b *bench) key(t *testing.T) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "test")
	if err != nil {
		t.Fatal(err)
	}
	b.write(t, "key", pem.EncodeToMemory(block))
	authorized, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(ssh.MarshalAuthorizedKey(authorized))
}

// inventory writes what the engine would: variables under the names RHOSO uses.
func (b *bench) inventory(t *testing.T) {
	t.Helper()
	hosts, known := map[string]any{}, []map[string]any{}
	var lines bytes.Buffer
	for i, h := range b.rack.Hosts {
		address := h.Address.String()
		fmt.Fprintf(&lines, "%s %s\n", address, h.HostKey)
		known = append(known, map[string]any{"names": []string{h.Name, address}, "key": h.HostKey})
		hosts[h.Name] = map[string]any{
			"ansible_host": address, "ctlplane_ip": address, "canonical_hostname": h.Name + ".ctlplane.example.com",
			"edpm_network_config_hash": fmt.Sprintf("hash-%d", i),
			"edpm_network_config_nmstate": map[string]any{
				"interfaces": []any{
					ethernet("eth0", h.NICs[0].MAC, 1500, address),
					ethernet("eth1", h.NICs[1].MAC, 1450, fmt.Sprintf("172.17.0.%d", 21+i)),
				},
				"routes": map[string]any{"config": []any{map[string]any{
					"destination": "0.0.0.0/0", "next-hop-address": rack.Gateway, "next-hop-interface": "eth0",
				}}},
				"dns-resolver": map[string]any{"config": map[string]any{"server": []string{rack.Gateway}, "search": []string{"ctlplane.example.com"}}},
			},
		}
	}
	b.write(t, "known_hosts", lines.Bytes())
	text, err := json.Marshal(map[string]any{"rack": map[string]any{"hosts": hosts, "vars": map[string]any{
		"ansible_user": "cloud-admin", "ansible_ssh_private_key_file": b.path("key"),
		"edpm_bootstrap_repos":     []any{map[string]any{"name": "rack", "url": b.rack.RepoURL, "suites": []string{"./"}, "trusted": true}},
		"timesync_ntp_servers":     []any{map[string]any{"hostname": rack.Gateway}},
		"edpm_timezone":            "Europe/Berlin",
		"edpm_sshd_allowed_ranges": []string{"192.168.122.0/24"},
		"edpm_nftables_user_rules": []any{map[string]any{"rule_name": "110 console", "rule": map[string]any{"proto": "tcp", "dport": "5900-6923"}}},
		"edpm_known_hosts":         known,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	b.write(t, "inventory.yaml", text)
}

func ethernet(name, mac string, mtu int, address string) map[string]any {
	return map[string]any{
		"name": name, "type": "ethernet", "state": "up", "mac-address": mac, "mtu": mtu,
		"ipv4": map[string]any{"enabled": true, "dhcp": false, "address": []any{map[string]any{"ip": address, "prefix-length": 24}}},
		"ipv6": map[string]any{"enabled": false},
	}
}

func waitForPort(t *testing.T, address string) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v", address, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// run runs a service on all hosts, and fails the test when it does not end well on each. It returns the totals.
func (b *bench) run(t *testing.T, service string, args ...string) event {
	t.Helper()
	began := time.Now()
	events, err := b.play(t, service, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", service, strings.Join(args, " "), err, b.output(t))
	}
	last := events[len(events)-1]
	if last.Event != "stats" || len(last.Hosts) == 0 {
		t.Fatalf("%s: the last event is %+v, want the totals of the hosts", service, last)
	}
	t.Logf("%s %s: %d tasks a host, %.1f s, changed %d", service, strings.Join(args, " "),
		last.Hosts["server-0"].OK+last.Hosts["server-0"].Skipped, time.Since(began).Seconds(), last.Hosts["server-0"].Changed)
	return last
}

func (b *bench) unchanged(t *testing.T, service string, args ...string) {
	t.Helper()
	for host, totals := range b.run(t, service, args...).Hosts {
		if totals.Changed != 0 {
			t.Errorf("%s %v: changed %d on %s, which was as wanted\n%s", service, args, totals.Changed, host, b.output(t))
		}
	}
}

// play runs a service and returns its events, and ansible-playbook's error.
func (b *bench) play(t *testing.T, service string, args ...string) ([]event, error) {
	t.Helper()
	_ = os.Remove(b.path("events"))
	args = append([]string{"--inventory", "inventory.yaml", "osp.edpm." + service}, args...)
	cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv(environmentVariable), "bin", "ansible-playbook"), args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(),
		"ANSIBLE_COLLECTIONS_PATH="+b.path("playbooks"), "ANSIBLE_HOME="+b.path(".ansible"), "ANSIBLE_PIPELINING=True",
		"ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3", "ANSIBLE_NOCOLOR=True", "ANSIBLE_SSH_ARGS="+strings.Join(b.sshOptions(), " "),
		"ANSIBLE_CALLBACKS_ENABLED=osp.edpm.rackplane", "RACKPLANE_EVENTS="+b.path("events"))
	out, runErr := cmd.CombinedOutput()
	b.write(t, "output", out)
	text, err := os.ReadFile(b.path("events"))
	if err != nil {
		t.Fatalf("%s wrote no events: %v\n%s", service, err, out)
	}
	var events []event
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s wrote %q: %v", service, lines.Text(), err)
		}
		events = append(events, e)
	}
	if len(events) == 0 || events[0].Event != "start" {
		t.Fatalf("%s wrote events %+v, want start first", service, events)
	}
	return events, runErr
}

func (b *bench) output(t *testing.T) []byte {
	t.Helper()
	out, err := os.ReadFile(b.path("output"))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (b *bench) sshOptions() []string {
	return []string{
		"-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile=" + b.path("known_hosts"),
	}
}

// ssh runs a command on the first host as the user the services log in with.
func (b *bench) ssh(t *testing.T, command string) (string, error) {
	t.Helper()
	args := append(b.sshOptions(), "-o", "ControlPath=none", "-n", "-i", b.path("key"), "cloud-admin@"+b.rack.Hosts[0].Address.String(), command)
	out, err := exec.CommandContext(t.Context(), "ssh", args...).CombinedOutput()
	return string(out), err
}
