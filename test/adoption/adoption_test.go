package adoption_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/remote"
	prober "github.com/rackplane/rackplane/remote/ssh"
	"github.com/rackplane/rackplane/test/login"
	"github.com/rackplane/rackplane/test/rack"
)

// binaryVariable carries the path of the built binary into the rack's namespaces.
const binaryVariable = "RACKPLANE_TEST_BINARY"

func TestMain(m *testing.M) {
	rack.Isolate(context.Background(), prepare)
	code := m.Run()
	_ = os.RemoveAll(filepath.Dir(os.Getenv(binaryVariable)))
	os.Exit(code)
}

func prepare(ctx context.Context) error {
	if err := rack.Prepare(ctx, rack.Config{Profile: "compute"}); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "rackplane-adoption-")
	if err != nil {
		return err
	}
	binary := filepath.Join(dir, "rackplane")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "../../cmd/rackplane").CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("build rackplane: %w: %s", err, out), os.RemoveAll(dir))
	}
	return os.Setenv(binaryVariable, binary)
}

// bench is a rack of two running servers: a clean one, and one that is not.
type bench struct {
	*testing.T
	rack         *rack.Rack
	signer       ssh.Signer
	private      []byte
	clean, unfit *rack.Host
	dir          string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, signer: signer, private: pem.EncodeToMemory(block), dir: t.TempDir()}
	b.rack, err = rack.Start(t.Context(), rack.Config{
		Dir: t.TempDir(), Hosts: rack.DefaultHosts(2), Profile: "compute",
		PreProvisioned: &rack.PreProvisioned{AuthorizedKey: string(ssh.MarshalAuthorizedKey(signer.PublicKey()))},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.rack.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	b.clean, b.unfit = b.rack.Hosts[0], b.rack.Hosts[1]
	for _, h := range b.rack.Hosts {
		b.onHost(h, "systemctl is-system-running --wait || systemctl --failed --no-legend; cloud-init status --wait")
	}
	return b
}

// onHost runs a command as root; the first one waits for the host to boot.
func (b *bench) onHost(h *rack.Host, command string) string {
	b.Helper()
	out, err := b.remote(h, "sudo sh -euc '"+strings.ReplaceAll(command, "'", `'\''`)+"'")
	if err != nil {
		b.Fatalf("%s on %s: %v\n%s", command, h.Name, err, out)
	}
	return out
}

func (b *bench) remote(h *rack.Host, command string) (string, error) {
	b.Helper()
	host := login.Login{Address: h.Address.String(), Key: b.signer, HostKey: h.HostKey}
	return host.FeedWithin(b.Context(), 2*time.Minute, nil, command)
}

// manifest is what a user writes to adopt both servers. The rack's web server stands in for Keystone and for OVN's
// southbound database: all that is asked of them is a connection.
const manifest = `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: NetConfig
metadata: {name: site, namespace: lab}
spec:
  networks:
    - name: ctlplane
      dnsDomain: ctlplane.example.com
      subnets: [{name: r7, cidr: 192.168.122.0/24, gateway: 192.168.122.1, allocationRanges: [{start: 192.168.122.201, end: 192.168.122.210}]}]
---
apiVersion: v1
kind: Secret
metadata: {name: r7-ssh, namespace: lab}
data: {ssh-privatekey: %s}
---
apiVersion: v1
kind: Secret
metadata: {name: clouds, namespace: lab}
stringData: {clouds.yaml: "clouds: {default: {auth: {auth_url: 'http://192.168.122.1:80/v3', username: x, password: not-shown, user_domain_name: x, project_name: x, project_domain_name: x}}}"}
---
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: NodeSet
metadata: {name: running, namespace: lab}
spec:
  preProvisioned: true
  nodes:
    server-0: {ansible: {ansibleHost: %s}, sshHostKeys: ["%s"]}
    server-1: {ansible: {ansibleHost: %s}, sshHostKeys: ["%s"]}
  nodeTemplate:
    ansibleSSHPrivateKeySecret: r7-ssh
    ansible:
      ansibleVars:
        edpm_bootstrap_repos: [{name: rack, url: "%s", suites: ["./"], trusted: true}]
        edpm_ovn_bridge_mappings: ["datacentre:br-ex"]
        edpm_nova_allow_qemu: true
    networks: [{name: ctlplane, subnetName: r7, defaultRoute: true}]
    networkConfig: {ethernets: [{name: eth0, networks: [ctlplane]}]}
  services: [bootstrap, configure-network, install-os, configure-os, ovn, libvirt, nova]
  openstack: {cloudsSecret: clouds, southbound: {endpoints: ["tcp:192.168.122.1:80"]}}
  adoption: {minFreeGiB: 1, accept: [%s]}
`

// check runs rackplane plan --check, and returns its output and exit code.
func (b *bench) check(accept string, args ...string) (string, int) {
	b.Helper()
	text := fmt.Sprintf(manifest, base64.StdEncoding.EncodeToString(b.private), b.clean.Address, b.clean.HostKey,
		b.unfit.Address, b.unfit.HostKey, b.rack.RepoURL, accept)
	cmd := exec.CommandContext(b.Context(), os.Getenv(binaryVariable), append([]string{"plan", "-f", "-", "-f", "../../config/services", "--check"}, args...)...)
	cmd.Stdin = strings.NewReader(text)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.Fatal(err)
	}
	if text = string(out) + complaint.String(); strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, "not-shown") {
		b.Error("a secret is printed")
	}
	return text, cmd.ProcessState.ExitCode()
}

// refusals are the findings that hold each node back, from -o json.
func (b *bench) refusals(accept string) map[string][]string {
	b.Helper()
	out, _ := b.check(accept, "-o", "json")
	var plan struct {
		NodeSets []struct {
			Nodes []struct {
				Name  string
				Check struct {
					Result   string
					Error    string
					Findings []adoption.Finding
				}
			}
		}
	}
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&plan); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	found := map[string][]string{}
	for _, n := range plan.NodeSets[0].Nodes {
		found[n.Name] = []string{n.Check.Result}
		for _, f := range adoption.Refused(n.Check.Findings) {
			found[n.Name] = append(found[n.Name], string(f.Name))
		}
		found[n.Name] = slices.Compact(found[n.Name])
	}
	return found
}

// fingerprint is everything on the host's disk but its logs: name, kind, rights, owner, size, and when content and
// inode last changed. Whatever writes, makes or removes a file changes it. Services that end by themselves when nobody
// asks them anything (D-Bus activated, user sessions) are no part of it.
const fingerprint = `find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log -o -path /var/tmp \) -prune -o -printf "%p %y %m %u:%g %s %T@ %C@\n" | sort; systemctl list-units --all --plain --no-legend --type=service --state=active | cut -d " " -f 1 | grep -v -e user@ -e user-runtime-dir@ -e NetworkManager-dispatcher -e systemd-hostnamed -e systemd-localed -e systemd-timedated; ls /run | sort`

// spoil makes of a server what another cloud leaves: its name, its units, its Open vSwitch, a full disk.
const spoil = `
hostname node17
printf "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n" >/etc/systemd/system/tripleo_nova_compute.service
systemctl enable --now tripleo_nova_compute
systemctl start openvswitch-switch
ovs-vsctl --no-wait set open . external_ids:system-id=old-chassis external_ids:ovn-remote=tcp:198.51.100.1:6642 external_ids:ovn-encap-ip=192.168.122.202
ovs-vsctl --no-wait add-br br-int -- set bridge br-int datapath_type=netdev -- set-controller br-int tcp:127.0.0.1:6633
ovs-vsctl --no-wait set-manager tcp:198.51.100.3:6640
mkdir -p /var/lib/containers/storage/overlay-containers
echo "[{\"id\": \"0123456789ab\", \"names\": [\"ovn_controller\"]}]" >/var/lib/containers/storage/overlay-containers/containers.json
fallocate -l $(( $(df --output=avail -B1 / | tail -n 1) - (500 << 20) )) /srv/filler
`

func TestAdoption(t *testing.T) {
	b := newBench(t)
	b.onHost(b.unfit, spoil)
	t.Run("found and wanted", func(t *testing.T) { b.foundAndWanted(t) })
	t.Run("no trace", func(t *testing.T) { b.noTrace(t) })
	t.Run("running virtual machine", func(t *testing.T) { b.runningVM(t) })
	t.Run("clock", func(t *testing.T) { b.clock(t) })
	t.Run("no way to root", func(t *testing.T) { b.noWayToRoot(t) })
	t.Run("ours", func(t *testing.T) { b.ours(t) })
}

func (b *bench) foundAndWanted(t *testing.T) {
	t.Helper()
	out, code := b.check("", "--summary")
	t.Log("\n" + out)
	for _, words := range []string{
		"1 of 2 nodes can be adopted", "server-0 (cloud-admin@192.168.122.201): adoptable", "server-1 (cloud-admin@192.168.122.202): refused",
		"a host that calls itself node17", "server-1.ctlplane.example.com", "0.5 GiB free on /", "tripleo_nova_compute of TripleO",
		"a manager tcp:198.51.100.3:6640", "bridge br-int driven by", "chassis old-chassis of", "rackplane: 1 of 2 nodes cannot be adopted",
	} {
		if !strings.Contains(out, words) {
			t.Errorf("no %q in the output", words)
		}
	}
	if code != 1 {
		t.Errorf("exit code %d, want 1 for a refusal", code)
	}
	want := map[string][]string{
		"server-0": {"adoptable"},
		"server-1": {"refused", "Identity", "Disk", "Services", "OpenVSwitch", "OVN"},
	}
	if diff := cmp.Diff(want, b.refusals("")); diff != "" {
		t.Errorf("refusals (-want +got):\n%s", diff)
	}
	if out, code = b.check("Identity, Disk, Services, OpenVSwitch, OVN", "--summary"); code != 2 || !strings.Contains(out, "2 of 2 nodes can be adopted") {
		t.Errorf("exit code %d with all accepted, want 2:\n%s", code, out)
	}
}

// noTrace compares everything on both hosts' disks, what runs, and what is in /run, before and after a look.
func (b *bench) noTrace(t *testing.T) {
	t.Helper()
	for _, h := range []*rack.Host{b.clean, b.unfit} {
		before := b.onHost(h, fingerprint)
		if strings.Count(before, "\n") < 10000 {
			t.Fatalf("a fingerprint of %d lines sees nothing", strings.Count(before, "\n"))
		}
		b.refusals("")
		after := b.onHost(h, fingerprint)
		if before != after {
			t.Errorf("a look changed %s:\n%s", h.Name, cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")))
		}
	}
}

// runningVM puts something that looks like a virtual machine on the clean server: it alone refuses nothing, a change under it does.
func (b *bench) runningVM(t *testing.T) {
	t.Helper()
	b.onHost(b.clean, `systemd-run --quiet --unit=guest bash -c "exec -a /usr/bin/qemu-system-x86_64 python3 -c \"import time; time.sleep(3600)\" -name guest=instance-00000001,debug-threads=on -uuid 5de6fa46-5aaa-469a-be5a-49cbdd8480a9"`)
	defer b.onHost(b.clean, "systemctl stop guest")
	facts := b.examine(t)
	if diff := cmp.Diff([]adoption.Guest{{Name: "instance-00000001", UUID: "5de6fa46-5aaa-469a-be5a-49cbdd8480a9"}}, facts.Guests); diff != "" {
		t.Fatalf("guests (-want +got):\n%s", diff)
	}
	wanted := adoption.Wanted{HostName: "server-0", MinFreeGiB: 1, Now: time.Now(), Services: []string{"configure-network"}, Addresses: []string{b.clean.Address.String()}}
	if refused := adoption.Refused(adoption.Decide(facts, wanted, nil)); len(refused) > 0 {
		t.Errorf("refused: %s", adoption.Message(refused))
	}
	wanted.Addresses = append(wanted.Addresses, "172.17.0.10")
	if got := adoption.Message(adoption.Refused(adoption.Decide(facts, wanted, nil))); !strings.HasPrefix(got, "RunningVMs: found 1 running virtual machine (instance-00000001) on a network that configure-network would change") {
		t.Errorf("refused %q", got)
	}
}

func (b *bench) target() remote.Target {
	return remote.Target{Address: b.clean.Address.String(), User: "cloud-admin", PrivateKey: b.private, HostKeys: []string{b.clean.HostKey}}
}

func (b *bench) examine(t *testing.T) adoption.Facts {
	t.Helper()
	facts, err := prober.Examiner{}.Examine(t.Context(), b.target(), adoption.Question{Connect: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	if len(facts.Unread) > 0 {
		t.Errorf("not looked at: %v", facts.Unread)
	}
	return facts
}

// clock turns the engine's clock: hosts of the rack have none of their own.
func (b *bench) clock(t *testing.T) {
	t.Helper()
	facts := b.examine(t)
	for skew, want := range map[time.Duration]string{
		0: "", 20 * time.Second: "", -time.Hour: "Time: found a clock about 60 min ahead", 72 * time.Hour: "Time: found a clock about 3 days behind",
	} {
		wanted := adoption.Wanted{HostName: "server-0", MinFreeGiB: 1, Now: time.Now().Add(skew)}
		if got := adoption.Message(adoption.Refused(adoption.Decide(facts, wanted, nil))); !strings.HasPrefix(got, want) || (want == "" && got != "") {
			t.Errorf("with the engine %s off: refused %q, want %q", skew, got, want)
		}
	}
}

func (b *bench) noWayToRoot(t *testing.T) {
	t.Helper()
	b.onHost(b.clean, "useradd --create-home --shell /bin/bash plain; cp -r /home/cloud-admin/.ssh /home/plain/; chown -R plain /home/plain/.ssh")
	target := b.target()
	target.User = "plain"
	_, err := prober.Examiner{}.Examine(t.Context(), target, adoption.Question{})
	if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "does not let plain become root") {
		t.Errorf("%v", err)
	}
}

// ours: what bootstrap writes first makes the server one that is not judged again, under that name alone.
func (b *bench) ours(t *testing.T) {
	t.Helper()
	b.onHost(b.clean, `printf "# BEGIN osp.edpm\n127.0.0.1 localhost\n192.168.122.201 server-0.elsewhere.example.com server-0\n# END osp.edpm\n" >>/etc/hosts`)
	if got := b.refusals("")["server-0"]; got[0] == "configured" {
		t.Errorf("with the record of another site: %v", got)
	}
	b.onHost(b.clean, "sed -i s/server-0.elsewhere/server-0.ctlplane/ /etc/hosts")
	if got := b.refusals("")["server-0"]; !slices.Equal(got, []string{"configured"}) {
		t.Errorf("with our record: %v", got)
	}
}
