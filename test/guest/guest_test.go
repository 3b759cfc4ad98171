//go:build e2eguest

package guest_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rackplane/rackplane/test/guest"
	"github.com/rackplane/rackplane/test/login"
	"github.com/rackplane/rackplane/test/rack"
)

func TestMain(m *testing.M) {
	rack.Isolate(context.Background(), func(ctx context.Context) error { return guest.Prepare(ctx, guest.Config{}) })
	os.Exit(m.Run())
}

// patience is how long a boot may take. Emulation needs about 140 seconds of CPU for it.
const patience = 12 * time.Minute

// facts are what a person would look at on a server that has just been installed from the image.
var facts = []struct{ name, command, want string }{
	{"Secure Boot is on", "od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-* | tr -d ' '", "1"},
	// The login's own user manager may be too late for systemd on a machine that is busy emulating.
	{"no unit has failed", "sudo cloud-init status --wait >/dev/null; systemctl --failed --plain --no-legend | grep -v '^user@' | cat", ""},
	{"the root has grown", "test $(df --output=size -BG / | tail -1 | tr -d ' G') -ge 18 && echo yes", "yes"},
	{"kernel modules", "sudo modprobe -a openvswitch geneve 8021q bonding vhost_net && lsmod | grep -cwE '^(openvswitch|geneve|8021q|bonding|vhost_net)'", "5"},
	{"kernel datapath", "sudo systemctl start openvswitch-switch && sudo ovs-vsctl add-br br-t && sudo ovs-vsctl --may-exist add-port br-t gen0 -- set interface gen0 type=geneve options:remote_ip=192.0.2.1 && sudo ovs-appctl dpctl/show | head -1", "system@ovs-system:"},
	{"hypervisor", "sudo systemctl start libvirtd.socket && sudo virsh -c qemu:///system version | grep -c 'Running hypervisor: QEMU'", "1"},
	{"the boot loader can be rewritten", "sudo update-grub >/dev/null 2>&1 && sudo grep -c console=ttyS0 /boot/grub/grub.cfg >/dev/null && echo yes", "yes"},
	{"Debian's sources", "awk '{print $3}' /etc/apt/sources.list | xargs", "trixie trixie-updates trixie-security"},
}

// TestImage installs nothing: it boots what "make image" publishes, twice, and looks at it.
func TestImage(t *testing.T) {
	run(t, "ip", "link", "add", "ctlplane", "type", "bridge")
	run(t, "ip", "address", "add", "192.168.122.1/24", "dev", "ctlplane")
	run(t, "ip", "link", "set", "ctlplane", "up")
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	g, err := guest.Start(t.Context(), guest.Config{
		Dir: t.TempDir(), Name: "image", Bridges: []string{"ctlplane"}, Address: netip.MustParsePrefix("192.168.122.231/24"),
		AuthorizedKey: string(ssh.MarshalAuthorizedKey(key.PublicKey())),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the console ends with:\n%s", g.Console())
		}
		if err := g.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	limit, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := g.Await(limit); err != nil {
		t.Fatal(err)
	}
	t.Logf("SSH answers %.0f s after power on", time.Since(began).Seconds())
	server := login.Login{Address: g.Address.String(), Key: key, HostKey: g.HostKey}
	for _, f := range facts {
		if got, err := server.Run(t.Context(), f.command); err != nil || got != f.want {
			t.Errorf("%s: the guest says %q, %v; want %q", f.name, got, err, f.want)
		}
	}
	id, err := server.Run(t.Context(), "cat /etc/machine-id")
	if err != nil || len(id) != 32 {
		t.Errorf("machine-id %q, %v", id, err)
	}
	t.Logf("looked at after %.0f s", time.Since(began).Seconds())
	rebooted(t, server, id)
}

// rebooted restarts the guest, which then boots what update-grub has written, and is still itself.
func rebooted(t *testing.T, server login.Login, id string) {
	t.Helper()
	const boot = "cat /proc/sys/kernel/random/boot_id"
	before, err := server.Run(t.Context(), boot)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	// The connection breaks while the guest goes down, so the command's own result says nothing.
	_, _ = server.Run(t.Context(), "sudo systemctl reboot")
	limit, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for after := before; after == before || after == ""; after, err = server.Run(limit, boot) {
		if limit.Err() != nil {
			t.Fatalf("the guest did not come back: %v", err)
		}
		time.Sleep(time.Second)
	}
	t.Logf("SSH answers again after %.0f s", time.Since(began).Seconds())
	if got, err := server.Run(t.Context(), "cat /etc/machine-id"); err != nil || got != id {
		t.Errorf("after a reboot the machine-id is %q, %v; it was %q", got, err, id)
	}
}

func run(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", argv, err, out)
	}
}
