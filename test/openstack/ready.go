package openstack

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/services"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"
	"golang.org/x/sync/errgroup"
)

// Connect signs in as the administrator, with CloudsYAML as any client would.
func (c *Cloud) Connect(ctx context.Context) (*gophercloud.ProviderClient, gophercloud.EndpointOpts, error) {
	auth, where, _, err := clouds.Parse(clouds.WithCloudName("default"), clouds.WithCloudsYAML(bytes.NewReader(c.CloudsYAML)))
	if err != nil {
		return nil, where, fmt.Errorf("clouds.yaml: %w", err)
	}
	auth.AllowReauth = true
	provider, err := openstack.AuthenticatedClient(ctx, auth)
	if err != nil {
		return nil, where, fmt.Errorf("sign in: %w", err)
	}
	return provider, where, nil
}

// await returns once every service of the control plane works.
func (c *Cloud) await(ctx context.Context, log *slog.Logger) error {
	var provider *gophercloud.ProviderClient
	var where gophercloud.EndpointOpts
	err := c.attempt(ctx, "keystone", func(ctx context.Context) (err error) {
		provider, where, err = c.Connect(ctx)
		return err
	})
	if err != nil {
		return err
	}
	log.Info("keystone is ready")
	group, ctx := errgroup.WithContext(ctx)
	for name, check := range map[string]func(context.Context, *gophercloud.ProviderClient, gophercloud.EndpointOpts) error{
		"placement": placementReady,
		"glance":    glanceReady,
		"neutron":   neutronReady,
		"nova":      novaReady,
	} {
		group.Go(func() error {
			err := c.attempt(ctx, name, func(ctx context.Context) error { return check(ctx, provider, where) })
			if err == nil {
				log.Info(name + " is ready")
			}
			return err
		})
	}
	return group.Wait()
}

// attempt repeats a check until it succeeds, ctx ends or the machine does.
func (c *Cloud) attempt(ctx context.Context, name string, check func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-c.machine.ended:
			cancel(fmt.Errorf("machine %s has ended", c.machine.Name))
		case <-ctx.Done():
		}
	}()
	if err := poll(ctx, 250*time.Millisecond, check); err != nil {
		return fmt.Errorf("%s is not ready: %w: %w", name, context.Cause(ctx), err)
	}
	return nil
}

func placementReady(ctx context.Context, provider *gophercloud.ProviderClient, where gophercloud.EndpointOpts) error {
	client, err := openstack.NewPlacementV1(provider, where)
	if err != nil {
		return err
	}
	_, err = resourceproviders.List(client, nil).AllPages(ctx)
	return err
}

func glanceReady(ctx context.Context, provider *gophercloud.ProviderClient, where gophercloud.EndpointOpts) error {
	client, err := openstack.NewImageV2(provider, where)
	if err != nil {
		return err
	}
	_, err = images.List(client, nil).AllPages(ctx)
	return err
}

// neutronReady also proves OVN's databases: Neutron's API does not start without them.
func neutronReady(ctx context.Context, provider *gophercloud.ProviderClient, where gophercloud.EndpointOpts) error {
	client, err := openstack.NewNetworkV2(provider, where)
	if err != nil {
		return err
	}
	_, err = networks.List(client, nil).AllPages(ctx)
	return err
}

// novaReady checks that the scheduler and the conductor have reported themselves.
func novaReady(ctx context.Context, provider *gophercloud.ProviderClient, where gophercloud.EndpointOpts) error {
	client, err := openstack.NewComputeV2(provider, where)
	if err != nil {
		return err
	}
	pages, err := services.List(client, nil).AllPages(ctx)
	if err != nil {
		return err
	}
	found, err := services.ExtractServices(pages)
	if err != nil {
		return err
	}
	up := map[string]bool{}
	for _, service := range found {
		up[service.Binary] = service.State == "up"
	}
	for _, binary := range []string{"nova-scheduler", "nova-conductor"} {
		if !up[binary] {
			return fmt.Errorf("%s is not up", binary)
		}
	}
	return nil
}
