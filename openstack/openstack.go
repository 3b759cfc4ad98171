package openstack

import (
	"context"
	"slices"

	"github.com/rackplane/rackplane/secret"
)

// Cloud is an OpenStack that servers join as computes.
//
// Errors of every method: fault.Transient (the cloud or its southbound database does not answer), fault.Denied
// (credentials are refused, or the certificate is not trusted), fault.Rejected (what answers is no OpenStack, or the
// action asks for something that contradicts what is there), fault.Missing (the catalog lacks a service, or the action's
// object is gone), fault.Unsupported (the cloud is too old), and for Do also fault.Busy (a concurrent change: ask again
// soon). Texts are one line, name endpoint and remedy and hold no secret.
type Cloud interface {
	// See tells what the cloud knows of a host. It has no side effect. Nothing found is an empty Compute, no error. The
	// answer may be some seconds old, but never older than the last Do through the same Cloud.
	See(ctx context.Context, access Access, host Host) (Compute, error)
	// Servers are the names of virtual machines of all projects that are on a compute host, called as its compute service
	// is; sorted. It has no side effect, and is never old.
	Servers(ctx context.Context, access Access, host string) ([]string, error)
	// Do makes one thing so and returns when it is. It is idempotent: what already is so succeeds without a second effect.
	Do(ctx context.Context, access Access, action Action) error
}

// Access is how a cloud is reached. It is comparable: two equal values reach the same cloud the same way.
type Access struct {
	// Source names the Secret and the entry the access is from, for messages.
	Source string
	// AuthURL is Keystone's.
	AuthURL string
	// Username with UserDomain, or UserID; with Password.
	Username, UserID, UserDomainName, UserDomainID string
	Password                                       secret.Value
	// ProjectName with ProjectDomain, or ProjectID. Empty with an application credential, which has its own.
	ProjectName, ProjectID, ProjectDomainName, ProjectDomainID string
	// SystemScope is "all" for a token of the whole system; then there is no project.
	SystemScope string
	// ApplicationCredentialID, or its name with a user; with ApplicationCredentialSecret.
	ApplicationCredentialID, ApplicationCredentialName string
	ApplicationCredentialSecret                        secret.Value
	// Region of the catalog; empty takes the only one.
	Region string
	// Interface of the catalog: public (also when empty), internal or admin.
	Interface string
	// CA holds the PEM certificates that the endpoints' must be signed by; empty means the machine's.
	CA string
	// Southbound is OVN's southbound database; without endpoints it is not asked.
	Southbound SouthboundAccess
}

// SouthboundAccess is how OVN's southbound database is reached.
type SouthboundAccess struct {
	// Source names the NodeSet's field, and the Secret if there is one, for messages.
	Source string
	// Endpoints as OVN writes them, separated by commas: tcp:192.0.2.1:6642,ssl:[2001:db8::1]:6642.
	Endpoints string
	// Certificate, Key and CA are PEM; only for ssl endpoints. As with OVN's own clients the CA alone tells whom to trust:
	// certificates made by ovs-pki name no host.
	Certificate, CA string
	Key             secret.Value
}

// Host is whom See looks for.
type Host struct {
	// Names the host may have in the cloud, the best first: its canonical name, and the same without its domain.
	Names []string
	// Chassis it was last seen as, and EncapIP it should have; either may be empty. They only find impostors.
	Chassis, EncapIP string
}

// Compute is what a cloud knows of a host, in no particular order unless said otherwise. The zero value means nothing.
type Compute struct {
	// Services are the nova-compute services with one of the host's names. More than one: cells that know different ones.
	Services []ComputeService
	// Hypervisors belong to one of the services or have one of the host's names. The API shows mapped ones only.
	Hypervisors []Hypervisor
	// Providers are resource providers with the UUID or the name of one of the hypervisors, or one of the host's names.
	Providers []ResourceProvider
	// Aggregates are all host aggregates of the cloud.
	Aggregates []HostAggregate
	// Agents are Neutron's with one of the host's names.
	Agents []NetworkAgent
	// Chassis have one of the host's names, its chassis name or its encapsulation address.
	Chassis []Chassis
}

// Of is what a Compute that holds a whole cloud has of one host.
func (c Compute) Of(host Host) Compute {
	named := func(name string) bool { return slices.Contains(host.Names, name) }
	out := Compute{
		Services:   keep(c.Services, func(s ComputeService) bool { return named(s.Host) }),
		Aggregates: c.Aggregates,
		Agents:     keep(c.Agents, func(a NetworkAgent) bool { return named(a.Host) }),
		Chassis: keep(c.Chassis, func(c Chassis) bool {
			return named(c.Host) || (host.Chassis != "" && c.Name == host.Chassis) || (host.EncapIP != "" && slices.Contains(c.EncapIPs, host.EncapIP))
		}),
	}
	ours := func(h Hypervisor) bool { return named(h.ServiceHost) || named(h.Name) }
	names, ids := slices.Clone(host.Names), []string{}
	for _, h := range keep(c.Hypervisors, ours) {
		names, ids = append(names, h.Name), append(ids, h.ID)
	}
	out.Hypervisors = keep(c.Hypervisors, func(h Hypervisor) bool { return ours(h) || slices.Contains(names, h.Name) })
	out.Providers = keep(c.Providers, func(p ResourceProvider) bool { return slices.Contains(ids, p.ID) || slices.Contains(names, p.Name) })
	return out
}

// keep are the items that fit, nil when none does.
func keep[T any](in []T, fits func(T) bool) []T {
	var out []T
	for _, item := range in {
		if fits(item) {
			out = append(out, item)
		}
	}
	return out
}

// ComputeService is a nova-compute service (Nova API, os-services).
type ComputeService struct {
	// ID is its UUID, Host the name nova-compute runs under.
	ID, Host string
	// Up: it reported lately. Unknown: its cell's database does not answer, nothing else of it is known.
	Up, Unknown bool
	// ForcedDown: an operator declared it down.
	ForcedDown bool
	// Disabled with DisabledReason: the scheduler does not use it.
	Disabled       bool
	DisabledReason string
}

// Hypervisor is what a compute service runs servers on (Nova API, os-hypervisors).
type Hypervisor struct {
	// ID is its UUID and its resource provider's; Name is hypervisor_hostname.
	ID, Name string
	// ServiceHost is the Host of its service.
	ServiceHost string
	// Up as its service is.
	Up bool
}

// ResourceProvider is what Placement allocates from.
type ResourceProvider struct {
	// ID is its UUID, Name the hypervisor's.
	ID, Name string
	// Usable is how much there is to allocate by resource class (VCPU, PCPU, MEMORY_MB, DISK_GB, ...), reserved amounts
	// left out, before overcommitment. Only filled in for providers whose ID is a hypervisor's of the host.
	Usable map[string]int
	// Traits it has, sorted; filled in as Usable is.
	Traits []string
}

// HostAggregate is a group of hosts, and an availability zone when Zone is set.
type HostAggregate struct {
	Name, Zone string
	// Hosts are the names of member services' hosts.
	Hosts []string
}

// NetworkAgent is one of Neutron's agents. With OVN, agents are derived from the southbound database: one is alive when
// its chassis caught up with the configuration within agent_down_time (neutron 26.0.3, neutron/plugins/ml2/drivers/ovn/agent).
type NetworkAgent struct {
	// ID as Neutron knows it.
	ID string
	// Binary such as ovn-controller or neutron-ovn-metadata-agent; Host it runs on.
	Binary, Host string
	Alive        bool
}

// Chassis is a host in OVN's southbound database (ovn-sb(5), 25.03).
type Chassis struct {
	// Name is Open vSwitch's system-id there; Host is external_ids:hostname.
	Name, Host string
	// EncapIPs are the tunnel endpoints' addresses, sorted.
	EncapIPs []string
	// BridgeMappings are network:bridge pairs, sorted.
	BridgeMappings []string
}

// Verb is something Cloud.Do can do.
type Verb string

// The verbs.
const (
	// MakeAggregate creates the host aggregate Aggregate with the availability zone Zone, if not empty. Rejected when
	// there is one of that name in another zone.
	MakeAggregate Verb = "MakeAggregate"
	// JoinAggregate makes Host a member of Aggregate. Rejected when it is in another availability zone already.
	JoinAggregate Verb = "JoinAggregate"
	// SetTrait sets Trait on Provider, and makes it first when it is a custom one nobody knows.
	SetTrait Verb = "SetTrait"
	// DisableService keeps the scheduler from Service. Missing when there is none.
	DisableService Verb = "DisableService"
	// DeleteService makes Nova and Placement forget Service: its membership of aggregates, mapping, hypervisor and
	// resource provider. Busy while virtual machines or migrations are on it. One whose nova-compute runs comes back.
	DeleteService Verb = "DeleteService"
	// DeleteAgent makes Neutron forget Agent; with OVN its chassis, and with it every agent there. One that runs comes back.
	DeleteAgent Verb = "DeleteAgent"
)

// Action is one thing to make so. Fields not named by the verb are empty.
type Action struct {
	Verb Verb
	// Aggregate is its name, Zone its availability zone.
	Aggregate, Zone string
	// Host as its compute service is called.
	Host string
	// Provider is the resource provider's UUID.
	Provider, Trait string
	// Service is the compute service's UUID, Agent the network agent's ID.
	Service, Agent string
}
