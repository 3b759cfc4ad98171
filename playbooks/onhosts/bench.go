package onhosts

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
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

// Main is a group's TestMain. It runs the tests in namespaces of their own, once hosts of the group's profile, Ansible and
// what also, unless it is nil, prepares are there.
func Main(m *testing.M, g Group, also func(context.Context) error) {
	rack.Isolate(context.Background(), func(ctx context.Context) error {
		if err := rack.Prepare(ctx, rack.Config{Profile: g.Profile}); err != nil {
			return err
		}
		if also != nil {
			if err := also(ctx); err != nil {
				return err
			}
		}
		out, err := exec.CommandContext(ctx, "../../../hack/ansible/venv.sh").Output()
		if err != nil {
			return fmt.Errorf("hack/ansible/venv.sh: %w", err)
		}
		return os.Setenv(environmentVariable, strings.TrimSpace(string(out)))
	})
	os.Exit(m.Run())
}

// Event is one line of what the callback osp.edpm.rackplane writes.
type Event struct {
	Event   string
	Result  string
	Message string `json:"msg"`
	Notice  string
	Hosts   map[string]Totals
}

// Totals are a run's results on one host, counted.
type Totals struct{ OK, Changed, Failures, Unreachable, Skipped int }

// Bench is a rack of two running hosts and a folder to run playbooks from.
type Bench struct {
	Rack *rack.Rack
	Vars map[string]any // of all hosts

	ansible *ansible
	dir     string
	done    map[string]bool // services that ended well, and suites whose inputs are there
}

func newBench(t *testing.T, profile string) *Bench {
	t.Helper()
	b := &Bench{dir: t.TempDir(), Vars: map[string]any{}, done: map[string]bool{}}
	public := b.key(t)
	r, err := rack.Start(t.Context(), rack.Config{
		Dir:            t.TempDir(),
		Hosts:          rack.DefaultHosts(2),
		Profile:        profile,
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
	b.Rack = r
	if err := playbooks.Extract(b.Path("playbooks")); err != nil {
		t.Fatal(err)
	}
	b.ansible = b.loadAnsible(t)
	for _, h := range r.Hosts {
		waitForPort(t, net.JoinHostPort(h.Address.String(), "22"))
	}
	return b
}

// Path returns where a file of the bench is.
func (b *Bench) Path(name string) string { return filepath.Join(b.dir, name) }

// Write writes a file of the bench.
func (b *Bench) Write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(b.Path(name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// key makes the key that logs in, and returns its public half.
func (b *Bench) key(t *testing.T) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "test")
	if err != nil {
		t.Fatal(err)
	}
	b.Write(t, "key", pem.EncodeToMemory(block))
	authorized, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(ssh.MarshalAuthorizedKey(authorized))
}

// inventory writes what the engine would: variables under the names RHOSO uses.
func (b *Bench) inventory(t *testing.T) {
	t.Helper()
	hosts, known := map[string]any{}, []map[string]any{}
	var lines bytes.Buffer
	for i, h := range b.Rack.Hosts {
		address := h.Address.String()
		fmt.Fprintf(&lines, "%s %s\n", address, h.HostKey)
		known = append(known, map[string]any{"names": []string{h.Name, address}, "key": h.HostKey})
		hosts[h.Name] = map[string]any{
			"ansible_host": address, "ctlplane_ip": address, "canonical_hostname": h.Name + ".ctlplane.example.com",
			"edpm_network_config_hash": fmt.Sprintf("hash-%d", i),
			"networks_lower":           map[string]string{"internalapi": "internalapi"},
			"ctlplane_cidr":            24, "ctlplane_mtu": 1500, "ctlplane_gateway_ip": rack.Gateway,
			"internalapi_ip": fmt.Sprintf("172.17.0.%d", 21+i), "internalapi_cidr": 24, "internalapi_mtu": 1450,
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
	b.Write(t, "known_hosts", lines.Bytes())
	vars := map[string]any{
		"ansible_user": "cloud-admin", "ansible_ssh_private_key_file": b.Path("key"),
		"edpm_service_data_dir": b.Path("data"), "edpm_known_hosts": known,
		"edpm_bootstrap_repos": []any{map[string]any{"name": "rack", "url": b.Rack.RepoURL, "suites": []string{"./"}, "trusted": true}},
	}
	maps.Copy(vars, b.Vars)
	text, err := json.Marshal(map[string]any{"rack": map[string]any{"hosts": hosts, "vars": vars}})
	if err != nil {
		t.Fatal(err)
	}
	b.Write(t, "inventory.yaml", text)
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

// Run runs a service (or several, separated by spaces, or a playbook of the Bench's folder) on all hosts, and fails the test when it does not end well on each. It returns the totals.
func (b *Bench) Run(t *testing.T, service string, args ...string) Event {
	t.Helper()
	began := time.Now()
	events, err := b.Play(t, service, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", service, strings.Join(args, " "), err, b.Output(t))
	}
	last := events[len(events)-1]
	if last.Event != "stats" || len(last.Hosts) == 0 {
		t.Fatalf("%s: the last event is %+v, want the totals of the hosts", service, last)
	}
	t.Logf("%s %s: %d tasks a host, %.1f s, changed %d", service, strings.Join(args, " "),
		last.Hosts["server-0"].OK+last.Hosts["server-0"].Skipped, time.Since(began).Seconds(), last.Hosts["server-0"].Changed)
	return last
}

// Data lays down what the Secrets and ConfigMaps of a service hold, by key.
func (b *Bench) Data(t *testing.T, service string, keys map[string]string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(b.Path("data"), service), 0o700); err != nil {
		t.Fatal(err)
	}
	for key, text := range keys {
		b.Write(t, filepath.Join("data", service, key), []byte(text))
	}
}

// Unchanged runs services, which may not change anything on any host.
func (b *Bench) Unchanged(t *testing.T, service string, args ...string) {
	t.Helper()
	for host, totals := range b.Run(t, service, args...).Hosts {
		if totals.Changed != 0 {
			t.Errorf("%s %v: changed %d on %s, which was as wanted\n%s", service, args, totals.Changed, host, b.Output(t))
		}
	}
}

// Play runs a service and returns its events, and ansible-playbook's error.
func (b *Bench) Play(t *testing.T, service string, args ...string) ([]Event, error) {
	t.Helper()
	_ = os.Remove(b.Path("events"))
	words := []string{"--inventory", "inventory.yaml"}
	for name := range strings.FieldsSeq(service) {
		if !strings.HasSuffix(name, ".yml") {
			name = "osp.edpm." + name
		}
		words = append(words, name)
	}
	runErr := b.ansible.run(t, append(words, args...))
	text, err := os.ReadFile(b.Path("events"))
	if err != nil {
		t.Fatalf("%s wrote no events: %v\n%s", service, err, b.Output(t))
	}
	var events []Event
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var e Event
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

// Output returns what the last run printed.
func (b *Bench) Output(t *testing.T) []byte {
	t.Helper()
	out, err := os.ReadFile(b.Path("output"))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (b *Bench) sshOptions() []string {
	return []string{
		"-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile=" + b.Path("known_hosts"),
	}
}

// SSH runs a command on the first host as the user the services log in with.
func (b *Bench) SSH(t *testing.T, command string) (string, error) {
	t.Helper()
	return b.SSHTo(t, b.Rack.Hosts[0], command)
}

// SSHTo runs a command on a host as the user the services log in with.
func (b *Bench) SSHTo(t *testing.T, h *rack.Host, command string) (string, error) {
	t.Helper()
	args := append(b.sshOptions(), "-o", "ControlPath=none", "-n", "-i", b.Path("key"), "cloud-admin@"+h.Address.String(), command)
	out, err := exec.CommandContext(t.Context(), "ssh", args...).CombinedOutput()
	return string(out), err
}

// Must runs a command as root on the first host.
func (b *Bench) Must(t *testing.T, command string) {
	t.Helper()
	if out, err := b.SSH(t, "sudo sh -c '"+command+"'"); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}
