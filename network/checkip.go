package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// leastIPv6MTU is what every link must carry for IPv6 (RFC 8200, 5); below it Linux takes IPv6 off the interface.
const leastIPv6MTU = 1280

func (d *document) checkAddresses() error {
	for _, one := range d.interfaces {
		for _, family := range []string{"ipv4", "ipv6"} {
			if err := d.checkFamily(one, family); err != nil {
				return err
			}
		}
	}
	at := map[netip.Addr]string{}
	for _, p := range d.prefixes {
		if other := at[p.prefix.Addr()]; other != "" {
			return fmt.Errorf("interfaces[%s] and interfaces[%s] both have address %s: keep one", other, p.name, p.prefix.Addr())
		}
		at[p.prefix.Addr()] = p.name
	}
	return nil
}

func (d *document) checkFamily(one map[string]any, family string) error {
	name, ip := text(one, "name"), section(one, family)
	entries := sections(ip, "address")
	if ip["enabled"] != true {
		if len(entries) > 0 {
			return fmt.Errorf("interfaces[%s].%s has addresses, but is not enabled: enable it", name, family)
		}
		return nil
	}
	if mtu, ok := number(one, "mtu"); ok && family == "ipv6" && mtu < leastIPv6MTU {
		return fmt.Errorf("interfaces[%s].mtu %d is below the %d that IPv6 needs, and the kernel would take its addresses away: make it larger", name, mtu, leastIPv6MTU)
	}
	for _, entry := range entries {
		p, ok := parsePrefix(entry)
		switch {
		case !ok:
			return fmt.Errorf("interfaces[%s].%s.address: %v with prefix-length %v is no address: correct it", name, family, entry["ip"], entry["prefix-length"])
		case p.Addr().Is4() != (family == "ipv4"):
			return fmt.Errorf("interfaces[%s].%s.address %s is of the other family: move it there", name, family, p.Addr())
		case p.Addr().IsMulticast() || p.Addr().IsUnspecified() || (p.Addr().IsLoopback() && name != "lo"):
			return fmt.Errorf("interfaces[%s].%s.address %s is none that an interface can have: correct it", name, family, p.Addr())
		}
	}
	return nil
}

// route is a route of the document as it is checked.
type route struct {
	field               string
	destination         netip.Prefix
	nexthop             netip.Addr
	over                string
	table               int64
	metric              int64 // -1 when it has none
	weighted, leadsAway bool  // it leads over an interface
}

// wholeRoutes reads the routes; the first that cannot be read is an error.
func (d *document) wholeRoutes() ([]route, error) {
	var out []route
	for i, one := range sections(section(d.root, "routes"), "config") {
		r := route{field: fmt.Sprintf("routes.config[%d]", i), over: text(one, "next-hop-interface"), leadsAway: text(one, "route-type") == "", metric: -1}
		var err error
		if r.destination, err = netip.ParsePrefix(text(one, "destination")); err != nil {
			return nil, fmt.Errorf("%s.destination %v is no network: write it as 10.0.0.0/8 or fd00::/8", r.field, one["destination"])
		}
		if r.destination != r.destination.Masked() {
			return nil, fmt.Errorf("%s.destination %s has bits set after the prefix, which the kernel refuses: write it as %s", r.field, r.destination, r.destination.Masked())
		}
		if hop := text(one, "next-hop-address"); hop != "" {
			if r.nexthop, err = netip.ParseAddr(hop); err != nil {
				return nil, fmt.Errorf("%s.next-hop-address %q is no address: correct it", r.field, hop)
			}
		}
		table, _ := number(one, "table-id")
		if r.table = cmp.Or(table, mainTable); r.table == 0 {
			r.table = mainTable
		}
		if metric, ok := number(one, "metric"); ok {
			r.metric = metric
		}
		_, r.weighted = number(one, "weight")
		out = append(out, r)
	}
	return out, nil
}

func (d *document) checkRoutes() error {
	all, err := d.wholeRoutes()
	if err != nil {
		return err
	}
	vrfs := map[string]int64{}
	for _, one := range d.of(kindVRF) {
		table, _ := number(section(one, "vrf"), "route-table-id")
		for _, port := range portsOf(one) {
			vrfs[port] = table
		}
	}
	for _, r := range all {
		if !r.leadsAway {
			continue
		}
		if err := d.checkRoute(r, all); err != nil {
			return err
		}
		if table, ok := vrfs[r.over]; ok && table != r.table {
			return fmt.Errorf("%s leads over %s, whose VRF has routing table %d, but is in table %d, where it would never be found: correct the table", r.field, r.over, table, r.table)
		}
	}
	return nil
}

// checkRoute refuses a route over an interface that cannot have it, or by a nexthop that is not on its link.
func (d *document) checkRoute(r route, all []route) error {
	over := d.kernel[r.over]
	if over == nil {
		return fmt.Errorf("%s.next-hop-interface %q is not among the interfaces: correct it", r.field, r.over)
	}
	family := "ipv6"
	if r.destination.Addr().Is4() {
		family = "ipv4"
	}
	ip := section(over, family)
	if ip["enabled"] != true {
		return fmt.Errorf("%s leads over %s, which has no addresses of %s: give it one", r.field, r.over, familyOf(r.destination.Addr()))
	}
	if !r.nexthop.IsValid() {
		return nil
	}
	if r.nexthop.Is4() != r.destination.Addr().Is4() {
		return fmt.Errorf("%s: destination %s and nexthop %s are of two families: correct one", r.field, r.destination, r.nexthop)
	}
	if ip["dhcp"] == true || ip["autoconf"] == true || (r.nexthop.Is6() && r.nexthop.IsLinkLocalUnicast()) {
		return nil
	}
	for _, p := range d.prefixes {
		if p.prefix.Addr() == r.nexthop {
			return fmt.Errorf("%s has the node's own address %s as nexthop: name the router", r.field, r.nexthop)
		}
	}
	if !d.onLink(r, all) {
		return fmt.Errorf("%s: nexthop %s is on no network of %s, and the kernel refuses it: correct it, or add a route to it without nexthop", r.field, r.nexthop, r.over)
	}
	return nil
}

// onLink reports whether the nexthop is on a network of the interface, or on its link by a route of its own.
func (d *document) onLink(r route, all []route) bool {
	return slices.ContainsFunc(d.prefixes, func(p interfacePrefix) bool { return p.name == r.over && p.prefix.Contains(r.nexthop) }) ||
		slices.ContainsFunc(all, func(o route) bool {
			return o.over == r.over && !o.nexthop.IsValid() && o.leadsAway && o.destination.Contains(r.nexthop)
		})
}

// checkDefaultRoutes proves that each family has one default route at most in each table: several decide by chance which way a
// node answers. Those that share the traffic by weight are one, and so is one that takes over by its metric.
func (d *document) checkDefaultRoutes() error {
	all, err := d.wholeRoutes()
	if err != nil {
		return err
	}
	seen := map[string]route{}
	for _, one := range d.interfaces {
		for _, family := range []string{"ipv4", "ipv6"} {
			ip := section(one, family)
			if !learnsDefault(ip) {
				continue
			}
			key := fmt.Sprintf("%t %d %d", family == "ipv4", mainTable, -1)
			field := fmt.Sprintf("interfaces[%s].%s (learnt from the network)", text(one, "name"), family)
			if other, ok := seen[key]; ok {
				return twoDefaults(other.field, field)
			}
			seen[key] = route{field: field}
		}
	}
	for _, r := range all {
		if r.destination.Bits() != 0 || !r.leadsAway {
			continue
		}
		key := fmt.Sprintf("%t %d %d", r.destination.Addr().Is4(), r.table, r.metric)
		if other, ok := seen[key]; ok && (!other.weighted || !r.weighted) {
			return twoDefaults(other.field, r.field)
		}
		seen[key] = r
	}
	return nil
}

// learnsDefault reports whether an interface takes the default route that the network offers.
func learnsDefault(ip map[string]any) bool {
	return ip["enabled"] == true && (ip["dhcp"] == true || ip["autoconf"] == true) && ip["auto-routes"] != false && ip["auto-gateway"] != false
}

func twoDefaults(a, b string) error {
	return fmt.Errorf("%s and %s are both a default route of one family and table: keep one, give each a metric, or give each a weight to share the traffic", a, b)
}

func (d *document) checkRules() error {
	for i, one := range sections(section(d.root, "route-rules"), "config") {
		field := fmt.Sprintf("route-rules.config[%d]", i)
		var families []bool
		for _, key := range []string{"ip-from", "ip-to"} {
			if text(one, key) == "" {
				continue
			}
			p, err := netip.ParsePrefix(text(one, key))
			if err != nil {
				return fmt.Errorf("%s.%s %q is no network: write it as 10.0.0.0/8 or fd00::/8", field, key, text(one, key))
			}
			families = append(families, p.Addr().Is4())
		}
		if len(families) == 2 && families[0] != families[1] {
			return fmt.Errorf("%s: ip-from and ip-to are of two families: correct one", field)
		}
		if iif := text(one, "iif"); iif != "" && d.kernel[iif] == nil {
			return fmt.Errorf("%s.iif %s is not among the interfaces: correct it", field, iif)
		}
	}
	return nil
}

// checkResolver refuses nameservers that nmstate cannot place: without an interface of their family, or in the middle of the
// other family's.
func (d *document) checkResolver() error {
	turns, last := 0, ""
	for _, server := range textList(section(section(d.root, "dns-resolver"), "config"), "server") {
		a, err := netip.ParseAddr(server)
		if err != nil {
			return fmt.Errorf("dns-resolver.config.server %q is no address: correct it", server)
		}
		family := "ipv6"
		if a.Is4() {
			family = "ipv4"
		}
		if family != last {
			turns, last = turns+1, family
		}
		if turns > 2 {
			return fmt.Errorf("dns-resolver.config.server %s stands in the middle of the other family's, which nmstate refuses: group them", server)
		}
		if !slices.ContainsFunc(d.interfaces, func(one map[string]any) bool { return section(one, family)["enabled"] == true }) {
			return fmt.Errorf("dns-resolver.config.server %s is %s, but no interface has that family: remove it", server, familyOf(a))
		}
	}
	return nil
}
