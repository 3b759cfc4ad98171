package openstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
)

// Tenant is somebody who runs servers in a cloud: a tiny image, a tiny flavor and a network of its own.
type Tenant struct {
	compute, image, network *gophercloud.ServiceClient

	imageID, flavorID, networkID string
}

// Server is a server of a tenant.
type Server struct {
	ID, Name string
	// Host is the compute it was sent to.
	Host string
	// Address is the one that Neutron gave it.
	Address string
}

// NewTenant uploads the tiny guest and makes a network on which OVN answers DHCP.
func (c *Cloud) NewTenant(ctx context.Context) (*Tenant, error) {
	provider, where, err := c.Connect(ctx)
	if err != nil {
		return nil, err
	}
	t := &Tenant{}
	var errs [3]error
	t.compute, errs[0] = openstack.NewComputeV2(provider, where)
	t.image, errs[1] = openstack.NewImageV2(provider, where)
	t.network, errs[2] = openstack.NewNetworkV2(provider, where)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("tenant: %w", err)
	}
	// With 2.74 an administrator may send a server to a compute by name.
	t.compute.Microversion = "2.74"
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return t.makeImage(ctx, c.guest) }, t.makeFlavor, t.makeNetwork,
	} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("tenant: %w", err)
		}
	}
	return t, nil
}

// makeImage uploads the guest in directory: a kernel, an initrd and a disk that nobody reads.
func (t *Tenant) makeImage(ctx context.Context, directory string) error {
	ids := map[string]string{}
	for _, part := range []struct{ format, file string }{{"aki", "vmlinuz"}, {"ari", "initrd"}} {
		file, err := os.Open(filepath.Join(directory, part.file))
		if err != nil {
			return err
		}
		ids[part.format], err = t.upload(ctx, part.format, file, nil)
		_ = file.Close()
		if err != nil {
			return err
		}
	}
	var err error
	t.imageID, err = t.upload(ctx, "ami", strings.NewReader(strings.Repeat("\x00", 1<<20)), map[string]string{
		"kernel_id": ids["aki"], "ramdisk_id": ids["ari"], "os_command_line": "console=ttyS0",
	})
	return err
}

func (t *Tenant) upload(ctx context.Context, format string, content io.Reader, properties map[string]string) (string, error) {
	created, err := images.Create(ctx, t.image, images.CreateOpts{
		Name: "guest-" + format, ContainerFormat: format, DiskFormat: format, Properties: properties,
	}).Extract()
	if err != nil {
		return "", fmt.Errorf("image %s: %w", format, err)
	}
	if err := imagedata.Upload(ctx, t.image, created.ID, content).ExtractErr(); err != nil {
		return "", fmt.Errorf("upload image %s: %w", format, err)
	}
	return created.ID, nil
}

func (t *Tenant) makeFlavor(ctx context.Context) error {
	flavor, err := flavors.Create(ctx, t.compute, flavors.CreateOpts{Name: "tiny", RAM: 256, VCPUs: 1, Disk: new(1)}).Extract()
	if err != nil {
		return fmt.Errorf("flavor: %w", err)
	}
	t.flavorID = flavor.ID
	return nil
}

func (t *Tenant) makeNetwork(ctx context.Context) error {
	network, err := networks.Create(ctx, t.network, networks.CreateOpts{Name: "tenant"}).Extract()
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	t.networkID = network.ID
	_, err = subnets.Create(ctx, t.network, subnets.CreateOpts{
		NetworkID: network.ID, Name: "tenant", CIDR: "10.11.12.0/24", IPVersion: gophercloud.IPv4,
	}).Extract()
	if err != nil {
		return fmt.Errorf("subnet: %w", err)
	}
	return nil
}

// onHost adds what gophercloud's options lack: the compute's name (Nova's API reference, "host", since 2.74).
type onHost struct {
	servers.CreateOpts

	host string
}

func (o onHost) ToServerCreateMap() (map[string]any, error) {
	body, err := o.CreateOpts.ToServerCreateMap()
	if err != nil {
		return nil, err
	}
	server, ok := body["server"].(map[string]any)
	if !ok {
		return nil, errors.New("gophercloud describes no server")
	}
	server["host"] = o.host
	return body, nil
}

// Boot orders a server on the compute of that name and returns at once.
func (t *Tenant) Boot(ctx context.Context, name, host string) (Server, error) {
	created, err := servers.Create(ctx, t.compute, onHost{
		CreateOpts: servers.CreateOpts{
			Name: name, FlavorRef: t.flavorID, ImageRef: t.imageID, Networks: []servers.Network{{UUID: t.networkID}},
		},
		host: host,
	}, nil).Extract()
	if err != nil {
		return Server{}, fmt.Errorf("server %s: %w", name, err)
	}
	return Server{ID: created.ID, Name: name, Host: host}, nil
}

// Delete ends a server. It returns at once.
func (t *Tenant) Delete(ctx context.Context, s Server) error {
	if err := servers.Delete(ctx, t.compute, s.ID).ExtractErr(); err != nil {
		return fmt.Errorf("server %s: %w", s.Name, err)
	}
	return nil
}

// Await returns once the server is ACTIVE and says on its console that OVN gave it the address that Neutron chose.
func (t *Tenant) Await(ctx context.Context, s *Server) error {
	if err := poll(ctx, time.Second, func(ctx context.Context) error { return t.active(ctx, s) }); err != nil {
		return fmt.Errorf("server %s on %s: %w", s.Name, s.Host, err)
	}
	if err := t.findAddress(ctx, s); err != nil {
		return fmt.Errorf("server %s on %s: %w", s.Name, s.Host, err)
	}
	err := poll(ctx, 2*time.Second, func(ctx context.Context) error {
		console, err := servers.ShowConsoleOutput(ctx, t.compute, s.ID, servers.ShowConsoleOutputOpts{Length: 100}).Extract()
		if err == nil && !strings.Contains(console, "guest: address "+s.Address+" ") {
			err = fmt.Errorf("its console does not show address %s, but ends with: %s", s.Address, console[max(0, len(console)-500):])
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("server %s on %s: %w", s.Name, s.Host, err)
	}
	return nil
}

// active is an error until the server is ACTIVE, and a hopeless one with Nova's own words when it is in ERROR.
func (t *Tenant) active(ctx context.Context, s *Server) error {
	seen, err := servers.Get(ctx, t.compute, s.ID).Extract()
	switch {
	case err != nil:
		return err
	case seen.Status == "ERROR":
		return fmt.Errorf("%w: %s", errHopeless, seen.Fault.Message)
	case seen.Status != "ACTIVE":
		return fmt.Errorf("it is %s", seen.Status)
	}
	return nil
}

func (t *Tenant) findAddress(ctx context.Context, s *Server) error {
	pages, err := ports.List(t.network, ports.ListOpts{DeviceID: s.ID}).AllPages(ctx)
	if err != nil {
		return err
	}
	found, err := ports.ExtractPorts(pages)
	if err != nil {
		return err
	}
	if len(found) != 1 || len(found[0].FixedIPs) != 1 {
		return fmt.Errorf("it has %d ports, want one with one address", len(found))
	}
	s.Address = found[0].FixedIPs[0].IPAddress
	return nil
}
