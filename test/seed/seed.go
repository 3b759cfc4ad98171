// Package seed writes the config drives of hosts that somebody else has installed: OpenStack's layout
// (openstack/latest), read by cloud-init on the first boot. It gives each host its name, its address, a user with an
// SSH key, and an SSH host key that is known before the host first answers.
package seed

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Host is what a config drive tells its host.
type Host struct {
	Name    string
	UUID    string
	MAC     string       // of the card that gets Address
	Address netip.Prefix // IPv4
	// User may log in with AuthorizedKey and become root; cloud-admin by default.
	User string
	// AuthorizedKey is a public SSH key in authorized_keys format.
	AuthorizedKey string
}

// Write writes a host's drive below dir, readable by its owner only because it holds the private host key.
// It returns the public one, in authorized_keys format.
func Write(dir string, h Host) (hostKey string, err error) {
	public, private, err := newHostKey(h.Name)
	if err != nil {
		return "", fmt.Errorf("seed: host key: %w", err)
	}
	return public, writeFiles(filepath.Join(dir, "openstack", "latest"), map[string]any{
		"meta_data.json":    map[string]any{"uuid": h.UUID, "hostname": h.Name, "name": h.Name},
		"network_data.json": h.network(),
		"user_data": map[string]any{
			"hostname": h.Name,
			"ssh_keys": map[string]string{"ed25519_private": private, "ed25519_public": public},
			"users": []any{map[string]any{
				"name": cmp.Or(h.User, "cloud-admin"), "shell": "/bin/bash", "sudo": "ALL=(ALL) NOPASSWD:ALL", "lock_passwd": true,
				"ssh_authorized_keys": []string{strings.TrimSpace(h.AuthorizedKey)},
			}},
		},
	})
}

// network is OpenStack network data for the host's address (nova, doc/api_schemas/network_data.json).
func (h Host) network() map[string]any {
	mask := net.IP(net.CIDRMask(h.Address.Bits(), h.Address.Addr().BitLen())).String()
	return map[string]any{
		"links": []any{map[string]any{"id": "nic0", "type": "phy", "ethernet_mac_address": h.MAC}},
		"networks": []any{map[string]any{
			"id": "ctlplane", "type": "ipv4", "link": "nic0",
			"ip_address": h.Address.Addr().String(), "netmask": mask, "routes": []any{},
		}},
		"services": []any{},
	}
}

// newHostKey makes a key pair: the public one in authorized_keys format, the private one as OpenSSH keeps it.
func newHostKey(comment string) (public, private string, err error) {
	open, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", "", err
	}
	key, err := ssh.NewPublicKey(open)
	if err != nil {
		return "", "", err
	}
	block, err := ssh.MarshalPrivateKey(secret, comment)
	if err != nil {
		return "", "", err
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), string(pem.EncodeToMemory(block)), nil
}

// writeFiles writes files as JSON, of which cloud-config's YAML is a superset.
func writeFiles(dir string, files map[string]any) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
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
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return fmt.Errorf("seed: %w", err)
		}
	}
	return nil
}
