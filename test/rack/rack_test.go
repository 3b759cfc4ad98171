package rack_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/noauth"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"golang.org/x/crypto/ssh"

	"github.com/rackplane/rackplane/test/login"
	"github.com/rackplane/rackplane/test/rack"
)

func TestMain(m *testing.M) {
	ctx := context.Background()
	if os.Getenv(holdVariable) != "" {
		rack.Isolate(ctx, nil)
		hold(ctx)
	}
	rack.Isolate(ctx, func(ctx context.Context) error {
		return errors.Join(rack.Prepare(ctx, rack.Config{}), rack.Prepare(ctx, rack.Config{Profile: "compute"}))
	})
	os.Exit(m.Run())
}

// testLog sends a rack's log to the test's.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func startRack(t *testing.T, cfg rack.Config) *rack.Rack {
	t.Helper()
	began := time.Now()
	cfg.Dir = t.TempDir()
	cfg.Log = slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	r, err := rack.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			showLog(t, cfg.Dir+"/log/ironic.log")
			showLog(t, cfg.Dir+"/log/sushy-tools.log")
		}
		if err := r.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Logf("rack started in %.1fs", time.Since(began).Seconds())
	return r
}

// showLog prints the end of a log file.
func showLog(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		t.Logf("%s:\n%s", file, text[max(0, len(text)-6000):])
	}
}

// journey drives one host through Ironic, as an engine would, and times each step.
type journey struct {
	t      *testing.T
	client *gophercloud.ServiceClient
	rack   *rack.Rack
	host   *rack.Host
	node   string
	last   time.Time
}

func newJourney(t *testing.T, r *rack.Rack, host *rack.Host) *journey {
	t.Helper()
	client, err := noauth.NewBareMetalNoAuth(noauth.EndpointOpts{IronicEndpoint: r.IronicURL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	client.Microversion = "1.89"
	return &journey{t: t, client: client, rack: r, host: host, last: time.Now()}
}

// lap logs how long a step took.
func (j *journey) lap(step string) {
	now := time.Now()
	j.t.Logf("%s: %s in %.1fs", j.host.Name, step, now.Sub(j.last).Seconds())
	j.last = now
}

func (j *journey) enroll(ctx context.Context) error {
	address, system, _ := strings.Cut(strings.TrimPrefix(j.host.BMCAddress, "redfish-virtualmedia+"), "/redfish/")
	node, err := nodes.Create(ctx, j.client, nodes.CreateOpts{
		Name:   j.host.Name,
		Driver: "redfish",
		DriverInfo: map[string]any{
			"redfish_address":   address,
			"redfish_system_id": "/redfish/" + system,
			"redfish_username":  j.host.BMCUsername,
			"redfish_password":  j.host.BMCPassword,
		},
		InspectInterface: "agent",
	}).Extract()
	if err != nil {
		return fmt.Errorf("create node: %w", err)
	}
	j.node = node.UUID
	return nil
}

// provision orders a transition and waits until the node has arrived.
func (j *journey) provision(ctx context.Context, opts nodes.ProvisionStateOpts, arrived nodes.ProvisionState) error {
	if err := nodes.ChangeProvisionState(ctx, j.client, j.node, opts).ExtractErr(); err != nil {
		return fmt.Errorf("order %s: %w", opts.Target, err)
	}
	limit, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	for {
		node, err := nodes.Get(limit, j.client, j.node).Extract()
		if err != nil {
			return fmt.Errorf("watch %s: %w", opts.Target, err)
		}
		state := nodes.ProvisionState(node.ProvisionState)
		switch {
		case state == arrived && node.TargetProvisionState == "":
			j.lap(string(opts.Target))
			return nil
		case strings.HasSuffix(node.ProvisionState, "failed") || node.TargetProvisionState == "" && node.LastError != "":
			return fmt.Errorf("%s ended in %q: %s", opts.Target, state, node.LastError)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// register takes a new node through management and inspection to "available".
func (j *journey) register(ctx context.Context) error {
	if err := j.enroll(ctx); err != nil {
		return err
	}
	for _, step := range []struct{ target, arrived string }{
		{"manage", "manageable"}, {"inspect", "manageable"}, {"provide", "available"},
	} {
		err := j.provision(ctx, nodes.ProvisionStateOpts{Target: nodes.TargetProvisionState(step.target)}, nodes.ProvisionState(step.arrived))
		if err != nil {
			return err
		}
	}
	return nil
}

// setImage names what to deploy.
func (j *journey) setImage(ctx context.Context, checksum string) error {
	_, err := nodes.Update(ctx, j.client, j.node, nodes.UpdateOpts{
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_info", Value: map[string]any{
			"image_source": j.rack.Image.URL, "image_os_hash_algo": "sha256", "image_os_hash_value": checksum,
			"image_disk_format": "qcow2",
		}},
	}).Extract()
	return err
}

// keys are the SSH keys of one deployment.
type keys struct {
	user       ssh.Signer
	host       string // public, in authorized_keys format
	hostSecret string
}

func newKeys(t *testing.T) keys {
	t.Helper()
	_, user, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(user)
	if err != nil {
		t.Fatal(err)
	}
	host, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(secret, "")
	if err != nil {
		t.Fatal(err)
	}
	return keys{user: signer, host: authorized(host), hostSecret: string(pem.EncodeToMemory(block))}
}

// authorized is a public key in authorized_keys format.
func authorized(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func configDrive(h *rack.Host, k keys, name, address string) nodes.ConfigDrive {
	return nodes.ConfigDrive{
		MetaData: map[string]any{"uuid": h.UUID, "hostname": name, "name": name},
		NetworkData: map[string]any{
			"links": []any{map[string]any{"id": "nic0", "type": "phy", "ethernet_mac_address": h.BootMAC, "mtu": 1450}},
			"networks": []any{map[string]any{
				"id": "ctlplane", "type": "ipv4", "link": "nic0", "ip_address": address, "netmask": "255.255.255.0",
				"routes": []any{},
			}},
			"services": []any{},
		},
		UserData: "#cloud-config\n" + strings.Join([]string{
			"hostname: " + name,
			"ssh_keys:",
			"  ed25519_private: |",
			"    " + strings.ReplaceAll(strings.TrimSpace(k.hostSecret), "\n", "\n    "),
			"  ed25519_public: " + k.host,
			"users:",
			"- name: cloud-admin",
			"  sudo: ALL=(ALL) NOPASSWD:ALL",
			"  shell: /bin/bash",
			"  ssh_authorized_keys: [" + authorized(k.user.PublicKey()) + "]",
		}, "\n") + "\n",
	}
}

// remote runs a command over SSH, accepting only the given host key, as soon as the host answers.
func remote(ctx context.Context, address, command string, k keys) (string, error) {
	host := login.Login{Address: address, Key: k.user, HostKey: k.host}
	return host.FeedWithin(ctx, time.Minute, nil, command)
}

// TestDeploy takes three hosts side by side from unknown to deployed and back.
func TestDeploy(t *testing.T) {
	ctx := t.Context()
	r := startRack(t, rack.Config{Hosts: rack.DefaultHosts(3)})
	var all sync.WaitGroup
	for i, host := range r.Hosts {
		all.Go(func() {
			if err := deployAndRelease(ctx, newJourney(t, r, host), i, newKeys(t)); err != nil {
				t.Errorf("%s: %v", host.Name, err)
			}
		})
	}
	all.Wait()
}

func deployAndRelease(ctx context.Context, j *journey, i int, k keys) error {
	if err := j.register(ctx); err != nil {
		return err
	}
	if err := j.checkInventory(ctx); err != nil {
		return err
	}
	if err := j.setImage(ctx, j.rack.Image.Checksum); err != nil {
		return err
	}
	name, address := fmt.Sprintf("r7-n%02d", i), fmt.Sprintf("192.168.122.%d", 101+i)
	err := j.provision(ctx, nodes.ProvisionStateOpts{
		Target: nodes.TargetActive, ConfigDrive: configDrive(j.host, k, name, address),
	}, nodes.Active)
	if err != nil {
		return err
	}
	check := "hostname && cat /etc/hostname && ip -brief address show eth0 | awk '{print $3}' && sudo id -un"
	out, err := remote(ctx, address, check, k)
	if err != nil {
		return err
	}
	j.lap("SSH")
	if want := strings.Join([]string{name, name, address + "/24", "root"}, "\n"); out != want {
		return fmt.Errorf("the deployed host answers %q, want %q", out, want)
	}
	install := "sudo cloud-init status --wait >/dev/null; sudo apt-get -qq update && " +
		"sudo DEBIAN_FRONTEND=noninteractive apt-get -qq install -y chrony >/dev/null && dpkg-query -Wf '${Status}' chrony"
	if out, err = remote(ctx, address, install, k); err != nil || !strings.HasSuffix(out, "install ok installed") {
		return fmt.Errorf("install chrony: %w: %s", err, out)
	}
	j.lap("apt")
	return j.provision(ctx, nodes.ProvisionStateOpts{Target: nodes.TargetDeleted}, nodes.Available)
}

// checkInventory compares what inspection has stored with the host.
func (j *journey) checkInventory(ctx context.Context) error {
	data, err := nodes.GetInventory(ctx, j.client, j.node).Extract()
	if err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	got := data.Inventory
	if got.CPU.Count != j.host.CPUs || got.CPU.Architecture != "x86_64" || got.Memory.PhysicalMb != j.host.MemoryGiB<<10 {
		return fmt.Errorf("inventory says %d %s CPUs and %d MiB", got.CPU.Count, got.CPU.Architecture, got.Memory.PhysicalMb)
	}
	if len(got.Interfaces) != len(j.host.NICs) || got.Interfaces[0].MACAddress != j.host.BootMAC {
		return fmt.Errorf("inventory lists network cards %+v", got.Interfaces)
	}
	return nil
}
