package network

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"go4.org/netipx"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// DefaultMTU is a network's MTU in bytes when it names none.
const DefaultMTU = 1500

// Site is a NetConfig that has been read: addresses are planned, networks rendered and variables made from one. It never
// changes, so that passes may share it. The zero value has no networks.
type Site struct {
	networks []*Network
	byName   map[string]*Network
	ctlplane *Network // nil when there is none
	spec     v1alpha1.NetConfigSpec
}

// Network is one network of a Site.
type Network struct {
	Name string
	// Role is its serviceNetwork, else its name, in lower case (as RHOSO's IPAM derives it: infra-operator
	// apis/network/v1beta1, ToDefaultServiceNetwork).
	Role      string
	DNSDomain string
	// MTU in bytes, defaulted.
	MTU     int32
	subnets []*Subnet
}

// IsCtlplane reports whether the network is the control-plane network.
func (n *Network) IsCtlplane() bool { return n.Role == v1alpha1.CtlplaneNetwork }

// Subnet is one subnet of a Network, all of whose fields could be read.
type Subnet struct {
	Network *Network
	Name    string
	Prefix  netip.Prefix
	// VLAN is the tag; 0 means untagged.
	VLAN int32
	// Gateway is zero when there is none.
	Gateway netip.Addr
	// Routes beside the default route.
	Routes      []Route
	Nameservers []netip.Addr

	ranges   []netipx.IPRange // addresses may be taken from: ascending, without overlaps, reserved and excluded addresses
	written  string           // the ranges as the user wrote them
	reserved []netip.Addr     // addresses nobody may hold
	problem  error            // the first one; who looks the subnet up gets it instead
}

// Route is a static route.
type Route struct {
	Destination netip.Prefix
	Nexthop     netip.Addr
}

// NewSite reads a NetConfig. Its problems are what the API server refuses, but offline manifests may have (malformed
// fields), and what no single field's rule can see: subnets that overlap, a missing or doubled control plane. Each names
// field and remedy. A site with problems still tells what could be read of it, so that a mistake in one subnet loses
// nothing elsewhere; nothing new may be built from it.
func NewSite(spec v1alpha1.NetConfigSpec) (Site, []error) {
	s := Site{byName: make(map[string]*Network, len(spec.Networks)), spec: spec}
	var problems []error
	var subnets []*Subnet
	for i := range spec.Networks {
		n, found := newNetwork(&spec.Networks[i])
		problems = append(problems, found...)
		if s.byName[n.Name] != nil {
			problems = append(problems, fmt.Errorf("two networks are called %s: rename one", n.Name))
			continue
		}
		for _, sub := range n.subnets {
			if sub.Prefix.IsValid() {
				problems = append(problems, sub.overlaps(subnets)...)
				subnets = append(subnets, sub)
			}
		}
		s.networks, s.byName[n.Name] = append(s.networks, n), n
		if !n.IsCtlplane() {
			continue
		}
		if s.ctlplane != nil {
			problems = append(problems, fmt.Errorf("networks %s and %s are both the control plane: keep serviceNetwork ctlplane on one", s.ctlplane.Name, n.Name))
			continue
		}
		s.ctlplane = n
	}
	if s.ctlplane == nil {
		problems = append(problems, errors.New("no network is the control plane: name one ctlplane, or set its serviceNetwork to ctlplane"))
	}
	return s, problems
}

// Empty reports whether nothing is known of the site.
func (s Site) Empty() bool { return len(s.networks) == 0 }

// Same reports whether both were read of the same.
func (s Site) Same(other Site) bool { return reflect.DeepEqual(s.spec, other.spec) }

// Network returns the network of that name; nil when there is none.
func (s Site) Network(name string) *Network { return s.byName[name] }

// Subnet finds a network by name and its subnet. An empty subnet name picks the only subnet. The error names field and
// remedy.
func (s Site) Subnet(network, subnet string) (*Subnet, error) {
	n := s.byName[network]
	if n == nil {
		return nil, fmt.Errorf("networks[].name %q is not in the NetConfig, which has %s: correct the name or add the network",
			network, names(s.networks, func(n *Network) string { return n.Name }))
	}
	if subnet == "" && len(n.subnets) == 1 {
		return n.subnets[0], n.subnets[0].problem
	}
	if i := slices.IndexFunc(n.subnets, func(s *Subnet) bool { return s.Name == subnet }); i >= 0 {
		return n.subnets[i], n.subnets[i].problem
	}
	have := names(n.subnets, func(s *Subnet) string { return s.Name })
	if subnet == "" {
		return nil, fmt.Errorf("networks[%s].subnetName is empty, but the network has %d subnets: name one of %s", network, len(n.subnets), have)
	}
	return nil, fmt.Errorf("networks[%s].subnetName %q is not in the NetConfig, whose network %s has %s: correct the name or add the subnet",
		network, subnet, network, have)
}

// AddressOn returns the address on the network of that role; "" when none of the addresses is on it.
func (s Site) AddressOn(role string, addresses []v1alpha1.Address) string {
	for i := range addresses {
		if n := s.byName[addresses[i].Network]; n != nil && n.Role == role {
			return addresses[i].Address
		}
	}
	return ""
}

// CanonicalName returns what Nova, OVN and /etc/hosts call a node: its host name with the domain of the control-plane
// network, if it has an address there, unless it has a domain already. The domain is the network's, not a subnet's: a name
// must not change because a subnet was renamed.
func (s Site) CanonicalName(hostName string, addresses []v1alpha1.Address) string {
	if strings.Contains(hostName, ".") || s.ctlplane == nil || s.ctlplane.DNSDomain == "" {
		return hostName
	}
	if slices.ContainsFunc(addresses, func(a v1alpha1.Address) bool { return a.Network == s.ctlplane.Name }) {
		return hostName + "." + s.ctlplane.DNSDomain
	}
	return hostName
}

func names[T any](items []T, name func(T) string) string {
	if len(items) == 0 {
		return "none"
	}
	all := make([]string, len(items))
	for i, item := range items {
		all[i] = name(item)
	}
	return strings.Join(all, ", ")
}

// newNetwork reads a network and its subnets.
func newNetwork(spec *v1alpha1.Network) (*Network, []error) {
	n := &Network{
		Name: spec.Name, Role: strings.ToLower(cmp.Or(spec.ServiceNetwork, spec.Name)),
		DNSDomain: spec.DNSDomain, MTU: cmp.Or(spec.MTU, DefaultMTU),
	}
	problems := checkNames(spec)
	for i := range spec.Subnets {
		sub, found := newSubnet(n, &spec.Subnets[i])
		problems = append(problems, found...)
		if slices.ContainsFunc(n.subnets, func(s *Subnet) bool { return s.Name == sub.Name }) {
			problems = append(problems, fmt.Errorf("two subnets of network %s are called %s: rename one", n.Name, sub.Name))
			continue
		}
		n.subnets = append(n.subnets, sub)
	}
	return n, problems
}

// checkNames refuses a name that variables cannot be made from, and a domain that is none.
func checkNames(n *v1alpha1.Network) []error {
	var errs []error
	if !variableStem.MatchString(n.Name) {
		errs = append(errs, fmt.Errorf("network %.80q: name must begin with a letter and hold letters, digits, dashes and underscores alone: rename it", n.Name))
	}
	if n.ServiceNetwork != "" && !variableStem.MatchString(n.ServiceNetwork) {
		errs = append(errs, fmt.Errorf("network %.80q: serviceNetwork %.80q must begin with a letter and hold letters, digits, dashes and underscores alone: correct it", n.Name, n.ServiceNetwork))
	}
	if n.DNSDomain != "" {
		if err := CheckName(n.DNSDomain); err != nil {
			errs = append(errs, fmt.Errorf("network %s: dnsDomain %w", n.Name, err))
		}
	}
	return errs
}

// overlaps tells of each other subnet that shares addresses with this one.
func (s *Subnet) overlaps(others []*Subnet) []error {
	var errs []error
	for _, o := range others {
		if s.Prefix.Overlaps(o.Prefix) {
			errs = append(errs, fmt.Errorf("%s: cidr %s overlaps %s of %s: one address would belong to both; change one", s, s.Prefix, o.Prefix, o))
		}
	}
	return errs
}
