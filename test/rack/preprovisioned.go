package rack

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
)

// PreProvisioned says how the hosts of a rack without BMCs are set up. Host number i gets
// address 192.168.122.(201+i)/24 on its first card and a host key of its own.
type PreProvisioned struct {
	// User may log in with AuthorizedKey and become root; cloud-admin by default.
	User string
	// AuthorizedKey is a public SSH key in authorized_keys format.
	AuthorizedKey string
}

// bootPreProvisioned writes the image to every host's disk and boots it, as somebody did before Rackplane came.
func (r *Rack) bootPreProvisioned(life context.Context) error {
	image := filepath.Join(r.assets.image, imageName)
	group, ctx := errgroup.WithContext(life)
	for i, h := range r.Hosts {
		h.Address = netip.AddrFrom4([4]byte{192, 168, 122, byte(201 + i)})
		group.Go(func() error {
			if err := h.preProvision(r.cfg.PreProvisioned); err != nil {
				return err
			}
			return pack(ctx, image, "qcow2", h.disk(), int64(h.DiskGiB)<<30)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, h := range r.Hosts {
		h.state.power = powerOn
		h.boot(life)
		r.hosts.Go(func() { h.live(life) })
	}
	return nil
}

// preProvision writes the host's cloud-init seed.
func (h *Host) preProvision(p *PreProvisioned) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("host key: %w", err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return fmt.Errorf("host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, h.Name)
	if err != nil {
		return fmt.Errorf("host key: %w", err)
	}
	h.HostKey = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	user := p.User
	if user == "" {
		user = "cloud-admin"
	}
	return writeSeed(h.seed(), map[string]any{
		"meta_data.json":    map[string]any{"uuid": h.UUID, "hostname": h.Name, "name": h.Name},
		"network_data.json": h.staticNetwork(),
		"user_data": map[string]any{
			"hostname": h.Name,
			"ssh_keys": map[string]string{"ed25519_private": string(pem.EncodeToMemory(block)), "ed25519_public": h.HostKey},
			"users": []any{map[string]any{
				"name": user, "shell": "/bin/bash", "sudo": "ALL=(ALL) NOPASSWD:ALL", "lock_passwd": true,
				"ssh_authorized_keys": []string{strings.TrimSpace(p.AuthorizedKey)},
			}},
		},
	})
}

// staticNetwork is OpenStack network data for the host's address
// (nova, doc/api_schemas/network_data.json).
func (h *Host) staticNetwork() map[string]any {
	return map[string]any{
		"links": []any{map[string]any{"id": "nic0", "type": "phy", "ethernet_mac_address": h.BootMAC}},
		"networks": []any{map[string]any{
			"id": "ctlplane", "type": "ipv4", "link": "nic0",
			"ip_address": h.Address.String(), "netmask": "255.255.255.0", "routes": []any{},
		}},
		"services": []any{},
	}
}

// writeSeed writes a config drive's files. All are JSON, of which cloud-config's YAML is a superset.
func writeSeed(dir string, files map[string]any) error {
	latest := filepath.Join(dir, "openstack", "latest")
	if err := os.MkdirAll(latest, 0o700); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	for name, content := range files {
		data, err := json.Marshal(content)
		if err != nil {
			return fmt.Errorf("seed: %w", err)
		}
		if name == "user_data" {
			data = append([]byte("#cloud-config\n"), data...)
		}
		if err := os.WriteFile(filepath.Join(latest, name), data, 0o600); err != nil {
			return fmt.Errorf("seed: %w", err)
		}
	}
	return nil
}
