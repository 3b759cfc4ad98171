package openstack

import (
	"context"
	"slices"
	"sync"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/aggregates"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/hypervisors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/services"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/agents"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"
	"github.com/gophercloud/gophercloud/v2/pagination"

	"github.com/rackplane/rackplane/provisioner"
)

// survey is a whole cloud at one moment, as far as computes are concerned.
type survey struct {
	// Compute holds all there is; its providers are not filled in.
	provisioner.Compute
	// generations of the providers by UUID.
	generations map[string]int
}

// survey asks for everything side by side. Of several failures the first in a fixed order is told, so that it stays the same.
func (s *session) survey(ctx context.Context) (*survey, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*s.clouds.timeout)
	defer cancel()
	a, err := s.login(ctx)
	if err != nil {
		return nil, err
	}
	var made survey
	tasks := []struct {
		doing string
		do    func(context.Context) error
	}{
		{"list compute services", func(ctx context.Context) error { return made.listServices(ctx, a) }},
		{"list hypervisors", func(ctx context.Context) error { return made.listHypervisors(ctx, a) }},
		{"list host aggregates", func(ctx context.Context) error { return made.listAggregates(ctx, a) }},
		{"list resource providers", func(ctx context.Context) error { return made.listProviders(ctx, a) }},
		{"list network agents", func(ctx context.Context) error { return made.listAgents(ctx, a) }},
		{"", func(ctx context.Context) (err error) {
			made.Chassis, err = chassis(ctx, s.access.Southbound, s.clouds.timeout)
			return err
		}},
	}
	errs := make([]error, len(tasks))
	var all sync.WaitGroup
	for i := range tasks {
		all.Go(func() { errs[i] = tasks[i].do(ctx) })
	}
	all.Wait()
	rules := &blame{access: s.access}
	for i, err := range errs {
		if err != nil && tasks[i].doing != "" {
			err = rules.classify(tasks[i].doing, err)
		}
		if err != nil {
			return nil, err
		}
	}
	return &made, nil
}

func (v *survey) listServices(ctx context.Context, a *api) error {
	page, err := services.List(a.compute, services.ListOpts{Binary: "nova-compute"}).AllPages(ctx)
	if err != nil {
		return err
	}
	found, err := services.ExtractServices(page)
	for _, s := range found {
		v.Services = append(v.Services, provisioner.ComputeService{
			ID: s.ID, Host: s.Host, Up: s.State == "up", Unknown: s.Status == "UNKNOWN",
			ForcedDown: s.ForcedDown, Disabled: s.Status == "disabled", DisabledReason: s.DisabledReason,
		})
	}
	return err
}

// Hypervisors and agents are decoded here and not by gophercloud: its types insist on fields that drivers leave out.

func (v *survey) listHypervisors(ctx context.Context, a *api) error {
	page, err := hypervisors.List(a.compute, nil).AllPages(ctx)
	if err != nil {
		return err
	}
	var found struct {
		Hypervisors []struct {
			ID      string `json:"id"`
			Name    string `json:"hypervisor_hostname"`
			State   string `json:"state"`
			Service struct {
				Host string `json:"host"`
			} `json:"service"`
		} `json:"hypervisors"`
	}
	all, ok := page.(hypervisors.HypervisorPage)
	if !ok {
		return nil // no page: there are none
	}
	if err := all.ExtractInto(&found); err != nil {
		return err
	}
	for _, h := range found.Hypervisors {
		v.Hypervisors = append(v.Hypervisors, provisioner.Hypervisor{ID: h.ID, Name: h.Name, ServiceHost: h.Service.Host, Up: h.State == "up"})
	}
	return nil
}

func (v *survey) listAgents(ctx context.Context, a *api) error {
	page, err := agents.List(a.network, nil).AllPages(ctx)
	if err != nil {
		return err
	}
	var found struct {
		Agents []struct {
			Binary string `json:"binary"`
			Host   string `json:"host"`
			Alive  bool   `json:"alive"`
		} `json:"agents"`
	}
	all, ok := page.(agents.AgentPage)
	if !ok {
		return nil // no page: there are none
	}
	if err := all.ExtractInto(&found); err != nil {
		return err
	}
	for _, agent := range found.Agents {
		v.Agents = append(v.Agents, provisioner.NetworkAgent{Binary: agent.Binary, Host: agent.Host, Alive: agent.Alive})
	}
	return nil
}

func (v *survey) listAggregates(ctx context.Context, a *api) error {
	found, err := listAggregates(ctx, a.compute)
	for _, aggregate := range found {
		v.Aggregates = append(v.Aggregates, provisioner.HostAggregate{Name: aggregate.Name, Zone: aggregate.AvailabilityZone, Hosts: aggregate.Hosts})
	}
	return err
}

func listAggregates(ctx context.Context, compute *gophercloud.ServiceClient) ([]aggregates.Aggregate, error) {
	return pages(ctx, aggregates.List(compute), aggregates.ExtractAggregates)
}

func (v *survey) listProviders(ctx context.Context, a *api) error {
	found, err := pages(ctx, resourceproviders.List(a.placement, nil), resourceproviders.ExtractResourceProviders)
	v.generations = make(map[string]int, len(found))
	for _, p := range found {
		v.Providers = append(v.Providers, provisioner.ResourceProvider{ID: p.UUID, Name: p.Name})
		v.generations[p.UUID] = p.Generation
	}
	return err
}

func pages[T any](ctx context.Context, pager pagination.Pager, extract func(pagination.Page) ([]T, error)) ([]T, error) {
	page, err := pager.AllPages(ctx)
	if err != nil {
		return nil, err
	}
	return extract(page)
}

// stock is what a provider held at a generation. Placement counts a provider's generation up with each change of its
// inventory, traits and allocations, so nothing is asked twice for nothing.
type stock struct {
	generation int
	usable     map[string]int
	traits     []string
}

// stock fills in the i-th provider of compute, if its UUID is one of the hypervisors'.
func (s *session) stock(ctx context.Context, v *survey, compute *provisioner.Compute, i int) error {
	p := &compute.Providers[i]
	if !slices.ContainsFunc(compute.Hypervisors, func(h provisioner.Hypervisor) bool { return h.ID == p.ID }) {
		return nil
	}
	generation := v.generations[p.ID]
	s.mu.Lock()
	held, known := s.stocks[p.ID]
	s.mu.Unlock()
	if !known || held.generation != generation {
		var err error
		if held, err = s.take(ctx, p.ID); err != nil {
			return err
		}
		s.mu.Lock()
		s.stocks[p.ID] = held
		s.mu.Unlock()
	}
	p.Usable, p.Traits = held.usable, held.traits
	return nil
}

// take asks what a provider holds.
func (s *session) take(ctx context.Context, provider string) (stock, error) {
	rules := &blame{access: s.access}
	a, err := s.login(ctx)
	if err != nil {
		return stock{}, err
	}
	inventories, err := resourceproviders.GetInventories(ctx, a.placement, provider).Extract()
	if err != nil {
		return stock{}, rules.classify("read the inventory of resource provider "+provider, err)
	}
	traits, err := resourceproviders.GetTraits(ctx, a.placement, provider).Extract()
	if err != nil {
		return stock{}, rules.classify("read the traits of resource provider "+provider, err)
	}
	out := stock{generation: inventories.ResourceProviderGeneration, usable: map[string]int{}, traits: slices.Sorted(slices.Values(traits.Traits))}
	for class, i := range inventories.Inventories {
		out.usable[class] = i.Total - i.Reserved
	}
	return out, nil
}
