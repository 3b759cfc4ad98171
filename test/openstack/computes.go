package openstack

import (
	"context"
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/hypervisors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/services"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"
)

// Compute is what the cloud's own services know of one compute; what one of them does not know is empty.
type Compute struct {
	// Host is its name in Nova.
	Host string
	// Service and Hypervisor are up or down.
	Service, Hypervisor string
	// Inventory is Placement's, by resource class.
	Inventory map[string]int
	// Chassis is its name in OVN, EncapIP and BridgeMappings what OVN has there.
	Chassis, EncapIP, BridgeMappings string
}

// Computes lists the cloud's computes by host name.
func (c *Cloud) Computes(ctx context.Context) ([]Compute, error) {
	provider, where, err := c.Connect(ctx)
	if err != nil {
		return nil, err
	}
	nova, err := openstack.NewComputeV2(provider, where)
	if err != nil {
		return nil, err
	}
	nova.Microversion = "2.90" // from 2.88 on, listing hypervisors asks none of them for anything
	placement, err := openstack.NewPlacementV1(provider, where)
	if err != nil {
		return nil, err
	}
	found := map[string]*Compute{}
	if err := novaComputes(ctx, nova, placement, found); err != nil {
		return nil, fmt.Errorf("computes in Nova and Placement: %w", err)
	}
	if err := c.ovnComputes(ctx, found); err != nil {
		return nil, fmt.Errorf("computes in OVN: %w", err)
	}
	var list []Compute
	for _, host := range slices.Sorted(maps.Keys(found)) {
		list = append(list, *found[host])
	}
	return list, nil
}

func at(found map[string]*Compute, host string) *Compute {
	if found[host] == nil {
		found[host] = &Compute{Host: host}
	}
	return found[host]
}

func novaComputes(ctx context.Context, nova, placement *gophercloud.ServiceClient, found map[string]*Compute) error {
	pages, err := services.List(nova, services.ListOpts{Binary: "nova-compute"}).AllPages(ctx)
	if err != nil {
		return err
	}
	daemons, err := services.ExtractServices(pages)
	if err != nil {
		return err
	}
	for i := range daemons {
		at(found, daemons[i].Host).Service = daemons[i].State
	}
	if pages, err = hypervisors.List(nova, nil).AllPages(ctx); err != nil {
		return err
	}
	list, err := hypervisors.ExtractHypervisors(pages)
	if err != nil {
		return err
	}
	for i := range list {
		compute := at(found, list[i].Service.Host)
		compute.Hypervisor, compute.Inventory = list[i].State, map[string]int{}
		// A hypervisor's UUID is its resource provider's.
		inventory, err := resourceproviders.GetInventories(ctx, placement, list[i].ID).Extract()
		if err != nil {
			return fmt.Errorf("resource provider of %s: %w", list[i].HypervisorHostname, err)
		}
		for class, stock := range inventory.Inventories {
			compute.Inventory[class] = stock.Total
		}
	}
	return nil
}

// ovnComputes reads the southbound database with OVN's own tool.
func (c *Cloud) ovnComputes(ctx context.Context, found map[string]*Compute) error {
	rows, err := c.southbound(ctx, "--columns=name,hostname,other_config", "list", "Chassis")
	if err != nil {
		return err
	}
	for _, row := range rows {
		compute := at(found, row[1])
		compute.Chassis = row[0]
		for setting := range strings.FieldsSeq(row[2]) {
			if mappings, ok := strings.CutPrefix(setting, "ovn-bridge-mappings="); ok {
				compute.BridgeMappings = mappings
			}
		}
		encaps, err := c.southbound(ctx, "--columns=ip", "find", "Encap", "chassis_name="+row[0])
		if err != nil {
			return err
		}
		for _, encap := range encaps {
			compute.EncapIP = encap[0]
		}
	}
	return nil
}

func (c *Cloud) southbound(ctx context.Context, args ...string) ([][]string, error) {
	out, err := c.Output(ctx, append([]string{"ovn-sbctl", "--timeout=10", "--format=csv", "--data=bare", "--no-headings"}, args...)...)
	if err != nil {
		return nil, err
	}
	return csv.NewReader(strings.NewReader(out)).ReadAll()
}
