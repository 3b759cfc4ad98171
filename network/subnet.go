package network

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// DefaultMTU is a network's MTU in bytes when it names none.
const DefaultMTU = 1500

// ServiceNetwork is the network's role: its serviceNetwork, else its name, in lower case (as RHOSO's IPAM derives it:
// infra-operator apis/network/v1beta1, ToDefaultServiceNetwork).
func ServiceNetwork(n v1alpha1.Network) string {
	return strings.ToLower(cmp.Or(n.ServiceNetwork, n.Name))
}

// IsCtlplane reports whether the network is the control-plane network.
func IsCtlplane(n v1alpha1.Network) bool { return ServiceNetwork(n) == v1alpha1.CtlplaneNetwork }

// CanonicalName returns the host name with the domain of the control-plane network among the addresses, unless it has a domain already.
func CanonicalName(nets v1alpha1.NetConfigSpec, hostName string, addresses []v1alpha1.Address) string {
	if strings.Contains(hostName, ".") {
		return hostName
	}
	for _, n := range nets.Networks {
		held := slices.ContainsFunc(addresses, func(a v1alpha1.Address) bool { return a.Network == n.Name })
		if held && IsCtlplane(n) && n.DNSDomain != "" {
			return hostName + "." + n.DNSDomain
		}
	}
	return hostName
}

// MTU of the network in bytes, defaulted.
func MTU(n v1alpha1.Network) int32 { return cmp.Or(n.MTU, DefaultMTU) }

// Lookup finds a network by name and its subnet. An empty subnet name picks the only subnet. The error names field and
// remedy.
func Lookup(nets v1alpha1.NetConfigSpec, network, subnet string) (n v1alpha1.Network, s v1alpha1.Subnet, err error) {
	i := slices.IndexFunc(nets.Networks, func(n v1alpha1.Network) bool { return n.Name == network })
	if i < 0 {
		return n, s, fmt.Errorf("networks[].name %q is not in the NetConfig, which has %s: correct the name or add the network",
			network, names(nets.Networks, func(n v1alpha1.Network) string { return n.Name }))
	}
	n = nets.Networks[i]
	if subnet == "" && len(n.Subnets) == 1 {
		return n, n.Subnets[0], nil
	}
	i = slices.IndexFunc(n.Subnets, func(s v1alpha1.Subnet) bool { return s.Name == subnet })
	have := names(n.Subnets, func(s v1alpha1.Subnet) string { return s.Name })
	switch {
	case i >= 0:
		return n, n.Subnets[i], nil
	case subnet == "":
		return n, s, fmt.Errorf("networks[%s].subnetName is empty, but the network has %d subnets: name one of %s", network, len(n.Subnets), have)
	default:
		return n, s, fmt.Errorf("networks[%s].subnetName %q is not in the NetConfig, whose network %s has %s: correct the name or add the subnet",
			network, subnet, network, have)
	}
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

// parsed is a subnet whose strings have been read.
type parsed struct {
	network, name string
	prefix        netip.Prefix
	gateway       netip.Addr // zero when there is none
	written       string     // the ranges as the user wrote them
	ranges        []netipx.IPRange
}

func (p parsed) String() string { return fmt.Sprintf("subnet %s of network %s", p.name, p.network) }

// parse reads a subnet. It goes on after a malformed field, so that all of them are reported.
func parse(network string, s v1alpha1.Subnet) (parsed, error) {
	p := parsed{network: network, name: s.Name}
	prefix, err := netip.ParsePrefix(s.CIDR)
	if err != nil || prefix.Addr().Is4In6() {
		return p, fmt.Errorf("%s: cidr %q is not a network: write it as 192.168.122.0/24 or fd00:122::/64", p, s.CIDR)
	}
	p.prefix = prefix.Masked()
	var errs []error
	if p.prefix != prefix {
		errs = append(errs, fmt.Errorf("%s: cidr %s has bits set after the prefix: write it as %s", p, s.CIDR, p.prefix))
	}
	if s.Gateway != "" {
		if p.gateway, err = p.inside(s.Gateway); err != nil {
			errs = append(errs, fmt.Errorf("%s: gateway %w", p, err))
		}
	}
	if p.ranges, err = p.free(s); err != nil {
		errs = append(errs, err)
	}
	for _, r := range s.AllocationRanges {
		p.written = strings.TrimPrefix(p.written+", "+r.Start+"-"+r.End, ", ")
	}
	return p, errors.Join(append(errs, p.checkRoutes(s), p.checkNameservers(s))...)
}

// inside reads an address that must lie in the subnet.
func (p parsed) inside(address string) (netip.Addr, error) {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address: correct it", address)
	}
	if !p.prefix.Contains(a) {
		return netip.Addr{}, fmt.Errorf("%s is outside %s: give an address inside", address, p.prefix)
	}
	return a, nil
}

// free are the ranges addresses may be taken from: ascending, without overlaps, reserved and excluded addresses.
func (p parsed) free(s v1alpha1.Subnet) ([]netipx.IPRange, error) {
	var b netipx.IPSetBuilder
	var errs []error
	for i, r := range s.AllocationRanges {
		start, errStart := p.inside(r.Start)
		end, errEnd := p.inside(r.End)
		switch {
		case errStart != nil:
			errs = append(errs, fmt.Errorf("%s: allocationRanges[%d].start %w", p, i, errStart))
		case errEnd != nil:
			errs = append(errs, fmt.Errorf("%s: allocationRanges[%d].end %w", p, i, errEnd))
		case end.Less(start):
			errs = append(errs, fmt.Errorf("%s: allocationRanges[%d] ends at %s, before its start %s: swap them", p, i, r.End, r.Start))
		default:
			b.AddRange(netipx.IPRangeFrom(start, end))
		}
	}
	for i, x := range s.ExcludeAddresses {
		a, err := p.inside(x)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: excludeAddresses[%d] %w", p, i, err))
			continue
		}
		b.Remove(a)
	}
	for _, a := range p.reserved() {
		b.Remove(a)
	}
	set, err := b.IPSet()
	if err != nil {
		return nil, errors.Join(append(errs, fmt.Errorf("%s: allocationRanges: %w: correct them", p, err))...)
	}
	return set.Ranges(), errors.Join(errs...)
}

// reserved are the addresses nobody may hold: the gateway, the network address (in IPv6 the subnet-router anycast
// address, RFC 4291 2.6.1) and IPv4's broadcast address. Point-to-point prefixes have neither (RFC 3021, RFC 6164).
func (p parsed) reserved() []netip.Addr {
	var all []netip.Addr
	if p.gateway.IsValid() {
		all = append(all, p.gateway)
	}
	if p.prefix.Addr().BitLen()-p.prefix.Bits() > 1 {
		all = append(all, p.prefix.Addr())
		if p.prefix.Addr().Is4() {
			all = append(all, netipx.PrefixLastIP(p.prefix))
		}
	}
	return all
}

func (p parsed) checkRoutes(s v1alpha1.Subnet) error {
	var errs []error
	for i, r := range s.Routes {
		dest, err := netip.ParsePrefix(r.Destination)
		if err != nil || dest.Addr().Is4() != p.prefix.Addr().Is4() {
			errs = append(errs, fmt.Errorf("%s: routes[%d].destination %q is not a network of the subnet's IP version: write it as 10.0.0.0/8 or fd00::/8", p, i, r.Destination))
		}
		if _, err := p.inside(r.Nexthop); err != nil {
			errs = append(errs, fmt.Errorf("%s: routes[%d].nexthop %w", p, i, err))
		}
	}
	return errors.Join(errs...)
}

func (p parsed) checkNameservers(s v1alpha1.Subnet) error {
	var errs []error
	for i, ns := range s.Nameservers {
		if _, err := netip.ParseAddr(ns); err != nil {
			errs = append(errs, fmt.Errorf("%s: nameservers[%d] %q is not an IP address: correct it", p, i, ns))
		}
	}
	return errors.Join(errs...)
}
