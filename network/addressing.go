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
	for _, four := range []bool{true, false} {
		if static := d.static(four); d.method(four) == v1alpha1.AddressNone && len(static) > 0 {
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

func (d *device) method(four bool) v1alpha1.AddressMethod {
	if four {
		return d.ip.IPv4
	}
	return d.ip.IPv6
}

// static are the device's static addresses of a family.
func (d *device) static(four bool) []netip.Prefix {
	var all []netip.Prefix
	for _, a := range d.addrs {
		if a.address.Is4() != four {
			continue
		}
		bits := a.subnet.Prefix.Bits()
		if d.ip.Prefix == v1alpha1.PrefixHost {
			bits = a.address.BitLen()
		}
		all = append(all, netip.PrefixFrom(a.address, bits))
	}
	for _, p := range d.own {
		if p.Addr().Is4() == four {
			all = append(all, p)
		}
	}
	return all
}

// learns reports whether the device gets addresses of a family from the network.
func (d *device) learns(four bool) bool {
	m := d.method(four)
	return m == v1alpha1.AddressDHCP || m == v1alpha1.AddressSLAAC
}

// nmAddresses is the device's ipv4 or ipv6 section. What a network offers beside addresses is taken only where the layout says so.
// none is that of a family without addresses, which most are.
func nmAddresses(d *device, four bool, none map[string]any) map[string]any {
	var list []any
	for _, p := range d.static(four) {
		list = append(list, map[string]any{"ip": p.Addr().String(), "prefix-length": int64(p.Bits())})
	}
	if !d.learns(four) && len(list) == 0 {
		return none
	}
	// nmstate refuses autoconf without DHCP; what routers announce says whether DHCPv6 is asked.
	out := map[string]any{"enabled": true, "dhcp": d.learns(four)}
	if len(list) > 0 {
		out["address"] = list
	}
	if !four {
		out["autoconf"] = d.method(four) == v1alpha1.AddressSLAAC
	}
	if d.learns(four) {
		out["auto-routes"], out["auto-gateway"], out["auto-dns"] = true, d.ip.DefaultRoute == v1alpha1.Learnt, d.ip.Nameservers == v1alpha1.Learnt
	}
	return out
}
