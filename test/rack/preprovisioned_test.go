package rack_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rackplane/rackplane/test/rack"
)

// TestPreProvisioned boots hosts without Ironic and checks that one keeps its disk and its identity over a reboot.
func TestPreProvisioned(t *testing.T) {
	ctx := t.Context()
	k := newKeys(t)
	r := startRack(t, rack.Config{
		Hosts: rack.DefaultHosts(2),
		PreProvisioned: &rack.PreProvisioned{
			AuthorizedKey: string(ssh.MarshalAuthorizedKey(k.user.PublicKey())),
		},
	})
	for _, h := range r.Hosts {
		login := k.forHost(h)
		if out, err := remote(ctx, h.Address.String(), "hostname", login); err != nil || out != h.Name {
			t.Fatalf("host %s answers %q, %v", h.Name, out, err)
		}
	}
	h := r.Hosts[0]
	login := k.forHost(h)
	first, err := remote(ctx, h.Address.String(), "cat /proc/sys/kernel/random/boot_id; echo kept | sudo tee /root/mark; sync", login)
	if err != nil {
		t.Fatal(err)
	}
	// The connection breaks while the host goes down, so the command's own result says nothing.
	_, _ = remote(ctx, h.Address.String(), "sudo systemctl reboot", login)
	second := afterReboot(ctx, t, h, login, first)
	if !strings.HasSuffix(second, "kept") {
		t.Errorf("after the reboot the host answers %q", second)
	}
}

// afterReboot waits until the host answers with another boot ID than before.
func afterReboot(ctx context.Context, t *testing.T, h *rack.Host, login keys, before string) string {
	t.Helper()
	id, _, _ := strings.Cut(before, "\n")
	for range 60 {
		out, err := remote(ctx, h.Address.String(), "cat /proc/sys/kernel/random/boot_id; sudo cat /root/mark", login)
		if err == nil && !strings.HasPrefix(out, id) {
			return out
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Fatal("the host did not come back from its reboot")
	return ""
}

// forHost is the same login with a pre-provisioned host's own key.
func (k keys) forHost(h *rack.Host) keys { return keys{user: k.user, host: h.HostKey} }
