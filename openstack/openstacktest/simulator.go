package openstacktest

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/secret"
)

var _ openstack.Cloud = (*Simulator)(nil)

// World is all a cloud holds.
type World struct {
	openstack.Compute
	// Traits that Placement knows.
	Traits []string
	// Servers by compute host.
	Servers map[string][]string
}

// Simulator is an OpenStack in memory. Safe for concurrent use. Make one with New.
type Simulator struct {
	mu       sync.Mutex
	world    World
	authURL  string
	password secret.Value
	failure  error
	effects  []openstack.Action
}

// New returns a cloud without computes, whose Keystone is at authURL and admits the password; nothing answers elsewhere.
func New(authURL string, password secret.Value) *Simulator {
	return &Simulator{authURL: authURL, password: password, world: World{Traits: []string{"HW_CPU_X86_AVX2", "COMPUTE_NODE"}}}
}

// Edit changes what there is.
func (s *Simulator) Edit(change func(*World)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.world)
}

// Fail makes every call fail with the error until Fail(nil).
func (s *Simulator) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
}

// Effects are the actions that changed something, in order.
func (s *Simulator) Effects() []openstack.Action {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.effects)
}

// Start lets nova-compute and the network agents of a host report, with a chassis of one encapsulation address. The
// compute is not mapped. What the host is already is left as it is.
func (w *World) Start(host, encapIP string, mappings ...string) {
	if !slices.ContainsFunc(w.Services, func(s openstack.ComputeService) bool { return s.Host == host }) {
		w.Services = append(w.Services, openstack.ComputeService{ID: "service-" + host, Host: host, Up: true})
	}
	for _, binary := range []string{"ovn-controller", "neutron-ovn-metadata-agent"} {
		if !slices.ContainsFunc(w.Agents, func(a openstack.NetworkAgent) bool { return a.Host == host && a.Binary == binary }) {
			w.Agents = append(w.Agents, openstack.NetworkAgent{ID: binary + "-" + host, Binary: binary, Host: host, Alive: true})
		}
	}
	if !slices.ContainsFunc(w.Chassis, func(c openstack.Chassis) bool { return c.Host == host }) {
		w.Chassis = append(w.Chassis, openstack.Chassis{Name: "chassis-" + host, Host: host, EncapIPs: []string{encapIP}, BridgeMappings: mappings})
	}
}

// Discover maps every compute that is up into its cell, as nova-manage cell_v2 discover_hosts does.
func (w *World) Discover() {
	for _, s := range w.Services {
		if !s.Up || slices.ContainsFunc(w.Hypervisors, func(h openstack.Hypervisor) bool { return h.ServiceHost == s.Host }) {
			continue
		}
		id := "hypervisor-" + s.Host
		w.Hypervisors = append(w.Hypervisors, openstack.Hypervisor{ID: id, Name: s.Host, ServiceHost: s.Host, Up: true})
		w.Providers = append(w.Providers, openstack.ResourceProvider{
			ID: id, Name: s.Host, Usable: map[string]int{"VCPU": 8, "MEMORY_MB": 15872, "DISK_GB": 100}, Traits: []string{"COMPUTE_NODE"},
		})
	}
}

// Report makes the compute service of a host up or down.
func (w *World) Report(host string, up bool) {
	for i := range w.Services {
		if w.Services[i].Host == host {
			w.Services[i].Up = up
		}
	}
}

// See implements openstack.Cloud.
func (s *Simulator) See(ctx context.Context, access openstack.Access, host openstack.Host) (openstack.Compute, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admit(ctx, access); err != nil {
		return openstack.Compute{}, err
	}
	seen := s.world.Of(host)
	if access.Southbound.Endpoints == "" {
		seen.Chassis = nil
	}
	for i := range seen.Providers {
		p := &seen.Providers[i]
		if !slices.ContainsFunc(seen.Hypervisors, func(h openstack.Hypervisor) bool { return h.ID == p.ID }) {
			p.Usable, p.Traits = nil, nil
		}
		p.Traits = slices.Sorted(slices.Values(p.Traits))
	}
	seen.Aggregates = slices.Clone(seen.Aggregates)
	for i := range seen.Aggregates {
		seen.Aggregates[i].Hosts = slices.Clone(seen.Aggregates[i].Hosts)
	}
	return seen, nil
}

func (s *Simulator) admit(ctx context.Context, access openstack.Access) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.failure != nil:
		return s.failure
	case access.AuthURL != s.authURL:
		return fault.New(fault.Transient, "OpenStack at %s does not answer: connection refused", access.AuthURL)
	case access.Password != s.password:
		return fault.New(fault.Denied, "%s: Keystone at %s refuses the credentials: correct them in the Secret", access.Source, access.AuthURL)
	}
	return nil
}

// Do implements openstack.Cloud.
func (s *Simulator) Do(ctx context.Context, access openstack.Access, action openstack.Action) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admit(ctx, access); err != nil {
		return err
	}
	changed, err := s.do(action)
	if changed {
		s.effects = append(s.effects, action)
	}
	return err
}

func (s *Simulator) do(action openstack.Action) (changed bool, err error) {
	switch action.Verb {
	case openstack.MakeAggregate:
		return s.makeAggregate(action)
	case openstack.JoinAggregate:
		return s.joinAggregate(action)
	case openstack.SetTrait:
		return s.setTrait(action)
	case openstack.DisableService:
		return s.disableService(action)
	case openstack.DeleteService:
		return s.deleteService(action)
	case openstack.DeleteAgent:
		return s.deleteAgent(action), nil
	}
	return false, fault.New(fault.Unsupported, "no cloud knows the action %q", action.Verb)
}

func (s *Simulator) makeAggregate(action openstack.Action) (bool, error) {
	if there := s.aggregate(action.Aggregate); there != nil {
		if action.Zone != "" && there.Zone != action.Zone {
			return false, fault.New(fault.Rejected, "host aggregate %s is there and of availability zone %q, not %s", there.Name, there.Zone, action.Zone)
		}
		return false, nil
	}
	s.world.Aggregates = append(s.world.Aggregates, openstack.HostAggregate{Name: action.Aggregate, Zone: action.Zone})
	return true, nil
}

func (s *Simulator) aggregate(name string) *openstack.HostAggregate {
	for i := range s.world.Aggregates {
		if s.world.Aggregates[i].Name == name {
			return &s.world.Aggregates[i]
		}
	}
	return nil
}

func (s *Simulator) joinAggregate(action openstack.Action) (bool, error) {
	there := s.aggregate(action.Aggregate)
	switch {
	case there == nil:
		return false, fault.New(fault.Missing, "there is no host aggregate %s", action.Aggregate)
	case slices.Contains(there.Hosts, action.Host):
		return false, nil
	case !slices.ContainsFunc(s.world.Hypervisors, func(h openstack.Hypervisor) bool { return h.ServiceHost == action.Host }):
		return false, fault.New(fault.Missing, "there is no compute host %s", action.Host)
	}
	for _, other := range s.world.Aggregates {
		if there.Zone != "" && other.Zone != "" && other.Zone != there.Zone && slices.Contains(other.Hosts, action.Host) {
			return false, fault.New(fault.Rejected, "host %s cannot be put into host aggregate %s: it is in availability zone %s", action.Host, there.Name, other.Zone)
		}
	}
	there.Hosts = append(there.Hosts, action.Host)
	return true, nil
}

func (s *Simulator) setTrait(action openstack.Action) (bool, error) {
	i := slices.IndexFunc(s.world.Providers, func(p openstack.ResourceProvider) bool { return p.ID == action.Provider })
	switch {
	case i < 0:
		return false, fault.New(fault.Missing, "there is no resource provider %s", action.Provider)
	case slices.Contains(s.world.Providers[i].Traits, action.Trait):
		return false, nil
	}
	if !slices.Contains(s.world.Traits, action.Trait) {
		if !strings.HasPrefix(action.Trait, "CUSTOM_") {
			return false, fault.New(fault.Rejected, "Placement knows no trait %s", action.Trait)
		}
		s.world.Traits = append(s.world.Traits, action.Trait)
	}
	s.world.Providers[i].Traits = append(slices.Clone(s.world.Providers[i].Traits), action.Trait)
	return true, nil
}

// Servers implements openstack.Cloud.
func (s *Simulator) Servers(ctx context.Context, access openstack.Access, host string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admit(ctx, access); err != nil {
		return nil, err
	}
	return slices.Sorted(slices.Values(s.world.Servers[host])), nil
}

// service is the index of the action's service; -1 when there is none.
func (s *Simulator) service(action openstack.Action) int {
	return slices.IndexFunc(s.world.Services, func(c openstack.ComputeService) bool { return c.ID == action.Service })
}

func (s *Simulator) disableService(action openstack.Action) (bool, error) {
	i := s.service(action)
	switch {
	case i < 0:
		return false, fault.New(fault.Missing, "there is no compute service %s", action.Service)
	case s.world.Services[i].Disabled:
		return false, nil
	}
	s.world.Services[i].Disabled, s.world.Services[i].DisabledReason = true, "released by Rackplane"
	return true, nil
}

// deleteService does as Nova 31 does: nova/api/openstack/compute/services.py, delete.
func (s *Simulator) deleteService(action openstack.Action) (bool, error) {
	i := s.service(action)
	if i < 0 {
		return false, nil
	}
	w, host := &s.world, s.world.Services[i].Host
	if len(w.Servers[host]) > 0 {
		return false, fault.New(fault.Busy, "Unable to delete compute service that is hosting instances. Migrate or delete the instances first.")
	}
	for i := range w.Aggregates {
		w.Aggregates[i].Hosts = slices.DeleteFunc(w.Aggregates[i].Hosts, func(h string) bool { return h == host })
	}
	for _, h := range w.Hypervisors {
		if h.ServiceHost == host {
			w.Providers = slices.DeleteFunc(w.Providers, func(p openstack.ResourceProvider) bool { return p.ID == h.ID })
		}
	}
	w.Hypervisors = slices.DeleteFunc(w.Hypervisors, func(h openstack.Hypervisor) bool { return h.ServiceHost == host })
	w.Services = slices.Delete(w.Services, i, i+1)
	return true, nil
}

// deleteAgent does as ML2/OVN 26 does: the chassis goes, and every agent with it.
func (s *Simulator) deleteAgent(action openstack.Action) bool {
	w := &s.world
	i := slices.IndexFunc(w.Agents, func(a openstack.NetworkAgent) bool { return a.ID == action.Agent })
	if i < 0 {
		return false
	}
	host := w.Agents[i].Host
	w.Agents = slices.DeleteFunc(w.Agents, func(a openstack.NetworkAgent) bool { return a.Host == host })
	w.Chassis = slices.DeleteFunc(w.Chassis, func(c openstack.Chassis) bool { return c.Host == host })
	return true
}
