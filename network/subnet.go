package network

import (
	"fmt"
	"net/netip"
	"strings"

	"go4.org/netipx"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// maxVLAN is the highest tag of IEEE 802.1Q that is not reserved.
const maxVLAN = 4094

// newSubnet reads a subnet. It goes on after a malformed field, so that all of them are reported.
func newSubnet(n *Network, spec *v1alpha1.Subnet) (*Subnet, []error) {
	r := subnetReader{s: &Subnet{Network: n, Name: spec.Name}}
	r.read(spec)
	if len(r.problems) > 0 {
		r.s.problem = r.problems[0]
	}
	return r.s, r.problems
}

func (s *Subnet) String() string {
	return fmt.Sprintf("subnet %s of network %s", s.Name, s.Network.Name)
}

// Inside reads an address that must lie in the subnet.
func (s *Subnet) Inside(address string) (netip.Addr, error) {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address: correct it", address)
	}
	if !s.Prefix.Contains(a) {
		return netip.Addr{}, fmt.Errorf("%s is outside %s: give an address inside", address, s.Prefix)
	}
	return a, nil
}

// DefaultRoute returns the route through the gateway; ok is false when there is none.
func (s *Subnet) DefaultRoute() (r Route, ok bool) {
	everywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if s.Prefix.Addr().Is6() {
		everywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return Route{everywhere, s.Gateway}, s.Gateway.IsValid()
}

// subnetReader reads the fields of one subnet, each of which may be malformed.
type subnetReader struct {
	s        *Subnet
	problems []error
}

// refuse notes a problem; format's last argument is the reason.
func (r *subnetReader) refuse(format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("%s: %w", r.s, fmt.Errorf(format, args...)))
}

func (r *subnetReader) read(spec *v1alpha1.Subnet) {
	prefix, err := netip.ParsePrefix(spec.CIDR)
	if err != nil || prefix.Addr().Is4In6() {
		r.refuse("cidr %q is not a network: write it as 192.168.122.0/24 or fd00:122::/64", spec.CIDR)
		return // everything else is held against it
	}
	s := r.s
	if s.Prefix = prefix.Masked(); s.Prefix != prefix {
		r.refuse("cidr %s has bits set after the prefix: write it as %s", spec.CIDR, s.Prefix)
	}
	if spec.VLAN != nil {
		if s.VLAN = *spec.VLAN; s.VLAN < 1 || s.VLAN > maxVLAN {
			r.refuse("vlan %d is no tag: give one of 1 to %d, or leave it out", s.VLAN, maxVLAN)
		}
	}
	if spec.Gateway != "" {
		if s.Gateway, err = s.Inside(spec.Gateway); err != nil {
			r.refuse("gateway %w", err)
		}
	}
	s.reserved = s.unusable()
	r.readRanges(spec)
	r.readRoutes(spec)
	for i, text := range spec.Nameservers {
		server, err := ParseAddress(text)
		if err != nil || server.Is4In6() {
			r.refuse("nameservers[%d] %q is not an IP address: correct it", i, text)
		}
		s.Nameservers = append(s.Nameservers, server)
	}
}

// readRanges reads where addresses may be taken from.
func (r *subnetReader) readRanges(spec *v1alpha1.Subnet) {
	s := r.s
	var b netipx.IPSetBuilder
	for i, span := range spec.AllocationRanges {
		start, errStart := s.Inside(span.Start)
		end, errEnd := s.Inside(span.End)
		switch {
		case errStart != nil:
			r.refuse("allocationRanges[%d].start %w", i, errStart)
		case errEnd != nil:
			r.refuse("allocationRanges[%d].end %w", i, errEnd)
		case end.Less(start):
			r.refuse("allocationRanges[%d] ends at %s, before its start %s: swap them", i, span.End, span.Start)
		default:
			b.AddRange(netipx.IPRangeFrom(start, end))
		}
		s.written = strings.TrimPrefix(s.written+", "+span.Start+"-"+span.End, ", ")
	}
	for i, text := range spec.ExcludeAddresses {
		a, err := s.Inside(text)
		if err != nil {
			r.refuse("excludeAddresses[%d] %w", i, err)
			continue
		}
		b.Remove(a)
	}
	for _, a := range s.reserved {
		b.Remove(a)
	}
	set, err := b.IPSet()
	if err != nil {
		r.refuse("allocationRanges: %w: correct them", err)
		return
	}
	s.ranges = set.Ranges()
}

// unusable are the addresses nobody may hold: the gateway, the network address (in IPv6 the subnet-router anycast address,
// RFC 4291 2.6.1) and IPv4's broadcast address. Point-to-point prefixes have neither (RFC 3021, RFC 6164).
func (s *Subnet) unusable() []netip.Addr {
	var all []netip.Addr
	if s.Gateway.IsValid() {
		all = append(all, s.Gateway)
	}
	if s.Prefix.Addr().BitLen()-s.Prefix.Bits() > 1 {
		all = append(all, s.Prefix.Addr())
		if s.Prefix.Addr().Is4() {
			all = append(all, netipx.PrefixLastIP(s.Prefix))
		}
	}
	return all
}

func (r *subnetReader) readRoutes(spec *v1alpha1.Subnet) {
	for i, given := range spec.Routes {
		destination, err := netip.ParsePrefix(given.Destination)
		if err != nil || destination.Addr().Is4() != r.s.Prefix.Addr().Is4() {
			r.refuse("routes[%d].destination %q is not a network of the subnet's IP version: write it as 10.0.0.0/8 or fd00::/8", i, given.Destination)
		}
		nexthop, err := r.s.Inside(given.Nexthop)
		if err != nil {
			r.refuse("routes[%d].nexthop %w", i, err)
		}
		r.s.Routes = append(r.s.Routes, Route{destination.Masked(), nexthop})
	}
}
