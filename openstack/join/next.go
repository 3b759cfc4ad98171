package join

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/openstack"
)

// Want is what a node's set asks of its cloud.
type Want struct {
	// Set names the NodeSet, for messages.
	Set string
	// Host to look for. Host.EncapIP empty: any encapsulation address will do.
	Host openstack.Host
	// Chassis: the host's chassis is looked for. Without it EncapIP and BridgeMappings are not compared.
	Chassis bool
	// BridgeMappings the chassis has at least, as network:bridge.
	BridgeMappings []string
	// Agents are the binaries of Neutron's agents that must be alive on the host.
	Agents []string
	// Zone is the availability zone; empty leaves it alone.
	Zone string
	// Aggregates and Traits the host has at least.
	Aggregates, Traits []string
}

// Decision is what a sight of the cloud means.
type Decision struct {
	// Reason why the host has not joined, a constant of api/v1alpha1; empty when it has.
	Reason string
	// Message names host, cause and remedy; empty when the host has joined.
	Message string
	// Discover: the compute waits to be mapped into its cell.
	Discover bool
	// Actions make so what is missing, in this order.
	Actions []openstack.Action
	// Status is what the cloud calls the host, as far as that is known.
	Status v1alpha1.ComputeStatus
}

// Joined reports whether the host is a compute as wanted.
func (d Decision) Joined() bool { return d.Reason == "" }

// Next decides. Slices of want and seen are not changed, and their order is of no matter.
func Next(want Want, seen openstack.Compute) Decision {
	s := sight{want: want, seen: sorted(seen)}
	for _, check := range []func(*sight) bool{
		(*sight).registered, (*sight).alone, (*sight).up, (*sight).mapped, (*sight).stocked, (*sight).connected, (*sight).served, (*sight).placed,
	} {
		if !check(&s) {
			break
		}
	}
	return s.out
}

// sight is a want beside what was seen. Fields are filled by the checks in order.
type sight struct {
	want Want
	seen openstack.Compute
	out  Decision

	service    openstack.ComputeService   // by registered
	hypervisor openstack.Hypervisor       // by mapped
	provider   openstack.ResourceProvider // by stocked
}

// no says why not.
func (s *sight) no(reason, format string, args ...any) bool {
	s.out.Reason, s.out.Message = reason, fmt.Sprintf(format, args...)
	return false
}

// host is what the host is called until the cloud has a name for it.
func (s *sight) host() string { return cmp.Or(s.service.Host, first(s.want.Host.Names)) }

func (s *sight) isUs(name string) bool { return slices.Contains(s.want.Host.Names, name) }

// registered finds the compute service, by the best name that there is one of.
func (s *sight) registered() bool {
	for _, name := range s.want.Host.Names {
		var found []openstack.ComputeService
		for _, service := range s.seen.Services {
			if service.Host == name {
				found = append(found, service)
			}
		}
		switch len(found) {
		case 0:
			continue
		case 1:
			s.service, s.out.Status.Host, s.out.Status.ServiceID = found[0], found[0].Host, found[0].ID
			return true
		default:
			return s.no(v1alpha1.ReasonNameClash, "%d compute services are called %s, each in another cell: "+
				"remove those of other hosts (openstack compute service delete ID)", len(found), name)
		}
	}
	return s.no(v1alpha1.ReasonWaitingForCompute, "nova-compute of host %s has not reported to the cloud: "+
		"the journal of nova-compute on the node tells why", strings.Join(s.want.Host.Names, " or "))
}

// alone looks for a hypervisor of another compute under this host's name.
func (s *sight) alone() bool {
	ours := slices.Clone(s.want.Host.Names)
	for _, h := range s.seen.Hypervisors {
		if h.ServiceHost == s.service.Host {
			ours = append(ours, h.Name)
		}
	}
	for _, h := range s.seen.Hypervisors {
		if h.ServiceHost != s.service.Host && slices.Contains(ours, h.Name) {
			return s.no(v1alpha1.ReasonNameClash, "hypervisor %s belongs to the compute service of host %s too: "+
				"rename one of the two hosts, or delete that service if its host is gone", h.Name, h.ServiceHost)
		}
	}
	return true
}

func (s *sight) up() bool {
	switch host := s.host(); {
	case s.service.Unknown:
		return s.no(v1alpha1.ReasonTransient, "the database of the cell of host %s does not answer Nova: nothing is known of its nova-compute", host)
	case s.service.ForcedDown:
		return s.no(v1alpha1.ReasonServiceDown, "nova-compute of host %s is forced down: "+
			"lift it with openstack compute service set --up %s nova-compute", host, host)
	case !s.service.Up:
		return s.no(v1alpha1.ReasonServiceDown, "nova-compute of host %s is down: it has ceased to report to the cloud; "+
			"its journal on the node tells why, and the message queue may be out of its reach", host)
	case s.service.Disabled:
		return s.no(v1alpha1.ReasonServiceDisabled, "nova-compute of host %s is disabled (%s): "+
			"enable it with openstack compute service set --enable %s nova-compute", host, cmp.Or(line.Of(s.service.DisabledReason), "no reason given"), host)
	}
	return true
}

func (s *sight) mapped() bool {
	for _, h := range s.seen.Hypervisors {
		if h.ServiceHost == s.service.Host {
			s.hypervisor, s.out.Status.HypervisorID = h, h.ID
			return true
		}
	}
	s.out.Discover = true
	return s.no(v1alpha1.ReasonWaitingForMapping, "nova-compute of host %s is up and not mapped into its cell", s.host())
}

// stocked looks at what Placement has of the hypervisor.
func (s *sight) stocked() bool {
	var clash *openstack.ResourceProvider
	for i, p := range s.seen.Providers {
		switch {
		case p.ID == s.hypervisor.ID:
			s.provider = p
		case p.Name == s.hypervisor.Name:
			clash = &s.seen.Providers[i]
		}
	}
	if s.provider.ID == "" && clash != nil {
		return s.no(v1alpha1.ReasonNameClash, "resource provider %s has UUID %s and not the hypervisor's %s: an earlier compute had this name; "+
			"delete its provider once nothing is allocated from it (openstack resource provider delete %s)", clash.Name, clash.ID, s.hypervisor.ID, clash.ID)
	}
	if s.provider.ID == "" {
		return s.no(v1alpha1.ReasonWaitingForInventory, "host %s has no resource provider %s in Placement yet", s.host(), s.hypervisor.ID)
	}
	usable := s.provider.Usable
	for _, need := range []struct {
		what   string
		amount int
	}{
		{"processors (VCPU or PCPU)", max(usable["VCPU"], usable["PCPU"])}, {"memory (MEMORY_MB)", usable["MEMORY_MB"]}, {"disk (DISK_GB)", usable["DISK_GB"]},
	} {
		if need.amount <= 0 {
			return s.no(v1alpha1.ReasonWaitingForInventory, "the resource provider of host %s has no %s to allocate: "+
				"nova-compute has not counted it yet, or all of it is reserved", s.host(), need.what)
		}
	}
	return true
}

// connected compares the chassis with what is wanted of it.
func (s *sight) connected() bool {
	if !s.want.Chassis {
		return true
	}
	var ours, others []openstack.Chassis
	for _, c := range s.seen.Chassis {
		if s.isUs(c.Host) {
			ours = append(ours, c)
		} else {
			others = append(others, c)
		}
	}
	if !s.unrivalled(ours, others) {
		return false
	}
	if len(ours) == 0 {
		return s.no(v1alpha1.ReasonWaitingForChassis, "OVN's southbound database has no chassis of host %s: "+
			"ovn-controller on the node does not reach it, or external_ids:hostname there is another", first(s.want.Host.Names))
	}
	c := ours[0]
	s.out.Status.Chassis = c.Name
	if ip := s.want.Host.EncapIP; ip != "" && !slices.Contains(c.EncapIPs, ip) {
		return s.no(v1alpha1.ReasonWaitingForChassis, "chassis %s of host %s has encapsulation address %s, wanted is %s: "+
			"run the service ovn again, or correct edpm_ovn_encap_ip of %s", c.Name, c.Host, strings.Join(c.EncapIPs, ", "), ip, s.want.Set)
	}
	for _, mapping := range slices.Sorted(slices.Values(s.want.BridgeMappings)) {
		if !slices.Contains(c.BridgeMappings, mapping) {
			return s.no(v1alpha1.ReasonWaitingForChassis, "chassis %s of host %s has bridge mappings %q, %s is missing: "+
				"run the service ovn again, or correct edpm_ovn_bridge_mappings of %s", c.Name, c.Host, strings.Join(c.BridgeMappings, ","), mapping, s.want.Set)
		}
	}
	return true
}

// unrivalled looks for chassis that keep the host's from being the only one.
func (s *sight) unrivalled(ours, others []openstack.Chassis) bool {
	if len(ours) > 1 {
		return s.no(v1alpha1.ReasonNameClash, "host %s has %d chassis (%s): delete those of earlier installations (ovn-sbctl chassis-del NAME)",
			ours[0].Host, len(ours), names(ours))
	}
	for _, c := range others {
		switch {
		case len(ours) == 0 && c.Name == s.want.Host.Chassis:
			return s.no(v1alpha1.ReasonNameClash, "chassis %s of host %s is now host %s: both have the same Open vSwitch system-id, as cloned disks do; "+
				"give each its own (/etc/openvswitch/system-id.conf)", c.Name, first(s.want.Host.Names), c.Host)
		case s.want.Host.EncapIP != "" && slices.Contains(c.EncapIPs, s.want.Host.EncapIP):
			return s.no(v1alpha1.ReasonNameClash, "encapsulation address %s of host %s is taken by chassis %s of host %s: "+
				"change it there, or delete that chassis if its host is gone (ovn-sbctl chassis-del %s)",
				s.want.Host.EncapIP, first(s.want.Host.Names), c.Name, c.Host, c.Name)
		}
	}
	return true
}

// served looks for the network agents.
func (s *sight) served() bool {
	for _, binary := range slices.Sorted(slices.Values(s.want.Agents)) {
		i := slices.IndexFunc(s.seen.Agents, func(a openstack.NetworkAgent) bool { return a.Binary == binary })
		switch {
		case i < 0:
			return s.no(v1alpha1.ReasonWaitingForAgent, "Neutron has no agent %s of host %s: its journal on the node tells why", binary, s.host())
		case !s.seen.Agents[i].Alive:
			return s.no(v1alpha1.ReasonServiceDown, "agent %s of host %s is not alive: its journal on the node tells why, "+
				"and OVN's southbound database may be out of its reach", binary, s.host())
		}
	}
	return true
}

// placed decides aggregates, zone and traits.
func (s *sight) placed() bool {
	if !s.zoned() {
		return false
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(s.want.Aggregates))) {
		s.member(name)
	}
	for _, trait := range slices.Compact(slices.Sorted(slices.Values(s.want.Traits))) {
		if !slices.Contains(s.provider.Traits, trait) {
			s.act(openstack.Action{Verb: openstack.SetTrait, Provider: s.provider.ID, Trait: trait})
		}
	}
	if len(s.out.Actions) > 0 {
		return s.no(v1alpha1.ReasonWaitingForAggregates, "host %s is being put into its aggregates, availability zone and traits", s.host())
	}
	return true
}

// zoned decides what puts the host into its zone. A host is in one zone at most: Nova refuses another.
func (s *sight) zoned() bool {
	zone := s.want.Zone
	if zone == "" {
		return true
	}
	var candidates []openstack.HostAggregate
	for _, a := range s.seen.Aggregates {
		switch {
		case a.Zone == "":
		case slices.Contains(a.Hosts, s.service.Host) && a.Zone != zone:
			return s.no(v1alpha1.ReasonRejected, "host %s is in availability zone %s by aggregate %s: take it out there, or correct spec.openstack.availabilityZone of %s",
				s.service.Host, a.Zone, a.Name, s.want.Set)
		case a.Zone == zone:
			candidates = append(candidates, a)
		}
		if a.Name == zone && a.Zone != zone {
			return s.no(v1alpha1.ReasonRejected, "aggregate %s is there and not of availability zone %s: "+
				"set its zone, or correct spec.openstack.availabilityZone of %s", a.Name, zone, s.want.Set)
		}
	}
	if slices.ContainsFunc(candidates, func(a openstack.HostAggregate) bool { return slices.Contains(a.Hosts, s.service.Host) }) {
		return true
	}
	name := zone
	if len(candidates) > 0 && !slices.ContainsFunc(candidates, func(a openstack.HostAggregate) bool { return a.Name == zone }) {
		name = candidates[0].Name
	}
	if len(candidates) == 0 {
		s.act(openstack.Action{Verb: openstack.MakeAggregate, Aggregate: name, Zone: zone})
	}
	s.act(openstack.Action{Verb: openstack.JoinAggregate, Aggregate: name, Host: s.service.Host})
	return true
}

// member decides what makes the host a member of the aggregate.
func (s *sight) member(name string) {
	join := openstack.Action{Verb: openstack.JoinAggregate, Aggregate: name, Host: s.service.Host}
	if slices.Contains(s.out.Actions, join) {
		return // the zone's
	}
	i := slices.IndexFunc(s.seen.Aggregates, func(a openstack.HostAggregate) bool { return a.Name == name })
	switch {
	case i < 0:
		s.act(openstack.Action{Verb: openstack.MakeAggregate, Aggregate: name})
		s.act(join)
	case !slices.Contains(s.seen.Aggregates[i].Hosts, s.service.Host):
		s.act(join)
	}
}

func (s *sight) act(a openstack.Action) { s.out.Actions = append(s.out.Actions, a) }

// sorted is what was seen in a fixed order.
func sorted(c openstack.Compute) openstack.Compute {
	return openstack.Compute{
		Services:    by(c.Services, func(s openstack.ComputeService) string { return s.ID }),
		Hypervisors: by(c.Hypervisors, func(h openstack.Hypervisor) string { return h.Name + " " + h.ID }),
		Providers:   by(c.Providers, func(p openstack.ResourceProvider) string { return p.Name + " " + p.ID }),
		Aggregates:  by(c.Aggregates, func(a openstack.HostAggregate) string { return a.Name }),
		Agents: by(c.Agents, func(a openstack.NetworkAgent) string {
			if a.Alive { // of two agents with one name the live one counts
				return a.Binary + " 0 " + a.Host
			}
			return a.Binary + " 1 " + a.Host
		}),
		Chassis: by(c.Chassis, func(c openstack.Chassis) string { return c.Name }),
	}
}

func by[T any](in []T, key func(T) string) []T {
	return slices.SortedStableFunc(slices.Values(in), func(a, b T) int { return cmp.Compare(key(a), key(b)) })
}

func names(chassis []openstack.Chassis) string {
	var out []string
	for _, c := range chassis {
		out = append(out, c.Name)
	}
	return strings.Join(out, ", ")
}

func first(names []string) string {
	if len(names) == 0 {
		return "?"
	}
	return names[0]
}
