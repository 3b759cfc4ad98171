package rack

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/rackplane/rackplane/test/seed"
)

// PreProvisioned says how hosts are set up that somebody else has installed: they run from the start and have no BMC
// that anybody knows of. Host number i of the rack gets address 192.168.122.(201+i)/24 on its first card and a host
// key of its own.
type PreProvisioned struct {
	// Hosts names those hosts. When empty, all hosts of the rack are meant, which then has no Ironic.
	Hosts []string
	// User may log in with AuthorizedKey and become root; cloud-admin by default.
	User string
	// AuthorizedKey is a public SSH key in authorized_keys format.
	AuthorizedKey string
}

func (p *PreProvisioned) has(host string) bool {
	return p != nil && (len(p.Hosts) == 0 || slices.Contains(p.Hosts, host))
}

// split sorts the hosts into those that somebody has installed and those with a BMC, and gives the former addresses.
func (r *Rack) split() (installed, bare []*Host) {
	for i, h := range r.Hosts {
		if r.cfg.PreProvisioned.has(h.Name) {
			h.Address = netip.AddrFrom4([4]byte{192, 168, 122, byte(201 + i)})
			installed = append(installed, h)
		} else {
			bare = append(bare, h)
		}
	}
	return installed, bare
}

// bootPreProvisioned writes the image to the hosts' disks and boots it, as somebody did before Rackplane came.
func (r *Rack) bootPreProvisioned(life context.Context, hosts []*Host) error {
	image := filepath.Join(r.assets.image, imageName)
	group, ctx := errgroup.WithContext(life)
	for _, h := range hosts {
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
	for _, h := range hosts {
		h.state.power = powerOn
		h.boot(life)
		r.hosts.Go(func() { h.live(life) })
	}
	return nil
}

// preProvision writes the host's cloud-init seed.
func (h *Host) preProvision(p *PreProvisioned) (err error) {
	h.HostKey, err = seed.Write(h.seed(), seed.Host{
		Name: h.Name, UUID: h.UUID, MAC: h.BootMAC, Address: netip.PrefixFrom(h.Address, 24),
		User: p.User, AuthorizedKey: p.AuthorizedKey,
	})
	return err
}
