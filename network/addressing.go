package network

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// give says where the device's addresses come from.
func (d *device) give(ip *v1alpha1.Addressing, field string) error {
	if ip == nil {
		return nil
	}
	d.ip = *ip
	for i, text := range ip.Addresses {
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().Is4In6() {
			return fmt.Errorf("%s.ip.addresses[%d] %q is no address with its prefix length: write it as 192.0.2.1/32 or 2001:db8::1/128", field, i, text)
		}
		d.own = append(d.own, p)
	}
	return nil
}

// addressed refuses static addresses of a family that is to have none, and a default route that cannot be reached.
func (d *device) addressed() error {
	for _, f := range []family{ipv4, ipv6} {
		if static := d.static(f); d.method(f) == v1alpha1.AddressNone && len(static) > 0 {
			return fmt.Errorf("interface %s is to have no addresses of %s, but has %s: remove ip's None, or the network", d.name, familyOf(static[0].Addr()), static[0])
		}
	}
	if d.ip.Prefix != v1alpha1.PrefixHost {
		return nil
	}
	for _, a := range d.addrs {
		if slices.ContainsFunc(a.routes, func(r Route) bool { return r.Destination.Bits() == 0 }) {
			return fmt.Errorf("networks[%s].defaultRoute is true, but interface %s has its address alone (ip.prefix Host) and cannot reach the gateway: give the default route to another network", a.subnet.Network.Name, d.name)
		}
	}
	return nil
}

// family is nmstate's word for a family of addresses.
type family string

const (
	ipv4 family = "ipv4"
	ipv6 family = "ipv6"
)

func familyIn(a netip.Addr) family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

func (d *device) method(f family) v1alpha1.AddressMethod {
	if f == ipv4 {
		return d.ip.IPv4
	}
	return d.ip.IPv6
}

// static are the device's static addresses of a family.
func (d *device) static(f family) []netip.Prefix {
	var all []netip.Prefix
	for _, a := range d.addrs {
		if familyIn(a.address) != f {
			continue
		}
		bits := a.subnet.Prefix.Bits()
		if d.ip.Prefix == v1alpha1.PrefixHost {
			bits = a.address.BitLen()
		}
		all = append(all, netip.PrefixFrom(a.address, bits))
	}
	for _, p := range d.own {
		if familyIn(p.Addr()) == f {
			all = append(all, p)
		}
	}
	return all
}

// learns reports whether the device gets addresses of a family from the network.
func (d *device) learns(f family) bool {
	m := d.method(f)
	return m == v1alpha1.AddressDHCP || m == v1alpha1.AddressSLAAC
}

// nmAddresses is the device's ipv4 or ipv6 section. What a network offers beside addresses is taken only where the layout says so.
// none is that of a family without addresses, which most are.
func nmAddresses(d *device, f family, none map[string]any) map[string]any {
	var list []any
	for _, p := range d.static(f) {
		list = append(list, map[string]any{"ip": p.Addr().String(), "prefix-length": int64(p.Bits())})
	}
	if !d.learns(f) && len(list) == 0 {
		return none
	}
	// nmstate refuses autoconf without DHCP; what routers announce says whether DHCPv6 is asked.
	out := map[string]any{"enabled": true, "dhcp": d.learns(f)}
	if len(list) > 0 {
		out["address"] = list
	}
	if f == ipv6 {
		out["autoconf"] = d.method(f) == v1alpha1.AddressSLAAC
	}
	if d.learns(f) {
		out["auto-routes"], out["auto-gateway"], out["auto-dns"] = true, d.ip.DefaultRoute == v1alpha1.Learnt, d.ip.Nameservers == v1alpha1.Learnt
	}
	return out
}
