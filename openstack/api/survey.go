package api

import (
	"context"
	"slices"
	"strconv"
	"sync"

	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"

	"github.com/rackplane/rackplane/openstack"
)

// survey is a whole cloud at one moment, as far as computes are concerned.
type survey struct {
	// Compute holds all there is; its providers are not filled in.
	openstack.Compute
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
			made.Chassis, err = s.chassis(ctx)
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
	rows, err := list[struct {
		ID         string `json:"id"`
		Host       string `json:"host"`
		State      string `json:"state"`
		Status     string `json:"status"`
		ForcedDown bool   `json:"forced_down"`
		Reason     string `json:"disabled_reason"`
	}](ctx, a.compute, "services", "os-services?binary=nova-compute")
	for _, r := range rows {
		v.Services = append(v.Services, openstack.ComputeService{
			ID: r.ID, Host: r.Host, Up: r.State == "up", Unknown: r.Status == "UNKNOWN",
			ForcedDown: r.ForcedDown, Disabled: r.Status == "disabled", DisabledReason: r.Reason,
		})
	}
	return err
}

func (v *survey) listHypervisors(ctx context.Context, a *api) error {
	rows, err := list[struct {
		ID      string `json:"id"`
		Name    string `json:"hypervisor_hostname"`
		State   string `json:"state"`
		Service struct {
			Host string `json:"host"`
		} `json:"service"`
	}](ctx, a.compute, "hypervisors", "os-hypervisors/detail?limit="+strconv.Itoa(pageSize))
	for _, r := range rows {
		v.Hypervisors = append(v.Hypervisors, openstack.Hypervisor{ID: r.ID, Name: r.Name, ServiceHost: r.Service.Host, Up: r.State == "up"})
	}
	return err
}

func (v *survey) listAgents(ctx context.Context, a *api) error {
	rows, err := list[struct {
		ID     string `json:"id"`
		Binary string `json:"binary"`
		Host   string `json:"host"`
		Alive  bool   `json:"alive"`
	}](ctx, a.network, "agents", "agents?fields=id&fields=binary&fields=host&fields=alive")
	for _, r := range rows {
		v.Agents = append(v.Agents, openstack.NetworkAgent(r))
	}
	return err
}

func (v *survey) listProviders(ctx context.Context, a *api) error {
	rows, err := list[struct {
		UUID       string `json:"uuid"`
		Name       string `json:"name"`
		Generation int    `json:"generation"`
	}](ctx, a.placement, "resource_providers", "resource_providers")
	v.generations = make(map[string]int, len(rows))
	for _, r := range rows {
		v.Providers = append(v.Providers, openstack.ResourceProvider{ID: r.UUID, Name: r.Name})
		v.generations[r.UUID] = r.Generation
	}
	return err
}

func (v *survey) listAggregates(ctx context.Context, a *api) error {
	rows, err := listAggregates(ctx, a)
	for _, r := range rows {
		v.Aggregates = append(v.Aggregates, openstack.HostAggregate{Name: r.Name, Zone: r.Zone, Hosts: r.Hosts})
	}
	return err
}

// aggregate is a row of os-aggregates.
type aggregate struct {
	ID    int      `json:"id"`
	Name  string   `json:"name"`
	Zone  string   `json:"availability_zone"`
	Hosts []string `json:"hosts"`
}

func listAggregates(ctx context.Context, a *api) ([]aggregate, error) {
	return list[aggregate](ctx, a.compute, "aggregates", "os-aggregates")
}

// stock is what a provider held at a generation. Placement counts a provider's generation up with each change of its
// inventory, traits and allocations, so nothing is asked twice for nothing.
type stock struct {
	generation int
	usable     map[string]int
	traits     []string
}

// stock fills in the i-th provider of compute, if its UUID is one of the hypervisors'.
func (s *session) stock(ctx context.Context, v *survey, compute *openstack.Compute, i int) error {
	p := &compute.Providers[i]
	if !slices.ContainsFunc(compute.Hypervisors, func(h openstack.Hypervisor) bool { return h.ID == p.ID }) {
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
